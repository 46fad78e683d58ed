"""What no answer alone shows: whether the model can tell yes from no, and which changes of the film change its mind.

python examples/studies/controls.py RUN       # prints JSON; RUN/../start is the model that the runs began with
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from mmedpo_plugins.dispreferences.lesion_noise.lesion_noise import GlobalNoise, LesionNoise
from mmedpo_plugins.dispreferences.lesion_noise.lesion_removal import LesionInpainting
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from mmedpo_plugins.phantom.cases import counterfactual
from mmedpo_plugins.phantom.exam import mean, presence
from mmedpo_plugins.phantom.reader import PhantomReader
from report_curve import report_curve

from mmedpo import Case, Dispreference, ImageRef, LiveBackbone, Pair, Setting, read_run
from mmedpo.evaluate.confidence import ConfidenceMetric
from mmedpo.models import yes_leanings

CHANGES: dict[str, Dispreference] = {
    "lesion_noised": LesionNoise(),
    "noise_beside": LesionNoise(place="decoy"),
    "noise_everywhere": GlobalNoise(),
    "strong_noise": LesionNoise(step=1000, schedule="linear"),
    "strong_noise_beside": LesionNoise(step=1000, schedule="linear", place="decoy"),
    "lesion_inpainted": LesionInpainting(),
}


def controls(run: Path, split: Literal["validation", "test"] = "test", images: int = 100) -> dict[str, Any]:
    """Examine a run's adapter, or for RUN/../start the model it began with, on closed questions and on reports.

    `forced_choice` is the share of questions whose right answer has the higher probability of yes and no, `ece` by how
    much p(yes) is off the share of yes. Of questions answered yes by the truth, `yes:` is the share where the model
    finds yes more likely: on the film itself, on its twin without the finding, and on changed films; `yes:other side`
    is of questions about the side where it is not. `report_curve` has F1 of reports by false claims, for `f1_at`.
    """
    kept = run / f"controls-{split}-{images}.json"
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    torch.set_num_threads(1)
    with _model(run).open(Setting()) as live:
        _merge(live)
        films = PhantomReader(**{**_asked(run), "split": split, "images": images, "open_questions": 0, "reports": 1})
        cases = [replace(case, image=_hashed(case.image)) for case in films.read()]
        found = {
            **_closed(live, [case for case in cases if case.kind == "closed"]),
            "report_curve": report_curve(live, cases),
        }
    run.mkdir(exist_ok=True)
    kept.write_text(json.dumps(found))
    return found


def _closed(live: LiveBackbone, cases: Sequence[Case]) -> dict[str, float]:
    """Return what closed questions tell."""
    leanings = yes_leanings(live, cases)
    lean = dict(zip([case.id for case in cases], leanings, strict=True))
    there = [case for case in cases if case.answer == "Yes"]
    beside = [case for case in cases if not case.about]  # of the side where a finding is not
    confidence = ConfidenceMetric()
    return {
        **presence(cases, lean),
        "ece": confidence.combine(confidence.measure(cases, leanings))["closed_ece"],
        **({"yes:other side": mean(lean[case.id] > 0 for case in beside)} if beside else {}),
        "yes:film": mean(lean[case.id] > 0 for case in there),
        "yes:twin": mean(value > 0 for value in yes_leanings(live, [counterfactual(case) for case in there])),
        **{f"yes:{name}": _yes(live, part, there) for name, part in CHANGES.items()},
    }


def _merge(live: LiveBackbone) -> None:
    """Put an adapter into the weights, where it costs no time."""
    if hasattr(live.model, "merge_adapter"):
        live.model.merge_adapter()


def _asked(run: Path) -> dict[str, Any]:
    """Return the options of the films that a run was measured on."""
    return {key: value for key, value in _recipe(run)["evaluate"]["data"].items() if key != "use"}


def _model(run: Path) -> PhantomBackbone:
    """Return the backbone of a run with its adapter; of the folder `start`, that of its neighbours without one."""
    adapter = str(read_run(run).folder / "adapter") if run.name != "start" else None
    return PhantomBackbone(checkpoint=_recipe(run)["backbone"]["checkpoint"], adapter=adapter)


def _recipe(run: Path) -> dict[str, Any]:
    neighbour = run if run.name != "start" else next(run.parent.glob("*/run.json")).parent
    return read_run(neighbour).run.recipe


def _hashed(picture: ImageRef) -> ImageRef:
    return ImageRef.drawn(picture.load())


def _yes(live: LiveBackbone, part: Dispreference, cases: Sequence[Case]) -> float:
    """Return the share of yes on changed films."""
    with part.open(Setting()) as changer:
        made = [one for one in changer.disprefer(cases, None, [[] for _ in cases]) if isinstance(one, Pair)]
    return mean(
        value > 0 for value in yes_leanings(live, [replace(one.case, image=one.rejected.image) for one in made])
    )


if __name__ == "__main__":
    print(json.dumps(controls(Path(sys.argv[1]), images=int(sys.argv[2]))))
