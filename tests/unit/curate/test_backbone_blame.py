"""What goes wrong within a backbone is blamed on it, and what a part asks wrongly on the part."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from mmedpo_plugins.dispreferences.self_hallucination import SelfHallucination
from mmedpo_plugins.dispreferences.sima import SelfCritic

from mmedpo import Backbone, Case, Dispreference, LiveBackbone, Pair, PluginError, Setting
from mmedpo.testing import check_part, run_tiny_recipe
from mmedpo.testing.tiny_network import make_tiny_network


class OneShort(Backbone):
    """Put a token too few in the place of an image."""

    use = "one-short"

    def open(self, setting: Setting) -> Any:
        return nullcontext(make_tiny_network(image_tokens=3))


class Seedless(Dispreference):
    """Sample without seeds."""

    use = "seedless"
    makes = "text"
    needs_backbone = True

    def disprefer(self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Any) -> list[Pair]:
        assert backbone is not None
        said = backbone.answer(cases, temperature=1.0)
        return [
            Pair(case, case.side(case.answer), case.side(text), "text") for case, text in zip(cases, said, strict=True)
        ]


@pytest.mark.parametrize("asks", [SelfHallucination(), SelfCritic()], ids=lambda part: part.use)
def test_a_backbone_one_image_token_short_is_blamed_itself_whoever_asks_it(asks: Dispreference, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"^backbone 'one-short' of .* failed: ValueError: Image features"):
        run_tiny_recipe(tmp_path, OneShort(), asks, until="weigh")


def test_sampling_without_seeds_is_the_dispreferences_fault_in_its_check_and_in_a_run(tmp_path: Path) -> None:
    told = "dispreference 'seedless' of .* failed: ValueError: sampling needs one seed per case"
    with pytest.raises(PluginError, match=told):
        check_part(Seedless())
    with pytest.raises(PluginError, match=told):
        run_tiny_recipe(tmp_path, Seedless())
