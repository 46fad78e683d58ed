"""Write the page on which clinicians rate: one file, nothing from outside, nothing on it that says what we think."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmedpo.core.content_policy import hash_inline
from mmedpo.core.privacy import private_files
from mmedpo.core.records import Pair, digest, seed_for
from mmedpo.data.ratings import hash_shown, name_opaquely
from mmedpo.errors import DataError, RecipeError
from mmedpo.review.drawing import PairDraw
from mmedpo.review.films import ReviewFilms, list_films
from mmedpo.review.schedule import count_drawn, deal_pairs, schedule_pairs
from mmedpo.review.wording import word_page
from mmedpo.store.run_files.reader import read_pairs, read_run
from mmedpo.store.run_folder import write_whole
from mmedpo.store.run_images import RunImages

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("films.js", "table.js", "review.js")


@dataclass(frozen=True)
class ReviewOptions:
    """What a review page is asked for."""

    raters: int = 2
    per_kind: int = 50  # pairs of each kind that a rater sees
    seed: int = 0
    shared: float = 1.0  # of a rater's pairs, the share that all raters see
    twice: float = 0.1  # of a rater's pairs, the share that comes a second time
    with_images: bool | None = None  # None: those of data that are not restricted
    max_side: int | None = None  # pixels; None: films as they are
    max_megabytes: int = 300


@dataclass(frozen=True)
class ReviewPage:
    """What was written."""

    path: Path
    megabytes: float
    pairs: Mapping[str, int]  # drawn, by kind
    shown: Sequence[int]  # to each rater, those that come twice included
    films: int
    reduced: int  # films that are smaller on the page than in the run
    left_out: Mapping[str, int]  # pairs that were drawn, by why they are not on the page
    holds: str  # what of restricted data is on it: "images", "texts" or ""


def write_review(run: Path, out: Path, asked: ReviewOptions) -> ReviewPage:
    """Write a page for raters of a run's pairs. Raises DataError when the run has no pair that can be shown."""
    files, weighted = read_run(run), read_pairs(run)
    per_kind = count_drawn(asked.per_kind, asked.raters, asked.shared)
    sample = PairDraw(per_kind, asked.seed).add_all(weighted).pairs()
    drawn = sorted((item.pair for item in sample), key=name_opaquely)  # or their order would tell of our scores
    films = ReviewFilms(RunImages(files), asked.max_megabytes, asked.max_side)
    fates = [(pair, _why_not(pair, films, asked.with_images)) for pair in drawn]
    pairs, left_out = [pair for pair, why in fates if not why], Counter(why for _, why in fates if why)
    if not pairs:
        raise DataError(f"{run}: no pair to show; {_tell(left_out) or 'it has none'}")
    entries = [_enter(pair, films, asked) for pair in pairs]
    dealt = deal_pairs([pair.kind for pair in pairs], asked.raters, asked.shared, asked.seed)
    plans = [
        [[one.pair, int(one.swapped), one.number] for one in schedule_pairs(places, asked.twice, asked.seed, number)]
        for number, places in enumerate(dealt)
    ]
    holds = _holds(pairs, asked.with_images)
    content = {"pairs": entries, "raters": plans}
    review = {"page": digest(content)[:16], **content}
    words = word_page(len(plans[0]), holds, len(films), asked.max_side)
    with private_files(bool(holds)):
        _write(out, review, films, said=words, raters=asked.raters, has_image_pairs=_compares_films(pairs))
    return ReviewPage(
        path=out,
        megabytes=out.stat().st_size / 1e6,
        pairs=Counter(pair.kind for pair in pairs),
        shown=[len(plan) for plan in plans],
        films=len(films),
        reduced=films.reduced,
        left_out=left_out,
        holds=holds,
    )


def _why_not(pair: Pair, films: ReviewFilms, with_images: bool | None) -> str:
    """Say why a pair cannot be shown; "" where it can."""
    sides = pair.chosen.images, pair.rejected.images
    if not _shows(pair, with_images):
        return "nothing but the film differs, and films are left out" if sides[0] != sides[1] else ""
    missing = [film for film in list_films(sides) if not films.find(film)]
    return "a film is gone, or another by now" if missing else ""


def _shows(pair: Pair, with_images: bool | None) -> bool:
    """Tell whether a pair's films go into the page."""
    return not pair.case.restricted if with_images is None else with_images


def _enter(pair: Pair, films: ReviewFilms, asked: ReviewOptions) -> dict[str, Any]:
    """Return what the page holds of a pair: its sides in a drawn order, and what names either way of showing them."""
    sides, shows = [pair.chosen, pair.rejected], _shows(pair, asked.with_images)
    if seed_for(asked.seed, "sides", pair.id) % 2:
        sides.reverse()
    return {
        "code": name_opaquely(pair),
        "question": pair.case.question,
        "sides": [
            {"films": [films.number(film) for film in side.images] if shows else [], "answer": side.answer}
            for side in sides
        ],
        "digests": [hash_shown(pair, *sides), hash_shown(pair, *reversed(sides))],
    }


def _compares_films(pairs: Iterable[Pair]) -> bool:
    return any(pair.chosen.images != pair.rejected.images for pair in pairs)


def _holds(pairs: Sequence[Pair], with_images: bool | None) -> str:
    restricted = [pair for pair in pairs if pair.case.restricted]
    if not restricted:
        return ""
    return "images" if any(_shows(pair, with_images) for pair in restricted) else "texts"


def _tell(left_out: Mapping[str, int]) -> str:
    return "; ".join(f"{count:,} left out: {why}" for why, count in left_out.items())


def _write(out: Path, review: Mapping[str, Any], films: ReviewFilms, **values: Any) -> None:
    """Write the page a film at a time, so that no more than one is in memory."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    style = (TEMPLATES / "style.css").read_text()
    script = "".join((TEMPLATES / name).read_text() for name in SCRIPTS)
    rooms = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    pieces = rooms.get_template("review.html").generate(
        **values,
        style=Markup(style),
        script=Markup(script),
        style_hash=hash_inline(style),
        script_hash=hash_inline(script),
        films=films.write_all(),
        review=escape_json(review),
    )
    write_whole(out, lambda file: file.writelines(piece.encode() for piece in pieces))


def escape_json(value: Any) -> str:
    """Write JSON that no answer can end: nothing in it is markup, whatever it says."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def require_sense(asked: ReviewOptions) -> None:
    """Raise RecipeError for what no page can be made of."""
    for wrong, why in (
        (asked.raters < 1 or asked.per_kind < 1, "--raters and --per-kind are 1 or more"),
        (not 0 <= asked.shared <= 1, "--shared is a share, from 0 to 1"),
        (not 0 <= asked.twice <= 1, "--twice is a share, from 0 to 1"),
        (asked.max_side is not None and asked.max_side < 64, "--max-side is 64 pixels or more"),
    ):
        if wrong:
            raise RecipeError(f"command line: {why}")
