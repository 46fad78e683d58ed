"""Token trees: sequences that begin alike become one trie, so that what they share is stored and computed once.

A causal language model computes a token from the tokens before it. In a row that holds a trie in preorder, each token
sees its ancestors and itself, at the positions they have in their own sequences: what the model computes for a token
is then what it would compute in every sequence that goes through it. Gradients are sums over sequences, and the
chain rule sums them at the shared token, so they are equal too.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TokenTree:
    """Sequences as a trie of tokens in preorder: token i sees token j where j <= i < end[j]."""

    ids: np.ndarray  # int64 (tokens,)
    depth: np.ndarray  # int64 (tokens,): how many tokens stand before it in its sequences
    end: np.ndarray  # int64 (tokens,): the first token after its subtree
    paths: tuple[np.ndarray, ...]  # of each sequence, in the order given: where its tokens are

    def __len__(self) -> int:
        return len(self.ids)


def grow_tree(sequences: Sequence[np.ndarray]) -> TokenTree:
    """Merge sequences of non-negative integers (tokens,), none of them empty; equal ones have one path."""
    # In lexical order, what a sequence shares with any earlier one it shares with the one before it: new tokens can
    # only hang from that one's path, and appending them writes the trie in preorder.
    order = sorted(range(len(sequences)), key=lambda index: sequences[index].astype(">u8").tobytes())
    paths: dict[int, np.ndarray] = {}
    ids, depth = [], []
    end = np.zeros(sum(map(len, sequences)), dtype=np.int64)
    size, path, previous = 0, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    for index in order:
        sequence = sequences[index]
        shared = common_prefix(previous, sequence)
        end[path[shared:]] = size
        fresh = len(sequence) - shared
        path = np.concatenate([path[:shared], np.arange(size, size + fresh)])
        ids.append(sequence[shared:])
        depth.append(np.arange(shared, len(sequence)))
        paths[index], previous, size = path, sequence, size + fresh
    end[path] = size
    tokens = np.concatenate(ids).astype(np.int64)
    return TokenTree(tokens, np.concatenate(depth), end[:size], tuple(paths[index] for index in range(len(sequences))))


def common_prefix(one: np.ndarray, other: np.ndarray) -> int:
    """Count the leading numbers that two sequences have in common."""
    length = min(len(one), len(other))
    differ = one[:length] != other[:length]
    return int(differ.argmax()) if differ.any() else length


def pack_rows(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Put trees of these sizes into rows of at most `budget`, the largest first; one beyond it has its own row."""
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        fits = [row for row, left in enumerate(room) if sizes[index] <= left]
        if fits:
            rows[fits[0]].append(index)
            room[fits[0]] -= sizes[index]
        else:
            rows.append([index])
            room.append(budget - sizes[index])
    return rows


@dataclass(frozen=True)
class TreeRows:
    """Token trees side by side in rows of one length; a token beyond a row's trees sees itself alone.

    Sequence s reads `ids[row[s], columns[s]]`. `roots` names the trees in the order in which their tokens stand.
    """

    ids: np.ndarray  # int64 (rows, tokens)
    depth: np.ndarray  # int64 (rows, tokens)
    end: np.ndarray  # int64 (rows, tokens)
    row: np.ndarray  # int64 (sequences,)
    columns: tuple[np.ndarray, ...]
    roots: tuple[Hashable, ...]

    def scatter(self, values: Sequence[np.ndarray], fill: int = 0) -> np.ndarray:
        """Lay values of each sequence's tokens (..., tokens) into the rows (..., rows, tokens).

        Sequences that share a token must have the same value there.
        """
        out = np.full((*values[0].shape[:-1], *self.ids.shape), fill, dtype=np.int64)
        for row, columns, value in zip(self.row, self.columns, values, strict=True):
            out[..., row, columns] = value
        return out


def pack_trees(sequences: Sequence[np.ndarray], roots: Sequence[Hashable], budget: int, pad: int = 0) -> TreeRows:
    """Grow a tree of the sequences of each root, and lay the trees into rows of about `budget` tokens."""
    members: dict[Hashable, list[int]] = {}
    for index, root in enumerate(roots):
        members.setdefault(root, []).append(index)
    names = list(members)
    trees = [grow_tree([sequences[index] for index in members[name]]) for name in names]
    packed = pack_rows([len(tree) for tree in trees], budget)
    width = max(sum(len(trees[number]) for number in numbers) for numbers in packed)
    ids = np.full((len(packed), width), pad, dtype=np.int64)  # (rows, tokens), as are depth and end
    depth = np.zeros_like(ids)
    end = np.tile(np.arange(1, width + 1), (len(packed), 1))
    row_of = np.zeros(len(sequences), dtype=np.int64)
    columns: list[np.ndarray] = [row_of] * len(sequences)
    for row, numbers in enumerate(packed):
        start = 0
        for number in numbers:
            tree, place = trees[number], slice(start, start + len(trees[number]))
            ids[row, place], depth[row, place], end[row, place] = tree.ids, tree.depth, tree.end + start
            for index, path in zip(members[names[number]], tree.paths, strict=True):
                row_of[index], columns[index] = row, path + start
            start += len(tree)
    ordered = tuple(names[number] for numbers in packed for number in numbers)
    return TreeRows(ids, depth, end, row_of, tuple(columns), ordered)


@dataclass(frozen=True)
class TreeSpan:
    """Where a tree lies in its row: the trunk is [start, fork), the branches are [fork, end)."""

    start: int
    fork: int
    end: int


def find_spans(end: np.ndarray) -> list[list[TreeSpan]]:
    """Find the trees in rows of subtree ends (rows, tokens); a token beyond the trees is one of its own."""
    return [_find_row_spans(row) for row in end]


def _find_row_spans(end: np.ndarray) -> list[TreeSpan]:
    spans: list[TreeSpan] = []
    start = 0
    while start < len(end):
        stop = int(end[start])
        if spans and stop == start + 1:  # padding: with the tree before it, where the mask keeps it to itself
            spans[-1] = TreeSpan(spans[-1].start, spans[-1].fork, stop)
        else:
            forked = end[start:stop] != stop  # the trunk's subtrees are all the rest of the tree
            spans.append(TreeSpan(start, start + int(forked.argmax()) if forked.any() else stop, stop))
        start = stop
    return spans
