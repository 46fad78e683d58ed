"""Closed accuracy and the words of an answer as LLaVA-Med's evaluation script has them, of 2023 and since 1.0.0."""

from __future__ import annotations

import re

from mmedpo_plugins.radiology.answer_words import normalize_words

ACCURACY, ACCURACY_2023 = "closed_accuracy_llava_med", "closed_accuracy_llava_med_2023"
COUNTED_2023 = "closed_counted_llava_med_2023"


def closed_statistics(truth: str, answer: str) -> dict[str, float]:
    """Count a closed answer: it is right when it says yes or no, and the truth. Substrings: "no" is in "normal".

    Until December 2023 one that says yes or no, but not the truth, was left out of the mean instead of being wrong.
    """
    wanted, said = (" ".join(script_words(text)) for text in (truth, answer))
    yes_or_no = "yes" in said or "no" in said
    right = float(yes_or_no and wanted in said)
    return {ACCURACY: right, ACCURACY_2023: right, COUNTED_2023: float(right or not yes_or_no)}


def script_words(text: str) -> list[str]:
    """Split a text into words.

    A mark that stands beside a space anywhere in the text is deleted everywhere, another becomes a space.
    """
    text = kept = text.lower()
    grouped = re.search(r"\d,\d", text) is not None
    for mark in _MARKS:
        beside = f"{mark} " in text or f" {mark}" in text
        kept = kept.replace(mark, "" if beside or grouped else " ")
    words = normalize_words(re.sub(r"\.(?!\d)", "", kept).split())
    return [_CONTRACTIONS.get(word, word) for word in words]


_MARKS = ';/[]"{}()=+\\_-><@`,?!'

_ENDINGS = {
    "n't": "ai are ca could did does do had has have is might must need ought sha should was were wo would",
    "n't've": "could had might should would",
    "'ve": "could might must not should they we what where who would you",
    "'d": "he how it someone something there they where who you",
    "'d've": "he it she somebody someone something there they we who you",
    "'ll": "how it somebody someone something they what who why you",
    "'s": "he how somebody someone that there what when where who why",
    "'re": "there they what why you",
    "": "ma'am o'clock 'ow's'at 'twas y'all y'all'll y'all'd've",
}


def _contractions() -> dict[str, str]:
    """Return the contractions that get an apostrophe back where a text lacks one of theirs."""
    whole = [stem + ending for ending, stems in _ENDINGS.items() for stem in stems.split()]
    marks = [(word, mark.start()) for word in whole for mark in re.finditer("'", word)]
    return {word[:at] + word[at + 1 :]: word for word, at in marks}


_CONTRACTIONS = {**_contractions(), "somebody'd": "somebodyd"}  # this one it takes for the other way round
