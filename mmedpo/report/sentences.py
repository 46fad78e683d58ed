"""The summary in words: what the run shows, and as plainly what it does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmedpo.core.number_format import format_change
from mmedpo.report.facts import RunFacts
from mmedpo.report.lengths import AnswerLengths
from mmedpo.report.measures import MeasureRow, MeasureTable, describe_cut_answers
from mmedpo.store.run_files.counts import sum_counts
from mmedpo.store.run_files.rounds import describe_round

CHANCE = 0.6  # held-out pairs ranked right up to here were hardly learned
LEAK = 0.75  # from here on a rule about length alone ranks the text pairs


@dataclass(frozen=True)
class SummarySentence:
    """A sentence; `warns` when it limits what the numbers mean."""

    text: str
    warns: bool = False


def write_sentences(
    facts: RunFacts, lines: Sequence[MeasureRow], lengths: AnswerLengths | None, tables: Sequence[MeasureTable] = ()
) -> list[SummarySentence]:
    """Say what is sure, what is not, what got worse, and what the numbers rest on; what misleads before all that."""
    misleading = [*_round(facts), *_overlap(facts), *_cautions(facts, tables), *_served(facts)]
    learned = _cases_learned(facts) or [*_learned(facts), *_equal(facts), *_leak(lengths)]
    return [*misleading, *_resolved(lines), *_cases(facts), *learned, *_seeds(facts)]


def _round(facts: RunFacts) -> Iterator[SummarySentence]:
    """Say what a round began with, and what it is compared with."""
    if one := facts.run.round:
        start = "What is measured before is the start: the model at the beginning of the first round"
        yield SummarySentence(f"Round {one.number}: {describe_round(one)}. {start}.")


def _cautions(facts: RunFacts, tables: Sequence[MeasureTable]) -> Iterator[SummarySentence]:
    if facts.measures and (caution := describe_cut_answers(facts.measures)):
        yield SummarySentence(f"Caution: {caution}.", True)
    for table in tables:
        if table.nothing:
            yield SummarySentence(f"{table.use}: {table.nothing}.", True)
        yield from (SummarySentence(f"Caution, {table.use}: {caution}.", True) for caution in table.cautions)


def _served(facts: RunFacts) -> Iterator[SummarySentence]:
    """Say whose answers are those of an endpoint, and whether anybody compared it with the backbone."""
    served = facts.run.served
    if not served:
        return
    asked = f"The endpoint's model {served['model']} answered for the backbone"
    if facts.trained and facts.run.measured_elsewhere:
        asked += f", {served['trained']} for the trained one"
    elif facts.trained:
        asked += " where wrong answers were sampled; those that are measured were given here, before and after"
    if served["compare"]:
        yield SummarySentence(f"{asked}; its greedy answers to three cases were the backbone's own.")
    else:
        yield SummarySentence(f"{asked}; nobody compared the two (compare: false), so it may be another model.", True)


def _overlap(facts: RunFacts) -> Iterator[SummarySentence]:
    if not facts.measures:
        yield SummarySentence("Nothing has been measured yet: the run has no evaluation, or has not come so far.", True)
        return
    overlap = facts.measures.overlap
    images, shared = overlap.images, overlap.trained_on
    if not facts.trained:
        yield SummarySentence(
            f"Nothing was trained; the {images:,} evaluation images show the starting model alone.", True
        )
    elif shared:
        again = overlap.questions_trained_on
        with_questions = f", {again:,} of the questions about them as well" if again else ""
        yield SummarySentence(
            f"{shared:,} of the {images:,} evaluation images were trained on{with_questions}: what is measured after "
            "training is partly memory, and no sign of how the model answers about new images.",
            True,
        )
    elif overlap.complete:
        yield SummarySentence(f"None of the {images:,} evaluation images was trained on.")
    if facts.trained and not overlap.complete:
        yield SummarySentence(
            "An adapter was trained elsewhere, the one that is measured or one that it began with: whether it learned "
            f"from any of the {images:,} evaluation images is not known here.",
            True,
        )


def _resolved(lines: Sequence[MeasureRow]) -> Iterator[SummarySentence]:
    for verdict, what in (("better", "Better by more than chance"), ("worse", "Worse by more than chance")):
        found = [line for line in lines if line.verdict == verdict]
        if found:
            yield SummarySentence(
                f"{what}, the 95 % interval excludes zero: {'; '.join(map(_said, found))}.", verdict == "worse"
            )
    unsure = [line for line in lines if line.verdict == "not resolved"]
    if unsure:
        yield SummarySentence(f"Not resolved, the interval includes zero: {'; '.join(map(_said, unsure))}.", True)


def _said(line: MeasureRow) -> str:
    difference, low, high = map(signed, (line.difference, line.low, line.high))
    return f"{line.use} {measure_words(line.name)} {difference} ({low} to {high})"


def signed(value: float | None, measure: str = "") -> str:
    """Print a difference with its sign, a proper minus included."""
    return format_change(value, measure).replace("-", "−")


def measure_words(name: str) -> str:
    """Return a measure's name in words."""
    return name.replace("_", " ")


def _cases(facts: RunFacts) -> Iterator[SummarySentence]:
    found = facts.all_cases
    if found.measured:
        better, worse = found.counts[1], found.counts[-1]
        same = found.measured - better - worse
        yield SummarySentence(
            f"Of {found.measured:,} measured cases {better:,} are answered better after training, {worse:,} worse, "
            f"{same:,} as well as before."
        )


def _learned(facts: RunFacts) -> Iterator[SummarySentence]:
    for kind, held in facts.training.validation.items() if facts.training else ():
        if held.pairs and kind != "all":
            ranked = f"{held.accuracy:.0%} of the {held.pairs} held-out {kind} pairs are ranked right"
            weak = held.accuracy <= CHANCE
            yield SummarySentence(f"{ranked}{', hardly more than by chance' if weak else ''}.", weak)


def _cases_learned(facts: RunFacts) -> list[SummarySentence]:
    """Say that cases were learned, where they were: then nothing about pairs limits what was."""
    training = facts.training
    if not training or not training.of_cases:
        return []
    held_out = sum_counts(training.counts, "held_out_cases")
    told = f"Trained on {training.trained:,} cases as they were read, {held_out:,} held out"
    return [SummarySentence(f"{told}: pairs and their weights played no part.")]


def _equal(facts: RunFacts) -> Iterator[SummarySentence]:
    """Say where weights tell no pair from another, so that a run with scores is one without."""
    for count in facts.run.stage("weigh").counts:
        if count.what == "equal_weights":
            told = f"All {count.count:,} {count.kind} pairs rated by {count.part} weigh {count.reason}"
            yield SummarySentence(f"{told}: weights do nothing among them, as without scores.", True)


def _leak(lengths: AnswerLengths | None) -> Iterator[SummarySentence]:
    if lengths and lengths.guessed >= LEAK:
        way = "shorter" if lengths.shorter >= lengths.longer else "longer"
        yield SummarySentence(
            f"Length alone ranks {lengths.guessed:.0%} of the text pairs right (the {way} answer is the chosen one): "
            "the model may learn length instead of medicine.",
            True,
        )


def _seeds(facts: RunFacts) -> Iterator[SummarySentence]:
    if facts.measures and facts.trained:
        which = f"with seed {facts.run.seed}" if facts.training else "elsewhere"
        yield SummarySentence(
            f"One training, {which}: the intervals resample "
            f"{facts.measures.groups:,} patients or images, not trainings."
        )
