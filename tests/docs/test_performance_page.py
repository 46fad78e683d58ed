"""What the page about performance works out on paper is what the script works out."""

from __future__ import annotations

from conftest import ROOT
from mmedpo_plugins.dispreferences.self_hallucination import SelfHallucination
from on_paper import ANSWERED, SLICE, list_work, make_table

from mmedpo import Backbone

PAGE = (ROOT / "docs" / "explanation" / "performance.md").read_text()


def test_the_table_of_mimic_cxr_is_what_the_script_prints() -> None:
    assert make_table() in PAGE


def test_eight_times_the_gpus_take_an_eighth_of_the_hours() -> None:
    for work in list_work():
        assert work.hours(8) == 8 * work.hours(64)


def test_slices_of_the_script_are_those_of_the_parts() -> None:
    assert SelfHallucination.slice_size == SLICE
    assert Backbone.slice_size == ANSWERED
