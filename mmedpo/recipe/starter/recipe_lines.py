"""The lines of a first recipe, each with what it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmedpo.recipe.starter.data_survey import DataSurvey, ReaderGuess
from mmedpo.recipe.starter.flow_yaml import flow

DRAWN = "the model to align: 1.7 million parameters, made for drawn films"
STAND_IN = (
    "# The model to align. `phantom` comes with mmedpo and was made for drawn films: it knows nothing of yours, so its",
    "# measures say nothing. It shows that everything runs, here and offline. With a GPU, and 15 GB to download:",
    "# backbone: {use: llava-med, checkpoint: microsoft/llava-med-v1.5-mistral-7b}",
)
WIDTH = 54  # of a line, before what it does


def head(out: Path, about: str, told: list[str]) -> Iterator[str]:
    """Yield the comment that a recipe begins with."""
    yield f"# {about} Written by `mmedpo init`; change what you like."
    yield f"# Check:   mmedpo check {out}"
    yield f"# Try:     mmedpo run {out} --limit 8"
    yield f"# Run:     mmedpo run {out}                  to the report {output_of(out)}/report.html"
    yield f"# Pairs:   mmedpo run {out} --until weigh    asks no model; they are {output_of(out)}/pairs.jsonl"
    for line in told:
        yield f"# {line}".rstrip()


def output_of(out: Path) -> str:
    """Return the run folder of a recipe."""
    return f"runs/{out.stem}"


def line(written: str, does: str = "") -> str:
    """Return a line with what it does behind it; of a long one, above it."""
    if does and len(written) > WIDTH:
        return f"{' ' * (len(written) - len(written.lstrip()))}# {does}:\n{written}"
    return f"{written:{WIDTH}}  # {does}" if does else written


def start(out: Path) -> Iterator[str]:
    """Yield where the run goes."""
    yield line(f"output: {flow(output_of(out))}", "the run folder; paths are seen from where you are")
    yield line("seed: 0", "all that is drawn derives from it")


def data(guess: ReaderGuess, split: Mapping[str, Any] | None, told: Mapping[str, str]) -> Iterator[str]:
    """Yield the reader of the data, an option a line."""
    yield "data:"
    yield line(f"  use: {guess.reader.use}", "the reader; `mmedpo plugins show` tells its options")
    for name, value in {**guess.guess.options, **({"split": split} if split else {})}.items():
        yield line(f"  {name}: {flow(value)}", told.get(name, ""))
    if not guess.reader.public:
        yield line("  restricted: true", "no host gets them that `allow_remote` does not name")


def backbone(*, drawn: bool = False) -> Iterator[str]:
    """Yield the model that can run everywhere and, unless the films are drawn for it, the one that is meant."""
    yield from () if drawn else STAND_IN
    yield line("backbone: {use: phantom}", DRAWN if drawn else "a stand-in")


def pairs(survey: DataSurvey, text_makers: Mapping[str, str]) -> Iterator[str]:
    """Yield who makes pairs, who rates them, and who weighs them."""
    regions = bool(survey.with_regions)
    if regions:
        yield line("localize: {use: annotated}", "lesions: the boxes that the data come with")
    yield "disprefer:"
    for use, what in text_makers.items():
        yield line(f"  - {{use: {use}}}", what)
    if regions:
        yield line("  - {use: lesion-noise, step: 500}", "image pairs: the lesion under noise")
    else:
        noise = "  - {use: global-noise, without_region: noise}"
        yield line(noise, "image pairs: the film under noise; lesion-noise needs boxes")
    yield line("# - {use: self-hallucination, samples: 4}", "the paper's: what the model itself gets wrong")
    if text_makers or regions:
        yield "score:"
    if text_makers:
        yield line("  - {use: med-llm-vote}", "how much a text pair matters: by rules; LLMs can vote")
    if regions:
        yield line("  - {use: detector-confidence}", "of an image pair: how sure the box is")
    yield line("unrated: keep", "a pair that nobody rates weighs 1")
    yield line("weigh: {use: clinical, low: 0.75, high: 1.25}", "weights of the relevances, as in the paper")


def train() -> Iterator[str]:
    """Yield how to train."""
    yield "train:"
    yield line("  epochs: 1")
    yield line("  learning_rate: 1e-3", "for this small model; 1e-7 for 7 billion parameters")
    yield line("  batch_size: 16")
    yield line("  lora: {r: 16, alpha: 32}", "what is trained: a small adapter beside the model")
    yield line("  loss: [{use: sigmoid}, {use: nll}]", "weighted DPO, and the right answers themselves")


def for_others(lines: list[str]) -> Iterator[str]:
    """Yield lines as comments, for a backbone that takes several images."""
    yield "# For a backbone that takes several images a case (hf-vlm), take the marks off:"
    yield from (f"# {one}" for text in lines for one in text.split("\n"))


def evaluate(survey: DataSurvey, test: Mapping[str, Any] | None, why: str) -> Iterator[str]:
    """Yield what is measured before and after."""
    if why:
        yield f"# Nothing is measured: {why}."
        return
    yield "evaluate:"
    yield (
        line(f"  data: {flow(test)}", "the cases to measure on")
        if test
        else line("# data:", "without it, those that the split above holds out")
    )
    measures = []
    if survey.kinds["closed"] or survey.kinds["open"]:
        measures.append({"use": "med-vqa"})
    if survey.kinds["report"]:
        measures += [{"use": "report-text"}, {"use": "findings"}]
    yield line(f"  measure: {flow(measures)}", "before and after, with intervals over patients")
