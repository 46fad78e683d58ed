"""What built-in parts need that their options name, each as small as it can be: data sets, checkpoints, endpoints."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from mmedpo.testing import fake_endpoint, tiny_pairs

Options = dict[str, Any]
CSV = "image,question,answer\na.png,Is it there?,Yes\nb.png,Where is it?,On the left\n"
ASKED = {"role": "user", "content": "<image>Is it there?"}
SAID = [{"from": "human", "value": "<image>\nIs it there?"}, {"from": "gpt", "value": " No"}]


def write_films(folder: Path, *names: str) -> None:
    """Write grey films that differ."""
    from PIL import Image

    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (64, 64), 20 * number).save(folder / name)


def write_csv(folder: Path) -> Options:
    write_films(folder, "a.png", "b.png")
    (folder / "vqa.csv").write_text(CSV)
    return {"file": folder / "vqa.csv"}


def write_jsonl(folder: Path) -> Options:
    write_films(folder, "a.png")
    (folder / "vqa.jsonl").write_text(json.dumps({"image": "a.png", "question": "Is it there?", "answer": "Yes"}))
    return {"file": folder / "vqa.jsonl"}


def write_parquet(folder: Path) -> Options:
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_films(folder, "a.png")
    rows = [{"image": "a.png", "question": "Is it there?", "answer": "Yes"}]
    pq.write_table(pa.Table.from_pylist(rows), folder / "vqa.parquet")
    return {"file": folder / "vqa.parquet"}


def write_boxes(folder: Path) -> Options:
    write_films(folder, "a.png")
    box = {"id": 1, "image_id": 1, "category_id": 7, "bbox": [4, 5, 10, 20]}
    kinds = [{"id": 7, "name": "nodule"}]
    images = [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}]
    (folder / "boxes.json").write_text(json.dumps({"images": images, "annotations": [box], "categories": kinds}))
    return {"file": folder / "boxes.json"}


def write_dicom(folder: Path) -> Options:
    from dicom_films import write

    write(folder / "a.dcm")
    (folder / "questions.csv").write_text("image,question,answer\na.dcm,Is it there?,Yes\n")
    return {"root": folder, "table": folder / "questions.csv"}


def write_hf_dataset(folder: Path) -> Options:
    import datasets

    write_films(folder, "films/a.png")
    text = datasets.Value("string")
    types = datasets.Features({"image": datasets.Image(), "question": text, "answer": text})
    rows = {"image": [str(folder / "films/a.png")], "question": ["Is it there?"], "answer": ["Yes"]}
    datasets.Dataset.from_dict(rows, features=types).save_to_disk(folder / "set")
    return {"path": str(folder / "set")}


def write_iu_xray(folder: Path) -> Options:
    write_films(folder / "images", "CXR1_IM-1/0.png", "CXR1_IM-1/1.png")
    paths = ["CXR1_IM-1/0.png", "CXR1_IM-1/1.png"]
    study = {"id": "CXR1_IM-1", "report": "The heart is normal.", "image_path": paths, "split": "train"}
    (folder / "annotation.json").write_text(json.dumps({"train": [study], "val": [], "test": []}))
    return {"root": folder}


def write_mimic_cxr(folder: Path) -> Options:
    home = folder / "files/p10/p10000032"
    write_films(home, "s5/ab.jpg")
    (home / "s5.txt").write_text("FINDINGS:\n\n The lungs are clear.\n")
    (folder / "mimic-cxr-2.0.0-split.csv").write_text("dicom_id,study_id,subject_id,split\nab,5,10000032,train")
    told = b"dicom_id,subject_id,study_id,ViewPosition,Rows\nab,10000032,5,PA,64"
    (folder / "mimic-cxr-2.0.0-metadata.csv.gz").write_bytes(gzip.compress(told))
    return {"root": folder}


def write_slake(folder: Path) -> Options:
    write_films(folder / "imgs", "xmlab1/source.jpg")
    names = ("location", "modality", "base_type", "content_type")
    row: Options = {"img_id": 1, "img_name": "xmlab1/source.jpg", "question": "Is it there?", "answer": "Yes", "qid": 0}
    row |= {"q_lang": "en", "answer_type": "CLOSED", "triple": ["vhead", "_", "_"], **dict.fromkeys(names, "vqa")}
    (folder / "train.json").write_text(json.dumps([row]))
    return {"root": folder}


def write_vqa_rad(folder: Path) -> Options:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    film = BytesIO()
    Image.new("L", (8, 8), 5).save(film, format="PNG")
    rows = [{"image": {"bytes": film.getvalue(), "path": None}, "question": "what?", "answer": "ct"}]
    (folder / "data").mkdir(parents=True)
    for split in ("train-00000-of-00001-a", "test-00000-of-00001-b"):
        pq.write_table(pa.Table.from_pylist(rows), folder / "data" / f"{split}.parquet")
    return {"root": folder}


def write_pairs(folder: Path) -> Options:
    write_films(folder / "images", "a.png")
    row = {"messages": [ASKED, {"role": "assistant", "content": "Yes"}], "images": ["images/a.png"]}
    (folder / "pairs.jsonl").write_text(json.dumps({**row, "rejected_response": "No"}))
    return {"root": folder}


def write_mmedpo_json(folder: Path) -> Options:
    write_films(folder / "images", "a.png")
    wrong = [SAID[0], {"from": "gpt", "value": " Yes, a mass."}]
    row = {"id": 7, "image": "a.png", "conversations": SAID, "rejected_conversations": wrong, "weighted_score": 0.9}
    (folder / "x_dpo_weighted.json").write_text(json.dumps([row]))
    return {"root": folder}


def write_hf_vlm(folder: Path) -> Options:
    from tiny_hf_vlm import write_llava

    return {"checkpoint": str(write_llava(folder))}


def write_llava_med(folder: Path) -> Options:
    from tiny_llava_med import make_model, released_tensors, write_release

    return {"checkpoint": str(write_release(folder, released_tensors(make_model())))}


def write_heat_maps(folder: Path) -> Options:
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        np.save(folder / f"tiny-{number}.npy", np.eye(8, k=number))
    return {"root": folder, "missing": "none"}


def write_medklip(folder: Path) -> Options:
    from tiny_medklip import write_medklip as write

    write(folder)
    return {"checkpoint": folder / "checkpoint.pth", "queries": folder / "queries.safetensors"}


def write_detector(folder: Path) -> Options:
    import torch
    from mmedpo_plugins.localizers.monai_detector.checkpoint import DetectorCheckpoint, save
    from mmedpo_plugins.localizers.monai_detector.detection_metrics import ScoreCalibration
    from mmedpo_plugins.localizers.monai_detector.network import NetworkShape, build_detector

    shape = NetworkShape(("nodule",), 64, width=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save(DetectorCheckpoint(build_detector(shape), shape, ScoreCalibration(), 0.0), folder / "d.safetensors")
    return {"checkpoint": folder / "d.safetensors"}


def write_bundle(folder: Path) -> Options:
    """Write a network of one pixel: a finding is where grey values exceed a half."""
    import torch
    from mmedpo_plugins.localizers.monai_detector.bundle_code import hash_code

    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True)
    scale = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 255, "b_min": 0, "b_max": 1}
    config = {
        "network_def": {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 2, "kernel_size": 1},
        "preprocessing": {"_target_": "Compose", "transforms": [{"_target_": "LoadImaged", "keys": "image"}, scale]},
        "inferer": {"_target_": "SimpleInferer"},
    }
    (folder / "configs/inference.json").write_text(json.dumps(config))
    channels = {"pred": {"channel_def": {"0": "background", "1": "nodule"}}}
    (folder / "configs/metadata.json").write_text(json.dumps({"network_data_format": {"outputs": channels}}))
    weights = {"weight": torch.tensor([0.0, 40.0]).reshape(2, 1, 1, 1), "bias": torch.tensor([0.0, -20.0])}
    torch.save(weights, folder / "models/model.pt")
    return {"root": folder, "code": hash_code(folder)}


def write_ratings(folder: Path) -> Options:
    from mmedpo.data import name_opaquely
    from mmedpo.data.ratings import hash_shown

    pair = tiny_pairs("text", 1)[0]
    shown = hash_shown(pair, pair.chosen, pair.rejected)
    folder.mkdir()
    (folder / "anna.csv").write_text(f"rater,pair,digest,verdict,relevance\nanna,{name_opaquely(pair)},{shown},A,7\n")
    return {"ratings": folder / "anna.csv"}


def write_verifier(folder: Path) -> Options:
    from tiny_clip import write_tiny_clip

    return {"verifier": str(write_tiny_clip(folder))}


FILES: dict[tuple[str, str], Callable[[Path], Options]] = {
    ("reader", "csv"): write_csv,
    ("reader", "jsonl"): write_jsonl,
    ("reader", "parquet"): write_parquet,
    ("reader", "boxes"): write_boxes,
    ("reader", "dicom"): write_dicom,
    ("reader", "hf-dataset"): write_hf_dataset,
    ("reader", "iu-xray"): write_iu_xray,
    ("reader", "mimic-cxr"): write_mimic_cxr,
    ("reader", "slake"): write_slake,
    ("reader", "vqa-rad"): write_vqa_rad,
    ("reader", "pairs"): write_pairs,
    ("reader", "mmedpo-json"): write_mmedpo_json,
    ("reader", "phantom"): lambda folder: {"images": 4},
    ("backbone", "hf-vlm"): write_hf_vlm,
    ("backbone", "llava-med"): write_llava_med,
    ("localizer", "heatmap"): write_heat_maps,
    ("localizer", "medklip"): write_medklip,
    ("localizer", "monai-detector"): write_detector,
    ("localizer", "monai-bundle"): write_bundle,
    ("scorer", "clinicians"): write_ratings,
    ("loss", "fisao"): write_verifier,
}


@contextmanager
def given_needs(kind: str, cls: Any, folder: Path) -> Iterator[Options]:
    """Yield the options that a built-in part cannot do without, with what they name."""
    if "base_url" in cls.model_fields:
        with fake_endpoint() as server:
            yield {"model": "m", "base_url": server.url}
    elif write := FILES.get((kind, cls.use)):
        yield write(folder)
    else:
        yield {}
