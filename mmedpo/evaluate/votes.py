"""The votes in a score's evidence, in one form, whoever cast them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmedpo.core.records import Score


def read_votes(score: Score) -> list[dict[str, Any]]:
    """Return the votes in a score's evidence: voter, score, reason, in the order in which they were cast."""
    return read_evidence_rows(score, "votes", {"voter": "voter", "score": None, "reason": ""})


def first_votes(score: Score) -> dict[str, float]:
    """Return each voter's first vote, 0 to 10: later ones in a debate have heard the others."""
    first: dict[str, float] = {}
    for vote in read_votes(score):
        if isinstance(vote["score"], int | float):
            first.setdefault(vote["voter"], float(vote["score"]))
    return first


def read_evidence_rows(score: Score, name: str, form: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a list of the evidence in one form; a scorer may put there what it likes."""
    found = score.evidence.get(name)
    rows = found if isinstance(found, list | tuple) else []
    return [{key: row.get(key, usual) for key, usual in form.items()} for row in rows if isinstance(row, Mapping)]
