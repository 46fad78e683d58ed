"""The model card of an adapter, in Hugging Face's format: what it is, what it is not for, measures before and after."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmedpo.core.number_format import is_count
from mmedpo.core.records import WeightedPair
from mmedpo.exchange.card_text import (
    PAPER,
    STAGES,
    describe_model,
    join_card,
    list_dropped,
    list_makers,
    name_readers,
    table,
)
from mmedpo.store.run_files.counts import describe_counts
from mmedpo.store.run_files.measures import MeasureChange, MeasureRecord, TrainingRecord
from mmedpo.store.run_files.record import RunRecord
from mmedpo.store.run_files.rounds import describe_round

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_VERSIONS = ("mmedpo", "torch", "transformers", "peft", "trl")


def model_card(
    name: str,
    examples: Sequence[WeightedPair],
    run: RunRecord,
    training: TrainingRecord,
    measures: MeasureRecord | None,
) -> str:
    """Return the card of the adapter that was trained on the examples: pairs, or cases."""
    from huggingface_hub import ModelCardData

    base = _base_on_hub(run)
    data = ModelCardData(
        model_name=name,
        base_model=base or None,
        library_name="peft",
        pipeline_tag="image-text-to-text",
        license="unknown",
        tags=["mmedpo", "medical", "sft" if training.of_cases else "dpo", "lora", "trl"],
        eval_results=list(_results(run, measures)) or None,
    )
    restricted = sum(item.pair.case.restricted for item in examples)
    return join_card(data.to_yaml(), _about_adapter(name, base, restricted, run, training, measures))


def _about_adapter(
    name: str,
    base: str,
    restricted: int,
    run: RunRecord,
    training: TrainingRecord,
    measures: MeasureRecord | None,
) -> Iterator[str]:
    pairs = f"clinically weighted preference pairs by the method of {PAPER}"
    learned = "cases as they were read, without preferences," if training.of_cases else pairs
    yield f"# {name}"
    yield ""
    yield (
        f"An adapter (PEFT) for the medical vision-language model {describe_model(run.recipe['backbone'])}, trained on "
        f"{learned} with mmedpo {run.packages['mmedpo']}."
    )
    yield from ("", "## What it must not be used for", *_limits(run.recipe, restricted, training.examples))
    yield from ("", "## Before and after", *_before_after(run, measures))
    yield from ("", "## What it was trained on", *_trained_on(run, training))
    yield from ("", "## How to load it", *_loading(base))
    yield from ("", "## Versions", ", ".join(f"{key} {run.packages[key]}" for key in _VERSIONS))


def _base_on_hub(run: RunRecord) -> str:
    """Return the base's name on the Hub, or "" for one that is a folder here."""
    checkpoint = str(run.recipe["backbone"].get("checkpoint") or "")
    return checkpoint if _is_on_hub(checkpoint) else ""


def _is_on_hub(checkpoint: str) -> bool:
    """Tell whether a checkpoint is a name on the Hub and no folder here."""
    return bool(_HUB_ID.fullmatch(checkpoint)) and not Path(checkpoint).exists()


def _results(run: RunRecord, measures: MeasureRecord | None) -> Iterator[Any]:
    """Yield the measures after training as the Hub's metadata has them; before and interval stand as arguments."""
    from huggingface_hub import EvalResult

    data = (run.recipe["evaluate"] or {}).get("data", {})
    split = str(data.get("split") or "")
    for use, measure, before, after, gap in _list_measures(measures):
        bounds = {"low": gap.low, "high": gap.high} if gap.low is not None else {}
        yield EvalResult(
            task_type="visual-question-answering",
            dataset_type=str(data["use"]),
            dataset_name=f"{data['use']}, {split}" if split else str(data["use"]),
            dataset_split=split or None,
            metric_type=measure,
            metric_name=f"{use} {measure}",
            metric_value=after,
            metric_args={"before": before, "difference": gap.value, **bounds},
        )


def _list_measures(measures: MeasureRecord | None) -> Iterator[tuple[str, str, float, float, MeasureChange]]:
    """Yield metric, measure, value before, value after and the difference; counts are no measures."""
    for one in measures.measures if measures else ():
        after = one.after or {}
        for name, before in one.before.items():
            if name in after and not is_count(name):
                gap = one.difference.get(name, MeasureChange(value=after[name] - before))
                yield one.use, name, before, after[name], gap


def _limits(recipe: Mapping[str, Any], restricted: int, examples: str) -> Iterator[str]:
    yield (
        "- Diagnosis, triage, treatment, or any other decision about a patient. It is no medical device, nobody has "
        "tested it on patients, and it may still state findings that are not there."
    )
    yield "- Images of another kind than those it was trained and measured on."
    if "phantom" in (recipe["backbone"]["use"], *(part["use"] for part in recipe["data"])):
        yield "- Anything with real films: it was trained on drawn ones."
    if restricted:
        seen = f"{restricted:,} of its {examples} are of restricted data"
        yield f"- Sharing: {seen}, and a model can repeat what it has seen."


def _before_after(run: RunRecord, measures: MeasureRecord | None) -> Iterator[str]:
    rows = [_measure_row(*one) for one in _list_measures(measures)]
    if not rows or measures is None:
        yield "It has not been measured."
        return
    data = run.recipe["evaluate"]["data"]
    yield (
        f"{measures.cases:,} cases of {measures.groups:,} patients or images, read by `{data['use']}`; the "
        "intervals of the differences resample whole patients or images. A difference whose interval holds zero is "
        "none."
    )
    yield ""
    yield from table(("metric", "measure", "before", "after", "difference", "95 % interval"), rows)
    yield ""
    yield f"Of the {measures.overlap.images:,} images, {measures.overlap.trained_on:,} were trained on."
    if not measures.overlap.complete:
        yield "What the adapter learned from that training began with is not known."
    if run.measured_elsewhere:
        yield "The answers were given by another engine than the one that trained, before and after."


def _measure_row(use: str, name: str, before: float, after: float, gap: MeasureChange) -> tuple[str, ...]:
    interval = f"{gap.low:+.3f} to {gap.high:+.3f}" if gap.low is not None else ""
    return use, name, f"{before:.3f}", f"{after:.3f}", f"{gap.value:+.3f}", interval


def _describe_method(options: Mapping[str, Any]) -> str:
    """Say what trained and what did not; records of earlier versions say less."""
    lora = ", ".join(f"{key} {value}" for key, value in options["lora"].items())
    how = "all weights of the language model" if options.get("method") == "full" else f"LoRA: {lora}"
    others = ("vision tower", options.get("vision_tower")), ("projector", options["projector"])
    bits = f", on a model in {options['quantize']}" if options.get("quantize") else ""
    said = (f"the {name} was {'trained too' if trained else 'not trained'}" for name, trained in others)
    return f"{how}{bits}; {'; '.join(said)}"


def _trained_on(run: RunRecord, training: TrainingRecord) -> Iterator[str]:
    recipe = run.recipe
    if training.of_cases:
        yield f"- read by: {name_readers(recipe)}; every case, and no pair: their weights played no part"
    else:
        yield from list_makers(recipe)
    if run.round:
        yield f"- round {run.round.number}: {describe_round(run.round)}; before, above, is the start"
    yield f"- {describe_counts(training.counts)}"
    options = recipe["train"]
    loss = " + ".join(map(_describe_loss, options["loss"]))
    step = f"{options['batch_size'] * options['accumulate']} {training.examples}"
    yield (
        f"- {training.steps:,} steps, {options['epochs']:g} epochs, a step of {step}, "
        f"learning rate {options['learning_rate']:g}, beta {options['beta']:g}"
    )
    yield f"- loss: {loss}; {_describe_method(options)}"
    for kind, held in training.validation.items():
        ranked = f"{held.accuracy:.0%} ranked right, reward margin {held.margin:+.3f}"
        yield f"- held-out pairs, {kind} ({held.pairs:,}): {ranked}"
    yield from list_dropped(run, ("read",) if training.of_cases else STAGES)


def _describe_loss(loss: Mapping[str, Any]) -> str:
    own = [f"beta {loss['beta']:g}"] if loss["beta"] is not None else []  # else the training's
    of = [f"{loss['pairs']} pairs"] if loss["pairs"] != "all" else []
    return f"{loss['coefficient']:g} x {loss['use']}" + (f" ({', '.join(own + of)})" if own or of else "")


def _loading(base: str) -> Iterator[str]:
    yield "`mmedpo merge RUN OUT` writes model and adapter in one, in the plain form of transformers. With PEFT alone:"
    yield ""
    yield "```python"
    yield "from peft import PeftModel"
    yield "from transformers import AutoModelForImageTextToText"
    yield ""
    yield f'model = AutoModelForImageTextToText.from_pretrained("{base or "BASE"}")'
    yield 'model = PeftModel.from_pretrained(model, "THIS_FOLDER")'
    yield "```"
    yield ""
    yield (
        "The base must be in the plain form of transformers; of LLaVA-Med as it was released, "
        "`mmedpo convert CHECKPOINT BASE` writes that form, but for LLaVA-Med++, which mmedpo alone opens. `base.json` "
        "tells which model it is."
    )
