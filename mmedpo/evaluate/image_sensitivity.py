"""Does the model look? Ask the same questions about changed films, and count how often the answer changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from mmedpo.core.records import Case, Pair
from mmedpo.curate.dispreference import disprefer_with
from mmedpo.curate.pairs_by_case import PairsByCase
from mmedpo.registry.contracts.dispreference import Dispreference
from mmedpo.registry.contracts.metric import Statistics
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.stage_parts import open_parts

Probe = list[tuple[int, Case]]  # of each case whose film is changed: the index of its original, and itself


class ImageSensitivityMetric:
    """The share of answers that another film changes, by probe; of closed questions also the share of yes."""

    use = "looks"
    additive = True
    better: ClassVar[dict[str, int]] = {}

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return changed / asked for each probe that was asked."""
        names = list(dict.fromkeys(key for row in statistics for key in row if key.startswith("asked:")))
        return {
            f"changed_by_{name.removeprefix('asked:')}": _share_changed(
                statistics, name, name.replace("asked:", "changed:")
            )
            for name in names
        }


def _share_changed(statistics: Sequence[Statistics], asked: str, changed: str) -> float:
    return sum(row.get(changed, 0.0) for row in statistics) / sum(row.get(asked, 0.0) for row in statistics)


def name_probe(part: Dispreference) -> str:
    """Name a probe by its part and by the options that are not as always, the place of a decoy for one."""
    differ = [
        str(getattr(part, name))
        for name, field in type(part).model_fields.items()
        if getattr(part, name) != field.get_default(call_default_factory=True)
    ]
    return "-".join([part.use, *differ]).replace(" ", "")


def make_probes(run: RunContext, parts: Sequence[Dispreference], cases: Sequence[Case]) -> dict[str, Probe]:
    """Return for each probe the cases with their films changed."""
    indices = {case.id: index for index, case in enumerate(cases)}
    probes: dict[str, Probe] = {}
    for part in parts:
        name = name_probe(part)
        with open_parts(run) as opened:
            made = disprefer_with(run, part, cases, PairsByCase(len(cases)), opened, f"probe: {name}")[0]
        pairs = [item for item in made.each() if isinstance(item, Pair)]
        probes[name] = [(indices[pair.case.id], _change_image(pair)) for pair in pairs]
    return probes


def _change_image(pair: Pair) -> Case:
    return pair.case.show(pair.rejected.images)


def count_changes(
    probes: dict[str, Probe], answers: Sequence[str], ask: Callable[[list[Case], str], list[str]]
) -> list[Statistics]:
    """Ask the probes and count, for each original case, which of them changed its answer."""
    rows: list[dict[str, float]] = [{} for _ in answers]
    for name, probe in probes.items():
        for (index, _), answer in zip(probe, ask([case for _, case in probe], name), strict=True):
            rows[index][f"asked:{name}"] = 1.0
            rows[index][f"changed:{name}"] = float(_normalize(answer) != _normalize(answers[index]))
    return list(rows)


def _normalize(text: str) -> str:
    return " ".join(text.casefold().strip(" .").split())
