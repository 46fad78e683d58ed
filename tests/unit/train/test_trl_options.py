"""The options of a training, and any other argument of TRL: passed on, or refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from losses import train_options
from pydantic import ValidationError
from tiny_llava import make_backbone, make_pairs
from training import LORA, fit

from mmedpo.errors import RecipeError
from mmedpo.events import TrainingLogged
from mmedpo.recipe.train_options import ProjectorOptions, TrainOptions, explain_refusal
from mmedpo.registry.contracts.setting import Setting
from mmedpo.train.fit import train_adapter


def test_trl_arguments_are_passed_on(tmp_path: Path) -> None:
    result = fit(tmp_path, make_pairs(8), batch_size=2, trl={"max_steps": 3, "adam_beta2": 0.9})
    assert result.steps == 3


def test_evaluation_during_training_can_be_asked_for(tmp_path: Path) -> None:
    events: list[Any] = []
    options = train_options(lora=LORA, epochs=2, validation=0.3, trl={"eval_strategy": "epoch"})
    train_adapter(make_pairs(12), make_backbone(), options, tmp_path, Setting(), events.append)
    told = [event for event in events if isinstance(event, TrainingLogged) and "eval_rewards/margins" in event.values]
    assert len(told) == 3  # after each epoch, and at the end


def test_tensorboard_logs_go_beside_the_checkpoints(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    fit(tmp_path, make_pairs(4), report_to=["tensorboard"])
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_an_unknown_trl_argument_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValidationError, match="no argument 'wieght_decay'; did you mean 'weight_decay'"):
        train_options(trl={"wieght_decay": 0.1})


@pytest.mark.parametrize(
    "name", ["loss_type", "ld_alpha", "f_divergence_type", "precompute_ref_log_probs", "truncation_mode", "beta"]
)
def test_what_the_loss_does_not_heed_is_refused_with_a_reason(name: str) -> None:
    assert explain_refusal(name).startswith(f"{name!r} cannot be set here: ")


def test_every_refused_name_is_one_of_trls() -> None:
    from dataclasses import fields

    from trl import DPOConfig

    from mmedpo.recipe.train_options import REFUSED

    known = {item.name for item in fields(DPOConfig)} | {"activation_checkpointing"}  # older transformers lack it
    assert {name for names in REFUSED.values() for name in names} <= known


def test_a_wrong_value_of_a_trl_argument_is_the_recipes_mistake(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"train\.trl"):
        fit(tmp_path, make_pairs(3), trl={"eval_strategy": "no such time"})


def test_checking_options_imports_neither_torch_nor_trl() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from mmedpo.recipe.train_options import TrainOptions; "
        "from mmedpo_plugins.losses.margins import SigmoidLoss; TrainOptions(loss=[SigmoidLoss()]); "
        "assert not {'torch', 'trl', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_docs_have_every_option_with_its_default_and_every_refused_argument() -> None:
    from pydantic import BaseModel

    from mmedpo.recipe.train_options import REFUSED

    page = (ROOT / "docs" / "explanation" / "training.md").read_text()
    plain: dict[str, Any] = {}
    for name, field in TrainOptions.model_fields.items():
        nested = {"projector": ProjectorOptions(), "loss": "`sigmoid`"}.get(name, field.default)
        if isinstance(nested, BaseModel):
            plain |= {f"{name}.{inner}": value for inner, value in nested.model_dump().items()}
        else:
            plain[name] = nested
    for name, value in plain.items():
        row = next(line for line in page.split("## Options")[1].splitlines() if line.startswith(f"| `{name}` | "))
        written = row.split(" | ")[1]
        same = float(written) == value if isinstance(value, float | int) and value is not False else None
        assert written == str(value).lower() if same is None else same, row
    assert all(f"`{name}`" in page for names in REFUSED.values() for name in names)
