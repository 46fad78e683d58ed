"""What a frozen vision tower makes of each image: computed once a run, whichever batches show it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmedpo.core.records import digest
from mmedpo.models.adapters import BaseFingerprint, unwrap_model
from mmedpo.models.vision.ready_features import feature_inputs, takes_features
from mmedpo.models.vision.tensor_store import TensorRecord, TensorStore
from mmedpo.registry.contracts.backbone import FeatureStore, LiveBackbone

PLAIN = {"last_hidden_state", "hidden_states", "attentions", "pooler_output"}  # what a tower's output may hold
EXTRA = "with "  # before the names of vision tensors that forward() takes beside features, sizes of images for one
SEVERAL = "it has several projectors that train"
CHANGED = "what its projector makes is changed further before the language model reads it"


@dataclass(frozen=True)
class VisionSource:
    """An image, and what makes its vision tensors where they are needed."""

    image: str  # equal strings, equal vision tensors
    load: Callable[[], Mapping[str, Tensor]]

    @classmethod
    def ready(cls, image: str, vision: Mapping[str, Tensor]) -> VisionSource:
        """Take an image whose vision tensors are at hand."""
        return cls(image, lambda: vision)


class VisionCache:
    """Give forward() what it needs of a batch's images, without running the vision tower twice on one.

    What stands before the projector is kept, so that it serves whether that trains, has trained or never will; where
    that cannot be told apart, what comes out of it. A model that cannot take ready features gets its pixels as ever,
    and `why_not` says why.
    """

    def __init__(
        self,
        backbone: LiveBackbone,
        store: FeatureStore | None,
        projectors: Sequence[str] = (),
        *,
        frozen: bool = False,
    ) -> None:
        """`projectors` names the modules, of the model without its adapter, between vision and language.

        `frozen` says that nothing of the model trains, whatever its parameters say.
        """
        self._backbone, self.store, self._projectors, self._frozen = backbone, store, list(projectors), frozen
        self.why_not = "" if store is not None else "train.vision_memory is 0"
        self.calls = 0  # of the vision tower

    def fill(self, model: Any, images: Iterable[VisionSource]) -> None:
        """Look at images that are not kept yet; stop where none can be."""
        self.why_not = self.why_not or why_no_features(model, self._projectors, self._frozen)
        for image in images:
            if self.why_not:
                return
            self._record(model, image)

    def forward_inputs(self, model: Any, images: Sequence[VisionSource]) -> dict[str, Any]:
        """Return forward()'s arguments for images, in the order of their placeholders."""
        self.why_not = self.why_not or why_no_features(model, self._projectors, self._frozen)
        if not self.why_not:
            records = [self._record(model, image) for image in images]
        if self.why_not:
            self.calls += len(images)
            return dict(self._backbone.collate([image.load() for image in images]))
        features = [self._features(model, record) for record in records]
        extra = [_take_extra(record) for record in records]
        return {**feature_inputs(model, features), **(self._backbone.collate(extra) if extra[0] else {})}

    def _record(self, model: Any, image: VisionSource) -> TensorRecord:
        """Return what is kept of an image, computed where it is not; where nothing can be, note in `why_not` why."""
        assert self.store is not None
        if image.image in self.store:
            record = self.store[image.image]
            if "features" in record and self._projector_trains(model):
                self.why_not = SEVERAL if len(self._projectors) > 1 else CHANGED
            return record
        vision = image.load()
        on_device = {name: value.to(model.device) for name, value in vision.items()}
        made = run_tower(model, on_device, self._projectors, trains=self._projector_trains(model))
        self.calls += 1
        if isinstance(made, str):
            self.why_not = made
            return {}
        extra = {f"{EXTRA}{name}": value for name, value in vision.items() if not name.startswith("pixel")}
        self.store[image.image] = {**made, **extra}
        return self.store[image.image]

    def _projector_trains(self, model: Any) -> bool:
        """Tell whether what the projector makes of an image changes, or is another's than the base model's."""
        return not self._frozen and any(
            parameter.requires_grad for name in self._projectors for parameter in model.get_submodule(name).parameters()
        )

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


def why_no_features(model: Any, projectors: Sequence[str], frozen: bool = False) -> str:
    """Say why a model's image features cannot be kept; "" when they can, as far as one sees without trying."""
    if not takes_features(model):
        return f"{type(model).__name__} takes no ready image features"
    name = "" if frozen else trained_tower(model, projectors)
    return f"its vision tower trains ({name})" if name else ""


def trained_tower(model: Any, projectors: Sequence[str]) -> str:
    """Name the first parameter that trains and belongs neither to the language model nor to a projector; "" if none."""
    text = {id(parameter) for parameter in model.get_decoder().parameters()}
    text |= {id(parameter) for parameter in model.get_output_embeddings().parameters()}
    between = tuple(f"{name}." for name in projectors)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and id(parameter) not in text and not name.startswith(between):
            return name
    return ""


def run_tower(
    model: Any, vision: Mapping[str, Tensor], projectors: Sequence[str], *, trains: bool = False
) -> TensorRecord | str:
    """Run the vision tower on one image and return what is kept of it, or say why nothing can be.

    That is the projector's input `before`, and `order`, which of its output's rows stand where; or, of one that does
    not train and cannot be taken out, the `features`.
    """
    names = inspect.signature(model.get_image_features).parameters
    known = {name: value for name, value in vision.items() if name in names}
    before = _run_to_projector(model, known, projectors)
    if isinstance(before, str) and not trains:
        features, why = _image_features(model, known)
        return why or {"features": features}
    return before


def _run_to_projector(model: Any, vision: Mapping[str, Tensor], projectors: Sequence[str]) -> TensorRecord | str:
    if len(projectors) != 1:
        return SEVERAL
    with _number_rows(model, projectors[0]) as calls:
        features, why = _image_features(model, vision)
    if why:
        return why
    order = features[..., 0].reshape(-1)  # the numbers of the projector's rows, as the language model reads them
    intact = len(calls) == 1 and bool((features == features[..., :1]).all())
    if not intact or not _is_permutation(order, calls[0][1]):
        return CHANGED
    return {"before": calls[0][0], "order": order.long(), "shape": torch.tensor(features.shape[:-1])}


def _image_features(model: Any, vision: Mapping[str, Tensor]) -> tuple[Tensor, str]:
    """Return an image's features (..., tokens, width), and why they are not all that the language model is given."""
    with torch.no_grad():
        output = model.get_image_features(**vision, return_dict=True)
    more = sorted(set(output.keys()) - PLAIN)
    features = output.pooler_output
    if not isinstance(features, Tensor):
        features = torch.cat([part.reshape(-1, part.shape[-1]) for part in features])
    return features, f"its vision tower gives more than features ({', '.join(more)})" if more else ""


def _is_permutation(order: Tensor, count: int) -> bool:
    return torch.equal(order.sort().values, torch.arange(count, device=order.device, dtype=order.dtype))


@contextmanager
def _number_rows(model: Any, projector: str) -> Iterator[list[tuple[Tensor, int]]]:
    """Let a projector give out the numbers of its rows; yield of each call its input, and how many rows it makes."""
    calls: list[tuple[Tensor, int]] = []

    def give_numbers(module: Any, args: tuple[Any, ...], output: Tensor) -> Tensor:
        count = output.numel() // output.shape[-1]
        calls.append((args[0].detach(), count))
        numbers = torch.arange(count, dtype=torch.float64, device=output.device)
        return numbers.reshape(*output.shape[:-1], 1).expand(output.shape)

    handle = model.get_submodule(projector).register_forward_hook(give_numbers)
    try:
        yield calls
    finally:
        handle.remove()


def find_outermost(model: Any, pattern: str) -> list[str]:
    """Name the modules that match a pattern and lie in no other that does."""
    names = [name for name, _ in model.named_modules() if re.fullmatch(pattern, name)]
    return [name for name in names if not any(name.startswith(f"{other}.") for other in names)]


@contextmanager
def keep_features(backbone: LiveBackbone, folder: Path, memory: int, rank: int = 0) -> Iterator[None]:
    """Keep what an open backbone's vision tower makes of images in a file of this model and process alone.

    What other processes kept of this model before is read as well: those that answered, for one that trains.
    At most `memory` MiB of it are held in memory as well; with 0 nothing is kept.
    """
    known = backbone.image_features
    if isinstance(known, TensorStore):  # opened by whoever opened the backbone
        before, known.memory = known.memory, memory * 2**20
        yield
        known.memory = before
    elif memory and known is None:
        with closing(_open_store(backbone.model, folder, memory, rank)) as store:
            backbone.image_features = store
            yield
            backbone.image_features = None
    else:
        yield


def _open_store(model: Any, folder: Path, memory: int, rank: int) -> TensorStore:
    base = unwrap_model(model)
    name = digest(BaseFingerprint.of(base).values, str(base.dtype))[:16]
    store = TensorStore(folder / f"{name}-{rank}.bin", memory * 2**20)
    store.read_beside(path for path in sorted(folder.glob(f"{name}-*.bin")) if path != store.path)
    return store
