"""Checks of readers: what they yield, twice the same, with images that are there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import cast

from mmedpo.core.records import Case, Pair, ReadRecord, to_json
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.conformance.reader import DataSetCheck
from mmedpo.registry.conformance.records import check_record
from mmedpo.registry.contracts.reader import Reader
from mmedpo.testing.checks.batches import other_generators
from mmedpo.testing.checks.check import LOWER, Check, Trial

MOST = 200  # records that are compared; a data set may be large
LOOKED_AT = 8  # images that are opened


def _read(trial: Trial) -> Iterator[ReadRecord]:
    with blame_part(trial.plugin, LOWER):
        for item in cast(Reader, trial.part).read():
            yield check_record(trial.plugin, item)


def _list_cases(trial: Trial) -> Iterator[Case]:
    for item in _read(trial):
        if isinstance(item, Case | Pair):
            yield item.case if isinstance(item, Pair) else item


def _check_records(trial: Trial) -> None:
    check = DataSetCheck(trial.plugin, cast(Reader, trial.part).yields)
    for item in _read(trial):
        check.add(item)
    check.finish()


def _check_same(trial: Trial) -> None:
    with other_generators(1):
        one = [to_json(item) for item in islice(_read(trial), MOST)]
    with other_generators(2):
        other = [to_json(item) for item in islice(_read(trial), MOST)]
    if one != other:
        raise trial.make_breach("`read` yields something else when it is read again; keep to the order of the files")


def _check_images(trial: Trial) -> None:
    for case in islice(_list_cases(trial), LOOKED_AT):
        for image in case.images:
            image.load()


def _check_claims(trial: Trial) -> None:
    """Hold what a reader says of its data beforehand to what it yields."""
    part = cast(Reader, trial.part)
    cases = list(islice(_list_cases(trial), MOST))
    kinds = {type(item) for item in islice(_read(trial), MOST)} & {Case, Pair}
    if kinds and kinds != {Pair if part.yields == "pairs" else Case}:
        raise trial.make_breach(f"says yields = {part.yields!r} and yields the other; say what is so")
    for says, name, there in (
        (part.has_regions(), "has_regions", any(case.regions for case in cases)),
        (part.has_several_images(), "has_several_images", any(case.more_images for case in cases)),
    ):
        if says is False and there:
            raise trial.make_breach(f"`{name}()` says False and a case has them; say None where it is not known")


READER_CHECKS = [
    Check("a reading", "`read` yields cases or pairs with ids of their own and texts that are there", _check_records),
    Check("the same again", "`read` yields the same in the same order when it is read again", _check_same),
    Check("images", "the images of its first cases can be opened", _check_images),
    Check("claims", "what it says of its data before they are read holds", _check_claims),
]
