"""Pairs leave a run in each form and come back as they were; what a form has no room for is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
from conftest import Mmedpo
from huggingface_hub import DatasetCard
from mmedpo_plugins.phantom.backbone import WEIGHTS
from mmedpo_plugins.readers.pairs.mmedpo_json import MmedpoJsonReader
from peft import PeftModel, get_peft_model_state_dict
from PIL import Image
from tiny_llava import make_model, make_tokenizer
from transformers import AutoModelForImageTextToText

from mmedpo import GIVEN, Pair
from mmedpo.core.records import WeightedPair
from mmedpo.core.stage import Stage
from mmedpo.errors import DataError, RecipeError
from mmedpo.exchange.formats import FORMATS
from mmedpo.exchange.pairs_io import export_run, import_pairs
from mmedpo.models import load_adapter
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.store.run_files.reader import read_pairs

RECIPE = """
output: {folder}/run
data: {{use: phantom, images: 6}}
backbone: {{use: phantom}}
localize: [{{use: annotated}}, {{use: attention}}]     # regions with masks, and with heat maps as well
disprefer:
  - {{use: opposite-answer}}
  - {{use: lesion-noise}}
  - {{use: lesion-noise, pairs: flipped, step: 400}}
score: [{{use: med-llm-vote}}, {{use: detector-confidence}}]
"""


def carry_out(path: Path, text: str, until: Stage = Stage.WEIGH) -> Path:
    path.write_text(text)
    return run_recipe(load_recipe(path), lambda event: None, until=until).folder


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with text pairs, image pairs and flipped ones, whose sides share an image that is not the case's."""
    folder = tmp_path_factory.mktemp("origin")
    return carry_out(folder / "recipe.yaml", RECIPE.format(folder=folder))


@pytest.fixture
def bring(tmp_path: Path) -> Callable[..., Path]:
    """Import a folder and carry the written recipe out up to the weights."""

    def imported(folder: Path, *overrides: str) -> Path:
        recipe = tmp_path / f"{folder.name}.yaml"
        import_pairs(folder, recipe)
        here = [f"output={tmp_path / folder.name}-run", "backbone={use: phantom}", "train=null"]
        return run_recipe(load_recipe(recipe, [*here, *overrides]), lambda event: None, until=Stage.WEIGH).folder

    return imported


def told(item: WeightedPair) -> WeightedPair:
    """Return a pair as it is told by the data that it comes from, whoever scored it where."""
    notes = {key: value for key, value in item.pair.notes.items() if key != GIVEN}
    evidence = {key: value for key, value in item.score.evidence.items() if key != "weight"}
    pair = replace(item.pair, relevance=item.score.relevance, notes=notes)
    return replace(item, pair=pair, score=replace(item.score, evidence=evidence))


@pytest.mark.slow
@pytest.mark.parametrize("use", FORMATS)
def test_what_leaves_and_comes_back_is_what_it_was(
    use: str, origin: Path, tmp_path: Path, bring: Callable[..., Path]
) -> None:
    before = [item for item in read_pairs(origin) if FORMATS[use].accepts(item.pair)]
    export_run(origin, use, tmp_path / use)
    after = read_pairs(bring(tmp_path / use))
    assert [told(item) for item in after] == [told(item) for item in before]
    assert {item.pair.kind for item in after} == {"text", "image"}
    assert not any(item.pair.case.restricted for item in after)


def test_a_second_journey_writes_the_same_table(origin: Path, tmp_path: Path, bring: Callable[..., Path]) -> None:
    export_run(origin, "parquet", tmp_path / "first")
    export_run(bring(tmp_path / "first"), "parquet", tmp_path / "second")
    first, second = ((tmp_path / name / "metadata.parquet").read_bytes() for name in ("first", "second"))
    assert first == second


def test_the_weights_that_pairs_came_with_can_be_made_anew(
    origin: Path, tmp_path: Path, bring: Callable[..., Path]
) -> None:
    export_run(origin, "ms-swift", tmp_path / "out")
    clinical = read_pairs(bring(tmp_path / "out", "weigh={use: clinical}"))
    assert [item.weight for item in clinical] == [item.weight for item in read_pairs(origin)]
    assert {item.weight for item in read_pairs(bring_again(tmp_path, "weigh={use: uniform}"))} == {1.0}


def test_what_comes_without_a_relevance_is_asked_for_or_keeps_its_weight(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "set/a.png")
    Image.new("L", (8, 8), 9).save(tmp_path / "set/b.png")
    asked = {"role": "user", "content": "<image>Is there an effusion?"}
    text = {"messages": [asked, {"role": "assistant", "content": "No"}], "images": ["a.png"]}
    image = {**text, "rejected_images": ["b.png"]}
    text = {**text, "rejected_response": "Yes, there is."}

    def come(name: str, **more: float) -> Sequence[WeightedPair]:
        (tmp_path / "set/pairs.jsonl").write_text("\n".join(json.dumps({**row, **more}) for row in (text, image)))
        import_pairs(tmp_path / "set", tmp_path / f"{name}.yaml")
        here = [f"output={tmp_path / name}", "backbone={use: phantom}", "train=null"]
        folder = run_recipe(load_recipe(tmp_path / f"{name}.yaml", here), lambda event: None, until=Stage.WEIGH).folder
        return read_pairs(folder)

    assert [(item.score.scorer, item.weight) for item in come("bare")] == [("med-llm-vote", 1.0), ("", 1.0)]
    assert [(item.score.scorer, item.weight) for item in come("weighted", weight=1.5)] == [("", 1.5), ("", 1.5)]
    rated = come("rated", weight=1.5, relevance=0.5)
    assert [(item.score.scorer, item.weight) for item in rated] == [("published", 1.5), ("published", 1.5)]


def bring_again(tmp_path: Path, override: str) -> Path:
    here = [f"output={tmp_path / 'again'}", "backbone={use: phantom}", "train=null", override]
    return run_recipe(load_recipe(tmp_path / "out.yaml", here), lambda event: None, until=Stage.WEIGH).folder


# --- what each tool loads ----------------------------------------------------------------------------------------


def load(folder: Path, tmp_path: Path) -> Any:
    return datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))


def test_stock_trl_trains_on_what_is_written_for_it(origin: Path, tmp_path: Path) -> None:
    from peft import LoraConfig
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from trl import DPOConfig, DPOTrainer

    exported = export_run(origin, "trl", tmp_path / "trl")
    data = load(tmp_path / "trl", tmp_path)
    assert len(data) == sum(exported.pairs.values())
    square = {"height": 28, "width": 28}
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size=square, crop_size=square), tokenizer=make_tokenizer(),
        patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template="{% for turn in messages %}{% for piece in turn['content'] %}"
        "{{ '<image> ' if piece['type'] == 'image' else piece['text'] }}{% endfor %}"
        "{{ ' </s>' if turn['role'] == 'assistant' else ' ' }}{% endfor %}",
    )  # fmt: skip
    args = DPOConfig(
        output_dir=str(tmp_path / "stock"), use_cpu=True, bf16=False, report_to="none", max_steps=1,
        per_device_train_batch_size=4, gradient_checkpointing=False, disable_tqdm=True,
    )  # fmt: skip
    lora = LoraConfig(target_modules=r".*language_model.*_proj", task_type="CAUSAL_LM")
    trainer = DPOTrainer(
        model=make_model(), args=args, train_dataset=data, processing_class=processor, peft_config=lora
    )
    assert trainer.train().global_step == 1
    assert trainer.state.log_history[-1]["train_loss"] == pytest.approx(0.693, abs=0.01)


def test_trl_and_llama_factory_leave_out_pairs_of_two_images_and_say_how_many(origin: Path, tmp_path: Path) -> None:
    two = sum(item.pair.chosen.image != item.pair.rejected.image for item in read_pairs(origin))
    for use in ("trl", "llama-factory"):
        exported = export_run(origin, use, tmp_path / use)
        assert exported.left_out == two > 0
        assert f"{two} of {len(read_pairs(origin))} pairs are left out" in exported.notes[0]
        assert exported.notes[0] in (tmp_path / use / "README.md").read_text()
        assert any("no weight per pair" in note for note in exported.notes)


def test_ms_swift_gets_the_keys_of_its_documentation(origin: Path, tmp_path: Path) -> None:
    export_run(origin, "ms-swift", tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out/pairs.jsonl").read_text().splitlines()]
    assert len(rows) == len(read_pairs(origin))
    for row, item in zip(rows, read_pairs(origin), strict=True):
        for key, answer in (("messages", item.pair.chosen.answer), ("rejected_messages", item.pair.rejected.answer)):
            asked, answered = row[key]
            assert asked == {"role": "user", "content": f"<image>{item.pair.case.question}"}
            assert answered == {"role": "assistant", "content": answer}
        for key in ("images", "rejected_images"):
            (name,) = row[key]
            assert (tmp_path / "out" / name).is_file(), "ROOT_IMAGE_DIR is the folder"
    assert len(load(tmp_path / "out", tmp_path)) == len(rows), "ms-swift loads it with `datasets`"


def test_llama_factory_gets_its_ranking_form_and_the_description_of_it(origin: Path, tmp_path: Path) -> None:
    export_run(origin, "llama-factory", tmp_path / "out")
    info = json.loads((tmp_path / "out/dataset_info.json").read_text())["mmedpo_pairs"]
    assert (info["formatting"], info["ranking"]) == ("sharegpt", True)
    rows = json.loads((tmp_path / "out" / info["file_name"]).read_text())
    for row in rows:
        columns = {name: row[column] for name, column in info["columns"].items()}
        assert [turn["from"] for turn in columns["messages"]] == ["human"], "an odd number of turns"
        assert columns["messages"][0]["value"].count("<image>") == len(columns["images"]) == 1
        assert columns["chosen"]["from"] == columns["rejected"]["from"] == "gpt"
        assert (tmp_path / "out" / columns["images"][0]).is_file(), "media_dir is the folder"
    assert len(load(tmp_path / "out", tmp_path)) == len(rows), "LLaMA-Factory loads it with `datasets`"


def test_the_reader_of_the_released_form_reads_what_is_written_in_it(origin: Path, tmp_path: Path) -> None:
    export_run(origin, "mmedpo-json", tmp_path / "out")
    pairs = [item for item in MmedpoJsonReader(root=tmp_path / "out").read() if isinstance(item, Pair)]
    for pair, item in zip(pairs, read_pairs(origin), strict=True):
        assert pair.case.question == item.pair.case.question
        assert (pair.chosen.answer, pair.rejected.answer) == (item.pair.chosen.answer, item.pair.rejected.answer)
        assert pair.relevance == item.score.relevance
        assert Path(pair.rejected.image.path).stem == item.pair.rejected.image.sha256


def test_the_released_form_has_the_keys_of_the_released_file(origin: Path, tmp_path: Path, shared: Path) -> None:
    export_run(origin, "mmedpo-json", tmp_path / "out")
    released = json.loads((shared / "data/vqa_rad/vqa-rad_dpo_weighted.json").read_text())[0]
    mine = next(row for row in json.loads((tmp_path / "out/pairs_dpo_weighted.json").read_text()))
    assert released.keys() <= mine.keys()
    assert mine["conversations"][0]["value"].startswith("<image>\n")
    assert [turn["from"] for turn in mine["conversations"]] == [turn["from"] for turn in released["conversations"]]


def test_the_table_says_in_its_columns_what_it_holds(origin: Path, tmp_path: Path) -> None:
    export_run(origin, "parquet", tmp_path / "out")
    table = load(tmp_path / "out", tmp_path)
    row, item = table[0], read_pairs(origin)[0]
    assert (row["id"], row["question"], row["weight"]) == (item.pair.case.id, item.pair.case.question, item.weight)
    assert row["image"].tobytes() == item.pair.case.image.load().tobytes()
    assert row["chosen_image"] is None, "it is the case's"
    noised = next(index for index, item in enumerate(read_pairs(origin)) if item.pair.kind == "image")
    item = read_pairs(origin)[noised]
    assert table[noised]["rejected_image"].tobytes() == item.pair.rejected.image.load().tobytes()


@pytest.mark.parametrize("use", FORMATS)
def test_an_image_is_there_once_however_many_pairs_show_it(use: str, origin: Path, tmp_path: Path) -> None:
    export_run(origin, use, tmp_path / "out")
    pairs = [item.pair for item in read_pairs(origin) if FORMATS[use].accepts(item.pair)]
    shown = {image.sha256 for pair in pairs for image in (pair.case.image, pair.chosen.image, pair.rejected.image)}
    drawn = [image for pair in pairs for region in pair.case.regions for image in (region.mask, region.heat)]
    assert any(region.heat for pair in pairs for region in pair.case.regions)
    shown |= {image.sha256 for image in drawn if image}
    files = list((tmp_path / "out/images").rglob("*.png"))
    assert sorted(path.stem for path in files) == sorted(shown)
    assert all(path.parent.name == path.name[:2] for path in files), "no folder holds them all"
    others = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path not in files]
    assert not [path for path in others if b"IHDR" in path.read_bytes()]


@pytest.mark.parametrize("use", FORMATS)
def test_without_images_pairs_name_them_by_their_hashes_and_the_card_says_so(
    use: str, origin: Path, tmp_path: Path
) -> None:
    exported = export_run(origin, use, tmp_path / "out", images=False)
    assert not list((tmp_path / "out").rglob("*.png"))
    assert "the images are left out" in (tmp_path / "out/README.md").read_text()
    assert any("left out" in note for note in exported.notes)
    (table,) = (path for path in (tmp_path / "out").iterdir() if path.name.startswith("pairs"))
    assert read_pairs(origin)[0].pair.case.image.sha256.encode() in table.read_bytes()
    if use in ("trl", "parquet"):
        row = load(tmp_path / "out", tmp_path)[0]
        assert any(str(value).endswith(".png") or ".png" in str(value) for value in row.values()), "names are texts"


# --- restricted data, images, cards ------------------------------------------------------------------------------


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """Return a run of one restricted film whose file tells a name."""
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe"
    Image.new("L", (16, 16), 90).save(tmp_path / "film.jpg", exif=exif)
    rows = [{"image": "film.jpg", "question": f"Is there a mass, {n}?", "answer": "No"} for n in range(3)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    text = (
        f"output: {tmp_path}/private\ndata: {{use: jsonl, file: {tmp_path}/rows.jsonl}}\nbackbone: {{use: phantom}}\n"
    )
    return carry_out(tmp_path / "r.yaml", text + "disprefer: [{use: opposite-answer}]\nscore: [{use: med-llm-vote}]\n")


def test_restricted_travels_with_the_pairs_and_is_said_aloud(private: Path, tmp_path: Path, mmedpo: Mmedpo) -> None:
    done = mmedpo("export", private, "--to", "ms-swift", "-o", "out")
    assert "3 of these pairs are restricted: out is as restricted as the data" in done.stderr
    assert "3 of 3 pairs are restricted" in (tmp_path / "out/README.md").read_text()
    done = mmedpo("import", "out", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    assert "\n  restricted\n" in done.stdout
    assert "restricted: false" not in (tmp_path / "recipe.yaml").read_text()
    here = [f"data.root={tmp_path / 'out'}", "data.restricted=false", "train=null", f"output={tmp_path / 'x'}"]
    again = run_recipe(load_recipe(tmp_path / "recipe.yaml", here), lambda event: None, until=Stage.WEIGH).folder
    assert all(item.pair.case.restricted for item in read_pairs(again)), "a pair that says so stays restricted"


@pytest.mark.parametrize("use", FORMATS)
def test_the_images_are_the_pixels_and_nothing_else_of_their_files(use: str, private: Path, tmp_path: Path) -> None:
    export_run(private, use, tmp_path / "out")
    for file in (path for path in (tmp_path / "out").rglob("*") if path.is_file()):
        assert b"Jane Doe" not in file.read_bytes()
        assert str(tmp_path).encode() not in file.read_bytes(), "nor where they lay"
    for path in (tmp_path / "out").rglob("images/*/*.png"):
        assert path.stem in {item.pair.chosen.image.sha256 for item in read_pairs(private)}


def test_an_image_that_was_changed_since_the_run_does_not_travel(private: Path, tmp_path: Path) -> None:
    Image.new("L", (16, 16), 10).save(tmp_path / "film.jpg")
    with pytest.raises(DataError, match=r"film\.jpg: is not the image that the run saw"):
        export_run(private, "ms-swift", tmp_path / "out")
    assert not (tmp_path / "out").exists(), "all or nothing"


def test_the_card_says_what_the_pairs_are(origin: Path, private: Path, tmp_path: Path) -> None:
    export_run(origin, "trl", tmp_path / "out")
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "apache-2.0", "the phantom's own"
    assert card.data.task_categories == ["visual-question-answering"]
    text = card.text
    assert "| text | opposite-answer |" in text
    assert "cases without text pair by opposite-answer" in text
    assert "longer answer on the rejected side" in text
    assert "votes by rules" in text
    assert DatasetCard.load(origin / "data_card.md").data.license == "apache-2.0"
    export_run(private, "trl", tmp_path / "unknown")
    assert "fill in `license` above" in (tmp_path / "unknown" / "README.md").read_text()


# --- the adapter -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of restricted cases with an adapter whose base is a folder of this machine."""
    folder = tmp_path_factory.mktemp("trained")
    text = RECIPE.format(folder=folder).replace("images: 6", "images: 3, restricted: true")
    train = "train: {epochs: 1, learning_rate: 1e-3, lora: {r: 4, alpha: 8}}\n"
    return carry_out(folder / "recipe.yaml", text + train, until=Stage.TRAIN)


def test_an_adapter_leaves_without_the_path_of_its_base_and_fits_it_as_before(
    trained: Path, tmp_path: Path, mmedpo: Mmedpo
) -> None:
    done = mmedpo("export", trained, "--to", "peft", "-o", "out")
    assert done.stdout == "out: the adapter for peft\n"
    assert "of the pairs it was trained from are restricted: out is as restricted as the data" in done.stderr
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert files.keys() == {path.name for path in (trained / "adapter").iterdir()}
    assert not [name for name, content in files.items() if str(WEIGHTS).encode() in content]
    for name in ("adapter_config.json", "base.json"):
        assert WEIGHTS.name in json.loads(files[name]).values()
    at_home = json.loads((trained / "adapter/adapter_config.json").read_text())
    assert json.loads(files["adapter_config.json"]) == {**at_home, "base_model_name_or_path": WEIGHTS.name}
    model = load_adapter(AutoModelForImageTextToText.from_pretrained(WEIGHTS), tmp_path / "out")
    stock = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(WEIGHTS), trained / "adapter")
    weights, before = (get_peft_model_state_dict(one, save_embedding_layers=False) for one in (model, stock))
    assert all(before[name].equal(value) for name, value in weights.items())


def test_at_home_transformers_finds_the_base_by_the_adapter_alone(trained: Path) -> None:
    assert str(WEIGHTS) not in (trained / "adapter/base.json").read_text()
    model = AutoModelForImageTextToText.from_pretrained(trained / "adapter")
    learned = [value for name, value in model.named_parameters() if "lora_B" in name]
    assert learned
    assert all(value.abs().sum() > 0 for value in learned)


@pytest.mark.parametrize(
    ("config", "record", "told"),
    [
        ("a-lab/tiny", "a-lab/tiny", "a-lab/tiny"),
        ("weights/tiny", "tiny", "tiny"),  # a folder, seen from where the run was
        ("/home/jane/weights/tiny", "/home/jane/weights/tiny", "tiny"),
        ("/home/jane/weights/tiny", None, "tiny"),
    ],
)
def test_a_base_on_the_hub_keeps_its_name_and_one_in_a_folder_its_last_part(
    trained: Path, tmp_path: Path, config: str, record: str | None, told: str
) -> None:
    def put(file: Path, key: str, value: str) -> None:
        file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))

    adapter = Path(shutil.copytree(trained, tmp_path / "run")) / "adapter"
    put(adapter / "adapter_config.json", "base_model_name_or_path", config)
    put(adapter / "base.json", "name", record) if record else (adapter / "base.json").unlink()
    export_run(tmp_path / "run", "peft", tmp_path / "out")
    assert json.loads((tmp_path / "out/adapter_config.json").read_text())["base_model_name_or_path"] == told
    if record:
        assert json.loads((tmp_path / "out/base.json").read_text())["name"] == told


def test_what_cannot_be_exported_is_said(origin: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"--to: there is no form 'trll'; did you mean 'trl'\?"):
        export_run(origin, "trll", tmp_path / "out")
    with pytest.raises(DataError, match="there is no adapter yet"):
        export_run(origin, "peft", tmp_path / "out")
    with pytest.raises(DataError, match="is no run folder"):
        export_run(tmp_path, "trl", tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    with pytest.raises(DataError, match="full: is not empty"):
        export_run(origin, "trl", tmp_path / "full")
    (tmp_path / "recipe.yaml").touch()
    with pytest.raises(RecipeError, match=r"recipe\.yaml: is there already"):
        import_pairs(tmp_path, tmp_path / "recipe.yaml")
