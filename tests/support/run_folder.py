"""A run folder written by hand: voters that disagree, an answer that looks like HTML, an image that is gone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmedpo.core.images import ImageRef, hash_pixels
from mmedpo.core.records import Case, Pair, Region, Score, WeightedPair, to_json
from mmedpo.events import StageCount
from mmedpo.store.journal import place_image
from mmedpo.store.run_files.format import write_file, write_rows
from mmedpo.store.run_files.measures import (
    AnsweredCase,
    AttendedCase,
    AttentionSide,
    HeldOutPairs,
    ImageFile,
    LossEnds,
    MeasureRecord,
    RoundTable,
    TrainingRecord,
    list_boxes,
)
from mmedpo.store.run_files.record import RunRecord, RunRound, StageSummary
from mmedpo.store.run_files.rounds import round_folder
from mmedpo.store.run_folder import write_text
from mmedpo.testing import tiny_cases, tiny_pairs

HOSTILE = "<script>document.title = 'owned'</script> No & \"nothing\""


def write_run(folder: Path, pairs: int = 8, *, restricted: bool = False, **parts: Any) -> Path:
    """Write a run folder; of `parts`, a false one leaves its file out, as no pairs do."""
    recipe = {
        "data": [{"use": "csv", "restricted": restricted}],
        "backbone": {"use": "phantom"},
        "journal": None,
        "score": [{"use": "med-llm-vote", "voters": [{"base_url": "http://user:hunter2@localhost:1/v1"}]}],
        "train": {"epochs": 1},
        "evaluate": {"data": {"use": "csv", "restricted": restricted}},
    }
    counts = (StageCount("cases", 9), StageCount("left_out", 2, reason="the image is missing"))
    record = run_record(recipe, flow=(StageSummary(stage="read", counts=counts),), seed=3)
    history = tuple(
        {"step": step, "loss": 1 / step, "rewards/margins/text": 0.1 * step, "rewards/accuracies/image": 0.5}
        for step in range(1, 9)
    )
    training = TrainingRecord(
        key="k",
        counts=(StageCount("trained_pairs", 7, kind="text"),),
        packing="pairs",
        steps=8,
        loss=LossEnds(first=1.0, last=0.125),
        history=history,
        validation={"image": HeldOutPairs(pairs=4, accuracy=0.5, margin=0.0)},
        seconds=1.0,
    )
    write_file(folder, record.model_copy(update=parts.get("run", {})))
    if pairs:
        _write_lines(folder / "pairs.jsonl", [to_json(item) for item in weighted(folder, pairs)])
    if parts.get("training", True):
        write_file(folder, training)
    if parts.get("measures", True):
        write_file(folder, measures().model_copy(update=parts.get("measured", {})))
        write_rows(folder, AnsweredCase, [answer(folder, case, at) for at, case in enumerate(tiny_cases(4))])
        write_rows(folder, AttendedCase, [looked(case) for case in tiny_cases(4)])
    return folder


def write_rounds(folder: Path, count: int, begun: int, **parts: Any) -> Path:
    """Write the folder of a run in rounds, of which some have begun, the last of these with parts of its own."""
    write_file(folder, RoundTable(count=count))
    for number in range(1, begun + 1):
        one = RunRound(number=number, reference="start")
        own = parts if number == begun else {}
        write_run(round_folder(folder, number), **{**own, "run": {**own.get("run", {}), "round": one}})
    return folder


def run_record(recipe: dict[str, Any], **known: Any) -> RunRecord:
    """Make what run.json says of a run that is finished."""
    usual: dict[str, Any] = {
        "state": "finished",
        "until": "evaluate",
        "recipe_file": "recipe.yaml",
        "recipe_hash": "0" * 64,
        "limit": None,
        "started_in": {"absolute": "/", "from_run": ".."},
        "restricted": False,
        "seed": 0,
        "packages": {"mmedpo": "0"},
        "plugins": [{"kind": "reader", "use": "csv", "package": "mmedpo", "version": "0"}],
        "host": {"name": "here", "system": "any", "python": "3"},
        "flow": (),
        "detector": {},
        "scoring": {},
        "spent": {},
    }
    return RunRecord(recipe=recipe, **{**usual, **known})


def weighted(folder: Path, count: int) -> list[WeightedPair]:
    """Make text and image pairs with weights; the first text pair's wrong answer is hostile, its voters far apart."""
    items = []
    for at, pair in enumerate(tiny_pairs("text", count // 2) + tiny_pairs("image", count - count // 2)):
        text = pair.kind == "text"
        pair = replace(_saved(folder, pair), made_by="wrong" if text else "noise")
        if at == 0:
            pair = replace(pair, rejected=replace(pair.rejected, answer=HOSTILE))
        gap = 7 if at == 0 else 0
        votes = [{"voter": "a", "score": 9, "reason": "as <b>said</b>"}]
        votes.append({"voter": "b", "score": 9 - gap, "reason": ""})
        evidence: dict[str, Any] = {"votes": votes} if text else {"regions": [{"label": "nodule"}], "votes": "odd"}
        score = Score(0.5 + at / 100, evidence, "med-llm-vote" if text else "detector-confidence")
        items.append(WeightedPair(pair, score, (0.75, 1.0, 1.25)[at % 3]))
    return items


def measures() -> MeasureRecord:
    """Return what measures.json holds: one measure that is surely better, one that is not resolved."""
    gap = {"sure": {"value": 0.2, "low": 0.1, "high": 0.3, "p": 0.001}}
    gap["unsure"] = {"value": 0.1, "low": -0.1, "high": 0.3, "p": 0.4}
    med_vqa = {
        "use": "med-vqa",
        "better": {"sure": 1, "unsure": 1},
        "before": {"sure": 0.5, "unsure": 0.4, "n_count": 4.0},
        "after": {"sure": 0.7, "unsure": 0.5, "n_count": 4.0},
        "difference": {**gap, "n_count": {"value": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}},
    }
    shares = {
        "before": {"inside_lesion": 0.2},
        "after": {"inside_lesion": 0.3},
        "difference": {"inside_lesion": gap["sure"]},
    }
    attention = {"use": "attention", "better": {"inside_lesion": 1}, **shares}
    overlap = {"images": 4, "trained_on": 0}
    limits = {"closed": 64, "open": 64, "report": 256}
    known = {"cases": 4, "groups": 4, "training_images": 8, "max_new_tokens": limits, "cut": {"before": 0, "after": 0}}
    return MeasureRecord.model_validate({**known, "overlap": overlap, "measures": [med_vqa, attention]})


def answer(folder: Path, case: Case, at: int) -> AnsweredCase:
    """Return a line of answers.jsonl: case 0 got better, case 1 worse; the image of case 3 is gone."""
    image = saved(folder, case.image) if at < 3 else ImageRef("images/gone.png", "f" * 64)
    return AnsweredCase(
        id=case.id,
        group=case.group,
        kind=case.kind,
        question=case.question,
        truth=case.answer,
        before="No" if at == 0 else case.answer,
        after=HOSTILE if at == 1 else case.answer,
        cut=(False, False),
        image=ImageFile(path=image.path, sha256=image.sha256),
        regions=list_boxes(case.regions),
        restricted=False,
        statistics={},
        gain={"med-vqa": (1.0, -1.0, 0.0, 0.0)[at]},
    )


def looked(case: Case) -> AttendedCase:
    """Return a line of attention.jsonl."""
    sides = [AttentionSide(map=[[0.1, 0.2], [0.3, heat]], inside=heat, chance=0.05, beside=0.0) for heat in (0.1, 0.4)]
    return AttendedCase(id=case.id, regions=list_boxes(case.regions), before=sides[0], after=sides[1])


def _saved(folder: Path, pair: Pair) -> Pair:
    case = replace(pair.case, image=saved(folder, pair.case.image), regions=_masked(folder, pair.case.regions))
    chosen, rejected = (replace(side, image=saved(folder, side.image)) for side in (pair.chosen, pair.rejected))
    return replace(pair, case=case, chosen=chosen, rejected=rejected)


def _masked(folder: Path, regions: tuple[Region, ...]) -> tuple[Region, ...]:
    from PIL import Image, ImageDraw

    mask = Image.new("L", (56, 56))
    ImageDraw.Draw(mask).ellipse(regions[0].box, fill=255)
    return tuple(replace(region, mask=saved(folder, ImageRef.drawn(mask))) for region in regions)


def saved(folder: Path, picture: ImageRef) -> ImageRef:
    """Write an image into the run folder and name it as a run does."""
    image = picture.load()
    name = f"images/{place_image(hash_pixels(image))}"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    image.save(folder / name)
    return ImageRef(name, hash_pixels(image))


def _write_lines(path: Path, values: list[Any]) -> None:
    write_text(path, "\n".join(json.dumps(value) for value in values) + "\n")
