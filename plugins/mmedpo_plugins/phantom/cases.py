"""Phantom films as cases, and the twin of a case: its film without the finding that the question is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from mmedpo import Case
from mmedpo_plugins.phantom.film import PhantomFilm, draw_film, remove_finding
from mmedpo_plugins.phantom.findings import PhantomFinding
from mmedpo_plugins.phantom.language import NO, YES, PhantomQuestion


def cases_of(film: PhantomFilm, group: str, questions: Iterable[PhantomQuestion], restricted: bool) -> Iterator[Case]:
    """Yield what is asked about one film."""
    picture, regions = film.picture(), film.regions()
    for place, one in enumerate(questions):
        yield Case(
            id=f"{group}-q{place}",
            image=picture,
            question=one.question,
            answer=one.answer,
            kind=one.kind,
            group=group,
            about=(one.label,) if one.label else (),
            regions=regions,
            restricted=restricted,
            notes={**_notes(film), **({"aspect": one.aspect} if one.aspect else {})},
        )


def counterfactual(case: Case) -> Case:
    """Return a case answered yes on its film without that finding, answered no. Raises ValueError for another case."""
    if case.kind != "closed" or case.answer != YES or "film" not in case.notes:
        raise ValueError(f"{case.id}: only a phantom's closed case answered yes has a twin")
    film = remove_finding(_film(case.notes), case.about[0])
    return replace(
        case,
        id=f"{case.id}-without",
        image=film.picture(),
        answer=NO,
        regions=film.regions(),
        notes={**_notes(film), "twin_of": case.id},
    )


def _notes(film: PhantomFilm) -> dict[str, Any]:
    """Return what is needed to draw the film again."""
    drawn = {"film": film.seed, "findings": [asdict(finding) for finding in film.findings]}
    return drawn if film.version == "clear" else {**drawn, "films": film.version}


def _film(notes: Mapping[str, Any]) -> PhantomFilm:
    findings = [PhantomFinding(**finding) for finding in notes["findings"]]
    return draw_film(notes["film"], findings, notes.get("films", "clear"))
