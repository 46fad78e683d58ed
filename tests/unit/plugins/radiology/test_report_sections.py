"""Where the sections of a report begin and end."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmedpo_plugins.radiology.report_sections import sections

INNER = ("AP VIEW: Clear. LINES AND TUBES: None. Heart: Large.", "")
SENTENCE = ("Clear, as to the impression: none. Date: today.", "Normal.")


@pytest.mark.parametrize(
    ("text", "findings", "impression"),
    [
        ("FINDINGS: Clear.\nCONCLUSION: Normal.", "Clear.", "Normal."),
        ("FINDINGS AND IMPRESSION:\n Clear.", "Clear.", ""),
        ("WET READ: Effusion.\n IMPRESSION:\n 1. Old: healed.\n 2. New.", "", "1. Old: healed. 2. New."),
        ("IMPRESSION: First.\nFINDINGS:\nIMPRESSION: Last.", "", "Last."),
        ("Clear lungs.", "", ""),
        ("FINDINGS / IMPRESSION: Clear.", "Clear.", ""),
        ("FINDINGS and IMPRESSION:\n Clear.", "Clear.", ""),
        ("Findings: Clear.\r\nImpression: Normal.\r\n", "Clear.", "Normal."),
        (" FINDINGS\n\n Clear.\n IMPRESSION\n Normal.", "Clear.", "Normal."),
        ("FINDINGS :  Clear.\n IMPRESSON: Normal.", "Clear.", "Normal."),
        ("CHEST. FINDINGS: Clear. CONCLUSION: Normal. RECOMMENDATION(S): None.", "Clear.", "Normal."),
        ("COMPARISON: ___ FINDINGS: Clear.\n NOTIFICATION: By phone.", "Clear.", ""),
        ("FINDINGS: AP VIEW: Clear.\n LINES AND TUBES: None.\n Heart: Large.", *INNER),
        ("FINDINGS: Clear, as to the\n impression: none.\n Date: today.\n IMPRESSION: Normal.", *SENTENCE),
        ("FINDINGS: No acute FINDINGS: here.", "No acute FINDINGS: here.", ""),
    ],
)
def test_sections_end_at_the_headings_of_the_data_set_alone(text: str, findings: str, impression: str) -> None:
    assert sections(text) == {"findings": findings, "impression": impression}


@pytest.mark.parametrize(
    ("name", "findings"),
    [
        ("mimic_heading_within_line", "No effusion."),
        (
            "mimic_inner_heading",
            "In comparison with the study of ___, there is no change. PA VIEW: Nothing new. Heart: normal size. LUNGS: "
            "clear.",
        ),
    ],
)
def test_published_cases_are_read_whole(name: str, findings: str, shared: Path) -> None:
    text = (shared / f"cases/reports/{name}.txt").read_text()
    assert sections(text) == {"findings": findings, "impression": "Normal."}
