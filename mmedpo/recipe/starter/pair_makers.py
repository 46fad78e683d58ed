"""Who can make pairs of data offline, without a model: tried on the first cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from mmedpo.core.records import Case, Pair
from mmedpo.errors import MmedpoError
from mmedpo.recipe.starter.data_survey import DataSurvey
from mmedpo.registry.contracts.dispreference import Dispreference
from mmedpo.registry.contracts.setting import Setting
from mmedpo.registry.discovery import load_part, resolve_part
from mmedpo.registry.kinds import find_kind

TEXT_MAKERS = {
    "opposite-answer": "text pairs: yes for no, of closed questions",
    "error-injection": "text pairs: an error put into the right answer by rules",
}


def choose_text_makers(survey: DataSurvey) -> dict[str, str]:
    """Return the dispreferences that make text pairs of some of the first cases, each with what it makes."""
    texts = [case for case in survey.first if case.kind != "closed"]  # an error in a yes is a no
    cases = {"error-injection": texts}
    return {use: what for use, what in TEXT_MAKERS.items() if _makes_any(use, cases.get(use, survey.first))}


def _makes_any(use: str, cases: Sequence[Case]) -> bool:
    try:
        part = cast(Dispreference, load_part(resolve_part(find_kind(Dispreference), use))())
        with part.open(Setting()) as live:
            return any(isinstance(item, Pair) for item in live.disprefer(cases, None, [()] * len(cases)))
    except (LookupError, MmedpoError):
        return False
