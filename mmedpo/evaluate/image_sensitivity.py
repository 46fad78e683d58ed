"""Does the model look? Ask the same questions about changed films, and count how often the answer changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mmedpo.core.records import Case, Pair
from mmedpo.curate.dispreference import disprefer_with
from mmedpo.registry.contracts.dispreference import Dispreference
from mmedpo.registry.contracts.metric import Metric, Statistics
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.stage_parts import open_parts


class ImageSensitivityMetric(Metric):
    """The share of answers that another film changes, by probe; of closed questions also the share of yes."""

    use = "looks"
    additive = True

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Statistics]:
        """Refuse: what is counted here needs two answers to a case."""
        raise NotImplementedError("the answers to changed films are counted where they are asked for")

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return changed / asked for each probe that was asked."""
        names = list(dict.fromkeys(key for row in statistics for key in row if key.startswith("asked:")))
        return {
            f"changed_by_{name.removeprefix('asked:')}": _share(statistics, name, name.replace("asked:", "changed:"))
            for name in names
        }


def _share(statistics: Sequence[Statistics], asked: str, changed: str) -> float:
    return sum(row.get(changed, 0.0) for row in statistics) / sum(row.get(asked, 0.0) for row in statistics)


def name_of(part: Dispreference) -> str:
    """Name a probe by its part and by the options that are not as always, the place of a decoy for one."""
    differ = [
        str(getattr(part, name))
        for name, field in type(part).model_fields.items()
        if getattr(part, name) != field.get_default(call_default_factory=True)
    ]
    return "-".join([part.use, *differ]).replace(" ", "")


def probes_of(
    run: RunContext, parts: Sequence[Dispreference], cases: Sequence[Case]
) -> dict[str, list[tuple[int, Case]]]:
    """Return for each probe the cases with their films changed, each with the place of its original."""
    places = {case.id: place for place, case in enumerate(cases)}
    probes: dict[str, list[tuple[int, Case]]] = {}
    for part in parts:
        with open_parts(run) as opened:
            found = disprefer_with(run, part, cases, {name: [] for name in places}, opened, f"probe: {name_of(part)}")
        pairs = [item for item in found if isinstance(item, Pair)]
        probes[name_of(part)] = [(places[pair.case.id], _changed(pair)) for pair in pairs]
    return probes


def _changed(pair: Pair) -> Case:
    return replace(pair.case, image=pair.rejected.image)


def count(
    probes: dict[str, list[tuple[int, Case]]],
    answers: Sequence[str],
    ask: Callable[[list[Case], str], list[str]],
) -> list[Statistics]:
    """Ask the probes and count, for each original case, which of them changed its answer."""
    rows: list[dict[str, float]] = [{} for _ in answers]
    for name, changed in probes.items():
        for (place, _), text in zip(changed, ask([case for _, case in changed], name), strict=True):
            rows[place][f"asked:{name}"] = 1.0
            rows[place][f"changed:{name}"] = float(_plain(text) != _plain(answers[place]))
    return list(rows)


def _plain(text: str) -> str:
    return " ".join(text.casefold().strip(" .").split())
