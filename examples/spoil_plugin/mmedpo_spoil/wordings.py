"""Answers about a phantom in its own few words: wrong, right in other words, true of something else, absurd."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from mmedpo import Case

ASKED = re.compile(
    r"(?:Is there|Does the image show|Is) (?:an? )?(.+?)(?: seen)?\?"
)  # the finding of a closed question
TRAIT = re.compile(r"the ([a-z ]+?)(?: on)?\?$")  # and of an open one
NAMES = {
    "nodule": "nodule",
    "consolidation": "consolidation",
    "effusion": "pleural effusion",
    "pneumothorax": "pneumothorax",
    "cardiomegaly": "cardiomegaly",
    "device": "pacemaker",
}
INVENTED = {
    "nodule": "There is a {size} {side} {place} lobe nodule.",
    "consolidation": "There is {side} {place} lobe consolidation.",
    "effusion": "There is a {size} {side} pleural effusion.",
    "pneumothorax": "There is a {size} {side} pneumothorax.",
    "cardiomegaly": "There is mild cardiomegaly.",
    "device": "There is a {side} pacemaker.",
}
CLEAR, NORMAL = "The lungs are clear.", "The heart is normal in size."
OTHER = {"left": "right", "upper": "lower", "small": "large", "mild": "severe"}
OTHER |= {new: old for old, new in OTHER.items()}
ABSURD = (
    "The image is the heart.",
    "The lobe is in the pacemaker.",
    "The lungs are a side.",
    "Upper and lower is clear.",
)


def wrong_answer(case: Case, random: Random) -> str:
    """Return an answer that contradicts the true one: yes for no, another trait, a report with one error."""
    if case.kind == "closed":
        return {"Yes": "No", "No": "Yes"}.get(case.answer, "")
    return _wrong_report(case, random) if case.kind == "report" else _exchange_word(case.answer, random)


def same_answer(case: Case, random: Random) -> str:
    """Return the true answer in other words."""
    if case.kind == "closed":
        asked = ASKED.search(case.question)
        article = "" if case.answer == "No" or _plain(asked) in ("consolidation", "cardiomegaly") else "a "
        return f"{case.answer}, there is {'no ' if case.answer == 'No' else article}{_plain(asked)}." if asked else ""
    if case.kind == "report":
        told = [_retell(sentence) for sentence in split_sentences(case.answer)]
        return " ".join(random.sample(told, len(told)))
    asked = TRAIT.search(case.question)
    words = case.answer.lower()
    link = "is in the " if "lobe" in words else "is on the " if words in ("left", "right") else "is "
    return f"The {_plain(asked)} {link}{words}." if asked else ""


def other_truth(case: Case, random: Random) -> str:
    """Return what is true of the film, and not what was asked for."""
    there = {finding["label"] for finding in findings_of(case)}
    others = sorted(there - set(case.about)) if case.kind != "report" else []
    if others:
        label = random.choice(others)
        return _describe(next(finding for finding in findings_of(case) if finding["label"] == label))
    absent = sorted(set(NAMES) - there - set(case.about))
    return f"There is no {NAMES[random.choice(absent)]}."


def absurd_answer(case: Case, random: Random) -> str:
    """Return words without a sense."""
    return random.choice(ABSURD)


WORDINGS: Mapping[str, Callable[[Case, Random], str]] = {
    "same": same_answer,
    "other": other_truth,
    "absurd": absurd_answer,
}


def findings_of(case: Case) -> list[Mapping[str, Any]]:
    """Return the findings of a phantom, as its reader notes them; none of another image."""
    return list(case.notes.get("findings", []))


def split_sentences(report: str) -> list[str]:
    """Return the sentences of a report."""
    return re.findall(r"[^.]+\.", report.replace(". ", "."))


def _plain(asked: re.Match[str] | None) -> str:
    return asked.group(1) if asked else ""


def _exchange_word(text: str, random: Random) -> str:
    """Return the text with one word exchanged for its contrary; empty where it has none."""
    found = [match for match in re.finditer(r"[A-Za-z]+", text) if match.group().lower() in OTHER]
    if not found:
        return ""
    match = random.choice(found)
    other = OTHER[match.group().lower()]
    return text[: match.start()] + (other.capitalize() if match.group()[0].isupper() else other) + text[match.end() :]


def _wrong_report(case: Case, random: Random) -> str:
    """Return the report with a finding left out, made up, or told otherwise."""
    sentences = split_sentences(case.answer)
    told = [place for place, sentence in enumerate(sentences) if sentence.startswith("There is")]
    errors = ["invent", *(["omit", "alter"] if told else [])]
    error = random.choice(errors)
    if error == "invent":
        return _invent(case, sentences, random)
    place = random.choice(told)
    altered = _exchange_word(sentences[place], random) if error == "alter" else ""
    if altered:
        return " ".join([*sentences[:place], altered, *sentences[place + 1 :]])
    rest = [*sentences[:place], *sentences[place + 1 :]]
    if not any(_is_of_lungs(sentence) for sentence in rest):
        rest.insert(0, CLEAR)
    if not any("heart" in sentence or "cardiomegaly" in sentence for sentence in rest):
        rest.append(NORMAL)
    return " ".join(rest)


def _invent(case: Case, sentences: list[str], random: Random) -> str:
    label = random.choice(sorted(set(NAMES) - {finding["label"] for finding in findings_of(case)}))
    claim = _describe({"label": label} | {name: random.choice(words) for name, words in _DRAWN.items()})
    replaced = NORMAL if label == "cardiomegaly" else CLEAR if label != "device" else ""
    if replaced in sentences:
        return " ".join(claim if sentence == replaced else sentence for sentence in sentences)
    return " ".join([*sentences, claim] if label == "device" else [claim, *sentences])


_DRAWN = {"side": ("left", "right"), "place": ("upper", "lower"), "size": ("small", "large")}


def _describe(finding: Mapping[str, Any]) -> str:
    return INVENTED[finding["label"]].format(**{name: finding.get(name, "") for name in _DRAWN})


def _is_of_lungs(sentence: str) -> bool:
    return not any(word in sentence for word in ("heart", "cardiomegaly", "pacemaker"))


def _retell(sentence: str) -> str:
    if sentence == NORMAL:
        return "The heart size is normal."
    return sentence.replace("There is", "In the image there is").replace(
        "The lungs are clear", "The lungs are seen clear"
    )
