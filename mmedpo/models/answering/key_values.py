"""Keys and values of rows of token trees: written in place, and let go of row by row."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

SPARE = 1.25  # of what is needed, when more room is made


class GrowingLayer(DynamicLayer):
    """One layer's keys and values, (rows, heads, room, width), of which the first tokens are in use.

    `DynamicLayer` copies all there is for every token.
    """

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append (rows, heads, tokens, width) and return all that is in use."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._room_keys, self._room_values = key_states, value_states
            self.keys, self.values = key_states, value_states
            return self.keys, self.values
        begin = self.keys.shape[2]
        end = begin + key_states.shape[2]
        if end > self._room_keys.shape[2]:
            room = int(end * SPARE)
            self._room_keys, self._room_values = _with_room(self.keys, room), _with_room(self.values, room)
        self._room_keys[:, :, begin:end] = key_states
        self._room_values[:, :, begin:end] = value_states
        self.keys, self.values = self._room_keys[:, :, :end], self._room_values[:, :, :end]
        return self.keys, self.values

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows, in this order; one may stand in it several times."""
        self.keys = self._room_keys = self.keys[rows]
        self.values = self._room_values = self.values[rows]


def _with_room(tensor: Tensor, room: int) -> Tensor:
    rows, heads, tokens, width = tensor.shape
    out = tensor.new_empty(rows, heads, room, width)
    out[:, :, :tokens] = tensor
    return out


class TreeKeyValues(Cache):
    """The keys and values of all layers."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=GrowingLayer)

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows in all layers."""
        for layer in self.layers:
            layer.select_rows(rows.to(layer.keys.device))

    @property
    def tokens(self) -> int:
        """How many tokens a row has."""
        return int(self.get_seq_length())
