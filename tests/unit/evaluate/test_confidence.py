"""What yes against no tells, whatever the threshold: each measure against its definition, said in another way."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmedpo import Statistics
from mmedpo.cli.main import app
from mmedpo.evaluate.bootstrap import pooled_intervals
from mmedpo.evaluate.confidence import BINS, ConfidenceMetric, bin_confidence

RECIPE = """\
output: out
backbone: {use: phantom, answers: {base_url: "http://localhost:1/v1", model: m}}
evaluate: {data: {use: phantom, split: test}, measure: [{use: med-vqa}], confidence: true}
"""


def draw_rows(count: int, seed: int) -> list[Statistics]:
    """Draw leanings with ties, most of them towards what is true."""
    drawn = random.Random(seed)
    truths = [float(drawn.random() < 0.4) for _ in range(count)]
    return [{"leaning": round(drawn.gauss(2 * yes - 0.5, 2), 1), "yes": yes} for yes in truths]


def sigmoid(leaning: float) -> float:
    return 1 / (1 + math.exp(-leaning))


@pytest.mark.parametrize("count", [7, 40, 203])
def test_measures_are_what_their_definitions_say(count: int) -> None:
    rows = draw_rows(count, seed=count)
    found = ConfidenceMetric().combine([*rows[:3], {}, *rows[3:]])
    yes, no = ([row["leaning"] for row in rows if row["yes"] == truth] for truth in (1, 0))
    above = [(one > other) + (one == other) / 2 for one in yes for other in no]
    assert found["closed_auroc"] == pytest.approx(sum(above) / len(above))
    right = [(row["leaning"] > 0) == bool(row["yes"]) for row in rows]
    assert found["closed_forced_choice"] == pytest.approx(sum(right) / count)
    errors = [(sigmoid(row["leaning"]) - row["yes"]) ** 2 for row in rows]
    assert found["closed_brier"] == pytest.approx(sum(errors) / count)
    assert found["closed_ece"] == pytest.approx(expected_error(rows))
    assert found["closed_p_yes"] == pytest.approx(sum(sigmoid(row["leaning"]) for row in rows) / count)
    assert (found["closed_yes_true"], found["yes_no_count"]) == (pytest.approx(len(yes) / count), count)


def expected_error(rows: list[Statistics]) -> float:
    """Deal the questions, by p(yes), into bins of which none has two more than another; the first ones are larger."""
    ordered = sorted((sigmoid(row["leaning"]), row["yes"]) for row in rows)
    bins = min(BINS, len(rows))
    gaps = []
    for place in range(bins):
        size = len(rows) // bins + (place < len(rows) % bins)
        some, ordered = ordered[:size], ordered[size:]
        gaps.append(abs(sum(p - truth for p, truth in some)))
    return sum(gaps) / len(rows)


def test_a_moved_threshold_changes_every_measure_but_the_ranking() -> None:
    rows = draw_rows(200, seed=0)
    moved = [{**row, "leaning": row["leaning"] + 3} for row in rows]
    before, after = ConfidenceMetric().combine(rows), ConfidenceMetric().combine(moved)
    assert after["closed_auroc"] == pytest.approx(before["closed_auroc"])
    assert after["closed_forced_choice"] < before["closed_forced_choice"] - 0.1
    assert after["closed_ece"] > before["closed_ece"] + 0.1
    (caution,) = ConfidenceMetric().cautions(before, after)
    assert "AUROC by +0.000: what moved is mostly the threshold" in caution
    learned = {**after, "closed_auroc": before["closed_auroc"] - 0.1}
    assert ConfidenceMetric().cautions(before, learned) == ConfidenceMetric().cautions(before, None) == []


def test_draws_by_counts_are_those_of_rows_drawn_one_by_one() -> None:
    class ByRows:
        additive, better = False, ConfidenceMetric.better
        combine = ConfidenceMetric().combine

    groups = [str(at // 3) for at in range(24)]
    before, after = ([draw_rows(24, seed) for seed in seeds] for seeds in ((1, 2), (3, 4)))
    by_rows, by_counts = (pooled_intervals(one, before, after, groups, 0) for one in (ByRows(), ConfidenceMetric()))
    assert by_rows.keys() == by_counts.keys()
    for name, interval in by_rows.items():
        assert by_counts[name] == pytest.approx(interval)


def test_bins_of_the_reliability_figure_have_equal_mass() -> None:
    bins = bin_confidence([*draw_rows(40, seed=1), {}])
    assert len(bins) == BINS
    assert [p for p, _ in bins] == sorted(p for p, _ in bins)
    found = ConfidenceMetric().combine(draw_rows(40, seed=1))
    assert found["closed_ece"] == pytest.approx(sum(abs(p - share) for p, share in bins) / BINS)
    assert bin_confidence([{}]) == []


def test_what_is_not_defined_is_left_out() -> None:
    assert ConfidenceMetric().combine([{}]) == {}
    assert "closed_auroc" not in ConfidenceMetric().combine([{"leaning": 1.0, "yes": 1.0}])
    assert ConfidenceMetric().combine([{"leaning": -900.0, "yes": 1.0}])["closed_brier"] == pytest.approx(1)


def test_an_endpoint_that_answers_in_words_is_not_asked_how_sure_it_is(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    done = CliRunner().invoke(app, ["check", str(tmp_path / "recipe.yaml")])
    assert done.exit_code == 2
    assert "recipe.yaml:3:86: an endpoint gives the answers that are measured" in done.stderr
