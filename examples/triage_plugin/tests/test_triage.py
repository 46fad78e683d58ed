import json
from dataclasses import replace
from pathlib import Path

import pytest
from mmedpo_triage.by_rank import ByRank
from mmedpo_triage.diary import Diary
from mmedpo_triage.urgent import Urgent

from mmedpo import Score, Setting
from mmedpo.events import StageCount, StageFinished, TrainingLogged
from mmedpo.testing import check_part, tiny_cases


def test_all_keep_their_contracts(tmp_path: Path) -> None:
    for part in (ByRank(), Urgent(findings=("nodule",)), Diary(file=tmp_path / "diary.jsonl")):
        check_part(part)


def test_weights_are_ranks_within_a_scorer() -> None:
    scores = [Score(0.91, scorer="a"), Score(0.9, scorer="a"), Score(0.1, scorer="b"), Score(0.92, scorer="a")]
    assert ByRank().weigh(scores) == [1.0, 0.5, 1.0, 1.5]


def test_a_low_above_high_is_refused() -> None:
    with pytest.raises(ValueError, match="above high"):
        ByRank(low=2.0)


def test_what_is_denied_is_missed_and_what_is_invented_an_alarm() -> None:
    there = tiny_cases(1)[0]
    absent = replace(there, id="absent", answer="No")
    metric = Urgent(findings=("nodule",))
    measures = metric.combine(metric.measure([there, there, absent], ["Yes.", "I cannot say.", "yes"]))
    assert measures == {"missed": 0.5, "urgent_count": 2.0, "false_alarms": 1.0}
    assert metric.cautions(measures, None) == ["only 2 cases have an urgent finding"]


def test_a_diary_has_a_line_for_each_stage(tmp_path: Path) -> None:
    with Diary(file=tmp_path / "diary.jsonl").open(Setting()) as diary:
        diary.see(StageFinished("read", (StageCount("cases", 3),)))
        diary.see(TrainingLogged(1, 2, {"loss": 0.5}))
        diary.see(StageFinished("train"))
    lines = [json.loads(line) for line in (tmp_path / "diary.jsonl").read_text().splitlines()]
    assert lines == [{"stage": "read", "counts": {"cases": 3}}, {"stage": "train", "loss": 0.5}]
