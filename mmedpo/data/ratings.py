"""Clinicians' ratings of pairs, as a review page saves them: a row a rating, tied to what was shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from mmedpo.core.records import Pair, Side, digest
from mmedpo.data.csv_files import csv_rows
from mmedpo.data.tables import TableRow, collect_rows
from mmedpo.data.text_files import text_lines
from mmedpo.errors import DataError

MOST_RELEVANT = 10  # ratings are from 0 to this
NEEDED = ("rater", "pair", "digest", "verdict", "relevance")
RATING_COLUMNS = (*NEEDED, "presentation", "readable", "comment", "time")
GIVEN_VERDICTS = ("A", "B", "both", "neither", "unclear", "")
READABLE = ("yes", "partly", "no", "")
PairVerdict = Literal["chosen", "rejected", "both", "neither", "unclear", ""]


@dataclass(frozen=True)
class PairRating:
    """What a clinician said of a pair that was shown once."""

    rater: str
    pair: str  # as `name_opaquely` has it
    digest: str  # of what was shown, and in which order
    verdict: str  # A or B as they were shown, both, neither, unclear; "" where there is none yet
    relevance: float | None  # of the difference, 0 to 10
    presentation: int = 1  # 2 where a pair is shown again
    readable: str = ""  # whether the changed film is: yes, partly, no
    comment: str = ""
    time: str = ""  # of the last change, ISO 8601
    place: str = ""  # for messages: "anna.csv:17"

    @property
    def rated(self) -> bool:
        """Whether anything was said."""
        return bool(self.verdict or self.readable) or self.relevance is not None


@dataclass(frozen=True)
class RatingFiles:
    """The ratings of several files; of what a rater said twice of one presentation, the later."""

    ratings: tuple[PairRating, ...]
    replaced: int  # rows in whose place a later one of the same rater counts


def name_opaquely(pair: Pair) -> str:
    """Return a name of a pair that says nothing of how it was made; the same in every run that makes the pair."""
    return f"p{digest('pair', pair.id)[:16]}"  # a letter first, or Excel takes some for numbers


def hash_shown(pair: Pair, first: Side, second: Side) -> str:
    """Hash what a clinician is shown of a pair: the question, and the films and answer of A, then of B."""
    sides = [[[image.sha256 for image in side.images], side.answer] for side in (first, second)]
    return f"s{digest(pair.case.question, *sides)[:16]}"


def translate_verdict(rating: PairRating, pair: Pair) -> PairVerdict | None:
    """Return which side of a pair a rating finds right, if any; None where another pair was shown, or another order."""
    orders = {"A": (pair.chosen, pair.rejected), "B": (pair.rejected, pair.chosen)}
    chosen = next((name for name, sides in orders.items() if hash_shown(pair, *sides) == rating.digest), None)
    if chosen is None:
        return None
    if rating.verdict in orders:
        return "chosen" if rating.verdict == chosen else "rejected"
    return rating.verdict  # type: ignore[return-value]


def read_ratings(files: Iterable[str | Path]) -> RatingFiles:
    """Read what raters saved. Raises DataError that names every row that is none, with file and line."""
    rows = chain.from_iterable(csv_rows(file, _find_delimiter(file), _require_columns) for file in map(Path, files))
    ratings = collect_rows(map(_read_rating, rows))
    latest: dict[tuple[str, str, str, int], PairRating] = {}
    for rating in sorted(ratings, key=lambda one: one.time):
        latest[rating.rater, rating.pair, rating.digest, rating.presentation] = rating
    kept = set(latest.values())
    return RatingFiles(tuple(one for one in ratings if one in kept), len(ratings) - len(kept))


def _find_delimiter(file: Path) -> str:
    """Return what stands between the cells: a spreadsheet may have saved the file with semicolons or tabs."""
    head = next(text_lines(file), "")
    return max(",;\t", key=head.count)


def _require_columns(names: Sequence[str], place: str) -> None:
    if missing := [name for name in NEEDED if name not in names]:
        raise DataError(
            f"{place}: has no column {missing[0]!r}; a review page (`mmedpo review`) saves {', '.join(RATING_COLUMNS)}"
        )


def _read_rating(row: TableRow) -> PairRating:
    return PairRating(
        rater=_unguarded(row.text("rater")),
        pair=row.text("pair"),
        digest=row.text("digest"),
        verdict=_read_word(row, "verdict", GIVEN_VERDICTS),
        relevance=_read_relevance(row),
        presentation=_read_presentation(row),
        readable=_read_word(row, "readable", READABLE),
        comment=_unguarded(row.get("comment")),
        time=row.get("time"),
        place=row.place,
    )


def _read_word(row: TableRow, key: str, words: Sequence[str]) -> str:
    word = row.get(key)
    if word not in words:
        raise row.wrong(f"{key} {word!r} is none of {', '.join(filter(None, words))}")
    return word


def _read_relevance(row: TableRow) -> float | None:
    text = row.get("relevance")
    try:
        value = float(text) if text else None
    except ValueError:
        raise row.wrong(f"relevance {text!r} is no number") from None
    if value is not None and not 0 <= value <= MOST_RELEVANT:
        raise row.wrong(f"relevance {text} is not from 0 to {MOST_RELEVANT}")
    return value


def _read_presentation(row: TableRow) -> int:
    text = row.get("presentation") or "1"
    if not text.isdecimal() or not int(text):
        raise row.wrong(f"presentation {text!r} is no number from 1 on")
    return int(text)


def _unguarded(text: str) -> str:
    """Take off the apostrophe that a page puts before what a spreadsheet would take for a formula."""
    return text[1:] if text.startswith(("'=", "'+", "'-", "'@")) else text
