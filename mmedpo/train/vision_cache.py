"""What a frozen vision tower makes of each image: computed once a run, whichever batches show it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mmedpo.registry.contracts.backbone import Encoding, LiveBackbone
from mmedpo.train.batches.encoding import EncodedSide, PixelCache
from mmedpo.train.tensor_store import TensorRecord, TensorStore

PLAIN = {"last_hidden_state", "hidden_states", "attentions", "pooler_output"}  # what a tower's output may hold
EXTRA = "with "  # before the names of vision tensors that forward() takes beside features, sizes of images for one


class VisionCache:
    """Give forward() what it needs of a batch's images, without running the vision tower twice on one.

    When the projector trains, what stands before it is kept; otherwise what comes out of it. A model that cannot
    take ready features gets its pixels as ever, and `why_not` says why.
    """

    def __init__(
        self, backbone: LiveBackbone, pixels: PixelCache, store: TensorStore | None, projectors: Sequence[str]
    ) -> None:
        """`projectors` names the modules, of the model without its adapter, that train between vision and language."""
        self._backbone, self._pixels, self._store, self._projectors = backbone, pixels, store, list(projectors)
        self.why_not = "" if store is not None else "train.vision_memory is 0"
        self.calls = 0  # of the vision tower

    def close(self) -> None:
        """Let go of what is kept."""
        if self._store is not None:
            self._store.close()

    def forward_inputs(self, model: Any, images: Sequence[EncodedSide]) -> dict[str, Any]:
        """Return forward()'s arguments for images, in the order of their placeholders."""
        self.why_not = self.why_not or why_no_features(model, self._projectors)
        if not self.why_not:
            records = [self._record(model, side) for side in images]
        if self.why_not:
            self.calls += len(images)
            return dict(self._collate([self._pixels.of(side) for side in images]))
        features = [self._features(model, record) for record in records]
        extra = [_take_extra(record) for record in records]
        return {"mm_encoder_outputs": {"image": _join_features(features)}, **(self._collate(extra) if extra[0] else {})}

    def _collate(self, visions: Sequence[Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        return self._backbone.collate([Encoding([], 0, vision) for vision in visions])

    def _record(self, model: Any, side: EncodedSide) -> TensorRecord:
        """Return what is kept of an image, computed where it is not; where nothing can be, note in `why_not` why."""
        assert self._store is not None
        if side.image not in self._store:
            vision = self._pixels.of(side)
            on_device = {name: value.to(model.device) for name, value in vision.items()}
            record = run_tower(model, on_device, self._projectors)
            self.calls += 1
            if isinstance(record, str):
                self.why_not = record
                return {}
            extra = {f"{EXTRA}{name}": value for name, value in vision.items() if not name.startswith("pixel")}
            self._store[side.image] = {**record, **extra}
        return self._store[side.image]

    def _features(self, model: Any, record: TensorRecord) -> Tensor:
        """Return an image's features, (tokens, width) or (tiles, tokens, width), through the projector of now."""
        if "features" in record:
            return record["features"].to(model.device)
        projector = model.get_submodule(self._projectors[0])
        output = projector(record["before"].to(model.device))
        rows = output.reshape(-1, output.shape[-1])[record["order"].to(model.device)]  # (all tokens, width)
        return rows.reshape(*record["shape"].tolist(), rows.shape[-1])


def _take_extra(record: TensorRecord) -> dict[str, Tensor]:
    return {name.removeprefix(EXTRA): value for name, value in record.items() if name.startswith(EXTRA)}


def _join_features(features: Sequence[Tensor]) -> Any:
    """Put features of several images together, each (tokens, width) or (tiles, tokens, width)."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    joined = list(features) if features[0].dim() == 2 else torch.cat(list(features))
    return BaseModelOutputWithPooling(pooler_output=joined)


def why_no_features(model: Any, projectors: Sequence[str]) -> str:
    """Say why a model's image features cannot be kept; "" when they can, as far as one sees without trying."""
    if "mm_encoder_outputs" not in inspect.signature(type(model).forward).parameters:
        return f"{type(model).__name__} takes no ready image features"
    if len(projectors) > 1:
        return "it has several projectors that train"
    text = {id(parameter) for parameter in model.get_decoder().parameters()}
    text |= {id(parameter) for parameter in model.get_output_embeddings().parameters()}
    between = tuple(f"{name}." for name in projectors)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and id(parameter) not in text and not name.startswith(between):
            return f"its vision tower trains ({name})"
    return ""


def run_tower(model: Any, vision: Mapping[str, Tensor], projectors: Sequence[str]) -> TensorRecord | str:
    """Run the vision tower on one image and return what is kept of it, or say why nothing can be.

    With a projector: its input `before`, and `order`, which of its output's rows stand where.
    """
    names = inspect.signature(model.get_image_features).parameters
    known = {name: value for name, value in vision.items() if name in names}
    with torch.no_grad(), _number_rows(model, projectors) as calls:
        output = model.get_image_features(**known, return_dict=True)
    if set(output.keys()) - PLAIN:
        return f"its vision tower gives more than features ({', '.join(sorted(set(output.keys()) - PLAIN))})"
    features = output.pooler_output
    if not isinstance(features, Tensor):
        features = torch.cat([part.reshape(-1, part.shape[-1]) for part in features])
    if not projectors:
        return {"features": features}
    order = features[..., 0].reshape(-1)  # the numbers of the projector's rows, as the language model reads them
    intact = len(calls) == 1 and bool((features == features[..., :1]).all())
    if not intact or not _is_permutation(order, calls[0][1]):
        return "what its projector makes is changed further before the language model reads it"
    return {"before": calls[0][0], "order": order.long(), "shape": torch.tensor(features.shape[:-1])}


def _is_permutation(order: Tensor, count: int) -> bool:
    return torch.equal(order.sort().values, torch.arange(count, device=order.device, dtype=order.dtype))


@contextmanager
def _number_rows(model: Any, projectors: Sequence[str]) -> Iterator[list[tuple[Tensor, int]]]:
    """Let a projector give out the numbers of its rows; yield of each call its input, and how many rows it makes."""
    calls: list[tuple[Tensor, int]] = []

    def give_numbers(module: Any, args: tuple[Any, ...], output: Tensor) -> Tensor:
        count = output.numel() // output.shape[-1]
        calls.append((args[0].detach(), count))
        numbers = torch.arange(count, dtype=torch.float64, device=output.device)
        return numbers.reshape(*output.shape[:-1], 1).expand(output.shape)

    handles = [model.get_submodule(name).register_forward_hook(give_numbers) for name in projectors]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
