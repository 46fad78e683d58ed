"""Each variant of the recipe of ablations is what its name says, and nothing else."""

from __future__ import annotations

from conftest import ROOT
from variant_factors import require_factors

from mmedpo.recipe.planning import plan_runs

ABLATION = ROOT / "examples" / "ablation.yaml"
PLACES = {
    "pairs": ("train.pairs",),
    "weights": ("weigh",),
    "loss": ("train.loss",),
    "image pairs": ("disprefer.1",),
    "voters": ("score.0",),
    "start": ("backbone.adapter",),
}
DPO = {"pairs": "text", "weights": "equal"}
FACTORS: dict[str, dict[str, str]] = {
    "paper": {},
    "nll": {"loss": "and nll"},
    "image-half": {"pairs": "image, half"},
    "stage-1": {"pairs": "text"},
    "stage-2": {"pairs": "image"},
    "uniform": {"weights": "equal"},
    "shuffled": {"weights": "shuffled"},
    "voters": {"voters": "several"},
    "global-noise": {"image pairs": "noise all over"},
    "decoy-noise": {"image pairs": "noise beside"},
    "inpaint": {"image pairs": "lesion gone"},
    "flipped": {"image pairs": "flipped"},
    "dpo": DPO,
    "sft": {"loss": "nll alone", "weights": "equal"},
    "sft-dpo": {"start": "sft", **DPO},
    "sft-paper": {"start": "sft"},
}


def test_any_two_ablations_differ_in_the_keys_that_their_names_say() -> None:
    assert [one.variant for one in plan_runs(ABLATION)] == list(FACTORS)
    require_factors(ABLATION, FACTORS, PLACES)


def test_the_first_ablation_is_the_loss_as_printed() -> None:
    recipe = plan_runs(ABLATION)[0].loaded.recipe
    assert recipe.train is not None
    assert [(loss.use, loss.coefficient, loss.pairs) for loss in recipe.train.loss] == [("sigmoid", 1, "all")]
    assert (recipe.train.pairs.text, recipe.train.pairs.image, recipe.weigh.use) == (1, 1, "clinical")
