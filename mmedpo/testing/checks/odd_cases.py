"""Cases that are as they may be and seldom are: any script, any film, nothing known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from mmedpo.core.images import ImageInMemory, ImageRef
from mmedpo.core.records import Case
from mmedpo.testing.tiny import tiny_cases

Item = TypeVar("Item")
TEXTS = [  # question and answer
    ("Où est l'épanchement ?", "À gauche, « 3 cm » ≥ avant"),
    ("胸水はどこですか。", "左の下肺野です。"),
    ("هل توجد عقيدة؟", "نعم، في الرئة اليسرى"),
    ("Is it\nthere?\t{{ no }} \"'<b>", "Yes \N{LUNGS}\N{ZERO WIDTH JOINER}, a\u0301 {0} %s \\n"),
]


def list_written_cases() -> list[Case]:
    """Return cases in several scripts, with line breaks, marks of templates and of HTML."""
    return [
        replace(case, question=question, answer=answer, kind="open")
        for case, (question, answer) in zip(tiny_cases(len(TEXTS)), TEXTS, strict=True)
    ]


def list_odd_cases() -> list[Case]:
    """Return cases of a tall film in colour, of an even one, and of one of which nothing is known; one is a report."""
    from PIL import Image

    tall, even, bare, report = tiny_cases(4)
    film = tall.image.load().convert("RGB").resize((40, 90))
    return [
        replace(tall, image=ImageRef.drawn(film), regions=()),
        replace(even, image=ImageRef.drawn(Image.new("L", (33, 21))), regions=()),
        replace(bare, regions=(), about=(), group="", question="?", kind="open"),
        replace(report, kind="report", answer="The heart is large. There is no effusion.\n\nNo pneumothorax."),
    ]


def list_restricted_cases() -> list[Case]:
    """Return cases that must not leave this machine."""
    return [replace(case, restricted=True) for case in tiny_cases(1)]


def spoil_images(items: Sequence[Item], fail: Callable[[], Any]) -> list[Item]:
    """Return the same items with images that fail when somebody looks at them."""
    return [_map_images(item, lambda image: replace(image, held=ImageInMemory(fail, image.sha256))) for item in items]


def _map_images(value: Any, change: Callable[[ImageRef], ImageRef]) -> Any:
    if isinstance(value, ImageRef):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)([_map_images(item, change) for item in value])
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: _map_images(getattr(value, one.name), change) for one in fields(value)})
    return value
