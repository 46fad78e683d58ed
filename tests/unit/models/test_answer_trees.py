"""Answers on token trees: the tokens of `generate`, each image read once, finished answers out of the way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_llava import make_backbone, make_image
from tiny_models import IMAGE, MODELS, PROJECTORS, Tiny, make_tiny

from mmedpo import Case, ImageRef
from mmedpo.core.answers import was_cut
from mmedpo.models import EncodedPrompt, TransformersBackbone
from mmedpo.models.answering.batches import AskedPrompt, split_batches, token_budget
from mmedpo.models.trees.inputs import ImageSequence
from mmedpo.models.vision.vision_cache import keep_features


class NumberTokenizer:
    """Words are the numbers of tokens."""

    pad_token_id = 0

    def batch_decode(self, rows: Sequence[Sequence[int]], skip_special_tokens: bool) -> list[str]:
        return [" ".join(map(str, row)) for row in rows]


class TinyBackbone(TransformersBackbone):
    """A tiny model of some architecture; a question is the numbers of its tokens."""

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.tiny: Tiny = make_tiny(name, dtype)
        self.images = [ImageRef.drawn(make_image(number)) for number in range(3)]
        super().__init__(
            self.tiny.model, NumberTokenizer(), preprocess=lambda image: image, prompt=lambda seen, question: None,
            end=1, stop=[1, 9], lora_targets="x", projector=re.escape(PROJECTORS[name]),
        )  # type: ignore[arg-type, return-value]  # fmt: skip

    def prompt(self, images: Sequence[ImageRef], question: str) -> EncodedPrompt:
        shown = [self.tiny.images[self.images.index(image)] for image in images]
        ids = [*(token for own, _ in shown for token in own), *map(int, question.split())]
        types = [int(token == IMAGE) for token in ids] if self.tiny.types else None
        return EncodedPrompt(ids, [vision for _, vision in shown], types)

    def cases(self, *more: int) -> list[Case]:
        """Make questions of one to seven tokens about three images by turns, some asked up to three times.

        `more` are the images that every fourth question shows beside its own.
        """
        further = tuple(self.images[number] for number in more)
        draw = np.random.default_rng(0)
        asked = [" ".join(map(str, draw.integers(5, 40, 1 + number % 7))) for number in range(20)]
        return [
            Case(
                f"{number}-{sample}", self.images[number % 3], question, "yes", more_images=further * (number % 4 == 1)
            )
            for number, question in enumerate(asked)
            for sample in range(1 + number % 3)
        ]


def by_rows(live: TransformersBackbone, cases: Sequence[Case], **options: Any) -> list[str]:
    """Let `generate` answer."""
    live.causal, causal = False, live.causal
    live._noted = True
    try:
        return live.answer(cases, **options)
    finally:
        live.causal = causal


@pytest.mark.parametrize("more", [(), (2, 0)], ids=["one image", "several images"])
@pytest.mark.parametrize("sampled", [False, True], ids=["greedy", "sampled"])
@pytest.mark.parametrize("name", MODELS)
def test_trees_answer_with_the_tokens_of_generate(name: str, sampled: bool, more: tuple[int, ...]) -> None:
    live = TinyBackbone(name, torch.float64)
    cases = live.cases(*more)
    seeds = {"temperature": 1.0, "seeds": list(range(len(cases)))} if sampled else {}
    for longest in (1, 24):
        wanted = by_rows(live, cases, max_new_tokens=longest, **seeds)
        for tokens in (1, 300, 10**6):  # a row at a time, some rows, all rows
            live.batch_tokens = tokens
            said = live.answer(cases, max_new_tokens=longest, **seeds)
            assert said == wanted
            assert [was_cut(text) for text in said] == [was_cut(text) for text in wanted]
    assert len({len(text.split()) for text in wanted}) > 1  # they end here and there


@pytest.mark.parametrize("attention", ["eager", "sdpa", "flex_attention"])
def test_attention_of_any_kind_that_takes_a_mask_answers_the_same(attention: str) -> None:
    live, plain = make_backbone(), make_backbone()
    live.model.set_attn_implementation(attention)
    cases = [Case(str(n), ImageRef.drawn(make_image(n % 2)), "is there a", "yes") for n in range(4)]
    assert live.answer(cases, max_new_tokens=8) == plain.answer(cases, max_new_tokens=8)
    assert live.model.config.get_text_config()._attn_implementation == attention


def test_a_model_that_reads_no_trees_answers_by_generate_and_one_line_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    live, trees = make_backbone(), make_backbone()
    live.causal = False
    cases = [Case(str(n), ImageRef.drawn(make_image(n % 2)), "is there a", "yes") for n in range(12)]
    assert live.answer(cases, max_new_tokens=4) == trees.answer(cases, max_new_tokens=4)
    live.answer(cases, max_new_tokens=4)
    assert capsys.readouterr().err == (
        "mmedpo: answering 8 at a time instead of on token trees: LlavaForConditionalGeneration: its attention is not "
        "known to be purely causal\n"
    )


def test_a_window_counts_with_the_longest_prompt_and_answer(capsys: pytest.CaptureFixture[str]) -> None:
    live = make_backbone()
    live.model.config.text_config.sliding_window = 16
    case = Case("a", ImageRef.drawn(make_image(0)), "is there a", "yes")
    live.answer([case], max_new_tokens=4)
    assert not capsys.readouterr().err
    live.answer([case], max_new_tokens=40)
    assert "reaches back 16 tokens" in capsys.readouterr().err


# What is computed


@pytest.fixture
def tokens_read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Note the rows and tokens of each call of a language model."""
    from transformers import MistralModel

    seen: list[tuple[int, int]] = []
    forward = MistralModel.forward

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(tuple(kwargs["inputs_embeds"].shape[:2]))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(MistralModel, "forward", counted)
    return seen


def test_an_image_is_read_once_for_all_its_questions_and_samples(tokens_read: list[tuple[int, int]]) -> None:
    live, image = make_backbone(), ImageRef.drawn(make_image(0))
    questions = ["is there", "is there a", "left lung"]
    cases = [Case(f"{question}{sample}", image, question, "yes") for question in questions for sample in range(4)]
    live.answer(cases, max_new_tokens=1, temperature=1.0, seeds=range(12))
    sizes = [len(live.prompt([image], question).ids) for question in questions]
    ((rows, tokens),) = tokens_read
    assert rows == 1
    assert tokens < sum(sizes) - 2 * 4  # the image's four placeholders stand there once
    assert tokens >= max(sizes)


def test_a_finished_answer_has_no_part_in_the_next_step(tokens_read: list[tuple[int, int]]) -> None:
    live = make_backbone()
    cases = [Case(str(n), ImageRef.drawn(make_image(n)), "is there a", "yes") for n in range(8)]
    answers = live.answer(cases, max_new_tokens=24, temperature=1.0, seeds=range(8))
    rows = [rows for rows, _ in tokens_read]
    assert len({len(text.split()) for text in answers}) > 1
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] < 8


def test_a_step_of_one_row_reads_one_token_of_each_unfinished_answer(tokens_read: list[tuple[int, int]]) -> None:
    live, image = make_backbone(), ImageRef.drawn(make_image(0))
    live.stop = []
    cases = [Case(question, image, question, "yes") for question in ("is there", "is there a", "left lung")]
    live.answer(cases, max_new_tokens=3)
    assert tokens_read[1:] == [(1, 3), (1, 3)]


def test_the_tower_looks_once_at_what_a_run_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import CLIPVisionModel

    looks: list[int] = []
    forward = CLIPVisionModel.forward

    def counted(self: Any, pixel_values: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        looks.append(len(pixel_values))
        return forward(self, pixel_values, *args, **kwargs)

    monkeypatch.setattr(CLIPVisionModel, "forward", counted)
    cases = [Case(str(n), ImageRef.drawn(make_image(n % 4)), "is there a", "yes") for n in range(8)]
    without = make_backbone().answer(cases, max_new_tokens=6)
    assert sum(looks) == 4
    for process in (0, 0, 1):  # as two stages open it, and then another process
        live = make_backbone()
        with keep_features(live, tmp_path, memory=1, rank=process):
            assert live.answer(cases, max_new_tokens=6) == without
            assert live.answer(cases, max_new_tokens=6) == without
    assert sum(looks) == 8


# Batches


def asked(sizes: Sequence[tuple[str, int]]) -> Iterator[AskedPrompt]:
    """Ask questions of so many tokens, none like another, about images."""
    first = 100
    for number, (image, size) in enumerate(sizes):
        yield AskedPrompt(number, ImageSequence.of((image,), range(first, first + size), None, []))
        first += size


def numbers(sizes: Sequence[tuple[str, int]], longest: int, budget: int) -> list[list[list[int]]]:
    batches = split_batches(asked(sizes), longest, budget)
    return [[[one.number for one in row] for row in batch] for batch in batches]


def test_a_batch_holds_as_many_rows_as_the_budget_has_room_for() -> None:
    sizes = [("a", 10), ("a", 10), ("b", 10), ("c", 30), ("d", 10)]
    assert numbers(sizes, 5, 10**6) == [[[0, 1], [2], [3], [4]]]
    assert numbers(sizes, 5, 60) == [[[0, 1], [2]], [[3]], [[4]]]  # a is 30 wide, and c 35
    assert numbers(sizes, 5, 1) == [[[0, 1]], [[2]], [[3]], [[4]]]


def test_an_image_with_many_long_answers_has_several_rows() -> None:
    assert numbers([("a", 4)] * 5, 400, 10**6) == [[[0, 1], [2, 3], [4]]]


def test_a_gpu_takes_as_many_tokens_as_a_quarter_of_its_free_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import MistralConfig

    text = MistralConfig()  # 7B: 65,536 numbers a token are kept, and 75,776 made on the way
    config = SimpleNamespace(get_text_config=lambda: text)
    model = SimpleNamespace(device=torch.device("cuda"), dtype=torch.bfloat16, config=config)
    for free, tokens in ((2**30, 2**13), (40 * 2**30, 10 * 2**30 // (2 * (65_536 + 75_776))), (2**40, 2**17)):
        monkeypatch.setattr("torch.cuda.mem_get_info", lambda device, free=free: (free, free))
        assert token_budget(model) == tokens
    assert token_budget(make_backbone().model) == 2**13
