"""What TRL, ms-swift, LLaMA-Factory and MMedPO's own code load, and a form that holds all there is to a pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmedpo.core.records import WeightedPair, to_json
from mmedpo.exchange.pair_format import (
    PairFormat,
    PairImages,
    describe_pair,
    make_own_columns,
    write_parquet,
)
from mmedpo.store.run_folder import json_line, write_json, write_text

PARQUET = "data/train-00000-of-00001.parquet"  # where the Hub and `datasets` look for a table
_TEXTS = ("evidence", "notes", "case_notes")  # columns that hold JSON


# What models' own processors take for an image, in whichever tool: LLaVA, Qwen-VL, Llama, Gemma, Pixtral.
MODELS: tuple[str, ...] = ("<image>", "<video>", "<|image|>", "<|image_pad|>", "<|video_pad|>", "[IMG]")
MODELS = (*MODELS, "<start_of_image>", "<image_soft_token>")


class TrlFormat(PairFormat):
    """What `trl.DPOTrainer` takes: images, prompt, chosen, rejected, in a table that `datasets` loads."""

    use = "trl"
    tool = "TRL"
    two_images = False
    table = PARQUET
    marks = MODELS
    weight_note = "TRL's DPOTrainer has no weight per pair: it ignores the column `weight`"

    def write(self, pairs: Sequence[WeightedPair], folder: Path) -> None:
        """Write one parquet file that holds the images."""
        from datasets import Features, Image, List, Value

        turns = List({"role": Value("string"), "content": Value("string")})
        shape = {"images": List(Image()), "prompt": turns, "chosen": turns, "rejected": turns}
        extra = {"relevance": Value("float64"), "weight": Value("float64"), "mmedpo": Value("string")}
        images = PairImages(folder)
        write_parquet(folder / PARQUET, Features(shape | extra), (self._row(item, images) for item in pairs))

    def _row(self, item: WeightedPair, images: PairImages) -> dict[str, Any]:
        pair = item.pair
        return {
            "images": [images.embed(pair.chosen.image)],
            "prompt": [{"role": "user", "content": pair.case.question}],
            "chosen": [{"role": "assistant", "content": pair.chosen.answer}],
            "rejected": [{"role": "assistant", "content": pair.rejected.answer}],
            **make_own_columns(item, images),
        }


class MsSwiftFormat(PairFormat):
    """What ms-swift takes: a line a pair with messages, rejected_messages, images, rejected_images."""

    use = "ms-swift"
    tool = "ms-swift"
    table = "pairs.jsonl"
    marks = (*MODELS, "<audio>", "<bbox>", "<ref-object>", "<cot-process>", "<start-image>")
    weight_note = "ms-swift has no weight per pair: it drops the column `weight`"

    def write(self, pairs: Sequence[WeightedPair], folder: Path) -> None:
        """Write `pairs.jsonl` and the images."""
        images = PairImages(folder)
        write_text(folder / "pairs.jsonl", "".join(f"{json_line(self._row(item, images))}\n" for item in pairs))

    def _row(self, item: WeightedPair, images: PairImages) -> dict[str, Any]:
        pair = item.pair
        asked = {"role": "user", "content": f"<image>{pair.case.question}"}
        sides = {"messages": pair.chosen.answer, "rejected_messages": pair.rejected.answer}
        return {
            **{name: [asked, {"role": "assistant", "content": answer}] for name, answer in sides.items()},
            "images": [images.write(pair.chosen.image)],
            "rejected_images": [images.write(pair.rejected.image)],
            **make_own_columns(item, images),
        }

    def describe_losses(self, pairs: Sequence[WeightedPair]) -> Iterator[str]:
        """Yield also since when ms-swift has rejected messages."""
        yield from super().describe_losses(pairs)
        yield "needs ms-swift 3.8 or newer, which reads `rejected_messages` and `rejected_images`"


class LlamaFactoryFormat(PairFormat):
    """What LLaMA-Factory takes: its ShareGPT ranking form, and the dataset_info.json that describes it."""

    use = "llama-factory"
    tool = "LLaMA-Factory"
    two_images = False
    table = "pairs.json"
    marks = (*MODELS, "<audio>")
    weight_note = "LLaMA-Factory has no weight per pair: it ignores the column `weight`"

    def write(self, pairs: Sequence[WeightedPair], folder: Path) -> None:
        """Write `pairs.json`, `dataset_info.json` and the images."""
        images = PairImages(folder)
        write_json(folder / "pairs.json", [self._row(item, images) for item in pairs])
        columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected", "images": "images"}
        shape = {"file_name": "pairs.json", "formatting": "sharegpt", "ranking": True, "columns": columns}
        write_json(folder / "dataset_info.json", {"mmedpo_pairs": shape})

    def _row(self, item: WeightedPair, images: PairImages) -> dict[str, Any]:
        pair = item.pair
        return {
            "conversations": [{"from": "human", "value": f"<image>{pair.case.question}"}],
            "chosen": {"from": "gpt", "value": pair.chosen.answer},
            "rejected": {"from": "gpt", "value": pair.rejected.answer},
            "images": [images.write(pair.chosen.image)],
            **make_own_columns(item, images),
        }


class MmedpoJsonFormat(PairFormat):
    """What was released with MMedPO: conversations, rejected_conversations, weighted_score."""

    use = "mmedpo-json"
    tool = "MMedPO's code"
    file: ClassVar = "pairs_dpo_weighted.json"
    marks = ("<image>", "<im_start>", "<im_end>", "<im_patch>")

    def write(self, pairs: Sequence[WeightedPair], folder: Path) -> None:
        """Write `pairs_dpo_weighted.json` and the images."""
        images = PairImages(folder)
        write_json(folder / self.file, [self._row(item, images) for item in pairs])

    def _row(self, item: WeightedPair, images: PairImages) -> dict[str, Any]:
        pair, extra = item.pair, make_own_columns(item, images)
        first, second = (images.write(side.image).removeprefix("images/") for side in (pair.chosen, pair.rejected))
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

    def describe_losses(self, pairs: Sequence[WeightedPair]) -> Iterator[str]:
        """Yield that MMedPO's code weighs by the relevance alone, and stops at a pair without one."""
        yield from super().describe_losses(pairs)
        if any(item.weight != (item.score.relevance or 0.0) for item in pairs):
            yield "MMedPO's code weighs by `weighted_score`, the relevance: it ignores the column `weight`"
        if bare := sum(item.score.relevance is None for item in pairs):
            yield (
                f"{bare:,} of {len(pairs):,} pairs have no relevance and so no `weighted_score`: the code stops at "
                "the first of them with KeyError; rate them, or take them out"
            )


class ParquetFormat(PairFormat):
    """All there is to a pair, in one table that `datasets` loads and whose columns say what they hold."""

    use = "parquet"
    table = PARQUET

    def write(self, pairs: Sequence[WeightedPair], folder: Path) -> None:
        """Write one parquet file that holds the images and masks."""
        images = PairImages(folder)
        write_parquet(folder / PARQUET, _columns(), (self._row(item, images) for item in pairs))

    def _row(self, item: WeightedPair, images: PairImages) -> dict[str, Any]:
        pair, case, more = item.pair, item.pair.case, describe_pair(item)
        sides = {"chosen_image": pair.chosen.image, "rejected_image": pair.rejected.image}
        return {
            "question": case.question,
            "image": images.embed(case.image),
            "chosen": pair.chosen.answer,
            "rejected": pair.rejected.answer,
            **{name: images.embed(image) if image != case.image else None for name, image in sides.items()},
            "relevance": item.score.relevance,
            "weight": item.weight,
            **more,
            **{key: json_line(more[key]) for key in _TEXTS},
            "regions": [{**to_json(one), "mask": one.mask and images.embed(one.mask)} for one in case.regions],
        }

    def describe_losses(self, pairs: Sequence[WeightedPair]) -> Iterator[str]:
        """Yield nothing: all of it is taken."""
        yield from ()


def _columns() -> Any:
    from datasets import Features, Image, List, Value

    texts = ("question", "chosen", "rejected", "id", "kind", "made_by", "answer", "case_kind", "group", "scorer")
    shape: dict[str, Any] = {name: Value("string") for name in (*texts, *_TEXTS)}
    shape |= {name: Image() for name in ("image", "chosen_image", "rejected_image")}
    shape |= {"relevance": Value("float64"), "weight": Value("float64"), "number": Value("int64")}
    shape |= {"restricted": Value("bool"), "about": List(Value("string"))}
    box = {"label": Value("string"), "box": List(Value("float64")), "confidence": Value("float64"), "mask": Image()}
    return Features(shape | {"regions": List(box)})


FORMATS: Mapping[str, PairFormat] = {
    each.use: each for each in (TrlFormat(), MsSwiftFormat(), LlamaFactoryFormat(), MmedpoJsonFormat(), ParquetFormat())
}
