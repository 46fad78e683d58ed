"""What a review page holds, in a few lines."""

from __future__ import annotations

from collections.abc import Iterator

from mmedpo.review.page import ReviewPage

HOLDS = {
    "images": "it holds images of patients: keep it as the films themselves",
    "texts": "it holds questions and answers about patients, no images of them (--with-images puts these in)",
}


def describe_review(page: ReviewPage) -> Iterator[str]:
    """Yield a line on each thing that is worth knowing of a page."""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in page.pairs.items())
    yield f"{page.path}: {kinds} pairs, {page.films:,} films, {page.megabytes:,.1f} MB"
    shown = sorted(set(page.shown))
    each = f"{shown[0]:,}" if len(shown) == 1 else f"{shown[0]:,} to {shown[-1]:,}"
    who = f"each of {len(page.shown):,} readers" if len(page.shown) > 1 else "the reader"
    yield f"{who} is shown {each}, those that come twice included"
    if page.reduced:
        yield f"{page.reduced:,} films are smaller than the run has them"
    for why, count in page.left_out.items():
        yield f"{count:,} pairs left out: {why}"
    if page.holds:
        yield HOLDS[page.holds]
    yield "what readers save goes to: mmedpo score RUN --against ratings-*.csv"
