"""What a review page says of itself, in words for people who know films."""

from __future__ import annotations

from typing import Any

PRIVATE = {
    "images": (
        "This page holds images of patients.",
        "Keep it as you keep the films themselves: send it to nobody, and delete it when you are done.",
    ),
    "texts": (
        "This page holds questions and answers about patients, without their images.",
        "Keep it as you keep the reports themselves: send it to nobody, and delete it when you are done.",
    ),
}


def word_page(shown: int, holds: str, films: int, max_side: int | None) -> dict[str, Any]:
    """Return the sentences that depend on what is on the page."""
    return {
        "loading": "The films are being loaded ...",
        "shown": "1 pair" if shown == 1 else f"{shown:,} pairs",
        "private": PRIVATE.get(holds),
        "films": _word_films(films, holds, max_side),
    }


def _word_films(films: int, holds: str, max_side: int | None) -> list[str]:
    if not films:
        left_out = " Its films are restricted and were left out." if holds else ""
        return [f"There are no films on this page.{left_out} Judge the answers by what you know of the case."]
    size = (
        f"No film is shown larger than {max_side:,} pixels: some have been made smaller, which their caption says."
        if max_side
        else "Films are shown pixel by pixel as their files have them, without loss."
    )
    return [
        f"{size} Window, level, zoom and inversion are yours.",
        "They have 256 shades of grey, which is what the model was shown. Of a film that holds more (16 bits, DICOM), "
        "the finest steps are not there, however you set the window.",
    ]
