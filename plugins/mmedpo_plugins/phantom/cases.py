"""Phantom films as cases, and the twin of a case: its film without the finding that the question is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from random import Random
from typing import TYPE_CHECKING, Any

from mmedpo import Case, seed_for
from mmedpo_plugins.phantom.film import (
    PhantomFilm,
    draw_film,
    film_of,
    remove_finding,
)
from mmedpo_plugins.phantom.findings import WORLDS, PhantomFinding
from mmedpo_plugins.phantom.language import NO, YES, interview

if TYPE_CHECKING:
    from mmedpo_plugins.phantom.reader import PhantomReader


def cases_of(reader: PhantomReader, number: int) -> Iterator[Case]:
    """Draw one image and yield what is asked about it."""
    film = film_of(WORLDS[reader.world], reader.seed, reader.split, number)
    picture, regions = film.picture(), film.regions()
    group = f"phantom-{reader.split}-{number:05d}"
    random = Random(seed_for(film.seed, "questions"))
    asked = interview(
        film.findings, random, reader.closed_questions, reader.open_questions, reader.reports, reader.sides
    )
    for place, one in enumerate(asked):
        case = Case(
            id=f"{group}-q{place}",
            image=picture,
            question=one.question,
            answer=one.answer,
            kind=one.kind,
            group=group,
            about=(one.label,) if one.label else (),
            regions=regions,
            restricted=reader.restricted,
            notes={**_notes(film), **({"aspect": one.aspect} if one.aspect else {})},
        )
        yield case
        if reader.twins and one.answer == YES:
            yield counterfactual(case)


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
    return {"film": film.seed, "findings": [asdict(finding) for finding in film.findings]}


def _film(notes: Mapping[str, Any]) -> PhantomFilm:
    return draw_film(notes["film"], [PhantomFinding(**finding) for finding in notes["findings"]])
