"""Cards in Hugging Face's format: what pairs are and how they were made, what an adapter is and what it is not for.

A card says what the run's files say and nothing of the moment, so a run that is killed and carried out again ends
with the same cards.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from mmedpo.core.records import GIVEN, WeightedPair
from mmedpo.evaluate.direction import is_count
from mmedpo.models.checkpoints import public_name
from mmedpo.store.run_files.counts import describe_count, describe_counts, is_lost
from mmedpo.store.run_files.measures import MeasureChange, MeasureRecord, TrainingRecord
from mmedpo.store.run_files.record import RunRecord

PAPER = "[MMedPO](https://arxiv.org/abs/2412.06141)"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def data_card(
    pairs: Sequence[WeightedPair], run: RunRecord, *, license: str = "", table: str = "", lost: Sequence[str] = ()
) -> str:
    """Return the card of a set of pairs.

    `table` is the file that `datasets` loads, `lost` what the form they are in does not hold.
    """
    from huggingface_hub import DatasetCardData

    config = {"config_name": "default", "data_files": [{"split": "train", "path": table}]}
    more: dict[str, Any] = {"configs": [config]} if table else {}
    data = DatasetCardData(
        license=license or "unknown",
        pretty_name=f"Preference pairs from {run.recipe['data']['use']}",
        task_categories=["visual-question-answering"],
        size_categories=[next((name for most, name in _SIZES if len(pairs) < most), "n>1M")],
        tags=["mmedpo", "medical", "preference", "dpo", "image"],
        **more,
    )
    return _card(data.to_yaml(), _about_pairs(pairs, run, license, lost))


def model_card(
    name: str,
    pairs: Sequence[WeightedPair],
    run: RunRecord,
    training: TrainingRecord,
    measures: MeasureRecord | None,
) -> str:
    """Return the card of the adapter that was trained on the pairs."""
    from huggingface_hub import ModelCardData

    base = _base(run)
    data = ModelCardData(
        model_name=name,
        base_model=base or None,
        library_name="peft",
        pipeline_tag="image-text-to-text",
        license="unknown",
        tags=["mmedpo", "medical", "dpo", "lora", "trl"],
        eval_results=list(_results(run, measures)) or None,
    )
    restricted = sum(item.pair.case.restricted for item in pairs)
    return _card(data.to_yaml(), _about_adapter(name, base, restricted, run, training, measures))


def _card(metadata: str, lines: Iterable[str]) -> str:
    return f"---\n{metadata.strip()}\n---\n\n" + "\n".join(lines) + "\n"


# --- pairs -------------------------------------------------------------------------------------------------------


def _about_pairs(pairs: Sequence[WeightedPair], run: RunRecord, license: str, lost: Sequence[str]) -> Iterator[str]:
    recipe = run.recipe
    yield f"# Preference pairs from {recipe['data']['use']}"
    yield ""
    yield (
        f"{len(pairs):,} preference pairs for medical visual questions, made by the method of {PAPER} with mmedpo "
        f"{run.packages['mmedpo']}. In each, for one question, the chosen side (an image and an answer) is to be "
        "preferred to the rejected side. Rejected sides are made to be wrong: take none for a statement about an image."
    )
    yield from _restrictions(pairs, license)
    if lost:
        yield from ("", "## What this form does not hold", *(f"- {sentence}." for sentence in lost))
    yield from ("", "## How they were made", *_making(recipe), "")
    yield from _table(("kind", "made by", "pairs", "mean weight"), _counts(pairs))
    if dropped := list(_dropped(run)):
        yield from ("", "Left out on the way:", "", *dropped)
    yield from ("", "## Lengths of the answers, in words", "")
    yield from _table(("kind", "chosen, mean", "chosen, median", "rejected, mean", "rejected, median"), _lengths(pairs))
    yield from _longer(pairs)
    yield from ("", "## Who rated them", *_raters(pairs, run.scoring))


def _restrictions(pairs: Sequence[WeightedPair], license: str) -> Iterator[str]:
    count = sum(item.pair.case.restricted for item in pairs)
    yield from ("", "## Restrictions")
    if count:
        yield (
            f"{count:,} of {len(pairs):,} pairs are restricted: made of data that must not leave the machine they are "
            "on. This folder is as restricted as those data; share it with nobody who may not have them."
        )
    else:
        yield "No pair is marked as restricted."
    yield ""
    if license:
        yield f"The data they are made of have the licence `{license}`; what it asks for holds for the pairs as well."
    else:
        yield "The licence of these data is not known here: fill in `license` above before you share them."


def _making(recipe: Mapping[str, Any]) -> Iterator[str]:
    """Say which parts the pairs went through, without any path of the machine they were made on."""
    steps = {
        "read by": recipe["data"],
        "lesions found by": recipe["localize"],
        "rejected sides made by": recipe["disprefer"],
        "rated by": recipe["score"],
        "weighted by": recipe["weigh"],
    }
    for what, parts in steps.items():
        names = [part["use"] for part in (parts if isinstance(parts, list) else [parts])]
        if names:
            yield f"- {what}: {', '.join(f'`{name}`' for name in names)}"
    if recipe["disprefer"]:
        yield f"- the model to align: {_model(recipe['backbone'])}"


def _model(backbone: Mapping[str, Any]) -> str:
    checkpoint = str(backbone.get("checkpoint") or "")
    return f"`{backbone['use']}`" + (f" ({public_name(checkpoint)})" if checkpoint else "")


def _on_hub(checkpoint: str) -> bool:
    """Tell whether a checkpoint is a name on the Hub and no folder here."""
    return bool(_HUB_ID.fullmatch(checkpoint)) and not Path(checkpoint).exists()


def _counts(pairs: Sequence[WeightedPair]) -> Iterator[tuple[str, ...]]:
    weights: dict[tuple[str, str], list[float]] = {}
    for item in pairs:
        weights.setdefault((item.pair.kind, item.pair.made_by), []).append(item.weight)
    for (kind, maker), mine in sorted(weights.items()):
        yield kind, maker, f"{len(mine):,}", f"{fmean(mine):.3f}"


def _dropped(run: RunRecord) -> Iterator[str]:
    for stage in ("read", "localize", "disprefer", "score", "weigh"):
        for count in run.stage(stage).counts:
            if count.count and is_lost(count):
                yield f"- {stage}: {count.count:,} {describe_count(count)}"


def _lengths(pairs: Sequence[WeightedPair]) -> Iterator[tuple[str, ...]]:
    for kind in sorted({item.pair.kind for item in pairs}):
        sides = list(zip(*_words(pairs, kind), strict=True))
        yield (kind, *(f"{value:.1f}" for side in sides for value in (fmean(side), median(side))))


def _words(pairs: Sequence[WeightedPair], kind: str) -> list[tuple[int, int]]:
    of_kind = [item.pair for item in pairs if item.pair.kind == kind]
    return [(len(pair.chosen.answer.split()), len(pair.rejected.answer.split())) for pair in of_kind]


def _longer(pairs: Sequence[WeightedPair]) -> Iterator[str]:
    """Say how often the rejected answer is the longer one: a model can learn that in place of what is right."""
    if both := _words(pairs, "text"):
        share = fmean(rejected > chosen for chosen, rejected in both)
        yield ""
        yield (
            f"Of the text pairs, {share:.0%} have the longer answer on the rejected side. Where that share is far from "
            "half, a model can learn the length in place of what is right."
        )


def _raters(pairs: Sequence[WeightedPair], scoring: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    raters = Counter(item.score.scorer or "nobody" for item in pairs)
    for name, count in sorted(raters.items()):
        rated = [item.score.relevance for item in pairs if (item.score.scorer or "nobody") == name]
        values = [value for value in rated if value is not None]
        mean = f", mean relevance {fmean(values):.3f}" if values else ""
        yield f"- {name}: {count:,} pairs{mean}"
    if count := sum(GIVEN in item.pair.notes for item in pairs):
        yield f"- {count:,} of these scores came with the pairs"
    for name, summary in scoring.items():
        yield from _agreement(name, summary)


def _agreement(name: str, summary: Mapping[str, Any]) -> Iterator[str]:
    """Say who voted, and how far the voters agreed."""
    if "votes" in summary:
        votes = [f"{voter} on {count:,} pairs" for voter, count in summary["votes"].items()]
        yield f"- {name}: votes by {', '.join(votes)}"
    for key, called in (("alpha", "alpha"), ("ordinal_alpha", "ordinal alpha")):
        if key in summary:
            values = ", ".join(f"{which} votes {_number(value)}" for which, value in summary[key].items())
            yield f"- {name}: Krippendorff's {called}: {values}"
    for one in summary.get("rank_correlation", ()):
        yield f"- {name}: rank correlation of {', '.join(one['voters'])}: {_number(one['value'])}"
    if "votes" in summary and len(summary["votes"]) == 1:
        yield f"- {name}: one voter alone, so there is no agreement to tell of"


# --- the adapter -------------------------------------------------------------------------------------------------


def _base(run: RunRecord) -> str:
    """Return the base's name on the Hub, or "" for one that is a folder here."""
    checkpoint = str(run.recipe["backbone"].get("checkpoint") or "")
    return checkpoint if _on_hub(checkpoint) else ""


def _results(run: RunRecord, measures: MeasureRecord | None) -> Iterator[Any]:
    """Yield the measures after training as the Hub's metadata has them; before and interval stand as arguments."""
    from huggingface_hub import EvalResult

    data = (run.recipe["evaluate"] or {}).get("data", {})
    split = str(data.get("split") or "")
    for use, measure, before, after, gap in _measured(measures):
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


def _measured(measures: MeasureRecord | None) -> Iterator[tuple[str, str, float, float, MeasureChange]]:
    """Yield metric, measure, value before, value after and the difference; counts are no measures."""
    for one in measures.measures if measures else ():
        after = one.after or {}
        for name, before in one.before.items():
            if name in after and not is_count(name):
                gap = one.difference.get(name, MeasureChange(value=after[name] - before))
                yield one.use, name, before, after[name], gap


def _about_adapter(
    name: str,
    base: str,
    restricted: int,
    run: RunRecord,
    training: TrainingRecord,
    measures: MeasureRecord | None,
) -> Iterator[str]:
    recipe = run.recipe
    yield f"# {name}"
    yield ""
    yield (
        f"An adapter (PEFT) for the medical vision-language model {_model(recipe['backbone'])}, trained on clinically "
        f"weighted preference pairs by the method of {PAPER} with mmedpo {run.packages['mmedpo']}."
    )
    yield from ("", "## What it must not be used for", *_limits(recipe, restricted))
    yield from ("", "## Before and after", *_before_after(recipe, measures))
    yield from ("", "## What it was trained on", *_trained_on(run, training))
    yield from ("", "## How to load it", *_loading(base))
    yield from ("", "## Versions", ", ".join(f"{key} {run.packages[key]}" for key in _VERSIONS))


_VERSIONS = ("mmedpo", "torch", "transformers", "peft", "trl")


def _limits(recipe: Mapping[str, Any], restricted: int) -> Iterator[str]:
    yield (
        "- Diagnosis, triage, treatment, or any other decision about a patient. It is no medical device, nobody has "
        "tested it on patients, and it may still state findings that are not there."
    )
    yield "- Images of another kind than those it was trained and measured on."
    if "phantom" in (recipe["data"]["use"], recipe["backbone"]["use"]):
        yield "- Anything with real films: it was trained on drawn ones."
    if restricted:
        yield f"- Sharing: {restricted:,} of its pairs are of restricted data, and a model can repeat what it has seen."


def _before_after(recipe: Mapping[str, Any], measures: MeasureRecord | None) -> Iterator[str]:
    rows = [_measure_row(*one) for one in _measured(measures)]
    if not rows or measures is None:
        yield "It has not been measured."
        return
    data = recipe["evaluate"]["data"]
    yield (
        f"{measures.cases:,} cases of {measures.groups:,} patients or images, read by `{data['use']}`; the "
        "intervals of the differences resample whole patients or images. A difference whose interval holds zero is "
        "none."
    )
    yield ""
    yield from _table(("metric", "measure", "before", "after", "difference", "95 % interval"), rows)
    yield ""
    yield f"Of the {measures.overlap.images:,} images, {measures.overlap.trained_on:,} were trained on."


def _measure_row(use: str, name: str, before: float, after: float, gap: MeasureChange) -> tuple[str, ...]:
    interval = f"{gap.low:+.3f} to {gap.high:+.3f}" if gap.low is not None else ""
    return use, name, f"{before:.3f}", f"{after:.3f}", f"{gap.value:+.3f}", interval


def _trained_on(run: RunRecord, training: TrainingRecord) -> Iterator[str]:
    recipe = run.recipe
    yield from _making(recipe)
    yield f"- {describe_counts(training.counts)}"
    options = recipe["train"]
    loss = ", ".join(f"{key} {value}" for key, value in options["loss"].items())
    lora = ", ".join(f"{key} {value}" for key, value in options["lora"].items())
    projector = "trained too" if options["projector"] else "not trained"
    yield (
        f"- {training.steps:,} steps, {options['epochs']:g} epochs, a step of "
        f"{options['batch_size'] * options['accumulate']} pairs, learning rate {options['learning_rate']:g}, "
        f"beta {options['beta']:g}"
    )
    yield f"- loss: {loss}; LoRA: {lora}; the projector was {projector}"
    for kind, held in training.validation.items():
        ranked = f"{held.accuracy:.0%} ranked right, reward margin {held.margin:+.3f}"
        yield f"- held-out pairs, {kind} ({held.pairs:,}): {ranked}"
    yield from _dropped(run)


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
        "`mmedpo convert CHECKPOINT BASE` writes that form. `base.json` tells which model it is."
    )


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
