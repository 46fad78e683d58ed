"""How fast training is, and against what.

    python tests/benchmarks/training_speed.py --json

Each contender runs in a process of its own on the same model, pairs and threads; the warm-up is not timed. A figure is
the forward and backward pass over the pairs of a shape; the optimiser's step is left out, it is the same for all.

  trl    stock trl.DPOTrainer at its fastest batch size: it computes the reference in every step
  plain  this trainer, each side a sequence of its own, reference and vision tower in every step
  pairs  the same with reference and image features computed beforehand, as they are once a run
  tree   token trees
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[3] / "shared" / "data"
VOCABULARY, SPECIAL = 32000, ["<pad>", "</s>", "<unk>", "<image>"]


@dataclass(frozen=True)
class Shape:
    """What the pairs of a benchmark look like."""

    pairs_per_image: int
    images: int
    data: str = ""  # a released file under shared/data, of which texts are taken
    noised: int = 0  # of an image's pairs, how many reject a noised image
    answer: int = 90  # tokens of an answer where there is no file


SHAPES = {
    "slake": Shape(11, 1, "slake/slake_dpo_weighted.json"),
    "vqa-rad": Shape(6, 1, "vqa_rad/vqa-rad_dpo_weighted.json"),
    "report": Shape(1, 4),
    "slake-image": Shape(11, 1, "slake/slake_dpo_weighted.json", noised=3),
}


@dataclass(frozen=True)
class Size:
    """How large the model is."""

    tower: int = 192
    tower_layers: int = 6
    width: int = 384
    layers: int = 6
    heads: int = 6
    kv_heads: int = 2
    mlp: int = 1024


SIZES = {"small": Size(), "large": Size(768, 12, 1024, 16, 16, 4, 2816)}
Texts = tuple[str, str, str]  # question, chosen and rejected answer


def clock() -> float:
    """Return seconds: of the wall, or, on a machine that others use too, of this process (with one thread)."""
    return time.process_time() if os.environ.get("BENCHMARK_CLOCK") == "process" else time.perf_counter()


# --- pairs -------------------------------------------------------------------------------------------------------


def tokens(text: str) -> str:
    """Cut a text into pieces of at most six letters, each a word of the vocabulary, so that lengths are realistic."""
    pieces = re.findall(r"\w{1,6}|[^\w\s]", text.lower())
    return " ".join(f"w{zlib.crc32(piece.encode()) % (VOCABULARY - len(SPECIAL))}" for piece in pieces)


def texts(shape: Shape) -> list[list[Texts]]:
    """Return for each image its pairs."""
    if shape.data and (DATA / shape.data).exists():
        return _released(shape)
    return [[_random(image, pair, shape) for pair in range(shape.pairs_per_image)] for image in range(shape.images)]


def _released(shape: Shape) -> list[list[Texts]]:
    """Take images of the released file that have enough pairs, around the middle in length."""
    groups: dict[str, list[Texts]] = {}
    for row in json.loads((DATA / shape.data).read_text()):
        (asked, said), (_, rejected) = row["conversations"], row["rejected_conversations"]
        question = asked["value"].replace("<image>", "")
        groups.setdefault(row["image"], []).append((question, said["value"], rejected["value"]))
    fitting = [rows[: shape.pairs_per_image] for rows in groups.values() if len(rows) >= shape.pairs_per_image]
    fitting.sort(key=lambda rows: sum(len(part) for row in rows for part in row))
    start = (len(fitting) - shape.images) // 2
    chosen = [fitting[(start + image) % len(fitting)] for image in range(shape.images)]
    return [[(tokens(q), tokens(a), tokens(r)) for q, a, r in rows] for rows in chosen]


def _random(image: int, pair: int, shape: Shape) -> Texts:
    import numpy as np

    draw = np.random.default_rng([image, pair])
    lengths = (12, shape.answer, shape.answer)
    made = [" ".join(f"w{n}" for n in draw.integers(0, VOCABULARY - len(SPECIAL), length)) for length in lengths]
    return made[0], made[1], made[2]


def picture(number: int) -> Any:
    """Make an image of noise, 336 pixels wide."""
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (336, 336, 3), dtype=np.uint8))


def weighted_pairs(shape: Shape) -> list[Any]:
    """Make the pairs as the trainer takes them, all of weight 1."""
    from mmedpo import Case, Pair, Picture, Score, Side, Weighted

    made = []
    for image, rows in enumerate(texts(shape)):
        shown = Picture.drawn(picture(image))
        for number, (question, chosen, rejected) in enumerate(rows):
            case = Case(f"{image}/{number}", shown, question, chosen, restricted=False)
            noised = number < shape.noised
            other = (
                Side(Picture.drawn(picture(10**6 + 100 * image + number)), chosen) if noised else Side(shown, rejected)
            )
            pair = Pair(case, Side(shown, chosen), other, "image" if noised else "text", "benchmark")
            made.append(Weighted(pair, Score(1.0), 1.0))
    return made


# --- the model ---------------------------------------------------------------------------------------------------


def make_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [*SPECIAL, *(f"w{number}" for number in range(VOCABULARY - len(SPECIAL)))]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip


def make_model(size: Size) -> Any:
    import torch
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, MistralConfig

    vision = CLIPVisionConfig(
        hidden_size=size.tower, intermediate_size=4 * size.tower, num_hidden_layers=size.tower_layers,
        num_attention_heads=size.tower // 64, image_size=336, patch_size=14,
    )  # fmt: skip
    text = MistralConfig(
        hidden_size=size.width, intermediate_size=size.mlp, num_hidden_layers=size.layers,
        num_attention_heads=size.heads, num_key_value_heads=size.kv_heads, vocab_size=VOCABULARY, sliding_window=None,
        pad_token_id=0, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=3, image_seq_length=576)
    torch.manual_seed(0)
    return LlavaForConditionalGeneration(config).eval()


def make_processor() -> Any:
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    square = {"height": 336, "width": 336}
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size=square, crop_size=square), tokenizer=make_tokenizer(),
        patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
    )  # fmt: skip


TARGETS = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
RANK = 16


def make_backbone(size: Size) -> Any:
    import torch

    from mmedpo import Prompt, TransformersBackbone

    tokenizer, images = make_tokenizer(), make_processor().image_processor

    def prompt(pixels: torch.Tensor, question: str) -> Prompt:
        words = tokenizer(question, add_special_tokens=False).input_ids
        return Prompt([3] * 576 + words, {"pixel_values": pixels})

    return TransformersBackbone(
        make_model(size),
        tokenizer,
        look=lambda image: torch.tensor(images(images=[image])["pixel_values"][0])[None],
        prompt=prompt,
        end=1,
        lora_targets=TARGETS,
        projector=r"model\.multi_modal_projector",
    )


def stir(model: Any) -> None:
    """Give the adapter weights as after some training, the same in every process."""
    import torch

    generator = torch.Generator().manual_seed(11)
    for _, weight in sorted((name, p) for name, p in model.named_parameters() if p.requires_grad):
        weight.data = 0.02 * torch.randn(weight.shape, generator=generator)


# --- contenders --------------------------------------------------------------------------------------------------


@contextmanager
def ours(kind: str, shape: Shape, size: Size, folder: Path) -> Iterator[tuple[Callable[[Sequence[int]], None], Any]]:
    """Yield what runs forward and backward over some pairs, and the trainer."""
    import torch

    from mmedpo import Setting
    from mmedpo.batches import Collator, Pixels, encode
    from mmedpo.features import Shelf, Sight
    from mmedpo.lora import adapted
    from mmedpo.trainer import PreferenceTrainer
    from mmedpo.training import arguments
    from mmedpo.training_options import LoraOptions, TrainOptions
    from mmedpo.trees import TreeCollator

    backbone = make_backbone(size)
    options = TrainOptions(lora=LoraOptions(r=RANK, alpha=2 * RANK), batch_size=1)
    with adapted(backbone, options, 0) as model:
        pixels = Pixels(backbone)
        pairs = [encode(weighted, backbone, pixels) for weighted in weighted_pairs(shape)]
        table: dict[str, tuple[float, float]] = {}
        collator = Collator(backbone, pairs, pixels, table)
        if kind == "tree":
            collator = TreeCollator(backbone, pairs, pixels, table, options.row_tokens)
        sight = Sight(backbone, pixels, None if kind == "plain" else Shelf(folder / f"{kind}.bin", 2**28), [])
        args = arguments(options, folder, Setting())
        every = range(len(pairs))
        trainer = PreferenceTrainer(model, args, collator, every, [], backbone.tokenizer, options, 0, sight=sight)
        if kind != "plain":
            trainer.fill_reference(pairs, table, lambda count: None)
        stir(model)

        def run(chosen: Sequence[int]) -> None:
            some = [pairs[index] for index in chosen]
            if kind == "plain":
                batch = trainer._prepare_inputs(collator.batch(some))
                model.eval()
                with torch.no_grad(), model.disable_adapter():
                    found = trainer.answers(model, batch)
                batch["reference"] = torch.stack([found.chosen, found.rejected], dim=1)
            else:
                batch = trainer._prepare_inputs(collator([{"pair": index} for index in chosen]))
            model.train()
            trainer.compute_loss(model, batch, num_items_in_batch=len(pairs)).backward()

        yield run, trainer


@contextmanager
def stock(shape: Shape, size: Size, folder: Path) -> Iterator[tuple[Callable[[Sequence[int]], None], Any]]:
    """Yield the same for TRL's own trainer."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    rows = [
        {
            "images": [weighted.pair.case.image.load()],
            "prompt": f"<image> {weighted.pair.case.question}",
            "chosen": f" {weighted.pair.chosen.answer} </s>",
            "rejected": f" {weighted.pair.rejected.answer} </s>",
        }
        for weighted in weighted_pairs(shape)
    ]
    args = DPOConfig(
        output_dir=str(folder), use_cpu=True, bf16=False, report_to="none", gradient_checkpointing=False, beta=0.1
    )
    trainer = DPOTrainer(
        model=make_model(size), args=args, train_dataset=Dataset.from_list([{**row, "images": []} for row in rows]),
        processing_class=make_processor(),
        peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=TARGETS, task_type="CAUSAL_LM"),
    )  # fmt: skip
    stir(trainer.model)

    def run(chosen: Sequence[int]) -> None:
        batch = trainer._prepare_inputs(trainer.data_collator([rows[index] for index in chosen]))
        trainer.model.train()
        loss = trainer.compute_loss(trainer.model, batch)
        (loss * len(chosen) / len(rows)).backward()

    yield run, trainer


@contextmanager
def contender(
    kind: str, shape: Shape, size: Size, folder: Path
) -> Iterator[tuple[Callable[[Sequence[int]], None], Any]]:
    """Open a contender by name."""
    with stock(shape, size, folder) if kind == "trl" else ours(kind, shape, size, folder) as opened:
        yield opened


def cut(count: int, batch: int) -> list[range]:
    return [range(start, min(start + batch, count)) for start in range(0, count, batch)]


def seconds(run: Callable[[Sequence[int]], None], model: Any, batches: Sequence[Sequence[int]]) -> float:
    model.zero_grad()
    began = clock()
    for batch in batches:
        run(batch)
    return clock() - began


# --- one process -------------------------------------------------------------------------------------------------


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Measure one contender on one shape."""
    import torch

    from mmedpo.allocator import keep_memory

    keep_memory()  # as training does on a CPU; here for every contender, TRL too
    torch.set_num_threads(task["threads"])
    torch.set_num_interop_threads(1)
    shape, size, folder = Shape(**task["shape"]), Size(**task["size"]), Path(task["folder"])
    if task["kind"] == "many-images":
        return many_images(shape, size, folder)
    peak = [matmul_peak()]
    with contender(task["kind"], shape, size, folder / task["name"]) as (run, trainer):
        count = shape.images * shape.pairs_per_image
        run(range(1))  # warm up
        timing = tiled_share() if task["kind"] == "trl" else nullcontext({})
        with timing as tiled:
            few = {batch: seconds(run, trainer.model, cut(min(count, 4), batch)) for batch in task["batches"]}
            best = min(few, key=lambda batch: few[batch])
            took = sorted(seconds(run, trainer.model, cut(count, best)) for _ in range(task["repeats"]))
        peak.append(matmul_peak())
        found = {
            "pairs_per_s": count / took[len(took) // 2], "batch": best,
            "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "matmul_peak": max(peak), **tiled,
        }  # fmt: skip
        if task["kind"] == "tree":
            found |= flops(trainer, count, size)
            found["tower_calls"] = trainer.sight.calls
        save_gradients(trainer.model, folder / f"{task['name']}.safetensors")
    return found


def many_images(shape: Shape, size: Size, folder: Path) -> dict[str, Any]:
    """Go over all images, one after the other, as an epoch does."""
    with ours("tree", shape, size, folder / f"many-{shape.images}") as (run, trainer):
        batches = cut(shape.images * shape.pairs_per_image, shape.pairs_per_image)
        run(batches[0])
        took = seconds(run, trainer.model, batches)
        return {
            "s_per_pair": took / (shape.images * shape.pairs_per_image), "tower_calls": trainer.sight.calls,
            "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }  # fmt: skip


def matmul_peak() -> float:
    """Return the best float32 matrix-multiply rate seen in half a second, in FLOP/s."""
    import torch

    best, until = 0.0, clock() + 0.5
    while clock() < until:
        for side in (512, 1024):
            one, other = torch.randn(side, side), torch.randn(side, side)
            began = clock()
            one @ other
            best = max(best, 2 * side**3 / (clock() - began))
    return best


def flops(trainer: Any, count: int, size: Size) -> dict[str, float]:
    """Count what one pass over the pairs needs: linear layers, head, visible attention; once a distinct token."""
    batch = trainer.collator.batch(trainer.collator.pairs[:count])
    used = int((batch["inputs"]["end"] > 0).sum())
    ends = batch["inputs"]["end"]
    seen = int((ends - ends.new_tensor(range(ends.shape[1]))).sum())  # every token is seen by its subtree
    wide, kv = size.width, size.width * size.kv_heads // size.heads
    first = wide * (wide + 2 * kv)  # queries, keys, values: in the first layer nothing behind them needs a gradient
    layer = first + wide * wide + 3 * wide * size.mlp
    frozen = 2 * used * (2 * size.layers * layer - first)
    ends_of = [(wide, wide), (wide, kv), (wide, kv), (wide, wide), *[(wide, size.mlp)] * 3]
    adapter = 3 * 2 * used * size.layers * RANK * sum(a + b for a, b in ends_of)  # forward, to inputs, to weights
    head = 2 * 2 * len(batch["rows"]) * wide * VOCABULARY
    attention = 3 * 4 * seen * wide * size.layers
    return {"tokens": used, "flops": frozen + adapter + head + attention}


@contextmanager
def tiled_share() -> Iterator[dict[str, float]]:
    """Measure which share of the time goes into TRL's chunked log-probabilities."""
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction as Chunked

    spent = [0.0]
    own = {name: getattr(Chunked, name) for name in ("forward", "backward")}

    def timed(call: Callable[..., Any]) -> Any:
        def timer(*args: Any, **kwargs: Any) -> Any:
            began = clock()
            try:
                return call(*args, **kwargs)
            finally:
                spent[0] += clock() - began

        return staticmethod(timer)

    found: dict[str, float] = {}
    for name, call in own.items():
        setattr(Chunked, name, timed(call))
    began = clock()
    try:
        yield found
    finally:
        found["tiled_share"] = spent[0] / (clock() - began)
        for name, call in own.items():
            setattr(Chunked, name, staticmethod(call))


def save_gradients(model: Any, path: Path) -> None:
    from safetensors.torch import save_file

    named = {name: p.grad for name, p in model.named_parameters() if p.grad is not None and ".ref." not in name}
    save_file({name: grad.contiguous() for name, grad in named.items()}, path)


def difference(one: Path, other: Path) -> float:
    """Return the largest norm of a difference over the norm, tensor by tensor."""
    from safetensors.torch import load_file

    mine, theirs = load_file(one), load_file(other)
    assert mine.keys() == theirs.keys()
    return max(((mine[name] - theirs[name]).norm() / theirs[name].norm()).item() for name in mine)


# --- the whole ---------------------------------------------------------------------------------------------------


class Bench:
    """Run contenders in processes of their own."""

    def __init__(self, size: Size, threads: int, folder: Path, quiet: bool) -> None:
        self.size, self.threads, self.folder, self.quiet = size, threads, folder, quiet

    def __call__(self, kind: str, name: str, shape: Shape, batches: Sequence[int] = (1,), repeats: int = 1) -> Any:
        """Return what a contender measured."""
        task = {
            "kind": kind, "name": f"{name}-{kind}", "shape": asdict(shape), "size": asdict(self.size),
            "threads": self.threads, "folder": str(self.folder), "batches": list(batches), "repeats": repeats,
        }  # fmt: skip
        threads = str(self.threads)
        env = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"}
        line = [sys.executable, __file__, "--work", json.dumps(task)]
        done = subprocess.run(line, env=env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{name} {kind}: {done.stderr}")
        found = json.loads(done.stdout.splitlines()[-1])
        if not self.quiet:
            print(name, kind, json.dumps(found), file=sys.stderr, flush=True)
        return found


def measure_shape(bench: Bench, name: str, shape: Shape) -> dict[str, Any]:
    """Compare all contenders on a shape."""
    count = shape.images * shape.pairs_per_image
    group = shape.pairs_per_image
    tree = bench("tree", name, shape, (group,), repeats=7)
    pairs, plain = (bench(kind, name, shape, (1, 2)) for kind in ("pairs", "plain"))
    result = {
        "pairs_per_s": tree["pairs_per_s"],
        "plain_pairs_per_s": plain["pairs_per_s"],
        "pairs_pairs_per_s": pairs["pairs_per_s"],
        "ratio_to_plain": tree["pairs_per_s"] / plain["pairs_per_s"],
        "ratio_to_pairs": tree["pairs_per_s"] / pairs["pairs_per_s"],
        "peak_share": tree["flops"] / count * tree["pairs_per_s"] / tree["matmul_peak"],
        "tokens_per_pair": tree["tokens"] / count,
        "tower_calls": tree["tower_calls"],
        "rss_mb": tree["rss"] / 1024,
    }
    files = {kind: bench.folder / f"{name}-{kind}.safetensors" for kind in ("tree", "plain", "trl")}
    result["grad_rel_diff"] = difference(files["tree"], files["plain"])
    if not shape.noised:
        trl = bench("trl", name, shape, (1, 2))
        equal = trl if group == 1 else bench("trl", f"{name}-equal", shape, (group,))
        trl = max(trl, equal, key=lambda found: found["pairs_per_s"])
        result |= {
            "trl_pairs_per_s": trl["pairs_per_s"],
            "ratio_to_trl": tree["pairs_per_s"] / trl["pairs_per_s"],
            "trl_tiled_share": trl["tiled_share"],
            "trl_grad_rel_diff": difference(files["tree"], files["trl"]),
            "memory_ratio": tree["rss"] / equal["rss"],
        }
    return {key: round(value, 9 if "diff" in key else 3) for key, value in result.items()}


def measure_scaling(bench: Bench) -> dict[str, Any]:
    """Measure how time a pair goes with pairs an image, and with images."""
    drawn = replace(SHAPES["slake"], data="", answer=12)
    per_image = {
        str(count): 1 / bench("tree", "scaling", replace(drawn, pairs_per_image=count), (count,), 3)["pairs_per_s"]
        for count in (1, 2, 4, 8, 16)
    }
    images = {str(count): bench("many-images", f"{count} images", replace(drawn, images=count)) for count in (3, 30)}
    return {
        "s_per_pair_by_pairs_per_image": {key: round(value, 4) for key, value in per_image.items()},
        "by_images": images,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--shapes", default=",".join(SHAPES), help="which, by comma")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--cpu-time", action="store_true", help="count time of the process, not of the wall; one thread"
    )
    parser.add_argument("--no-scaling", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        print(json.dumps(work(json.loads(chosen.work))))
        return
    if chosen.cpu_time and chosen.threads > 1:
        parser.error("--cpu-time is for one thread")
    os.environ["BENCHMARK_CLOCK"] = "process" if chosen.cpu_time else "wall"
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(SIZES[chosen.size], chosen.threads, Path(folder), chosen.json)
        result: dict[str, Any] = {"shapes": {}}
        for name in chosen.shapes.split(","):
            result["shapes"][name] = measure_shape(bench, name, SHAPES[name])
        result["scaling"] = {} if chosen.no_scaling else measure_scaling(bench)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
