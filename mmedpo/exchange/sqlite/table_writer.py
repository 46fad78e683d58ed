"""Records put into the tables of a database, one after the other: no more than one is in memory."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Literal, Protocol

from mmedpo.core.records import Case, WeightedPair
from mmedpo.events import StageCount
from mmedpo.store.run_files.dropped import DroppedCase
from mmedpo.store.run_files.measures import AnsweredCase, MetricResult

Images = Literal["none", "paths", "blobs"]


class NamedImage(Protocol):
    """An image as a record or a row of a file names it."""

    @property
    def path(self) -> str:
        """Where it is."""
        ...

    @property
    def sha256(self) -> str:
        """The hash of its pixels."""
        ...


class TableWriter:
    """Write a run's records into tables."""

    def __init__(self, database: sqlite3.Connection, images: Images, *, with_restricted: bool) -> None:
        """Take an empty database with its tables; what is kept of images, and whether of restricted ones too."""
        self._database, self._images, self._with_restricted = database, images, with_restricted
        self._cases: dict[str, int] = {}  # of the training data, by name
        self._numbers = count(1)

    def insert(self, table: str, **values: Any) -> int:
        """Add a row, and return its number."""
        names, marks = ", ".join(f'"{name}"' for name in values), ", ".join("?" * len(values))
        held = list(map(_plain, values.values()))
        done = self._database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", held)
        return done.lastrowid or 0

    def add_count(self, stage: str, told: StageCount) -> None:
        """Add what a stage counted."""
        self.insert(
            "stages", stage=stage, what=told.what, count=told.count, part=told.part or None, kind=told.kind or None,
            reason=told.reason or None,
        )  # fmt: skip

    def add_pair(self, item: WeightedPair) -> None:
        """Add a weighted pair, with its case and its votes."""
        pair, score = item.pair, item.score
        votes = _list_votes(score.evidence)
        cast = [vote["score"] for vote in votes if isinstance(vote.get("score"), int | float)]
        restricted = pair.case.restricted
        key = self.insert(
            "pairs", name=pair.id, case_id=self.add_case(pair.case), kind=pair.kind, made_by=pair.made_by,
            question=pair.case.question, chosen=pair.chosen.answer, rejected=pair.rejected.answer,
            chosen_image=self.add_image(pair.chosen.image, restricted),
            rejected_image=self.add_image(pair.rejected.image, restricted), relevance=score.relevance,
            weight=item.weight, scorer=score.scorer or None, votes=len(votes),
            evidence={name: told for name, told in score.evidence.items() if name != "votes"} or None,
            vote_gap=max(cast) - min(cast) if cast else None, notes=pair.notes or None,
        )  # fmt: skip
        for number, vote in enumerate(votes):
            told = {name: vote.get(name) for name in ("voter", "score", "reason")}
            self.insert("votes", pair_id=key, number=number, **told)

    def add_case(self, case: Case) -> int:
        """Add a case that pairs are made of, once; return its number."""
        if case.id not in self._cases:
            key = self._add_case("training", case.id, case, case.answer, case.images, case.restricted)
            self._cases[case.id] = key
            for region in case.regions:
                self._add_region(key, region.label, region.box, region.image, region.confidence)
        return self._cases[case.id]

    def add_answer(self, item: AnsweredCase) -> None:
        """Add a case that was measured, with its answers."""
        images = (item.image, *item.more_images)
        key = self._add_case("evaluation", item.id, item, item.truth, images, item.restricted)
        for region in item.regions:
            self._add_region(key, region.label, region.box, region.image)
        cut = [*item.cut, None][:2]
        self.insert(
            "answers", case_id=key, kind=item.kind, question=item.question, truth=item.truth, before=item.before,
            after=item.after, cut_before=cut[0], cut_after=cut[1], change=_name_change(item.gain.values()),
        )  # fmt: skip
        for metric, gain in item.gain.items():
            self.insert("gains", case_id=key, metric=metric, gain=gain)

    def add_dropped(self, item: DroppedCase) -> None:
        """Add a case that gave no pair."""
        image = item.image and self.add_image(item.image, item.restricted)
        told = {name: getattr(item, name) or None for name in ("part", "pairs", "kind", "question", "answer")}
        self.insert("dropped", stage=item.stage, name=item.case, reason=item.reason, image=image, **told)

    def add_metric(self, metric: MetricResult) -> None:
        """Add what a metric measured."""
        for measure, before in metric.before.items():
            change = metric.difference.get(measure)
            better = {1: "more", -1: "less"}.get(metric.better.get(measure, 0))
            self.insert(
                "measures", metric=metric.use, measure=measure, better=better, before=before,
                after=(metric.after or {}).get(measure), difference=change and change.value, low=change and change.low,
                high=change and change.high, p=change and change.p,
            )  # fmt: skip

    def add_image(self, image: NamedImage, restricted: bool) -> str | None:
        """Add an image, once; return what it goes by."""
        if not image.sha256:
            return None
        kept = self._images if self._with_restricted or not restricted else "none"
        known = self._database.execute("SELECT restricted FROM images WHERE sha256 = ?", [image.sha256]).fetchone()
        if known is None:
            path = (image.path or None) if kept == "paths" else None
            content = _read_file(image.path) if kept == "blobs" else None
            self.insert("images", sha256=image.sha256, path=path, content=content, restricted=restricted)
        return image.sha256

    def _add_case(
        self,
        use: str,
        name: str,
        case: Case | AnsweredCase,
        answer: str,
        images: Sequence[NamedImage],
        restricted: bool,
    ) -> int:
        shown = [one for image in images if (one := self.add_image(image, restricted))]
        about = "; ".join(getattr(case, "about", ())) or None
        key = self.insert(
            "cases", id=next(self._numbers), name=name, use=use, kind=case.kind, patient=case.group,
            question=case.question, answer=answer, image=shown[0] if shown else None, images=len(images), about=about,
            restricted=restricted, notes=getattr(case, "notes", None) or None,
        )  # fmt: skip
        for number, image in enumerate(shown):
            self.insert("case_images", case_id=key, number=number, image=image)
        return key

    def _add_region(
        self, case: int, label: str, box: Sequence[float], number: int, confidence: float | None = None
    ) -> None:
        left, top, right, bottom = box
        self.insert(
            "regions", case_id=case, label=label, confidence=confidence, box_left=left, box_top=top, box_right=right,
            box_bottom=bottom, number=number,
        )  # fmt: skip


def _plain(value: Any) -> Any:
    """Return a value as SQLite holds it: what is nested, as JSON."""
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return int(value) if isinstance(value, bool) else value


def _list_votes(evidence: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    votes = evidence.get("votes")
    return [vote for vote in votes if isinstance(vote, Mapping)] if isinstance(votes, list | tuple) else []


def _name_change(gains: Any) -> str:
    """Say whether metrics find a case better, worse, both or the same."""
    values = list(gains)
    better, worse = any(gain > 0 for gain in values), any(gain < 0 for gain in values)
    return "both" if better and worse else "better" if better else "worse" if worse else "same"


def _read_file(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None  # it has gone since
