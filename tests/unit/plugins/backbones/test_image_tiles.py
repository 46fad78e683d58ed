"""What of a film the tokens of each family see: its own processor and model, shown a mark, say so.

The towers' attention is cut, so that a token changes where its own pixels do and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from mmedpo_plugins.backbones.hf_vlm.image_tiles import KNOWN, image_tiles
from mmedpo_plugins.backbones.llava_med.prompter import LlavaMedPrompter
from mmedpo_plugins.phantom.model import pixel_values_of
from PIL import Image
from tiny_families import CLIP, IDEFICS, PIXTRAL, QWEN, QWEN_TOKENS, SIGLIP, idefics2
from tiny_models import IMAGE, text_config

from mmedpo import TokenPlaces
from mmedpo.models import EncodedPrompt, TransformersBackbone
from mmedpo.models.attention.image_attention import lay_over_image

SIZES = [(512, 256), (256, 512), (320, 320)]
MARKS = [(0.02, 0.02, 0.2, 0.2), (0.4, 0.3, 0.6, 0.5), (0.75, 0.6, 0.98, 0.98)]  # of a film's sides
MIXING = re.compile(r"(vision|visual|image).*(out_proj|o_proj|attn\.proj|projection_layer)\.(weight|bias)$")
FINE_CLIP = {**CLIP, "image_size": 56, "patch_size": 7}
FINE_SIGLIP = {**SIGLIP, "image_size": 60, "patch_size": 7}  # as the real one, it leaves a rest beside its last patch
ROPE = {"rope_type": "default", "rope_theta": 5e5}
IMAGE_TOKEN = {"image_token_id": IMAGE, "image_token_index": IMAGE}
PINPOINTS, SIGLIP_PINPOINTS = ([[side, 2 * side], [2 * side, side], [2 * side] * 2] for side in (56, 60))


def text(kind: str, **more: Any) -> dict[str, Any]:
    return {"model_type": kind, **text_config(**more)}


def whole(width: int, height: int) -> tuple[float, float]:
    return 1, 1


def middle(width: int, height: int) -> tuple[float, float]:
    return min(width, height) / width, min(width, height) / height


@dataclass(frozen=True)
class Family:
    """A model of a family, how its image processor is made, and how much of a film's sides it sees."""

    name: str
    config: dict[str, Any]
    processor: str
    options: dict[str, Any] = field(default_factory=dict)
    seen: Callable[[int, int], tuple[float, float]] = whole
    blur: float = 0  # tokens by which what one sees runs into the next

    def preprocess(self) -> Callable[[Image.Image], Any]:
        if self.processor == "phantom":
            return lambda image: {"pixel_values": pixel_values_of(image)}
        try:
            images = getattr(transformers, f"{self.processor}ImageProcessorPil")(**self.options)
        except ImportError:
            pytest.skip("before transformers 5.18 its processor needs torchvision")
        if self.options.get("do_pad"):
            return LlavaMedPrompter(SimpleNamespace(image_processor=images), IMAGE, 64).preprocess
        return lambda image: images(image.convert("RGB"), return_tensors="pt")


def square(side: int) -> dict[str, Any]:
    return {"size": {"height": side, "width": side}}


def llava(tower: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"vision_config": tower, "text_config": text("llama"), **IMAGE_TOKEN, **more}


def qwen(**options: Any) -> dict[str, Any]:
    rope = {"rope_parameters": {**ROPE, "mrope_section": [1, 1, 2], **options.pop("rope", {})}}
    vision = {**QWEN, "mlp_ratio": 2, **options.pop("vision", {})}
    return {"vision_config": vision, "text_config": text_config(head_dim=8, **rope), **QWEN_TOKENS, **options}


CUT = {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}
PATCHED = {"patch_size": 4, "merge_size": 2, "size": {"shortest_edge": 48 * 48, "longest_edge": 96 * 96}}
TILED = {**square(32), "crop_to_patches": True, "max_patches": 4}
SPLIT = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
SIDES = {"size": {"longest_edge": 56}}
GEMMA_ROPE = {"full_attention": {**ROPE, "rope_type": "linear", "factor": 8.0}, "sliding_attention": ROPE}
SLIDING = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8}
GEMMA = text_config(head_dim=8, query_pre_attn_scalar=8, rope_parameters=GEMMA_ROPE, **SLIDING)
INTERN = {**CLIP, "image_size": [32, 32], "patch_size": [4, 4], "model_type": "internvl_vision"}
FULL = {"vision_feature_layer": -1, "vision_feature_select_strategy": "full"}

FAMILIES = {
    "llava-med pads": Family("Llava", llava(FINE_CLIP), "Llava", {**CUT, "do_pad": True}),
    "llava crops": Family("Llava", llava(FINE_CLIP), "CLIP", CUT, middle),
    "llava with a class token": Family(
        "Llava", llava(FINE_CLIP, vision_feature_select_strategy="full"), "CLIP", CUT, middle
    ),
    "llava with siglip": Family("Llava", llava(FINE_SIGLIP, **FULL), "Siglip", square(60)),
    "llava with pixtral": Family(
        "Llava", llava({**PIXTRAL, "patch_size": 7}, **FULL), "Pixtral", {**SIDES, "patch_size": 7}
    ),
    "vipllava": Family("VipLlava", llava(FINE_CLIP, vision_feature_layers=[-1, -2]), "CLIP", CUT, middle),
    "phantom": Family("Llava", llava({**CLIP, "image_size": 112, "patch_size": 16}), "phantom"),
    "paligemma": Family(
        "PaliGemma",
        {
            "vision_config": {**FINE_SIGLIP, "projection_dim": 32, "vision_use_head": False},
            "text_config": text("gemma", head_dim=8), "projection_dim": 32, **IMAGE_TOKEN,
        },
        "Siglip",
        square(60),
    ),
    "gemma3": Family(
        "Gemma3",
        {
            "text_config": GEMMA, "vision_config": {**FINE_SIGLIP, "vision_use_head": False}, "mm_tokens_per_image": 16,
            "boi_token_index": 4, "eoi_token_index": 2, **IMAGE_TOKEN,
        },
        "Gemma3",
        square(60),
    ),
    "qwen2-vl": Family("Qwen2VL", qwen(vision={"embed_dim": 16, "hidden_size": 32}), "Qwen2VL", PATCHED),
    "qwen2.5-vl": Family(
        "Qwen2_5_VL", qwen(vision={"window_size": 16, "fullatt_block_indexes": [1]}), "Qwen2VL", PATCHED
    ),
    "qwen3-vl": Family(
        "Qwen3VL",
        qwen(vision={"deepstack_visual_indexes": [0], "num_position_embeddings": 16}, rope={"mrope_interleaved": True}),
        "Qwen2VL",
        PATCHED,
    ),
    "idefics3": Family(
        "Idefics3",
        {
            "vision_config": {**IDEFICS, "image_size": 32}, "text_config": text("llama"), "scale_factor": 2,
            "image_token_id": IMAGE, "pad_token_id": 0,
        },
        "Idefics3",
        SPLIT,
    ),
    "internvl": Family(
        "InternVL",
        {"vision_config": INTERN, "text_config": text("qwen2"), "image_token_id": IMAGE, "image_seq_length": 16},
        "GotOcr2",
        TILED,
    ),
    "mistral3": Family(
        "Mistral3",
        {
            "vision_config": {**PIXTRAL, "patch_size": 7}, "text_config": text("mistral"), "spatial_merge_size": 2,
            "vision_feature_layer": -1, **IMAGE_TOKEN,
        },
        "Pixtral",
        {**SIDES, "patch_size": 14},
    ),
    "llava-next": Family(
        "LlavaNext",
        llava(FINE_CLIP, image_grid_pinpoints=PINPOINTS),
        "LlavaNext",
        {**CUT, "image_grid_pinpoints": PINPOINTS},
    ),
    "llava-onevision": Family(
        "LlavaOnevision",
        llava(FINE_SIGLIP, image_grid_pinpoints=SIGLIP_PINPOINTS, vision_aspect_ratio="anyres_max_1", **FULL),
        "LlavaOnevision",
        {**square(60), "image_grid_pinpoints": SIGLIP_PINPOINTS},
        blur=1,
    ),
}  # fmt: skip
FAMILIES["smolvlm"] = Family("SmolVLM", FAMILIES["idefics3"].config, "SmolVLM", SPLIT)
FAMILIES["aya-vision"] = Family(
    "AyaVision",
    llava({**SIGLIP, "image_size": 56, "patch_size": 7}, downsample_factor=2, alignment_intermediate_size=32, **FULL)
    | {"text_config": text("cohere2", logit_scale=0.5, **SLIDING)},
    "GotOcr2",
    {**TILED, **square(56)},
)
FAMILIES["glm4v"] = Family(
    "Glm4v",
    qwen(
        vision={"image_size": 16},
        rope={"mrope_section": [1, 1, 0], "partial_rotary_factor": 0.5},
        image_start_token_id=4,
        image_end_token_id=2,
        video_start_token_id=38,
        video_end_token_id=37,
    ),
    "Glm4v",
    PATCHED,
)


class OpenFamily:
    """A live backbone of a family, and what its tower makes of a film."""

    def __init__(self, family: Family) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            made = getattr(transformers, f"{family.name}Config")(**family.config)
            self.model = getattr(transformers, f"{family.name}ForConditionalGeneration")(made).eval()
            for name, weight in self.model.named_parameters():
                if not weight.any():  # Gemma3's projector starts with nothing
                    weight.data.normal_(std=0.1)
                if MIXING.search(name):
                    weight.data.zero_()
        self._preprocess = family.preprocess()
        self.live = TransformersBackbone(
            self.model, SimpleNamespace(), preprocess=self._preprocess, prompt=self._prompt,
            tiles=image_tiles(self.model), end=1, lora_targets="x", projector="y",
        )  # fmt: skip

    def _prompt(self, images: Any, question: str) -> EncodedPrompt:
        return EncodedPrompt([IMAGE] * len(self._features(images[0])), images)

    def look(self, film: Image.Image) -> np.ndarray:
        """Return what each token makes of a film (tokens, width)."""
        return self._features(self._preprocess(film)).numpy()

    def _features(self, vision: Any) -> torch.Tensor:
        with torch.no_grad():
            made = self.model.base_model.get_image_features(**vision)
        made = getattr(made, "pooler_output", made)
        parts = made if isinstance(made, list | tuple) else [made]
        return torch.cat([part.flatten(0, -2) for part in parts])


def token_boxes(places: TokenPlaces) -> Iterator[tuple[int, tuple[float, ...], tuple[float, float]]]:
    """Yield tokens, the box in the film that each sees, and its sides."""
    for grid in places.grids:
        rows, columns = grid.tokens.shape
        left, top, right, bottom = grid.frame
        wide, high = (right - left) / columns, (bottom - top) / rows
        for (row, column), token in np.ndenumerate(grid.tokens):
            x, y = left + column * wide, top + row * high
            yield int(token), (x, y, x + wide, y + high), (wide, high)


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, float]:
    """Return by how much two boxes overlap across and down; negative where a gap is between them."""
    across, down = (min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis]) for axis in (0, 1))
    return across, down


@pytest.fixture(scope="module", params=FAMILIES)
def opened(request: pytest.FixtureRequest) -> tuple[Family, OpenFamily]:
    family = FAMILIES[request.param]
    return family, OpenFamily(family)


@pytest.mark.parametrize("size", SIZES)
def test_a_token_sees_a_mark_where_it_is_said_to_see_it_and_nowhere_else(
    size: tuple[int, int], opened: tuple[Family, OpenFamily]
) -> None:
    family, model = opened
    places = model.live.token_places(size)
    assert places
    plain = model.look(Image.new("L", size, 60))
    assert len(plain) == places.count
    for mark in MARKS:
        box = tuple(round(share * side) for share, side in zip(mark, size * 2, strict=True))
        film = Image.new("L", size, 60)
        film.paste(230, box)
        change = np.abs(model.look(film) - plain).max(1)
        changed, boxes = set(np.flatnonzero(change > 0.1 * change.max())), list(token_boxes(places))
        assert changed <= {token for token, *_ in boxes}
        for token, seen, (wide, high) in boxes:
            across, down = (by / side for by, side in zip(overlap(seen, box), (wide, high), strict=True))
            if token in changed:
                assert min(across, down) > -0.2 - family.blur, (box, seen)
            elif min(across, down) > 0.7:
                assert family.blur, (box, seen)


@pytest.mark.parametrize("size", SIZES)
def test_even_attention_lies_over_what_is_shown_and_the_rest_beside(
    size: tuple[int, int], opened: tuple[Family, OpenFamily]
) -> None:
    family, model = opened
    places = model.live.token_places(size)
    assert places
    even = lay_over_image(np.full(places.count, 1 / places.count), places, size)
    np.testing.assert_allclose(even.heat, even.even)
    inside = {int(token) for grid in places.grids for token in grid.tokens.flat}
    shown = 1 - min(size) / max(size) if family.options.get("do_pad") else 0
    assert even.beside == pytest.approx(shown + 1 - len(inside) / places.count, abs=0.02)
    lies = even.heat > 0.2 * even.heat.max()
    assert lies.mean() == pytest.approx(np.prod(family.seen(*size)), abs=0.02)


def test_all_families_that_are_known_are_held_to_it_and_said_and_others_are_not_guessed() -> None:
    assert {getattr(transformers, f"{family.name}Config").model_type for family in FAMILIES.values()} == KNOWN
    page = (Path(__file__).parents[4] / "docs" / "reference" / "report.md").read_text()
    assert f"of `hf-vlm` {', '.join(sorted(KNOWN)[:-1])} and {max(KNOWN)};" in page
    assert image_tiles(idefics2().model) is None
