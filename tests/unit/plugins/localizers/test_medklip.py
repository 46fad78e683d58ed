"""MedKLIP by its published names and shapes, held to the same definition written out over its tensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from mmedpo_plugins.localizers.medklip.live_medklip import LiveMedKlip
from mmedpo_plugins.localizers.medklip.medklip import MedKlipLocalizer
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from transformers import BertConfig, BertForPreTraining, BertModel

from mmedpo import Case, DataError, ImageRef, Region, Setting

SENTENCES = {
    "normal": "The lungs are clear.",
    "disease": "Disease of lungs (abnormal)",
    "nodule": "it is " + "small " * 80,
}
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "lung", "##s", "are", "clear", ".", "disease", "of", "(", ")"]
VOCABULARY += ["ab", "##normal", "it", "is", "small", "The", "Disease"]
LUNGS = ["lung", "##s"]
TOKENS = [["the", *LUNGS, "are", "clear", "."], ["disease", "of", *LUNGS, "(", "ab", "##normal", ")"]]
TOKENS += [["it", "is", *["small"] * 61]]  # with [CLS] 64


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor, by its name in the published checkpoint less the prefix."""
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *shape: int, norm: bool = False, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = shape
        if bias:
            shapes[f"{name}.bias"] = shape[:1]
        if norm:
            shapes.update({f"{name}.running_mean": shape, f"{name}.running_var": shape})
            shapes[f"{name}.num_batches_tracked"] = ()

    def convolution(name: str, norm: str, *shape: int) -> None:
        layer(name, *shape, bias=False)
        layer(norm, shape[0], norm=True)

    convolution("res_features.0", "res_features.1", 64, 3, 7, 7)
    for stage, (inner, blocks, before) in enumerate([(64, 3, 64), (128, 4, 256), (256, 6, 512)], start=4):
        for block in range(blocks):
            name, channels = f"res_features.{stage}.{block}", 4 * inner if block else before
            convolution(f"{name}.conv1", f"{name}.bn1", inner, channels, 1, 1)
            convolution(f"{name}.conv2", f"{name}.bn2", inner, inner, 3, 3)
            convolution(f"{name}.conv3", f"{name}.bn3", 4 * inner, inner, 1, 1)
            if not block:
                convolution(f"{name}.downsample.0", f"{name}.downsample.1", 4 * inner, channels, 1, 1)
    for name, out, into in (("res_l1", 1024, 1024), ("res_l2", 256, 1024), ("disease_embedding_layer", 256, 768)):
        layer(name, out, into)
    for number in range(4):
        name = f"decoder.layers.{number}"
        for attention in ("self_attn", "multihead_attn"):
            shapes[f"{name}.{attention}.in_proj_weight"] = (768, 256)
            shapes[f"{name}.{attention}.in_proj_bias"] = (768,)
            layer(f"{name}.{attention}.out_proj", 256, 256)
        layer(f"{name}.linear1", 1024, 256)
        layer(f"{name}.linear2", 256, 1024)
        for norm in ("norm1", "norm2", "norm3"):
            layer(f"{name}.{norm}", 256)
    layer("decoder.norm", 256)
    layer("cl_fc", 768, 256)
    layer("classifier", 2, 256)
    return shapes


def random_state() -> dict[str, Tensor]:
    """Draw weights under which films still differ at the end."""
    drawn = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in published_shapes().items():
        if not shape:
            state[name] = torch.tensor(7)
        elif len(shape) > 1:
            state[name] = torch.randn(shape, generator=drawn) * (1.5 / prod(shape[1:])) ** 0.5
        else:
            start = 1.0 if name.endswith(("running_var", "weight")) else 0.0
            state[name] = start + 0.2 * torch.rand(shape, generator=drawn)
    return state


@dataclass(frozen=True)
class WrittenOut:
    """The definition over tensors alone."""

    state: Mapping[str, Tensor]

    def linear(self, name: str, values: Tensor) -> Tensor:
        return functional.linear(values, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def norm(self, name: str, values: Tensor) -> Tensor:
        return functional.layer_norm(values, (256,), self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def convolution(self, name: str, norm: str, values: Tensor, stride: int = 1) -> Tensor:
        kernel = self.state[f"{name}.weight"]
        values = functional.conv2d(values, kernel, None, stride, kernel.shape[-1] // 2)
        mean, var, scale, shift = (
            self.state[f"{norm}.{one}"][:, None, None] for one in ("running_mean", "running_var", "weight", "bias")
        )
        return (values - mean) / (var + 1e-5).sqrt() * scale + shift

    def trunk(self, films: Tensor) -> Tensor:
        values = self.convolution("res_features.0", "res_features.1", films, 2).relu()
        values = functional.max_pool2d(values, 3, 2, 1)
        for stage, blocks in ((4, 3), (5, 4), (6, 6)):
            for block in range(blocks):
                name, stride = f"res_features.{stage}.{block}", 2 if stage > 4 and not block else 1
                inner = self.convolution(f"{name}.conv1", f"{name}.bn1", values).relu()
                inner = self.convolution(f"{name}.conv2", f"{name}.bn2", inner, stride).relu()
                inner = self.convolution(f"{name}.conv3", f"{name}.bn3", inner)
                if not block:
                    values = self.convolution(f"{name}.downsample.0", f"{name}.downsample.1", values, stride)
                values = (inner + values).relu()
        return values

    def attend(self, name: str, queries: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Let queries (films, n, 256) look with four heads; return what they see, and the heads' mean look."""
        kinds = zip(*(self.state[f"{name}.in_proj_{one}"].chunk(3) for one in ("weight", "bias")), strict=True)
        asked, known, told = (
            functional.linear(values, *kind).unflatten(-1, (4, 64)).transpose(1, 2)
            for values, kind in zip((queries, there, there), kinds, strict=True)
        )
        looks = (asked @ known.transpose(-1, -2) / 8).softmax(-1)
        return self.linear(f"{name}.out_proj", (looks @ told).transpose(1, 2).flatten(2)), looks.mean(1)

    def maps_and_chances(self, films: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        patches = self.trunk(films).flatten(2).transpose(1, 2)
        patches = self.linear("res_l2", self.linear("res_l1", patches).relu())
        queries, looks = self.linear("disease_embedding_layer", words).repeat(len(films), 1, 1), []
        for number in range(4):
            name = f"decoder.layers.{number}"
            own = self.norm(f"{name}.norm1", queries)
            queries = queries + self.attend(f"{name}.self_attn", own, own)[0]
            seen, look = self.attend(f"{name}.multihead_attn", self.norm(f"{name}.norm2", queries), patches)
            queries, looks = queries + seen, [*looks, look]
            inner = self.linear(f"{name}.linear1", self.norm(f"{name}.norm3", queries)).relu()
            queries = queries + self.linear(f"{name}.linear2", inner)
        logits = self.linear("classifier", self.norm("decoder.norm", queries))
        return torch.stack(looks).mean(0).unflatten(-1, (14, 14)), logits.softmax(-1)[..., 1]


def bert_config(width: int) -> BertConfig:
    sides = {"hidden_size": width, "intermediate_size": 32, "max_position_embeddings": 64}
    few = {"vocab_size": len(VOCABULARY), "num_hidden_layers": 1, "num_attention_heads": 2}
    return BertConfig(**sides, **few, initializer_range=0.3)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a checkpoint of random weights, sentences, and a small BERT in its published form."""
    home = tmp_path_factory.mktemp("medklip")
    weights = {f"module.{name}": value for name, value in random_state().items()}
    torch.save({"model": weights, "epoch": 1}, home / "checkpoint.pth")
    (home / "observations.json").write_text(json.dumps(SENTENCES))
    torch.manual_seed(0)
    BertForPreTraining(bert_config(768)).save_pretrained(home / "bert")
    (home / "bert/vocab.txt").write_text("\n".join(VOCABULARY))
    return home


@pytest.fixture(scope="module")
def make_part(home: Path) -> Callable[..., MedKlipLocalizer]:
    paths = {"checkpoint": "checkpoint.pth", "queries": "observations.json", "text_model": "bert"}
    files = {key: home / name for key, name in paths.items()}
    return lambda **options: MedKlipLocalizer(**files | options)


def film(width: int, height: int) -> Case:
    """Draw large bright and dark patches."""
    patches = np.random.default_rng(width).integers(0, 256, (8, 8), dtype=np.uint8)
    image = Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)
    return Case(f"{width}", ImageRef.drawn(image), "Is there a disease?", "Yes")


def test_map_and_confidence_of_a_query_are_those_of_the_definition_laid_over_the_whole_film(
    make_part: Callable[..., MedKlipLocalizer], home: Path
) -> None:
    cases = [film(512, 256), film(256, 512), film(300, 300)]
    with make_part(batch_size=2, label="any", quantile=0.95).open(Setting()) as live:
        assert isinstance(live, LiveMedKlip)
        words, found = live.words, live.localize(cases, None)
    bert = BertModel.from_pretrained(home / "bert")
    for row, told in zip(words, TOKENS, strict=True):
        ids = torch.tensor([[VOCABULARY.index(token) for token in ["[CLS]", *told]]])
        with torch.no_grad():
            assert torch.allclose(row, bert(ids).last_hidden_state[0, 0], atol=1e-4)
    squashed = [case.image.load().convert("RGB").resize((224, 224), Image.Resampling.BILINEAR) for case in cases]
    values = torch.tensor(np.stack(squashed)).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(of)[:, None, None] for of in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    maps, chances = WrittenOut(random_state()).maps_and_chances((values - mean) / std, words)
    assert chances[:, 1].std() > 1e-4, "films differ"
    for case, (region,), heat, chance in zip(cases, found, maps[:, 1].numpy(), chances[:, 1], strict=True):
        assert (region.label, region.confidence) == ("any", pytest.approx(float(chance), abs=1e-4))
        assert region.heat is not None
        drawn, size = np.asarray(region.heat.load(), dtype=float), case.image.load().size
        large = np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BILINEAR))
        assert np.abs(drawn - large / large.max() * 255).max() < 2


def test_queries_see_one_another_and_come_as_numbers_too(
    make_part: Callable[..., MedKlipLocalizer], tmp_path: Path
) -> None:
    def ask(*names: str) -> Region:
        numbers = {name: torch.full((768,), 0.1 * at) for at, name in enumerate(SENTENCES) if name in names}
        save_file(numbers, tmp_path / f"{len(names)}.safetensors")
        part = make_part(queries=tmp_path / f"{len(names)}.safetensors", text_model=None)
        with part.open(Setting()) as live:
            return live.localize([film(64, 64)], None)[0][0]

    assert ask("disease", "nodule", "normal").confidence != ask("disease", "nodule").confidence


def changed(state: dict[str, Tensor], **changes: Tensor | None) -> dict[str, Tensor]:
    whole = state | {name.replace("_X_", "."): value for name, value in changes.items()}
    return {name: value for name, value in whole.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classifier_X_bias": None}, "classifier.bias is missing"),
        ({"query_embed_X_weight": torch.zeros(75, 256)}, "query_embed.weight is of no use"),
        ({"classifier_X_bias": torch.zeros(3)}, r"classifier.bias is \(3,\), not \(2,\)"),
        ({"classifier_X_bias": torch.full((2,), torch.nan)}, "2 of the 2 numbers of classifier.bias are NaN"),
    ],
)
def test_a_checkpoint_that_is_another_is_refused_by_the_names_of_its_tensors(
    changes: dict[str, Tensor | None], said: str, make_part: Callable[..., MedKlipLocalizer], tmp_path: Path
) -> None:
    torch.save(changed(random_state(), **changes), tmp_path / "other.pth")
    with pytest.raises(DataError, match=said), make_part(checkpoint=tmp_path / "other.pth").open(Setting()):
        pass


def test_what_is_no_checkpoint_no_query_and_no_text_model_is_named(
    make_part: Callable[..., MedKlipLocalizer], home: Path, tmp_path: Path
) -> None:
    (tmp_path / "none.pth").write_bytes(b"PK\x05\x06" + bytes(18))
    torch.save({"model": Path("code")}, tmp_path / "code.pth")
    (tmp_path / "bert").mkdir()
    BertModel(bert_config(32)).save_pretrained(tmp_path / "bert")
    (tmp_path / "few.json").write_text('{"disease": 3}')
    wrong = [
        ({"checkpoint": tmp_path / "none.pth"}, r"none\.pth"),
        ({"checkpoint": tmp_path / "code.pth"}, r"code\.pth: holds more than tensors, .* leaves the tensors alone"),
        ({"query": "diseases"}, "no observation 'diseases' among 3; disease"),
        ({"queries": tmp_path / "few.json"}, r"few\.json: wants a JSON object"),
        ({"text_model": tmp_path / "bert"}, "32 numbers wide"),
    ]
    for options, said in wrong:
        with pytest.raises(DataError, match=said), make_part(**options).open(Setting()):
            pass
    (home / "table.safetensors").touch()
    for options in ({"text_model": None}, {"queries": home / "table.safetensors"}):
        with pytest.raises(ValueError, match="text_model"):
            make_part(**options)
