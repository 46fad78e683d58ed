"""The vision cache: one look at an image, and the same gradients as without it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_models import IMAGE, MODELS, PROJECTORS, Tiny, make_tiny

from mmedpo.models.vision.tensor_store import TensorStore
from mmedpo.models.vision.vision_cache import VisionCache, VisionSource, why_no_features
from mmedpo.registry.contracts.backbone import LiveBackbone


def frozen(name: str, *trained: str) -> Tiny:
    tiny = make_tiny(name, torch.float64)
    for path, parameter in tiny.model.named_parameters():
        parameter.requires_grad_(path.startswith(("model.language_model", "model.text_model", *trained)))
    return tiny


def make_cache(tiny: Tiny, store: TensorStore | None, projectors: Sequence[str] = ()) -> VisionCache:
    backbone = SimpleNamespace(collate=lambda vision: LiveBackbone.collate(None, vision))  # type: ignore[arg-type]
    return VisionCache(backbone, store, projectors)  # type: ignore[arg-type]


def source(tiny: Tiny, number: int) -> VisionSource:
    return VisionSource(str(number), lambda: tiny.images[number][1])


def gradients(tiny: Tiny, vision: dict[str, Any], number: int) -> dict[str, torch.Tensor]:
    tiny.model.zero_grad()
    ids = torch.tensor([[*tiny.images[number][0], 7, 8, 9]])
    types = {"mm_token_type_ids": (ids == IMAGE).int()} if tiny.types else {}
    logits = tiny.model(input_ids=ids, **types, **vision).logits
    logits.log_softmax(-1)[0, -3:, 6].sum().backward()
    return {name: p.grad.clone() for name, p in tiny.model.named_parameters() if p.grad is not None}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    # Qwen's tower turns queries and keys in float32 whatever the dtype, and a sum's order is free.
    for name, value in one.items():
        assert (value - other[name]).norm() <= 1e-9 * other[name].norm() + 1e-12, name


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("trains", [False, True], ids=["frozen", "projector trains"])
def test_kept_features_give_the_gradients_of_pixels(tmp_path: Path, name: str, trains: bool) -> None:
    projector = [PROJECTORS[name]] if trains else []
    tiny = frozen(name, *projector)
    store = TensorStore(tmp_path / "features.bin", 2**20)
    cache, plain = make_cache(tiny, store, projector), make_cache(tiny, None)
    for number in (0, 1, 0, 1):
        kept = gradients(tiny, cache.forward_inputs(tiny.model, [source(tiny, number)]), number)
        assert not cache.why_not
        assert_equal(kept, gradients(tiny, plain.forward_inputs(tiny.model, [source(tiny, number)]), number))
        assert any("merger" in key or "connector" in key or "projector" in key for key in kept) == trains
    assert cache.calls == 2
    assert plain.calls == 4


@pytest.mark.parametrize("name", MODELS)
def test_where_forward_takes_no_features_they_stand_in_for_its_own(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmedpo.models.vision.ready_features._has_argument", lambda model: False)
    tiny = frozen(name, PROJECTORS[name])
    cache = make_cache(tiny, TensorStore(tmp_path / "features.bin", 2**20), [PROJECTORS[name]])
    plain = make_cache(tiny, None)
    for number in (0, 1, 0):
        pixels = plain.forward_inputs(tiny.model, [source(tiny, number)])
        before = gradients(tiny, pixels, number)
        assert_equal(before, gradients(tiny, cache.forward_inputs(tiny.model, [source(tiny, number)]), number))
        assert_equal(before, gradients(tiny, pixels, number))  # and pixels are pixels afterwards
    assert cache.calls == 2


@pytest.mark.parametrize("name", MODELS)
def test_features_of_several_images_stand_in_the_order_asked(tmp_path: Path, name: str) -> None:
    tiny = frozen(name)
    cache, plain = make_cache(tiny, TensorStore(tmp_path / "f.bin", 2**20)), make_cache(tiny, None)
    rows = [[*tiny.images[number][0]] for number in (2, 0, 2)]
    ids = torch.tensor([[token for row in rows for token in row]])
    positions = torch.arange(ids.shape[1])[None]
    seen = [
        tiny.model(
            input_ids=ids,
            position_ids=positions,
            **made.forward_inputs(tiny.model, [source(tiny, 2), source(tiny, 0), source(tiny, 2)]),
        ).logits
        for made in (cache, plain)
    ]
    assert torch.allclose(*seen, atol=1e-9)
    assert cache.calls == 2


def test_another_process_finds_what_was_kept(tmp_path: Path) -> None:
    tiny = frozen("llava-mistral")
    first = make_cache(tiny, TensorStore(tmp_path / "f.bin", 2**20))
    kept = gradients(tiny, first.forward_inputs(tiny.model, [source(tiny, 1)]), 1)
    again = make_cache(tiny, TensorStore(tmp_path / "f.bin", 2**20))
    assert_equal(kept, gradients(tiny, again.forward_inputs(tiny.model, [source(tiny, 1)]), 1))
    assert again.calls == 0


def test_a_model_without_room_for_ready_features_gets_pixels_and_a_reason(tmp_path: Path) -> None:
    tiny = frozen("llava-mistral", "model.vision_tower")
    cache = make_cache(tiny, TensorStore(tmp_path / "f.bin", 2**20))
    assert set(cache.forward_inputs(tiny.model, [source(tiny, 0)])) == {"pixel_values"}
    assert cache.why_not.startswith("its vision tower trains (model.vision_tower.")
    assert "takes no ready image features" in why_no_features(torch.nn.Linear(1, 1), [])


def test_a_projector_whose_output_is_changed_further_is_a_reason(tmp_path: Path) -> None:
    name = "model.multi_modal_projector"
    tiny = frozen("llava-mistral", name)
    inner = tiny.model.model.get_image_features

    def doubled(**vision: Any) -> Any:
        output = inner(**vision)
        output.pooler_output = [torch.cat([part, part.new_zeros(1, part.shape[1])]) for part in output.pooler_output]
        return output

    tiny.model.model.get_image_features = doubled
    cache = make_cache(tiny, TensorStore(tmp_path / "f.bin", 2**20), [name])
    assert set(cache.forward_inputs(tiny.model, [source(tiny, 0)])) == {"pixel_values"}
    assert "changed further" in cache.why_not
