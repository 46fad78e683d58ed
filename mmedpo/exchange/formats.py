"""What TRL, ms-swift, LLaMA-Factory and MMedPO's own code load, and a form that holds all there is to a pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from mmedpo.core.records import Case, Side, WeightedPair
from mmedpo.exchange.pair_format import (
    IMAGES,
    PairFormat,
    PairImages,
    describe_pair,
    describe_region,
    make_own_columns,
    write_parquet,
)
from mmedpo.store.run_folder import json_line, write_json, write_json_list, write_lines

# A folder of images with a table beside them, as `datasets` and the Hub load it: each column of names that ends so
# becomes a column of images. An image that several rows show is there once.
PARQUET = "metadata.parquet"
IMAGE_FOLDER = (PARQUET, f"{IMAGES}/**")
BARE_PARQUET = "pairs.parquet"  # without images it is a table, whose names are texts
ONE, SEVERAL = "_file_name", "_file_names"
_TEXTS = ("evidence", "notes", "case_notes")  # columns that hold JSON


# What models' own processors take for an image, in whichever tool: LLaVA, Qwen-VL, Llama, Gemma, Pixtral.
MODELS: tuple[str, ...] = ("<image>", "<video>", "<|image|>", "<|image_pad|>", "<|video_pad|>", "[IMG]")
MODELS = (*MODELS, "<start_of_image>", "<image_soft_token>")
UNRATED = "unrated"  # beside what every tool may not take up


class TrlFormat(PairFormat):
    """What `trl.DPOTrainer` takes: images, prompt, chosen, rejected, in a table that `datasets` loads."""

    use = "trl"
    tool = "TRL"
    two_images = False
    table = IMAGE_FOLDER
    bare_table = (BARE_PARQUET,)
    marks = MODELS
    weight_note = "TRL's DPOTrainer has no weight per pair: it ignores the column `weight`"

    def write(self, pairs: Iterable[WeightedPair], folder: Path, *, images: bool = True) -> None:
        """Write one parquet file and the images."""
        files = PairImages(folder, images)
        write_parquet(
            folder / (PARQUET if images else BARE_PARQUET), _trl_columns(), (self._row(item, files) for item in pairs)
        )

    def _row(self, item: WeightedPair, images: PairImages) -> dict[str, Any]:
        pair = item.pair
        return {
            f"images{SEVERAL}": images.write_all(pair.chosen.images),
            "prompt": [{"role": "user", "content": pair.case.question}],
            "chosen": [{"role": "assistant", "content": pair.chosen.answer}],
            "rejected": [{"role": "assistant", "content": pair.rejected.answer}],
            **make_own_columns(item, images),
        }


class MsSwiftFormat(PairFormat):
    """What ms-swift takes: a line a pair with messages, rejected_messages, images, rejected_images."""

    use = "ms-swift"
    tool = "ms-swift"
    table = ("pairs.jsonl",)
    marks = (*MODELS, "<audio>", "<bbox>", "<ref-object>", "<cot-process>", "<start-image>")
    weight_note = "ms-swift has no weight per pair: it drops the column `weight`"

    def write(self, pairs: Iterable[WeightedPair], folder: Path, *, images: bool = True) -> None:
        """Write `pairs.jsonl` and the images."""
        files = PairImages(folder, images)
        write_lines(folder / "pairs.jsonl", (json_line(self._row(item, files)) for item in pairs))

    def _row(self, item: WeightedPair, images: PairImages) -> dict[str, Any]:
        pair = item.pair
        sides = {"messages": pair.chosen, "rejected_messages": pair.rejected}
        return {
            **{name: _make_turns(pair.case.question, side) for name, side in sides.items()},
            "images": images.write_all(pair.chosen.images),
            "rejected_images": images.write_all(pair.rejected.images),
            **make_own_columns(item, images),
        }

    def describe_losses(self, losses: Mapping[str, int], total: int) -> Iterator[str]:
        """Yield also since when ms-swift has rejected messages."""
        yield from super().describe_losses(losses, total)
        yield "needs ms-swift 3.8 or newer, which reads `rejected_messages` and `rejected_images`"


class LlamaFactoryFormat(PairFormat):
    """What LLaMA-Factory takes: its ShareGPT ranking form, and the dataset_info.json that describes it."""

    use = "llama-factory"
    tool = "LLaMA-Factory"
    two_images = False
    table = ("pairs.json",)
    marks = (*MODELS, "<audio>")
    weight_note = "LLaMA-Factory has no weight per pair: it ignores the column `weight`"

    def write(self, pairs: Iterable[WeightedPair], folder: Path, *, images: bool = True) -> None:
        """Write `pairs.json`, `dataset_info.json` and the images."""
        files = PairImages(folder, images)
        write_json_list(folder / "pairs.json", (self._row(item, files) for item in pairs))
        columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected", "images": "images"}
        shape = {"file_name": "pairs.json", "formatting": "sharegpt", "ranking": True, "columns": columns}
        write_json(folder / "dataset_info.json", {"mmedpo_pairs": shape})

    def _row(self, item: WeightedPair, images: PairImages) -> dict[str, Any]:
        pair = item.pair
        return {
            "conversations": [{"from": "human", "value": _mark_images(pair.case.question, pair.chosen)}],
            "chosen": {"from": "gpt", "value": pair.chosen.answer},
            "rejected": {"from": "gpt", "value": pair.rejected.answer},
            "images": images.write_all(pair.chosen.images),
            **make_own_columns(item, images),
        }


class MmedpoJsonFormat(PairFormat):
    """What was released with MMedPO: conversations, rejected_conversations, weighted_score."""

    use = "mmedpo-json"
    tool = "MMedPO's code"
    file: ClassVar = "pairs_dpo_weighted.json"
    several_images = False
    marks = ("<image>", "<im_start>", "<im_end>", "<im_patch>")
    weight_note = "MMedPO's code weighs by `weighted_score`, the relevance: it ignores the column `weight`"

    def write(self, pairs: Iterable[WeightedPair], folder: Path, *, images: bool = True) -> None:
        """Write `pairs_dpo_weighted.json` and the images."""
        files = PairImages(folder, images)
        write_json_list(folder / self.file, (self._row(item, files) for item in pairs))

    def _row(self, item: WeightedPair, images: PairImages) -> dict[str, Any]:
        pair, extra = item.pair, make_own_columns(item, images)
        first, second = (images.write(side.image).removeprefix(f"{IMAGES}/") for side in (pair.chosen, pair.rejected))
        asked = {"from": "human", "value": f"<image>\n{pair.case.question}"}
        sides = {"conversations": pair.chosen.answer, "rejected_conversations": pair.rejected.answer}
        score = extra.pop("relevance")
        return {
            "id": pair.case.id,
            "image": first,
            **({"rejected_image": second} if second != first else {}),
            **{name: [asked, {"from": "gpt", "value": f" {answer}"}] for name, answer in sides.items()},
            **({} if score is None else {"weighted_score": score}),
            **extra,
        }

    def find_losses(self, item: WeightedPair) -> Iterator[str]:
        """Yield also that a pair has no relevance."""
        yield from super().find_losses(item)
        if item.score.relevance is None:
            yield UNRATED

    def loses_weight(self, item: WeightedPair) -> bool:
        """Tell whether the weight is not the relevance, by which MMedPO's code weighs."""
        return item.weight != (item.score.relevance or 0.0)

    def describe_losses(self, losses: Mapping[str, int], total: int) -> Iterator[str]:
        """Yield also that MMedPO's code stops at a pair without relevance."""
        yield from super().describe_losses(losses, total)
        if bare := losses.get(UNRATED):
            yield (
                f"{bare:,} of {total:,} pairs have no relevance and so no `weighted_score`: the code stops at "
                "the first of them with KeyError; rate them, or take them out"
            )


class ParquetFormat(PairFormat):
    """All there is to a pair, in one table that `datasets` loads and whose columns say what they hold."""

    use = "parquet"
    table = IMAGE_FOLDER
    bare_table = (BARE_PARQUET,)

    def write(self, pairs: Iterable[WeightedPair], folder: Path, *, images: bool = True) -> None:
        """Write one parquet file, the images, masks and heat maps."""
        files = PairImages(folder, images)
        write_parquet(
            folder / (PARQUET if images else BARE_PARQUET), _all_columns(), (self._row(item, files) for item in pairs)
        )

    def _row(self, item: WeightedPair, images: PairImages) -> dict[str, Any]:
        pair, case, more = item.pair, item.pair.case, describe_pair(item)
        sides = {"chosen": pair.chosen, "rejected": pair.rejected}
        return {
            "question": case.question,
            f"image{ONE}": images.write(case.image),
            f"images{SEVERAL}": images.write_all(case.images) if case.more_images else [],
            "chosen": pair.chosen.answer,
            "rejected": pair.rejected.answer,
            **{key: value for name, side in sides.items() for key, value in _name_others(name, side, case, images)},
            "relevance": item.score.relevance,
            "weight": item.weight,
            **more,
            **{key: json_line(more[key]) for key in _TEXTS},
            "regions": [describe_region(one, images, ONE) for one in case.regions],
        }

    def find_losses(self, item: WeightedPair) -> Iterator[str]:
        """Yield nothing: all of it is taken."""
        yield from ()


def _mark_images(question: str, side: Side) -> str:
    """Return a question behind the marks of a side's images."""
    return "<image>" * len(side.images) + question


def _make_turns(question: str, side: Side) -> list[dict[str, str]]:
    """Return a side as ms-swift has it."""
    return [{"role": "user", "content": _mark_images(question, side)}, {"role": "assistant", "content": side.answer}]


def _name_others(name: str, side: Side, case: Case, images: PairImages) -> Iterator[tuple[str, Any]]:
    """Yield the columns of a side's images; those that are the case's are not named again."""
    several = bool(side.more_images or case.more_images)
    if side.image != case.image and not several:
        yield f"{name}_image{ONE}", images.write(side.image)
    yield f"{name}_images{SEVERAL}", images.write_all(side.images) if several and side.images != case.images else []


def _trl_columns() -> Any:
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    turns = pa.list_(pa.struct({"role": text, "content": text}))
    columns = {f"images{SEVERAL}": pa.list_(text), **dict.fromkeys(("prompt", "chosen", "rejected"), turns)}
    return pa.schema({**columns, "relevance": number, "weight": number, "mmedpo": text})


def _all_columns() -> Any:
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    texts = ("question", "chosen", "rejected", "id", "kind", "made_by", "answer", "case_kind", "group", "scorer")
    sides = ("", "chosen_", "rejected_")
    images, several = [f"{side}image{ONE}" for side in sides], [f"{side}images{SEVERAL}" for side in sides]
    columns = dict.fromkeys((*texts, *_TEXTS, *images), text) | dict.fromkeys(("relevance", "weight"), number)
    columns |= dict.fromkeys(several, pa.list_(text))
    facts = {"label": text, "box": pa.list_(number), "confidence": number, "image": pa.int64()}
    region = pa.struct(facts | {f"mask{ONE}": text, f"heat{ONE}": text})
    more = {"number": pa.int64(), "restricted": pa.bool_(), "about": pa.list_(text), "regions": pa.list_(region)}
    return pa.schema({**columns, **more})


FORMATS: Mapping[str, PairFormat] = {
    each.use: each for each in (TrlFormat(), MsSwiftFormat(), LlamaFactoryFormat(), MmedpoJsonFormat(), ParquetFormat())
}
