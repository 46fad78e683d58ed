"""A MONAI bundle as a localizer: its network, its preprocessing, its boxes or masks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmedpo import Case, DataError, ImageRef, LiveBackbone, Region, Setting, first_line
from mmedpo.models import read_pickled, require_finite

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class BundleOptions:
    """What the recipe says of a bundle."""

    root: Path
    labels: tuple[str, ...]
    size: int | None
    threshold: float
    most: int
    smallest: float


def open_bundle(options: BundleOptions, setting: Setting) -> LiveMonaiBundle:
    """Build what the bundle describes. Raises DataError that names the bundle and what is wrong with it."""
    from monai.bundle import ConfigParser

    files = [options.root / "configs" / f"inference.{ending}" for ending in ("json", "yaml", "yml")]
    found = [file for file in files if file.exists()]
    if not found:
        raise DataError(f"{options.root}: is no MONAI bundle; it has no configs/inference.json or .yaml")
    parser = ConfigParser()
    parser.read_config(str(found[0]))
    parser["bundle_root"] = str(options.root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's notices of its own deprecations
        try:
            network, detector = _build_networks(parser)
            prepare = _build_preprocessing(parser)
            inferer = parser.get_parsed_content("inferer") if "inferer" in parser and detector is None else None
        except Exception as error:  # the configuration is code; it may raise anything
            raise DataError(f"{found[0]}: cannot be built ({type(error).__name__}: {error})") from error
    _load_weights(network, options, setting)
    return LiveMonaiBundle(
        options, detector or network.eval(), detector is not None, prepare, inferer, _read_labels(options), setting
    )


def _build_networks(parser: Any) -> tuple[Any, Any]:
    """Return the network, and the detector around it if the bundle is one for detection."""
    if "detector" in parser:
        detector = parser.get_parsed_content("detector")
        for index in range(len(parser.get("detector_ops", []))):
            parser.get_parsed_content(f"detector_ops::{index}")
        return detector.network, detector.eval()
    return parser.get_parsed_content("network_def" if "network_def" in parser else "network"), None


def _build_preprocessing(parser: Any) -> Any:
    """Return the bundle's own preprocessing without what loads files, which are loaded already."""
    if "preprocessing" not in parser:
        return None
    from monai.transforms import Compose

    whole = parser.get_parsed_content("preprocessing")
    kept = [step for step in whole.transforms if type(step).__name__ not in ("LoadImaged", "EnsureChannelFirstd")]
    return Compose(kept)


def _load_weights(network: Any, options: BundleOptions, setting: Setting) -> None:
    path = options.root / "models" / "model.pt"
    if not path.exists():
        raise DataError(f"{path}: there is no such file; a bundle keeps its weights there")
    state = read_pickled(path)
    try:
        network.load_state_dict(state.get("model", state) if isinstance(state, dict) else state)
    except Exception as error:
        raise DataError(f"{path}: cannot be loaded ({first_line(error)})") from error
    require_finite(str(path), network.named_parameters())
    network.to(setting.device)


def _read_labels(options: BundleOptions) -> tuple[str, ...]:
    """Return the findings by class: those of the recipe, else those of the bundle's metadata."""
    import json

    if options.labels:
        return options.labels
    try:
        known = json.loads((options.root / "configs" / "metadata.json").read_text(encoding="utf-8"))
        names = known["network_data_format"]["outputs"]["pred"]["channel_def"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise DataError(
            f"{options.root}: its metadata names no classes; name them with localize.labels=[...]"
        ) from None
    named = [names[number] for number in sorted(names, key=int)]
    return tuple(name for name in named if name.casefold() != "background")


@dataclass(frozen=True)
class LiveMonaiBundle:
    """An open bundle."""

    options: BundleOptions
    model: Any
    detects: bool
    prepare: Any
    inferer: Any
    labels: tuple[str, ...]
    setting: Setting

    def localize(self, cases: Sequence[Case], backbone: LiveBackbone | None) -> list[list[Region]]:
        """Return the regions of each case's image, surest first."""
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [self._regions(case.image) for case in cases]

    def _regions(self, picture: ImageRef) -> list[Region]:
        from mmedpo_plugins.localizers.monai_detector.films import read_film

        size = picture.load().size
        film = read_film(picture, self.options.size or max(size))[0]
        if self.prepare is not None:  # it scales intensities its own way, from grey values
            film = self.prepare({"image": _grey_values(picture, self.options.size or max(size))})["image"]
        film = torch.as_tensor(film).as_subclass(Tensor).to(self.setting.device)
        regions = self._box_regions(film, size) if self.detects else self._mask_regions(film, size)
        return sorted(regions, key=lambda region: -region.confidence)[: self.options.most]

    def _box_regions(self, film: Tensor, size: tuple[int, int]) -> list[Region]:
        from mmedpo_plugins.localizers.monai_detector.films import detected_regions
        from mmedpo_plugins.localizers.monai_detector.inference import detect

        found = detect(self.model, [film])[0]
        regions = detected_regions(found, self.labels, film.shape[-1] / size[0], size)
        return [region for region in regions if region.confidence >= self.options.threshold]

    def _mask_regions(self, film: Tensor, size: tuple[int, int]) -> list[Region]:
        """Cut each channel's probabilities into connected patches."""
        from scipy import ndimage

        regions = []
        for label, chances in zip(self.labels, self._probabilities(film, size), strict=False):
            patches, count = ndimage.label(chances >= self.options.threshold)
            for number in range(1, count + 1):
                inside = patches == number
                if inside.mean() >= self.options.smallest:
                    regions.append(_patch_region(label, inside, chances))
        return regions

    def _probabilities(self, film: Tensor, size: tuple[int, int]) -> Array:
        """Return the probability of each finding at each pixel of the image, (findings, height, width)."""
        batch = film[None]
        logits = self.inferer(batch, self.model) if self.inferer is not None else self.model(batch)
        logits = logits[-1] if isinstance(logits, list | tuple) else logits
        several = logits.shape[1] > len(self.labels)  # a channel of background: the classes exclude each other
        chances = logits.softmax(1)[:, 1:] if several else logits.sigmoid()
        scaled = torch.nn.functional.interpolate(chances, size[::-1], mode="bilinear", align_corners=False)
        return np.asarray(scaled[0].float().cpu())


def _grey_values(picture: ImageRef, size: int) -> Tensor:
    """Return a film's grey values (1, height, width), 0 to 255."""
    from PIL import Image

    image = picture.load().convert("L")
    scale = size / max(image.size)
    image = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BILINEAR
    )
    return torch.from_numpy(np.array(image, dtype=np.float32))[None]


def _patch_region(label: str, inside: Array, chances: Array) -> Region:
    from PIL import Image

    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    mask = ImageRef.drawn(Image.fromarray(inside.astype(np.uint8) * 255))
    return Region(label, box, round(float(chances[inside].mean()), 6), mask)
