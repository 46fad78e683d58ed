"""A pair to vote on, and a journal that forgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmedpo import Case, ImageRef, Pair, Side


def text_pair(question: str, chosen: str, rejected: str, *, restricted: bool = False) -> Pair:
    case = Case("c", ImageRef(sha256="p"), question, chosen, restricted=restricted)
    return Pair(case, Side(case.image, chosen), Side(case.image, rejected), "text")


NODULE = text_pair("Is there a nodule?", "Yes", "No")


class Memory(dict[str, Any]):
    """A journal in memory."""

    def __bool__(self) -> bool:
        return True

    def get(self, key: str, read: Callable[[Any], Any] = lambda value: value) -> Any:  # type: ignore[override]
        return read(self[key]) if key in self else None

    def put(self, key: str, value: Any) -> None:
        self[key] = value
