"""Pairs as long as those of the released data, and images of noise."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[4] / "shared" / "data"
VOCABULARY, SPECIAL = 32000, ["<pad>", "</s>", "<unk>", "<image>"]
Texts = tuple[str, str, str]  # question, chosen and rejected answer
Lengths = tuple[tuple[int, int, int], ...]  # their tokens


@dataclass(frozen=True)
class Shape:
    """What the pairs of a benchmark look like."""

    pairs_per_image: int
    images: int
    data: str = ""  # a released file under shared/data, of which texts are taken where it is there
    noised: int = 0  # of an image's pairs, how many reject a noised image
    lengths: Lengths = ((12, 90, 90),)  # of the pairs of an image in turn, where there is no such file

    @property
    def count(self) -> int:
        """Pairs altogether."""
        return self.pairs_per_image * self.images


# Of the released pairs of the one image that `released` takes.
SLAKE: Lengths = (
    (9, 6, 8), (10, 3, 22), (11, 1, 12), (10, 2, 20), (9, 4, 12), (9, 1, 19), (9, 1, 12), (12, 1, 12), (12, 1, 15),
    (9, 1, 19), (15, 2, 31),
)  # fmt: skip
VQA_RAD: Lengths = ((9, 1, 17), (9, 1, 16), (12, 1, 17), (12, 1, 42), (6, 1, 14), (8, 1, 18))
SHAPES = {
    "slake": Shape(11, 1, "slake/slake_dpo_weighted.json", lengths=SLAKE),
    "vqa-rad": Shape(6, 1, "vqa_rad/vqa-rad_dpo_weighted.json", lengths=VQA_RAD),
    "report": Shape(1, 4),
    "slake-image": Shape(11, 1, "slake/slake_dpo_weighted.json", 3, SLAKE),
}


def tokens(text: str) -> str:
    """Cut a text into pieces of at most six letters, each a word of the vocabulary, so that lengths are realistic."""
    pieces = re.findall(r"\w{1,6}|[^\w\s]", text.lower())
    return " ".join(f"w{zlib.crc32(piece.encode()) % (VOCABULARY - len(SPECIAL))}" for piece in pieces)


def source(shape: Shape) -> str:
    """Say where a shape's texts come from."""
    return shape.data if shape.data and (DATA / shape.data).exists() else "drawn words"


def texts(shape: Shape) -> list[list[Texts]]:
    """Return for each image its pairs."""
    if source(shape) == shape.data:
        return released(shape)
    return [[_random(image, pair, shape) for pair in range(shape.pairs_per_image)] for image in range(shape.images)]


def released(shape: Shape) -> list[list[Texts]]:
    """Take images of the released file that have enough pairs, around the middle in length."""
    groups: dict[str, list[Texts]] = {}
    for row in json.loads((DATA / shape.data).read_text()):
        (asked, said), (_, rejected) = row["conversations"], row["rejected_conversations"]
        question = asked["value"].replace("<image>", "")
        groups.setdefault(row["image"], []).append((question, said["value"], rejected["value"]))
    fitting = [rows[: shape.pairs_per_image] for rows in groups.values() if len(rows) >= shape.pairs_per_image]
    fitting.sort(key=lambda rows: sum(len(part) for row in rows for part in row))
    start = (len(fitting) - shape.images) // 2
    chosen = [fitting[(start + image) % len(fitting)] for image in range(shape.images)]
    return [[(tokens(q), tokens(a), tokens(r)) for q, a, r in rows] for rows in chosen]


def _random(image: int, pair: int, shape: Shape) -> Texts:
    import numpy as np

    draw = np.random.default_rng([image, pair])
    lengths = shape.lengths[pair % len(shape.lengths)]
    made = [" ".join(f"w{n}" for n in draw.integers(0, VOCABULARY - len(SPECIAL), length)) for length in lengths]
    return made[0], made[1], made[2]


def picture(number: int) -> Any:
    """Make an image of noise, 336 pixels wide."""
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (336, 336, 3), dtype=np.uint8))


def weighted_pairs(shape: Shape) -> list[Any]:
    """Make the pairs as the trainer takes them, all of weight 1."""
    from mmedpo import Case, ImageRef, Pair, Score, Side, WeightedPair

    made = []
    for image, rows in enumerate(texts(shape)):
        shown = ImageRef.drawn(picture(image))
        for number, (question, chosen, rejected) in enumerate(rows):
            case = Case(f"{image}/{number}", shown, question, chosen, restricted=False)
            noised = number < shape.noised
            other = (
                Side(ImageRef.drawn(picture(10**6 + 100 * image + number)), chosen) if noised else Side(shown, rejected)
            )
            pair = Pair(case, Side(shown, chosen), other, "image" if noised else "text", "benchmark")
            made.append(WeightedPair(pair, Score(1.0), 1.0))
    return made
