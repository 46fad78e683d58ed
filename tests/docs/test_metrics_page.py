"""The page about measures: its worked examples come out of the code, its table out of the labeller."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
from conftest import ROOT
from mmedpo_plugins.metrics.findings import FindingsMetric
from mmedpo_plugins.metrics.med_vqa.med_vqa import MedVqaMetric
from mmedpo_plugins.metrics.report_text import ReportTextMetric
from mmedpo_plugins.radiology.lexicon import findings
from radlabels_triples import installed
from ruamel.yaml import YAML

from mmedpo import Case, ImageRef
from mmedpo.evaluate.confidence import ConfidenceMetric

sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
PAGE = (ROOT / "docs" / "explanation" / "metrics.md").read_text()
EXAMPLES = [YAML(typ="safe").load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
METRICS: dict[str, Any] = {
    metric.use: metric for metric in (MedVqaMetric, FindingsMetric, ReportTextMetric, ConfidenceMetric)
}
needs_radlabels = pytest.mark.skipif(not installed(), reason="radlabels is not here: pip install --no-deps radlabels")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["metric"]["use"])
def test_a_worked_example_is_what_the_code_computes(example: dict[str, Any]) -> None:
    options = dict(example["metric"])
    metric = METRICS[options.pop("use")](**options)
    numbered = enumerate(example["cases"])
    cases = [Case(f"{n}", ImageRef(), question, truth, kind) for n, (kind, question, truth, _) in numbered]
    found = metric.combine(metric.measure(cases, [answer for *_, answer in example["cases"]]))
    assert {name: round(found[name], 3) for name in example["measures"]} == example["measures"]


def test_every_metric_with_a_worked_example_and_every_measure_is_on_the_page() -> None:
    assert {example["metric"]["use"] for example in EXAMPLES} == set(METRICS)
    for example in EXAMPLES:
        assert all(f"`{name}`" in PAGE for name in example["measures"] if not re.search(r"bleu_[23]", name))


def test_the_page_names_every_finding() -> None:
    assert ", ".join(finding.name for finding in findings()) in " ".join(PAGE.split())


@needs_radlabels
def test_the_table_of_the_labeller_is_what_the_script_prints() -> None:
    from labeller import rows, table

    assert table("held out") in PAGE
    assert rows("held out")[0][1].total() > 10_000


@needs_radlabels
@pytest.mark.parametrize("half", ["develop", "held out"])
def test_the_labeller_agrees_with_radlabels(half: str) -> None:
    from labeller import f1, rows

    (name, every), *_ = rows(half)  # type: ignore[arg-type]
    assert name == "all"
    assert (f1(every) or 0) > 0.89
