"""Rewrites of real report sentences whose relevance is known by construction, to test a voter with.

A sentence of `radlabels` that states a finding with a severity becomes a triple: the finding or its side changed, its
severity changed, and a paraphrase. The words here are this file's own and `radlabels`' alias phrases, not the voter's.
Everything is drawn from the report's name and the sentence, so the triples are the same everywhere.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Literal

Half = Literal["develop", "held out"]


@dataclass(frozen=True)
class Triple:
    """One sentence and three rewrites."""

    report: str
    how: Literal["finding replaced", "finding denied", "side changed"]
    source: str
    changed: str
    severity: str
    paraphrase: str

    @property
    def rewrites(self) -> tuple[str, str, str]:
        """Return the three rewrites, the most relevant first."""
        return self.changed, self.severity, self.paraphrase


# Each severity word with one that is clearly another grade.
OTHER_GRADE = {
    "small": ["large"], "tiny": ["large"], "trace": ["large"], "mild": ["severe"], "minimal": ["marked"],
    "slight": ["marked"], "moderate": ["minimal", "severe"], "large": ["small"], "severe": ["mild"],
    "marked": ["slight"], "massive": ["small"], "extensive": ["minimal"], "mildly": ["severely"],
    "minimally": ["markedly"], "slightly": ["markedly"], "moderately": ["slightly", "severely"],
    "severely": ["mildly"], "markedly": ["slightly"],
}  # fmt: skip

# Wordings that mean the same.
SAME_GRADE = {
    "small": ["small sized", "small-volume"], "tiny": ["very small"], "mild": ["slight", "minor"],
    "minimal": ["trace"], "moderate": ["moderate-sized", "medium sized"], "large": ["big", "sizable"],
    "severe": ["pronounced", "marked"], "extensive": ["considerable", "substantial"], "marked": ["pronounced"],
    "mildly": ["slightly"], "slightly": ["mildly"], "severely": ["markedly"], "markedly": ["considerably"],
    "slight": ["mild"],
}  # fmt: skip
WORDINGS = [
    (r"pleural effusions", ["pleural fluid collections"]),
    (r"pleural effusion", ["pleural fluid", "effusion"]),
    (r"cardiomegaly", ["enlargement of the heart", "cardiac enlargement"]),
    (r"cardiac silhouette (is|remains) (\w+) enlarged", [r"heart \1 \2 enlarged"]),
    (r"heart (is|remains) (\w+) enlarged", [r"cardiac silhouette \1 \2 enlarged", r"heart size \1 \2 enlarged"]),
    (r"pneumothorax", ["PTX"]),
    (r"atelectasis", ["atelectatic change"]),
    (r"pulmonary edema", ["edema of the lungs", "lung edema"]),
    (r"opacities", ["opacifications"]),
    (r"opacity", ["opacification"]),
    (r"emphysema in the soft tissues", ["soft tissue emphysema"]),
    (r"endotracheal tube", ["ET tube"]),
    (r"nasogastric tube|NG tube", ["enteric tube"]),
    (r"is (seen|present|noted|identified|visualized|demonstrated)", ["is evident", "is observed", "can be seen"]),
    (r"are (seen|present|noted|identified|visualized|demonstrated)", ["are evident", "are observed", "can be seen"]),
    (r"unchanged", ["stable", "without change"]),
    (r"(is|are|remains?) stable", [r"\1 unchanged", r"\1 the same"]),
    (r"(has|have) increased", [r"\1 progressed", r"\1 become worse"]),
    (r"(has|have) decreased", [r"\1 become less", r"\1 diminished"]),
    (r"(has|have) improved", [r"\1 become better", r"\1 decreased"]),
    (r"may (represent|reflect|be due to)", ["might represent", "could be due to"]),
    (r"(could|might) (represent|reflect)", ["may represent"]),
    (r"consistent with", ["compatible with", "in keeping with"]),
    (r"concerning for", ["suspicious for"]),
    (r"likely", ["probably"]),
    (r"probable", ["likely"]),
    (r"compared (to|with)", ["relative to", "in comparison with"]),
    (r"again (seen|noted|demonstrated)", ["once more seen"]),
    (r"at the (left|right) (lung )?base", [r"in the \1 basal lung", r"at the base of the \1 lung"]),
    (r"bibasilar (\w+)", [r"\1 at both bases"]),
    (r"bilateral pleural effusions?", ["pleural effusions on both sides"]),
    (r"bilateral", ["both-sided", "left and right"]),
    (r"(left|right) (pleural effusion|pneumothorax|consolidation|atelectasis)", [r"\1-sided \2", r"\2 on the \1"]),
    (r"(left|right) (upper|lower) lobe", [r"\2 lobe of the \1 lung"]),
    (r"right lower lobe", ["RLL"]),
    (r"left lower lobe", ["LLL"]),
]
OPENINGS = ["On this examination, ", "On the current film, ", "As seen here, "]

_SIDED = re.compile(r"\b(left|right)(?!\s+(?:atri|ventric|heart|main|internal|subclav|jugular|picc|chest tube))", re.I)
_CHANGE = re.compile(r"increas|decreas|improv|wors|progress|new|larger|smaller|bigger|more|less", re.I)
_DENIED = re.compile(
    r"\b(?:no|not|without|resolved|cleared|may|might|could|possible|probabl[ey]|likely|if|prior|history)\b", re.I
)


def triples(half: Half) -> Iterator[Triple]:
    """Yield the triples of the reports with even numbers (to develop on) or odd numbers (held out)."""
    samples = _folder() / "samples"
    matches = json.loads((samples / "synthetic_matches.json").read_text())
    aliases, parents = _aliases()
    for name in _names(matches, half):
        for sentence in _sentences(matches[name]):
            yield from _rewrites(name, sentence, aliases, parents)


def labels(half: Half) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each report with the labels that radlabels gives it: definitely present, definitely absent, uncertain."""
    samples = _folder() / "samples"
    truths = json.loads((samples / "synthetic_labels.json").read_text())
    for name in _names(truths, half):
        yield (samples / "synthetic_reports" / f"{name}.txt").read_text(), truths[name]


def _names(reports: Iterable[str], half: Half) -> list[str]:
    return [name for name in sorted(reports) if int(name[-4:]) % 2 == (half == "held out")]


def installed() -> bool:
    """Tell whether `radlabels` is there; it is not imported, for that would take its dependencies."""
    return find_spec("radlabels") is not None


def _folder() -> Path:
    spec = find_spec("radlabels")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _aliases() -> tuple[dict[str, list[str]], dict[str, str]]:
    """Read the alias phrases of each label, and the group of each label, out of the source of `aliases.py`."""
    tree = ast.parse((_folder() / "aliases.py").read_text())
    named = {node.target.id: node.value for node in tree.body if isinstance(node, ast.AnnAssign)}  # type: ignore[union-attr]
    aliases, parents = (ast.literal_eval(named[name]) for name in ("ALIASES", "PARENT_MAP"))  # type: ignore[arg-type]
    return {label: entry["aliases"] for label, entry in aliases.items()}, parents


@dataclass(frozen=True)
class _Sentence:
    """A sentence with a severe or mild finding: where the severity and the finding's words stand."""

    tokens: tuple[str, ...]
    severity: int
    finding: tuple[int, int]  # first and last token, the words between included
    label: str
    alone: bool  # the finding's words stand together and can be exchanged


def _sentences(report: dict) -> Iterator[_Sentence]:
    tokens = report["text"].split()
    ends = [at for at, token in enumerate(tokens) if token in (".", ":")]
    start = 0
    for end in [*ends, len(tokens)]:
        if found := _stated(tokens, start, end, report["matches"]):
            yield found
        start = end + 1


def _stated(tokens: list[str], start: int, end: int, matches: list[dict]) -> _Sentence | None:
    """Take the first present finding that a severity word stands right before, or within."""
    words = tokens[start:end]
    if not 3 <= len(words) <= 30 or "___" in words or _DENIED.search(" ".join(words)):
        return None
    for match in sorted(matches, key=lambda one: (-len(one["start_ix"]), one["alias"])):
        places = sorted(at - start for at in match["start_ix"])
        if match["label"] != "definitely present" or places[0] < 0 or places[-1] >= len(words):
            continue
        for at in range(max(0, places[0] - 3), places[-1]):
            between = words[at + 1 : places[0]]
            if words[at].lower() in OTHER_GRADE and not {",", "and", "to", "or", "with", "in", "of"} & set(between):
                alone = places == list(range(places[0], places[-1] + 1)) and at < places[0]
                near = {word.lower() for word in words[max(0, at - 2) : at + 3]} - {words[at].lower()}
                if not near & {"to", *OTHER_GRADE} and not _CHANGE.match(words[at + 1]):
                    return _Sentence(tuple(words), at, (places[0], places[-1]), match["disease"], alone)
    return None


def _rewrites(
    name: str, sentence: _Sentence, aliases: dict[str, list[str]], parents: dict[str, str]
) -> Iterator[Triple]:
    source = _join(sentence.tokens)
    random = Random(f"{name} {source}")
    severity = _regraded(sentence, random)
    paraphrase = _paraphrase(source, random)
    if paraphrase is None:
        return
    if (side := _other_side(source)) != source:
        yield Triple(name, "side changed", source, side, severity, paraphrase)
    if sentence.alone and random.random() < 0.5:
        replaced = _replaced(sentence, aliases, parents, random)
        yield Triple(name, "finding replaced", source, replaced, severity, paraphrase)
    elif denied := _denied(source, sentence):
        yield Triple(name, "finding denied", source, denied, severity, paraphrase)


def _regraded(sentence: _Sentence, random: Random) -> str:
    """Exchange the severity for another grade."""
    at = sentence.severity
    word = random.choice(OTHER_GRADE[sentence.tokens[at].lower()])
    return _join([*sentence.tokens[:at], word, *sentence.tokens[at + 1 :]])


def _join(tokens: list[str] | tuple[str, ...]) -> str:
    text = re.sub(r"\s+([,;:.)?])", r"\1", " ".join(tokens))
    return re.sub(r"\s*([-/])\s*", r"\1", text.replace("( ", "(")) + "."


def _other_side(text: str) -> str:
    def swap(match: re.Match[str]) -> str:
        other = "right" if match.group().lower() == "left" else "left"
        return other.capitalize() if match.group()[0].isupper() else other

    return _SIDED.sub(swap, text)


def _replaced(sentence: _Sentence, aliases: dict[str, list[str]], parents: dict[str, str], random: Random) -> str:
    """Put a phrase for a finding of another group in the place of the finding."""
    strange = {"nonsurgical_internal_foreign_body", "implantable_electronic_device"}  # coins, pain pumps
    group = {label for label in aliases if parents[label] == parents[sentence.label]}
    others = sorted(set(aliases) - strange - group)
    first, last = sentence.finding
    own = {word.lower() for word in sentence.tokens[first : last + 1]}
    phrases = [alias for alias in aliases[random.choice(others)] if not own & set(alias.lower().split())]
    other = random.choice(phrases or ["pneumoperitoneum"])
    return _join([*sentence.tokens[:first], other, *sentence.tokens[last + 1 :]])


def _denied(source: str, sentence: _Sentence) -> str | None:
    """Say that the finding is not there: "no" in the place of its severity, or "not" after its verb."""
    word = re.escape(sentence.tokens[sentence.severity])
    for pattern, denial in [
        (rf"^(?:There (?:is|are)|There is an?) (?:a |an )?{word}\b", "There is no"),
        (rf"^(?:An? )?{word}\b", "No"),
        (rf"\b(is|are|remains) {word}\b", r"\1 not"),
    ]:
        changed = re.sub(pattern, denial, source, count=1, flags=re.IGNORECASE)
        if changed != source:
            return changed
    return None


def _paraphrase(source: str, random: Random) -> str | None:
    """Apply two to four rewrites that keep the meaning; None where fewer than two apply."""
    text, done = source, 0
    grades = list(SAME_GRADE.items())
    for pattern, others in random.sample([*grades, *WORDINGS], len(grades) + len(WORDINGS)):
        changed = re.sub(rf"\b(?:{pattern})\b", random.choice(others), text, count=1, flags=re.IGNORECASE)
        if changed != text and done < 3:
            text, done = changed, done + 1
    framed = _framed(text, random)
    return framed if done + (framed != text) >= 2 else None


def _framed(text: str, random: Random) -> str:
    """Turn "there is ..." and bare noun phrases into one another, or open with where it is seen."""
    simple = not re.search(r"[,;]|\b(?:is|are|has|have|was|which|that|with|but|remains?)\b", text)
    found = re.fullmatch(r"There (?:is|are) ([^,;]+)\.", text)
    if found and not re.search(r"\b(?:is|are|which|that)\b", found.group(1)):
        return random.choice([f"{found.group(1).capitalize()} seen.", f"{found.group(1).capitalize()}."])
    if simple and random.random() < 0.7:
        return f"There is {text[0].lower()}{text[1:]}"
    return random.choice(OPENINGS) + text[0].lower() + text[1:] if random.random() < 0.5 else text
