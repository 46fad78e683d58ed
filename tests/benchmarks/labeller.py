"""How well the labeller of findings agrees with the labels of `radlabels`, report by report.

    python tests/benchmarks/labeller.py                                  # held out: no report the lexicon was made on
    python tests/benchmarks/labeller.py --half develop --wrong emphysema # and show the reports where the two differ

Findings of ours and labels of `radlabels` are grouped to what both can mean. A group is there for `radlabels` when it
calls one of the labels definitely present, for us when a text states one of the findings as present or possible; a
report in which the most that `radlabels` says of a group is "uncertain" is left out there.
Needs `pip install --no-deps radlabels`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from mmedpo_plugins.radiology.labels import label_findings
from mmedpo_plugins.radiology.mentions import read_mentions
from radlabels_triples import Half
from radlabels_triples import labels as labelled

GROUPS: Sequence[tuple[Sequence[str], Sequence[str]]] = [  # our findings, the labels of radlabels
    (["pneumothorax"], ["pneumothorax"]),
    (["effusion"], ["pleural_effusion"]),
    (["consolidation"], ["consolidation", "infiltration"]),
    (["pneumonia"], ["pneumonia"]),
    (["consolidation", "pneumonia"], ["air_space_opacity"]),
    (["opacity"], ["lung_opacity"]),
    (["ground glass opacity"], ["ground_glass_opacity"]),
    (["atelectasis", "collapse"], ["atelectasis"]),
    (["collapse"], ["lobar_segmental_collapse", "whole_lung_or_majority_collapse"]),
    (["edema"], ["pulmonary_edema"]),
    (["congestion", "edema"], ["pulmonary_congestion_pulmonary_venous_congestion"]),
    (["nodule", "mass"], ["lung_nodule_or_mass"]),
    (["lesion", "cavity"], ["lung_lesion"]),
    (["emphysema"], ["emphysema", "bullous_disease"]),
    (["subcutaneous emphysema"], ["subcutaneous_emphysema"]),
    (["hyperinflation"], ["hyperinflation"]),
    (["interstitial change"], ["interstitial_thickening"]),
    (["fibrosis"], ["pulmonary_fibrosis"]),
    (["bronchial thickening"], ["bronchial_wall_thickening", "peribronchial_cuffing"]),
    (["pleural thickening"], ["pleural_thickening", "pleural_other"]),
    (["lymphadenopathy"], ["hilar_lymphadenopathy"]),
    (["cardiomegaly"], ["cardiomegaly"]),
    (["widened mediastinum"], ["enlarged_cardiomediastinum"]),
    (["pneumomediastinum"], ["pneumomediastinum"]),
    (["pneumoperitoneum"], ["pneumoperitoneum"]),
    (["tracheal deviation"], ["tracheal_deviation"]),
    (["aortic calcification"], ["calcification_of_the_aorta"]),
    (["tortuous aorta"], ["tortuous_aorta"]),
    (["pulmonary artery enlargement"], ["pulmonary_artery_enlargement"]),
    (["hernia"], ["hiatus_hernia", "other_hernia"]),
    (["rib fracture"], ["acute_rib_fracture", "non_acute_rib_fracture"]),
    (["fracture", "rib fracture"], ["fracture_generic"]),
    (["dislocation"], ["shoulder_dislocation"]),
    (["endotracheal tube"], ["endotracheal_tube"]),
    (["tracheostomy"], ["tracheostomy_tube"]),
    (["enteric tube"], ["enteric_tube"]),
    (["central line"], ["central_venous_catheter"]),
    (["chest tube"], ["intercostal_drain"]),
    (["pacemaker"], ["pacemaker_electronic_cardiac_device_or_wires"]),
    (["stimulator"], ["implantable_electronic_device"]),
    (["foreign body"], ["nonsurgical_internal_foreign_body"]),
    (["device"], ["support_devices_generic"]),
]


def compare(half: Half, wrong: str = "", reports: int | None = None) -> dict[str, Counter[str]]:
    """Count by group the reports in which both, ours alone, theirs alone or neither has it; show the wrong ones."""
    counts: dict[str, Counter[str]] = {" or ".join(ours): Counter() for ours, _ in GROUPS}
    for text, truth in islice(labelled(half), reports):
        found = {name for name, label in label_findings(read_mentions(text)).items() if label.status != "absent"}
        for ours, theirs in GROUPS:
            said, name = {truth.get(label) for label in theirs}, " or ".join(ours)
            there, claimed = "definitely present" in said, bool(found & set(ours))
            if there or "uncertain" not in said:
                outcome = ("neither", "ours", "theirs", "both")[2 * there + claimed]
                counts[name][outcome] += 1
                if name == wrong and there != claimed:
                    print(f"---- {outcome} alone\n{text.strip()}\n")
    return counts


def f1(count: Mapping[str, int]) -> float | None:
    """Return F1, None where nobody has the finding."""
    both, apart = count.get("both", 0), count.get("ours", 0) + count.get("theirs", 0)
    return 2 * both / (2 * both + apart) if both + apart else None


def rows(half: Half, reports: int | None = None) -> list[tuple[str, Counter[str]]]:
    """Return the groups that somebody has, the most frequent first, after the sum of all."""
    counts = compare(half, reports=reports)
    every: Counter[str] = sum(counts.values(), Counter())
    there = sorted(counts.items(), key=lambda item: -(item[1]["both"] + item[1]["theirs"]))
    return [("all", every), *((name, count) for name, count in there if f1(count) is not None)]


def table(half: Half, reports: int | None = None) -> str:
    """Return the rows as Markdown."""
    lines = ["| finding | in reports | precision | recall | F1 |", "|---|---|---|---|---|"]
    for name, count in rows(half, reports):
        both, cells = count["both"], [f"{count['both'] + count['theirs']:,}"]
        for whole in (both + count["ours"], both + count["theirs"]):
            cells.append(f"{both / whole:.2f}" if whole else "")
        lines.append(f"| {name} | {' | '.join(cells)} | {f1(count):.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Label and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=["develop", "held out"], default="held out")
    parser.add_argument("--wrong", default="", help="a finding of the table: print the reports where the two differ")
    parser.add_argument("--reports", type=int, help="so many reports of the half; all, unless it says otherwise")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.wrong:
        compare(options.half, options.wrong, options.reports)
    elif options.json:
        print(
            json.dumps(
                {name: {**count, "f1": f1(count)} for name, count in rows(options.half, options.reports)}, indent=2
            )
        )
    else:
        print(table(options.half, options.reports))


if __name__ == "__main__":
    main()
