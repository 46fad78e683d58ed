"""The model's own tokens: what it would say on another film, rated on the film itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from losses import train_options
from safetensors.torch import load_file
from tiny_llava import make_backbone, make_image, make_pairs

from mmedpo import ImageRef, Loss, LossBatch, Pair, Side
from mmedpo.core.records import WeightedPair
from mmedpo.errors import PluginError
from mmedpo.recipe.train_options import LoraOptions
from mmedpo.registry.conformance.loss import list_further_sides
from mmedpo.registry.contracts.setting import Setting
from mmedpo.testing import tiny_pairs
from mmedpo.train import logprobs
from mmedpo.train.batches.encoding import PixelCache, encode_pair
from mmedpo.train.batches.further_sides import describe_sides, list_own, name_further_sides
from mmedpo.train.batches.pair_collator import PairCollator
from mmedpo.train.batches.tree_collator import TreeCollator
from mmedpo.train.fit import train_adapter
from mmedpo.train.lora import attach_adapter
from mmedpo.train.trainer import PreferenceTrainer
from mmedpo.train.trl_arguments import trl_arguments

LORA = LoraOptions(r=4, alpha=8)


class Own(Loss):
    """Compare the chosen answer with the model's own tokens on another film."""

    use: ClassVar[str] = "own"
    own_tokens: ClassVar[frozenset[str]] = frozenset({"other"})
    answer: str = ""

    def further_sides(self, pairs: Sequence[Pair], seed: int) -> Sequence[Mapping[str, Side]]:
        films = [ImageRef.drawn(make_image(500 + number)) for number in range(len(pairs))]
        return [
            {"other": Side(film, self.answer or pair.chosen.answer)} for film, pair in zip(films, pairs, strict=True)
        ]

    def compute(self, batch: LossBatch) -> torch.Tensor:
        return -torch.nn.functional.logsigmoid(batch.chosen.ratio - batch.further["other"].ratio)


class OwnBeside(Own):
    """The same where the reference runs beside the policy."""

    use: ClassVar[str] = "own-beside"
    runs_reference: ClassVar[bool] = True


def by_hand(model: Any, backbone: Any, weighted: WeightedPair, other: Side) -> float:
    """Return the log-probability, on the pair's film, of what a model finds likeliest on the other, token by token."""
    pixels = PixelCache(backbone)
    pair = encode_pair(weighted, backbone, pixels, {"other": other})
    logits = []
    for side in (pair.further["other"], pair.chosen):
        with torch.no_grad():
            ids = torch.from_numpy(side.ids).long()[None]
            said = model(input_ids=ids, **pixels.of(side)[0]).logits[0]
        logits.append(said[side.answer_start - 1 : -1])
    picks = logits[0].argmax(1)
    return logits[1].log_softmax(1)[torch.arange(len(picks)), picks].sum().item()


def stir(model: Any) -> None:
    generator = torch.Generator().manual_seed(11)
    for _, parameter in sorted((name, p) for name, p in model.named_parameters() if p.requires_grad):
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("part", [Own(), OwnBeside()], ids=["stored", "beside"])
@pytest.mark.parametrize("packing", ["pairs", "tree"])
@pytest.mark.parametrize("chunk", [2**26, 64], ids=["whole", "in chunks"])
def test_each_model_chooses_on_the_other_film_and_is_asked_on_the_pairs_own(
    tmp_path: Path, part: Loss, packing: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logprobs, "CHUNK", chunk)
    pairs, backbone = make_pairs(5), make_backbone()
    options = train_options(lora=LORA, loss=[part])
    further = name_further_sides(pairs, options, 0)
    reference = [
        by_hand(make_backbone().model, backbone, one, sides["0.other"])
        for one, sides in zip(pairs, further, strict=True)
    ]
    table: dict[str, tuple[float, ...]] = {}
    with attach_adapter(backbone, options, 5) as model:
        pixels = PixelCache(backbone)
        encoded = [encode_pair(one, backbone, pixels, sides) for one, sides in zip(pairs, further, strict=True)]
        plain, tree = (
            PairCollator(backbone, encoded, pixels, table),
            TreeCollator(backbone, encoded, pixels, table, 200),
        )
        collator = plain if packing == "pairs" else tree
        args = trl_arguments(options, tmp_path, Setting())
        trainer = PreferenceTrainer(model, args, collator, range(5), [], backbone.tokenizer, options, 5)
        trainer.fill_reference(encoded, table, lambda count: None)
        stir(trainer.model)
        wanted = [
            by_hand(trainer.model, backbone, one, sides["0.other"]) for one, sides in zip(pairs, further, strict=True)
        ]
        batch = trainer._prepare_inputs(collator([{"pair": index} for index in range(5)]))
        found = trainer.side_logps(trainer.model, batch, collator.sides, part.runs_reference)["0.other"]
    assert found.policy.tolist() == pytest.approx(wanted, abs=1e-4)
    assert found.reference.tolist() == pytest.approx(reference, abs=1e-4)
    assert max(abs(one - other) for one, other in zip(wanted, reference, strict=True)) > 0.1
    if found.reference_by_token is not None:
        assert found.reference_by_token.sum(1).tolist() == pytest.approx(reference, abs=1e-4)


def test_they_train_alike_on_trees_and_on_plain_pairs(tmp_path: Path) -> None:
    pairs, found = make_pairs(6), []
    sgd = {"optimizer": "sgd", "warmup_ratio": 0, "scheduler": "constant", "trl": {"max_grad_norm": 0.0}}
    for packing in ("pairs", "tree"):
        shape = {"packing": packing, "batch_size": 6, "epochs": 2, "learning_rate": 0.01, "validation": 0.0}
        options = train_options(lora=LORA, loss=[Own()], **sgd, **shape)
        further, folder = name_further_sides(pairs, options, 0), tmp_path / packing
        train_adapter(pairs, make_backbone(), options, folder, Setting(seed=5), lambda event: None, further=further)
        weights = load_file(folder / "adapter" / "adapter_model.safetensors")
        found.append(torch.cat([value.flatten() for name, value in weights.items() if "lora_B" in name]))
    assert found[0].abs().max() > 0
    assert (found[1] - found[0]).norm() < 1e-4 * found[0].norm()


def test_a_side_of_own_tokens_must_have_the_chosen_answer() -> None:
    with pytest.raises(PluginError, match="says own_tokens of the side 'other', which has another answer"):
        list_further_sides(Own(answer="something else"), tiny_pairs(), 0)


def test_the_reference_of_own_tokens_is_kept_apart_from_that_of_the_answer() -> None:
    options = train_options(loss=[Own()])
    sides = {"0.other": Side(ImageRef(sha256="f"), "Yes")}
    assert describe_sides(sides, list_own(options)) != describe_sides(sides)


def test_where_a_pair_names_no_side_its_chosen_answer_stands_in_and_not_the_models_tokens(tmp_path: Path) -> None:
    pairs, backbone, options = make_pairs(3), make_backbone(), train_options(lora=LORA, loss=[Own()])
    further = name_further_sides(pairs, options, 0)
    further[1] = {}
    table: dict[str, tuple[float, ...]] = {}
    with attach_adapter(backbone, options, 5) as model:
        pixels = PixelCache(backbone)
        encoded = [encode_pair(one, backbone, pixels, sides) for one, sides in zip(pairs, further, strict=True)]
        collator, args = (
            TreeCollator(backbone, encoded, pixels, table, 200),
            trl_arguments(options, tmp_path, Setting()),
        )
        trainer = PreferenceTrainer(model, args, collator, range(3), [], backbone.tokenizer, options, 5)
        trainer.fill_reference(encoded, table, lambda count: None)
        stir(trainer.model)
        batch = trainer._prepare_inputs(collator([{"pair": index} for index in range(3)]))
        sides = trainer.side_logps(trainer.model, batch, collator.sides)
    other, chosen = sides["0.other"], sides["chosen"]
    assert other.policy[1].item() == pytest.approx(chosen.policy[1].item(), abs=1e-5)
    assert other.reference[1] == chosen.reference[1]
    assert (other.policy[[0, 2]] - chosen.policy[[0, 2]]).abs().min() > 0.1
