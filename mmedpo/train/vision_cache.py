"""What a frozen vision tower makes of each image: computed once, kept on disk, the latest of it in memory."""

from __future__ import annotations

import inspect
import json
import mmap
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from mmedpo.core.disk import guard_writes
from mmedpo.registry.contracts import LiveBackbone
from mmedpo.store.run_folder import append_line, write_text
from mmedpo.train.pair_batches import EncodedSide, PixelCache

FeatureRecord = Mapping[str, Tensor]
PLAIN = {"last_hidden_state", "hidden_states", "attentions", "pooler_output"}  # what a tower's output may hold


class TensorStore:
    """Named tensors by key: appended to a file, read back through a memory map, the latest held in memory.

    A file that a kill cut short is used up to its last whole entry.
    """

    def __init__(self, path: Path, memory: int) -> None:
        """Open or begin the file; hold at most `memory` bytes of tensors."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._memory, self._bytes = memory, 0
        self._held: OrderedDict[str, FeatureRecord] = OrderedDict()
        self._index_path = path.with_suffix(".jsonl")
        path.touch()
        self._file = path.open("r+b")
        self._map: mmap.mmap | None = None
        self._places = dict(_whole(self._index_path, path.stat().st_size))
        write_text(self._index_path, "".join(json.dumps([key, *at]) + "\n" for key, at in self._places.items()))

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __setitem__(self, key: str, record: FeatureRecord) -> None:
        data = to_bytes({name: tensor.detach().cpu().contiguous() for name, tensor in record.items()})
        with guard_writes(self._file.name):
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(data)
            self._file.flush()
        self._places[key] = (start, len(data))
        append_line(self._index_path, json.dumps([key, start, len(data)]))
        self._hold(key, from_bytes(data))

    def __getitem__(self, key: str) -> FeatureRecord:
        if key not in self._held:
            start, length = self._places[key]
            self._hold(key, from_bytes(self._mapped(start + length)[start : start + length]))
        self._held.move_to_end(key)
        return self._held[key]

    def close(self) -> None:
        """Let go of file and memory."""
        if self._map is not None:
            self._map.close()
        self._file.close()
        self._held.clear()

    def _hold(self, key: str, record: FeatureRecord) -> None:
        self._held[key] = record
        self._bytes += _size(record)
        while self._bytes > self._memory and len(self._held) > 1:
            self._bytes -= _size(self._held.popitem(last=False)[1])

    def _mapped(self, until: int) -> mmap.mmap:
        """Map the file anew once it has grown."""
        if self._map is None or len(self._map) < until:
            if self._map is not None:
                self._map.close()
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._map


def _size(record: FeatureRecord) -> int:
    return sum(tensor.nbytes for tensor in record.values())


def _whole(index: Path, size: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the index's entries up to one that is cut short or lies beyond the data."""
    for line in index.read_bytes().split(b"\n")[:-1] if index.exists() else ():  # what follows the last \n is cut short
        try:
            key, start, length = json.loads(line)
        except ValueError:
            return
        if start + length > size:
            return
        yield key, (start, length)


class VisionCache:
    """Give forward() what it needs of a batch's images, without running the vision tower twice on one.

    When the projector trains, what stands before it is kept; otherwise what comes out of it. A model that cannot
    take ready features gets its pixels as ever, and `why_not` says why.
    """

    def __init__(
        self, backbone: LiveBackbone, pixels: PixelCache, shelf: TensorStore | None, projectors: Sequence[str]
    ) -> None:
        """`projectors` names the modules, of the model without its adapter, that train between vision and language."""
        self._backbone, self._pixels, self._shelf, self._projectors = backbone, pixels, shelf, list(projectors)
        self.why_not = "" if shelf is not None else "train.vision_memory is 0"
        self.calls = 0  # of the vision tower

    def close(self) -> None:
        """Let go of what is kept."""
        if self._shelf is not None:
            self._shelf.close()

    def inputs(self, model: Any, images: Sequence[EncodedSide]) -> dict[str, Any]:
        """Return forward()'s arguments for images, in the order of their placeholders."""
        self.why_not = self.why_not or why_not(model, self._projectors)
        if not self.why_not:
            records = [self._record(model, side) for side in images]
        if self.why_not:
            self.calls += len(images)
            return dict(self._collate([self._pixels.of(side) for side in images]))
        shown = [self._features(model, record) for record in records]
        rest = [{name[5:]: value for name, value in record.items() if name[:5] == "with "} for record in records]
        return {"mm_encoder_outputs": {"image": _output(shown)}, **(self._collate(rest) if rest[0] else {})}

    def _collate(self, visions: Sequence[FeatureRecord]) -> Mapping[str, Tensor]:
        from mmedpo.registry.contracts import Encoding

        return self._backbone.collate([Encoding([], 0, vision) for vision in visions])

    def _record(self, model: Any, side: EncodedSide) -> FeatureRecord:
        assert self._shelf is not None
        if side.image not in self._shelf:
            vision = self._pixels.of(side)
            record = look(model, {name: value.to(model.device) for name, value in vision.items()}, self._projectors)
            self.calls += 1
            if isinstance(record, str):
                self.why_not = record
                return {}
            rest = {f"with {name}": value for name, value in vision.items() if not name.startswith("pixel")}
            self._shelf[side.image] = {**record, **rest}
        return self._shelf[side.image]

    def _features(self, model: Any, record: FeatureRecord) -> Tensor:
        if "features" in record:
            return record["features"].to(model.device)
        projector = model.get_submodule(self._projectors[0])
        made = projector(record["before"].to(model.device))
        rows = made.reshape(-1, made.shape[-1])[record["order"].to(model.device)]
        return rows.reshape(*record["shape"].tolist(), rows.shape[-1])


def _output(shown: Sequence[Tensor]) -> Any:
    """Put features of several images together, each (tokens, width) or (tiles, tokens, width)."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    ready = list(shown) if shown[0].dim() == 2 else torch.cat(list(shown))
    return BaseModelOutputWithPooling(pooler_output=ready)


def why_not(model: Any, projectors: Sequence[str]) -> str:
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


def look(model: Any, vision: FeatureRecord, projectors: Sequence[str]) -> FeatureRecord | str:
    """Run the vision tower on one image and return what is kept of it, or say why nothing can be.

    With a projector: its input `before`, and `order`, which of its output's rows stand where.
    """
    names = inspect.signature(model.get_image_features).parameters
    known = {name: value for name, value in vision.items() if name in names}
    with torch.no_grad(), _stood_in(model, projectors) as seen:
        output = model.get_image_features(**known, return_dict=True)
    if set(output.keys()) - PLAIN:
        return f"its vision tower gives more than features ({', '.join(sorted(set(output.keys()) - PLAIN))})"
    made = output.pooler_output
    made = made if isinstance(made, Tensor) else torch.cat([part.reshape(-1, part.shape[-1]) for part in made])
    if not projectors:
        return {"features": made}
    order = made[..., 0].reshape(-1)
    kept = len(seen) == 1 and bool((made == made[..., :1]).all())
    whole = kept and torch.equal(order.sort().values, torch.arange(seen[0][1], device=order.device, dtype=order.dtype))
    if not whole:
        return "what its projector makes is changed further before the language model reads it"
    return {"before": seen[0][0], "order": order.long(), "shape": torch.tensor(made.shape[:-1])}


@contextmanager
def _stood_in(model: Any, projectors: Sequence[str]) -> Iterator[list[tuple[Tensor, int]]]:
    """Let a projector give out the numbers of its rows, and note its inputs and how many rows it makes."""
    seen: list[tuple[Tensor, int]] = []

    def numbers(module: Any, args: tuple[Any, ...], output: Tensor) -> Tensor:
        rows = output.numel() // output.shape[-1]
        seen.append((args[0].detach(), rows))
        counted = torch.arange(rows, dtype=torch.float64, device=output.device)
        return counted.reshape(*output.shape[:-1], 1).expand(output.shape)

    handles = [model.get_submodule(name).register_forward_hook(numbers) for name in projectors]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
