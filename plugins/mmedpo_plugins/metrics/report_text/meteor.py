"""METEOR as nltk computes it, with the synonyms of a WordNet that is on this machine, or with none."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

FULL, STEMS = "meteor_nltk", "meteor_nltk_stems"
NEEDED = tuple(f"{what}.{of}" for of in ("noun", "verb", "adj", "adv") for what in ("index", "data"))
_FIELDS = 45  # files of lexicographers that WordNet was made of


def meteor_scorer(name: str, folder: Path | None) -> Callable[[str, str], dict[str, float]]:
    """Return what scores a truth and an answer."""
    from nltk.translate.meteor_score import single_meteor_score

    synonyms = load_wordnet(folder) if name == FULL else _NoSynonyms()
    return lambda truth, answer: {name: float(single_meteor_score(_words(truth), _words(answer), wordnet=synonyms))}


def describe_meteor(name: str, folder: Path | None) -> str:
    """Say which METEOR a measure is."""
    import nltk

    what = f"WordNet {load_wordnet(folder).get_version()}" if name == FULL else "stems and no synonyms"
    return (
        f"{name} is METEOR as nltk {nltk.__version__} has it, with {what} (alpha .9, beta 3, gamma .5);"
        " METEOR 1.5, which coco-caption runs, is another measure and gives other numbers"
    )


def explain_missing_wordnet(folder: Path | None) -> str:
    """Say what of WordNet is not here; "" where it is whole. Nothing is ever downloaded."""
    if folder is not None:
        gone = [name for name in NEEDED if not (folder / name).is_file()]
        return f"{folder} is no folder of WordNet's: it lacks {', '.join(gone)}" if gone else ""
    try:
        load_wordnet(None)
    except (LookupError, OSError):
        return (
            "METEOR needs WordNet, which nltk does not find here: say wordnet: FOLDER (/usr/share/wordnet of Debian's"
            " wordnet-base), run `python -m nltk.downloader wordnet`, or say meteor: stems"
        )
    return ""


@cache
def load_wordnet(folder: Path | None) -> Any:
    """Return nltk's reader of a folder, or of what nltk finds in its own folders."""
    import nltk
    from nltk.corpus import wordnet
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    if folder is None:
        wordnet.ensure_loaded()
        return wordnet
    root = folder

    class WordNetFolder(WordNetCorpusReader):
        """Reads Debian's WordNet too, which lacks the names of the fields, and no other languages."""

        def open(self, file: str) -> Any:
            if file == "lexnames" and not (root / file).exists():
                return StringIO("".join(f"{number:02d}\tfield.{number}\t0\n" for number in range(_FIELDS)))
            return super().open(file)

        def map_wn(self, version: str = "") -> None:
            """Map to no other WordNet: that is for other languages, and looks for nltk's own copy."""

    nltk.data.path.append(str(root))  # nltk 3.10 opens nothing outside of its own folders
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has English alone
        return WordNetFolder(str(root), None)


class _NoSynonyms:
    """Stands in for WordNet where a word has but its stem."""

    def synsets(self, word: str) -> list[object]:
        return []


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
