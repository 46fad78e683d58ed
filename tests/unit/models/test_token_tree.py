"""Token trees: the structure, and that nothing but the time changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tiny_models import IMAGE, MODELS, WORDS, Tiny, llava, make_tiny
from torch.nn.attention.flex_attention import flex_attention

from mmedpo.models.trees.positions import make_position_ids
from mmedpo.models.trees.token_tree import TreeSpan, common_prefix, find_spans, grow_tree, pack_rows, pack_trees
from mmedpo.models.trees.tree_attention import (
    NAME,
    attention_mask,
    block_mask,
    register_attention,
    visibility_mask,
    why_no_trees,
)
from mmedpo.train.logprobs import AnswerPositions, NextTokenLogps, ReferenceLogits, changes_logits, token_logps

SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=1, max_size=8)


def arrays(sequences: list[list[int]]) -> list[np.ndarray]:
    return [np.asarray(sequence, dtype=np.int64) for sequence in sequences]


# --- the trie ----------------------------------------------------------------------------------------------------


@given(SEQUENCES)
def test_every_common_prefix_is_stored_once(sequences: list[list[int]]) -> None:
    prefixes = {tuple(sequence[: stop + 1]) for sequence in sequences for stop in range(len(sequence))}
    assert len(grow_tree(arrays(sequences))) == len(prefixes)


@given(SEQUENCES)
def test_each_sequence_reads_its_tokens_along_its_path(sequences: list[list[int]]) -> None:
    tree = grow_tree(arrays(sequences))
    for sequence, path in zip(sequences, tree.paths, strict=True):
        assert tree.ids[path].tolist() == sequence
        assert tree.depth[path].tolist() == list(range(len(sequence)))


@given(SEQUENCES)
def test_a_token_sees_the_tokens_before_it_on_its_path_and_no_other(sequences: list[list[int]]) -> None:
    tree = grow_tree(arrays(sequences))
    seen = visibility_mask(torch.from_numpy(tree.end)[None])[0, 0]
    for path in tree.paths:
        for stop, token in enumerate(path):
            assert seen[token].nonzero()[:, 0].tolist() == path[: stop + 1].tolist()


@given(SEQUENCES, st.randoms(use_true_random=False))
def test_the_tree_does_not_depend_on_the_order_of_sequences(sequences: list[list[int]], random: Any) -> None:
    shuffled = random.sample(sequences, len(sequences))
    one, other = grow_tree(arrays(sequences)), grow_tree(arrays(shuffled))
    assert one.ids.tolist() == other.ids.tolist()
    assert one.end.tolist() == other.end.tolist()


def test_tokens_compare_as_numbers_and_not_as_bytes() -> None:
    tree = grow_tree(arrays([[1, 256], [1, 2], [1, 40000]]))
    assert tree.ids.tolist() == [1, 2, 256, 40000]


def test_common_prefix_ends_with_the_shorter_sequence() -> None:
    assert common_prefix(np.array([1, 2, 3]), np.array([1, 2])) == 2
    assert common_prefix(np.array([1, 2, 3]), np.array([1, 3, 3])) == 1
    assert common_prefix(np.array([1]), np.array([2])) == 0


# --- rows of trees -----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 40))
def test_rows_keep_to_the_budget_unless_one_thing_is_beyond_it(sizes: list[int], budget: int) -> None:
    rows = pack_rows(sizes, budget)
    assert sorted(index for row in rows for index in row) == list(range(len(sizes)))
    for row in rows:
        assert len(row) == 1 or sum(sizes[index] for index in row) <= budget


@given(st.lists(st.tuples(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.integers(0, 2)), min_size=1))
def test_trees_of_different_images_share_rows_and_nothing_else(chosen: list[tuple[list[int], int]]) -> None:
    sequences, roots = arrays([sequence for sequence, _ in chosen]), [root for _, root in chosen]
    rows = pack_trees(sequences, roots, budget=12, pad=7)
    seen = visibility_mask(torch.from_numpy(rows.end))[:, 0]
    owner = rows.scatter([np.full(len(s), root + 1) for s, root in zip(sequences, roots, strict=True)])
    for sequence, row, columns in zip(sequences, rows.row, rows.columns, strict=True):
        assert rows.ids[row, columns].tolist() == sequence.tolist()
        assert seen[row, columns[-1]].nonzero()[:, 0].tolist() == columns.tolist()
    assert (rows.ids[owner == 0] == 7).all()
    order = [int(name) - 1 for row in owner for name in row[np.flatnonzero(np.diff(row, prepend=0))] if name]
    assert order == list(rows.roots)


def test_a_token_beyond_the_trees_sees_itself_alone() -> None:
    rows = pack_trees(arrays([[1, 2, 3], [4]]), ["a", "b"], budget=3)
    seen = visibility_mask(torch.from_numpy(rows.end))[:, 0]
    assert seen[1].tolist() == [[True, False, False], [False, True, False], [False, False, True]]


# --- exactness ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """A side: an image, or several, a question, an answer."""

    image: int | tuple[int, ...]
    question: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def images(self) -> tuple[int, ...]:
        return (self.image,) if isinstance(self.image, int) else self.image

    def ids(self, tiny: Tiny) -> list[int]:
        own = [token for image in self.images for token in tiny.images[image][0]]
        return [*own, *self.question, *self.answer, 1]

    def inputs(self, tiny: Tiny) -> dict[str, torch.Tensor]:
        ids = torch.tensor([self.ids(tiny)])
        types = {"mm_token_type_ids": (ids == IMAGE).int()} if tiny.types else {}
        return {"input_ids": ids, **joined([tiny.images[image][1] for image in self.images]), **types}


def joined(vision: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {key: torch.cat([part[key] for part in vision]) for key in vision[0]}


Grads = dict[str, torch.Tensor]


def answer_tokens(side: Told) -> int:
    return len(side.answer) + 1


def logp(logits: torch.Tensor, side: Told) -> torch.Tensor:
    return logits.log_softmax(-1).gather(1, torch.tensor([*side.answer, 1])[:, None]).sum()


def pairwise(tiny: Tiny, sides: list[Told]) -> list[torch.Tensor]:
    found = []
    for side in sides:
        logits = tiny.model(**side.inputs(tiny)).logits[0]
        found.append(logp(logits[-answer_tokens(side) - 1 : -1], side))
    return found


def by_trees(tiny: Tiny, sides: list[Told], budget: int) -> list[torch.Tensor]:
    rows = pack_trees([np.array(side.ids(tiny)) for side in sides], [side.images for side in sides], budget)
    vision = [tiny.images[image][1] for root in rows.roots for image in root]  # type: ignore[attr-defined]
    logits = tiny.model(
        input_ids=torch.from_numpy(rows.ids),
        position_ids=make_position_ids(tiny.model, rows, lambda: [side.inputs(tiny) for side in sides]),
        attention_mask=attention_mask(torch.from_numpy(rows.end), tiny.model, find_spans(rows.end)),
        **joined(vision),
    ).logits
    return [
        logp(logits[row, columns[-answer_tokens(side) - 1 : -1]], side)
        for side, row, columns in zip(sides, rows.row, rows.columns, strict=True)
    ]


@contextmanager
def in_parts(model: Any) -> Iterator[None]:
    """Attend to trunks and branches apart."""
    register_attention()
    text = model.config.get_text_config()
    text._attn_implementation = NAME
    yield
    text._attn_implementation = "sdpa"


def loss_and_gradients(tiny: Tiny, logps: list[torch.Tensor]) -> tuple[torch.Tensor, Grads]:
    """Mix the sides as pairs do: halves against each other, through a sigmoid, weighted."""
    values = torch.stack(logps)
    chosen, rejected = values.chunk(2)
    weights = torch.linspace(0.5, 1.5, len(chosen), dtype=values.dtype)
    loss = -(weights * torch.nn.functional.logsigmoid(0.1 * (chosen - rejected))).mean()
    tiny.model.zero_grad()
    loss.backward()
    named = tiny.model.named_parameters()
    trained = ("language_model", "text_model", "projector", "connector", "merger", "lm_head")
    return loss.detach(), {n: p.grad for n, p in named if p.grad is not None and any(t in n for t in trained)}


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return ((one - other).norm() / other.norm()).item()


def check_exact(tiny: Tiny, sides: list[Told], budget: int, limit: float) -> None:
    loss, grads = loss_and_gradients(tiny, pairwise(tiny, sides))
    tree_loss, tree_grads = loss_and_gradients(tiny, by_trees(tiny, sides, budget))
    assert apart(tree_loss, loss) < limit
    assert grads.keys() == tree_grads.keys()
    errors = {name: apart(tree_grads[name], grads[name]) for name in grads if grads[name].norm() > 0}
    assert errors
    assert max(errors.values()) < limit, max(errors.items(), key=lambda item: item[1])


def pairs_of(*pairs: tuple[Told, Told]) -> list[Told]:
    return [chosen for chosen, _ in pairs] + [rejected for _, rejected in pairs]


def typical() -> list[Told]:
    """Two questions on one image, one of them twice, a duplicate, an image pair, and a long report on its own."""
    first, again = (6, 7, 8), (6, 7, 9, 10)
    report = tuple(5 + (7 * place) % 35 for place in range(60))
    return pairs_of(
        (Told(0, first, (11,)), Told(0, first, (12, 13))),
        (Told(0, again, (11, 14)), Told(0, again, (15,))),
        (Told(0, first, (11,)), Told(0, first, (12, 13))),
        (Told(0, first, (16, 17)), Told(0, first, (11,))),
        (Told(0, again, (11, 14)), Told(1, again, (11, 14))),
        (Told(2, (20,), report), Told(2, (20,), (*report[:30], 5, *report[40:]))),
    )


def with_several_images() -> list[Told]:
    """Two questions on the same two images, one on them the other way round, and image pairs that change one image."""
    first, again = (6, 7, 8), (6, 7, 9, 10)
    return pairs_of(
        (Told((0, 1), first, (11,)), Told((0, 1), first, (12, 13))),
        (Told((0, 1), again, (11, 14)), Told((0, 2), again, (11, 14))),
        (Told((1, 0), first, (11,)), Told((1, 0), first, (12,))),
        (Told(0, first, (11,)), Told(0, first, (12, 13))),
        (Told((0, 1, 2), first, (11,)), Told((2, 1, 2), first, (11,))),
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["64", "32"])
@pytest.mark.parametrize("budget", [10, 400], ids=["a row each", "shared row"])
def test_trees_give_the_loss_and_gradients_of_pairs(name: str, dtype: torch.dtype, limit: float, budget: int) -> None:
    check_exact(make_tiny(name, dtype), typical(), budget, limit)
    check_exact(make_tiny(name, dtype), with_several_images(), budget, limit)


def told() -> st.SearchStrategy[list[Told]]:
    words = st.lists(st.sampled_from([*WORDS][:3]), min_size=1, max_size=4).map(tuple)
    report = st.lists(st.sampled_from([*WORDS]), min_size=20, max_size=40).map(tuple)
    text = st.builds(
        lambda image, question, one, other: (Told(image, question, one), Told(image, question, other)),
        st.integers(0, 2), words, words | report, words,
    )  # fmt: skip
    noised = st.builds(
        lambda images, question, one, other: (Told(images[0], question, one), Told(images[1], question, other)),
        st.permutations(range(3)), words, words, words,
    )  # fmt: skip
    pairs = (text | noised).filter(lambda pair: pair[0] != pair[1])  # two equal sides have no gradient to compare
    return st.lists(pairs, min_size=1, max_size=5).map(lambda pairs: pairs_of(*pairs))


@pytest.mark.parametrize("name", MODELS)
def test_trees_are_exact_for_any_set_of_pairs(name: str) -> None:
    tiny = make_tiny(name, torch.float64)

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(told(), st.sampled_from([10, 60, 500]))
    def check(sides: list[Told], budget: int) -> None:
        check_exact(tiny, sides, budget, 1e-10)

    check()


def test_eager_attention_takes_trees_too() -> None:
    tiny = make_tiny("llava-mistral", torch.float64)
    tiny.model.set_attn_implementation("eager")
    check_exact(tiny, typical(), 400, 1e-6)  # its softmax rounds to float32


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("budget", [10, 400], ids=["a row each", "shared row"])
def test_attention_in_parts_is_exact(name: str, budget: int) -> None:
    tiny = make_tiny(name, torch.float64)
    with in_parts(tiny.model):
        check_exact(tiny, typical(), budget, 1e-10)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_sees_what_the_mask_shows() -> None:
    end = torch.from_numpy(
        pack_trees(arrays([[1, 2, 3], [1, 2, 4, 5], [6, 7], [8]]), ["a", "a", "b", "c"], budget=7).end
    )
    query, key, value = torch.rand(3, len(end), 2, end.shape[1], 8).unbind()
    flexed = flex_attention(query, key, value, block_mask=block_mask(end))
    plain = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=visibility_mask(end))
    torch.testing.assert_close(flexed, plain)


def test_a_trees_trunk_is_what_all_its_sequences_begin_with() -> None:
    rows = pack_trees(arrays([[1, 2, 3], [1, 2, 4, 5], [6, 7], [8]]), ["a", "a", "b", "c"], budget=7)
    assert find_spans(rows.end) == [[TreeSpan(0, 2, 5), TreeSpan(5, 7, 7)], [TreeSpan(0, 1, 7)]]


# --- answers -----------------------------------------------------------------------------------------------------


def test_log_probabilities_of_next_tokens_are_those_of_log_softmax_with_their_gradients() -> None:
    logits = torch.randn(5, 11, dtype=torch.float64, requires_grad=True)
    index, target = torch.tensor([0, 0, 3, 3, 3, 4]), torch.tensor([1, 10, 2, 2, 0, 5])
    assert torch.allclose(NextTokenLogps.apply(logits, index, target), logits.log_softmax(1)[index, target])
    assert torch.autograd.gradcheck(lambda x: NextTokenLogps.apply(x, index, target), logits)


@pytest.mark.parametrize("chunk", [1, 3 * 40, 2**26], ids=["one at a time", "three", "at once"])
def test_the_head_in_parts_is_the_head_at_once(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr("mmedpo.train.logprobs.CHUNK", chunk)
    tiny = make_tiny("llava-mistral", torch.float64)
    ids = torch.tensor([[*tiny.images[0][0], 7, 8, 9, 10], [*tiny.images[1][0], 5, 6, 7, 8]])
    inputs = {
        "input_ids": ids,
        "pixel_values": torch.cat([tiny.images[number][1]["pixel_values"] for number in (0, 1)]),
    }
    positions = AnswerPositions(
        rows=torch.tensor([0, 0, 1, 1]),
        columns=torch.tensor([5, 6, 5, 7]),
        index=torch.tensor([0, 1, 1, 2, 3]),
        target=torch.tensor([8, 9, 4, 6, 3]),
    )
    plain = positions.gather(tiny.model(**inputs).logits.log_softmax(-1))[positions.index, positions.target]
    grads = []
    for logps in (plain, token_logps(tiny.model, inputs, positions, tiny.model.get_output_embeddings())):
        assert torch.allclose(logps, plain, atol=1e-12)
        tiny.model.zero_grad()
        (logps * torch.arange(1, 6)).sum().backward()
        grads.append({name: p.grad.clone() for name, p in tiny.model.named_parameters() if p.grad is not None})
    trained = [name for name in grads[0] if "vision" not in name]
    assert max(apart(grads[1][name], grads[0][name]) for name in trained) < 1e-10
    other = torch.randn(4, len(tiny.model.get_output_embeddings().weight), dtype=torch.float64)
    reference = ReferenceLogits(other, positions.target)
    found = token_logps(tiny.model, inputs, positions, tiny.model.get_output_embeddings(), reference=reference)
    own = positions.gather(tiny.model(**inputs).logits).log_softmax(-1)
    wanted = torch.nn.functional.kl_div(other.log_softmax(-1), own, log_target=True, reduction="none").sum(-1)
    known = other.log_softmax(-1)[positions.index, positions.target]
    assert torch.allclose(found, torch.stack([plain, known, wanted[positions.index]], dim=1), atol=1e-12)
    one, two = (
        torch.autograd.grad(value.sum(), tiny.model.get_output_embeddings().weight)[0]
        for value in (found[:, 2], wanted[positions.index])
    )
    assert apart(one, two) < 1e-10


def test_logits_that_are_capped_or_scaled_are_noticed() -> None:
    from transformers import CohereConfig, Gemma2Config, GraniteConfig, MistralConfig

    assert not changes_logits(MistralConfig())
    assert changes_logits(Gemma2Config())
    assert changes_logits(CohereConfig())
    assert changes_logits(GraniteConfig(logits_scaling=8.0))


# --- where trees would not be exact ------------------------------------------------------------------------------


def test_a_causal_model_has_no_reason_against_trees() -> None:
    for name in MODELS:
        assert why_no_trees(make_tiny(name, torch.float32).model, causal=True, longest=400) == ""


def test_attention_that_is_not_causal_is_a_reason() -> None:
    model = make_tiny("llava-mistral", torch.float32).model
    assert "not known to be purely causal" in why_no_trees(model, causal=False, longest=10)


def test_a_model_that_is_told_no_positions_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_tiny("llava-mistral", torch.float32).model
    monkeypatch.setattr(type(model), "forward", lambda self, input_ids, attention_mask: None)
    assert why_no_trees(model, causal=True, longest=10) == "its forward() takes no position_ids"


def test_a_sliding_window_is_a_reason_once_a_sequence_is_longer() -> None:
    model = llava(sliding_window=16).model
    assert why_no_trees(model, causal=True, longest=16) == ""
    assert why_no_trees(model, causal=True, longest=17) == (
        "its attention reaches back 16 tokens and the longest sequence has 17"
    )


def test_gemma_3_is_no_candidate_whoever_calls_it_causal() -> None:
    from transformers import Gemma3TextConfig

    from mmedpo.models.trees.tree_attention import sliding_window

    assert sliding_window(Gemma3TextConfig(num_hidden_layers=6, sliding_window=64)) == 64


def test_a_recurrent_layer_is_a_reason() -> None:
    from mmedpo.models.trees.tree_attention import sliding_window

    class Text:
        layer_types = ("linear_attention", "full_attention")

    assert sliding_window(Text()) == 0
