"""Stand-ins of the paper's four data sets: a few drawn films in the files that each is released in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ASKED = (
    ("Is there an effusion?", "Yes"),
    ("Where is the effusion?", "The effusion is on the left"),
    ("Is there a nodule?", "No"),
)
REPORTS = ("There is a left effusion.", "The lungs are clear.", "There is a nodule in the right lung.")
TRAIN, TEST = (0, 1, 2), (3, 4)  # numbers of the films


def write_slake(root: Path) -> None:
    """Write one English question of each film, with the box of a lesion and of an organ."""
    for split, films in {"train": TRAIN, "validate": (5,), "test": TEST}.items():
        rows = []
        for film in films:
            name, (question, answer) = f"xmlab{film}", ASKED[film % 3]
            draw_film(root / "imgs" / name / "source.jpg", film)
            boxes = [{"Lung": [4, 4, 40, 40]}, {"Effusion": [8, 9, 20, 24]}]
            (root / "imgs" / name / "detection.json").write_text(json.dumps(boxes))
            kind = "CLOSED" if answer in ("Yes", "No") else "OPEN"
            asked = {"qid": film, "question": question, "answer": answer, "answer_type": kind, "q_lang": "en"}
            rows.append({**asked, "img_name": f"{name}/source.jpg"})
        (root / f"{split}.json").write_text(json.dumps(rows))


def write_vqa_rad(root: Path) -> None:
    """Write one question of each film, as OSF has them: the phrase type says which are of the test."""
    rows = []
    for film in (*TRAIN, *TEST):
        question, answer = ASKED[film % 3]
        draw_film(root / "VQA_RAD Image Folder" / f"synpic{film}.jpg", film)
        kind = "CLOSED" if answer in ("Yes", "No") else "OPEN"
        phrase = "test_freeform" if film in TEST else "freeform"
        asked = {"qid": str(film), "question": question, "answer": answer, "answer_type": kind, "phrase_type": phrase}
        rows.append({**asked, "image_name": f"synpic{film}.jpg"})
    (root / "VQA_RAD Dataset Public.json").write_text(json.dumps(rows))


def write_iu_xray(root: Path) -> None:
    """Write a report of each study with its frontal film, in R2Gen's file."""
    splits: dict[str, list[Any]] = {"train": [], "val": [], "test": []}
    for split, films in {"train": TRAIN, "val": (5,), "test": TEST}.items():
        for film in films:
            study = f"CXR{film}_IM-000{film}"
            draw_film(root / "images" / study / "0.png", film)
            splits[split].append({"id": study, "report": REPORTS[film % 3], "image_path": [f"{study}/0.png"]})
    (root / "annotation.json").write_text(json.dumps(splits))


def write_mimic_cxr(root: Path) -> None:
    """Write drawn films with made-up reports, a patient each, in the folders of MIMIC-CXR-JPG."""
    split, metadata = ["dicom_id,study_id,subject_id,split"], ["dicom_id,subject_id,study_id,ViewPosition"]
    for film in (*TRAIN, *TEST):
        patient, study = f"1000000{film}", f"5000000{film}"
        split.append(f"film{film},{study},{patient},{'test' if film in TEST else 'train'}")
        metadata.append(f"film{film},{patient},{study},PA")
        folder = root / "files" / "p10" / f"p{patient}"
        draw_film(folder / f"s{study}" / f"film{film}.jpg", film)
        (folder / f"s{study}.txt").write_text(f" FINDINGS:\n\n {REPORTS[film % 3]}\n\n IMPRESSION:\n\n Seen.\n")
    (root / "mimic-cxr-2.0.0-split.csv").write_text("\n".join(split))
    (root / "mimic-cxr-2.0.0-metadata.csv").write_text("\n".join(metadata))
    (root / "mimic_dpo_weighted.json").write_text(
        json.dumps([{"id": f"film{film}", "image": f"film{film}.jpg"} for film in TRAIN])
    )
    (root / "mimic_test.txt").write_text("\n".join(f"5000000{film}" for film in TEST))


LAYOUTS: Mapping[str, Callable[[Path], None]] = {  # by the name of the recipe for it
    "slake": write_slake,
    "vqa_rad": write_vqa_rad,
    "iu_xray": write_iu_xray,
    "mimic_cxr": write_mimic_cxr,
}


def draw_film(path: Path, seed: int) -> None:
    """Draw a small grey film that no other seed draws."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 60, (56, 56))
    Image.fromarray((np.tile(np.arange(56) * 3, (56, 1)) + noise).clip(0, 255).astype(np.uint8)).save(path)
