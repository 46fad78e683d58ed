"""Hard films: what makes them hard, what stays true of them, and reports that every part of mmedpo reads rightly."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from mmedpo_plugins.phantom.cases import counterfactual
from mmedpo_plugins.phantom.exam import named
from mmedpo_plugins.phantom.exposure import NOISES, FilmExposure
from mmedpo_plugins.phantom.film import draw_film, film_of
from mmedpo_plugins.phantom.findings import BALANCED, LABELS, PhantomFinding
from mmedpo_plugins.phantom.language import REPORT, YES
from mmedpo_plugins.phantom.reader import PhantomReader
from mmedpo_plugins.phantom.writers import WRITERS, PhantomWriter
from mmedpo_plugins.radiology.labels import label_findings
from mmedpo_plugins.radiology.mentions import read_mentions
from mmedpo_plugins.scorers.med_llm_vote.rules_voter import RulesVoter

from mmedpo import Case, ImageRef, Pair, Side

WORLD = BALANCED.overlapping()
DRAWN = [WORLD.sample(seed) for seed in range(400)]
TERMS = {label: label for label in LABELS} | {"device": "pacemaker"}


def test_findings_are_as_frequent_as_on_clear_films_and_effusions_mostly_beside_consolidation() -> None:
    clear = [BALANCED.sample(seed) for seed in range(2000)]
    hard = [WORLD.sample(seed) for seed in range(2000)]
    assert [[one.label for one in some] for some in hard] == [[one.label for one in some] for some in clear]
    beside = [{one.label: one.side for one in some} for some in hard]
    together = [sides for sides in beside if {"effusion", "consolidation"} <= sides.keys()]
    assert np.mean([sides["effusion"] == sides["consolidation"] for sides in together]) > 0.85


def test_every_finding_goes_from_faint_to_plain() -> None:
    """Of the films that show one alone, the strongest change of a pixel."""
    for label in set(LABELS) - {"cardiomegaly"}:
        one = PhantomFinding(label, "left", "upper", "large")
        films = [(draw_film(seed, [one], "hard"), draw_film(seed, [], "hard")) for seed in range(16)]
        greys = [np.abs(there.pixels.astype(int) - gone.pixels).max() for there, gone in films]
        assert min(greys) < 30
        assert max(greys) > 2.5 * min(greys)
        assert min(greys) > 2, "on the film at all"


def test_every_kind_of_noise_is_met_alike_and_a_patient_who_moves_is_seen_as_the_sum_of_parts() -> None:
    drawn = [FilmExposure.of(np.random.default_rng(seed)) for seed in range(600)]
    counts = Counter(one.noise for one in drawn)
    assert all(150 < counts[noise] < 250 for noise in NOISES)
    moved = next(one for one in drawn if one.noise == "motion")
    parts = np.random.default_rng(0).random((2, 112, 112), np.float32)
    assert np.allclose(moved.blur(parts[0] + parts[1]), moved.blur(parts[0]) + moved.blur(parts[1]), atol=1e-5)


@pytest.mark.parametrize("write", WRITERS)
def test_a_report_is_labelled_as_drawn_whoever_wrote_it(write: PhantomWriter) -> None:
    for some in DRAWN:
        found = label_findings(read_mentions(write(some)))
        present = {name: label for name, label in found.items() if label.status == "present"}
        assert {label.status for label in found.values()} <= {"present", "absent"}
        assert present.keys() == {TERMS[one.label] for one in some}
        assert named(write(some)) == {one.label for one in some}
        for one in some:
            assert present[TERMS[one.label]].sides == ({one.side} if one.side else set())
            assert present[TERMS[one.label]].places == ({one.place} if one.place else set())


def test_the_rules_tell_what_is_said_otherwise_from_what_is_otherwise() -> None:
    def rating(chosen: str, rejected: str) -> float:
        case = Case("r", ImageRef(), REPORT[0], chosen, kind="report")
        pair = Pair(case, Side(case.image, chosen), Side(case.image, rejected), "text")
        (vote,) = RulesVoter().vote([pair], [None])
        assert vote.score is not None
        return vote.score

    for some, others in zip(DRAWN[:40], DRAWN[40:80], strict=True):
        for one, another in product(WRITERS, WRITERS):
            assert rating(one(some), another(some)) <= 1
            if {finding.label for finding in some} != {finding.label for finding in others}:
                assert rating(one(some), another(others)) >= 8


def test_a_case_of_a_hard_film_can_be_drawn_again_without_its_finding_and_has_an_id_of_its_own() -> None:
    cases = list(PhantomReader(images=20, films="hard", reports=2).read())
    assert not {case.id for case in cases} & {case.id for case in PhantomReader(images=20, reports=2).read()}
    assert len({case.answer.split()[0] for case in cases if case.kind == "report"}) > 3, "several writers"
    for case in cases:
        if case.kind == "report":
            assert named(case.answer) == {region.label for region in case.regions}
        if case.kind == "closed" and case.answer == YES:
            twin = counterfactual(case)
            mask = next(np.asarray(region.mask.load()) for region in case.regions if region.label == case.about[0])
            changed = np.asarray(twin.image.load()) != np.asarray(case.image.load())
            assert changed.any()
            assert not (changed & (mask == 0)).any()
            assert replace(case, image=film_image(case)) == case


def film_image(case: Case) -> ImageRef:
    """Draw a case's film from its notes alone."""
    findings = [PhantomFinding(**one) for one in case.notes["findings"]]
    return draw_film(case.notes["film"], findings, case.notes["films"]).picture()


def test_the_same_number_gives_another_film_than_the_clear_one() -> None:
    clear, hard = (film_of(BALANCED, 0, "train", 4, version) for version in ("clear", "hard"))
    assert (clear.seed, clear.version, hard.version) == (hard.seed, "clear", "hard")
    assert (clear.pixels != hard.pixels).mean() > 0.9
