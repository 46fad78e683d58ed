"""Measure one contender on one shape."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rig.contenders import Run, contender
from rig.gradients import Gradients, gradients
from rig.machine import Machine
from rig.model import Size
from rig.pairs import VOCABULARY, Shape, source


def measure(
    kind: str, shape: Shape, size: Size, machine: Machine, folder: Path, batches: Sequence[int], repeats: int
) -> tuple[dict[str, Any], Gradients]:
    """Return what is known of a contender at the fastest of some batch sizes, and its gradients."""
    machine.forget_peak()
    peak = [machine.matmul_peak(size.peak_s)]
    with contender(kind, shape, size, machine, folder) as (run, trainer):
        began = machine.clock()
        run(range(min(batches[0], shape.count)))  # warm up
        warm = machine.clock() - began
        timing = tiled_share(machine) if kind == "trl" else nullcontext({})
        with timing as tiled:
            few, without_room = _tried(run, trainer.model, machine, shape, batches[-size.tried :])
            best = min(few, key=lambda batch: few[batch])
            whole = cut(shape.count, best)
            took = sorted(seconds(run, trainer.model, machine, whole) for _ in range(min(repeats, size.repeats)))
        memory = machine.memory()
        peak.append(machine.matmul_peak(size.peak_s))
        found = {
            "pairs_per_s": shape.count / took[len(took) // 2], "fastest": shape.count / took[0], "batch": best,
            "no_room_for_batches": without_room, "warm_up_s": warm, **memory, "matmul_peak": max(peak),
            "texts": source(shape), **tiled,
        }  # fmt: skip
        if kind in ("tree", "flex"):
            found |= flops(trainer, size) | {"tower_calls": trainer.vision.calls}
        left = gradients(trainer.model)
        if not left:
            found["forward_alone"] = True
    return found, left


def many_images(shape: Shape, size: Size, machine: Machine, folder: Path) -> dict[str, Any]:
    """Go over all images, one after the other, as an epoch does."""
    with contender("tree", shape, size, machine, folder) as (run, trainer):
        batches = cut(shape.count, shape.pairs_per_image)
        run(batches[0])
        took = seconds(run, trainer.model, machine, batches)
        return {"s_per_pair": took / shape.count, "tower_calls": trainer.vision.calls, **machine.memory()}


def cut(count: int, batch: int) -> list[range]:
    """Cut pairs into batches."""
    return [range(start, min(start + batch, count)) for start in range(0, count, batch)]


def seconds(run: Run, model: Any, machine: Machine, batches: Sequence[Sequence[int]]) -> float:
    """Return how long some batches take."""
    model.zero_grad()
    began = machine.clock()
    for batch in batches:
        run(batch)
    return machine.clock() - began


def _tried(
    run: Run, model: Any, machine: Machine, shape: Shape, batches: Sequence[int]
) -> tuple[dict[int, float], list[int]]:
    """Return the seconds a pair by batch size, of a few pairs, and the sizes for which there is no memory."""
    import torch

    few, without_room = {}, []
    for batch in batches:
        some = min(shape.count, max(4, batch))
        try:
            few[batch] = seconds(run, model, machine, cut(some, batch)) / some
        except torch.OutOfMemoryError as error:
            print(f"no room for batches of {batch}: {str(error).splitlines()[0]}", file=sys.stderr)
            without_room.append(batch)
        if without_room:  # what the failed step held goes with its traceback
            model.zero_grad()
            machine.forget_peak()
    if not few:
        raise MemoryError(f"no room for batches of any of {list(batches)} pairs")
    return few, without_room


def flops(trainer: Any, size: Size) -> dict[str, float]:
    """Count what one pass over the pairs needs: linear layers, head, visible attention; once a distinct token."""
    batch = trainer.collator.make_batch(trainer.collator.pairs)
    used = int((batch["inputs"]["end"] > 0).sum())
    ends = batch["inputs"]["end"]
    seen = int((ends - ends.new_tensor(range(ends.shape[1]))).sum())  # every token is seen by its subtree
    wide, kv = size.width, size.width * size.kv_heads // size.heads
    first = wide * (wide + 2 * kv)  # queries, keys, values: in the first layer nothing behind them needs a gradient
    layer = first + wide * wide + 3 * wide * size.mlp
    frozen = 2 * used * (2 * size.layers * layer - first)
    ends_of = [(wide, wide), (wide, kv), (wide, kv), (wide, wide), *[(wide, size.mlp)] * 3]
    adapter = 3 * 2 * used * size.layers * size.rank * sum(a + b for a, b in ends_of)  # forward, to inputs, to weights
    head = 2 * 2 * len(batch["positions"]["rows"]) * wide * VOCABULARY
    attention = 3 * 4 * seen * wide * size.layers
    return {"tokens": used, "flops": frozen + adapter + head + attention}


@contextmanager
def tiled_share(machine: Machine) -> Iterator[dict[str, float]]:
    """Measure which share of the time goes into TRL's chunked log-probabilities."""
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction as Chunked

    spent = [0.0]
    own = {name: getattr(Chunked, name) for name in ("forward", "backward")}

    def timed(call: Callable[..., Any]) -> Any:
        def timer(*args: Any, **kwargs: Any) -> Any:
            began = machine.clock()
            try:
                return call(*args, **kwargs)
            finally:
                spent[0] += machine.clock() - began

        return staticmethod(timer)

    found: dict[str, float] = {}
    for name, call in own.items():
        setattr(Chunked, name, timed(call))
    began = machine.clock()
    try:
        yield found
    finally:
        found["tiled_share"] = spent[0] / (machine.clock() - began)
        for name, call in own.items():
            setattr(Chunked, name, staticmethod(call))
