"""What a run's model needs of memory, estimated before any of it is loaded, against what this machine has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mmedpo.core.machine.memory import Memory, describe_bytes, gpu, ram
from mmedpo.errors import RecipeError
from mmedpo.models.model_size import BYTES, QUANTIZED, STORED, ModelSize, find_config, size_of
from mmedpo.recipe.model import Recipe
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.contracts.backbone import Backbone

WORTH = 10**9  # bytes of weights, below which nobody needs to be told
LIBRARIES = 5 * 10**8  # bytes of RAM that torch and transformers take
ANSWERED = 4096  # tokens that are answered together, on a CPU
IMAGE, TEXT = 576, 64  # tokens of an image and of what is said of it, where nothing else is known
STATE = {"adamw": 8, "paged_adamw": 8, "adamw_8bit": 2, "paged_adamw_8bit": 2}  # bytes a parameter; others none
COPIED = 8  # bytes of what trains, and of its gradient


@dataclass(frozen=True)
class MemoryDemand:
    """What one use of a model takes, in bytes by what for; its weights come first and are nearly exact."""

    section: str  # of the recipe
    use: str  # "to train"
    size: ModelSize
    dtype: str
    quantize: str | None
    more: dict[str, float]

    @property
    def weights(self) -> int:
        """Return what the weights alone take."""
        return self.size.weight_bytes(self.dtype, self.quantize)

    def explain_no_room(self, there: Memory | None) -> str:
        """Say that the weights alone are more than there is in all, and what would fit; "" where they fit."""
        if there is None or self.weights <= there.whole:
            return ""
        held = f"{describe_bytes(self.weights)} of weights in {self.quantize or self.dtype}"
        count = f"{self.size.parameters / 1e9:.2f} billion parameters, by config.json"
        smaller = [f"{name} {describe_bytes(fits)}" for name, fits in self._smaller() if fits <= there.whole]
        cure = f"; would fit: {', '.join(smaller)}" if smaller else ""
        return f"{self.use}: {held} ({count}) do not fit into the {describe_bytes(there.whole)} of {there.name}{cure}"

    def _smaller(self) -> Iterator[tuple[str, int]]:
        if self.dtype == "float32":
            yield "dtype: bfloat16", self.size.weight_bytes("bfloat16", self.quantize)
        if self.section == "train":
            for bits in QUANTIZED:
                yield f"train.quantize: {bits}", self.size.weight_bytes("bfloat16", bits)

    def describe(self, there: Memory) -> str:
        """Say all of it in a few words."""
        parts = {f"weights in {self.quantize or self.dtype}": self.weights, **self.more}
        if there.name == "RAM":
            parts["libraries"] = LIBRARIES
        whole = sum(parts.values())
        listed = ", ".join(f"{name} {describe_bytes(count)}" for name, count in parts.items())
        short = ", more than is free" if whole > there.free else ""
        return f"{self.use} about {describe_bytes(whole)} ({listed}){short}"


def list_needs(recipe: Recipe) -> Iterator[MemoryDemand]:
    """Yield what the uses of a recipe's backbone need, as far as its config.json says."""
    there = find_memory(recipe.device)
    size = find_size(recipe.backbone)
    if size is None or there is None:
        return
    dtype = recipe.dtype if recipe.dtype != "auto" else "float32" if there.name == "RAM" else "bfloat16"
    served = recipe.backbone.answers
    kept = {"keys and values": float(ANSWERED * size.token_bytes(dtype))}
    if any(part.needs_backbone for part in recipe.disprefer) and not served:
        yield MemoryDemand("disprefer", "to answer", size, dtype, None, kept)
    if recipe.train:
        yield MemoryDemand("train", "to train", size, dtype, recipe.train.quantize, _trained(size, dtype, recipe.train))
    if recipe.evaluate and not (served and served.trained):
        yield MemoryDemand("evaluate", "to answer", size, dtype, None, kept)


def _trained(size: ModelSize, dtype: str, options: TrainOptions) -> dict[str, float]:
    """Return what training takes beside the weights."""
    full = options.method == "full"
    count = size.parameters if full else size.adapter_parameters(options.lora.r)
    changed = count * (COPIED + STATE.get(options.optimizer, 0))
    tokens = options.batch_size * min(options.max_length, IMAGE + TEXT) * (1 if options.packs_trees else 2)
    what = "all weights" if full else "adapter"
    return {
        f"{what} with gradient and {options.optimizer}": float(changed),
        f"activations of {options.batch_size} pairs": float(
            size.activation_bytes(tokens, options.gradient_checkpointing)
        ),
    }


def find_size(backbone: Backbone) -> ModelSize | None:
    """Return the size of a backbone whose `checkpoint` has a config.json at hand."""
    config = find_config(checkpoint) if (checkpoint := getattr(backbone, "checkpoint", None)) else None
    return size_of(config) if config else None


def find_memory(device: str) -> Memory | None:
    """Return the memory of the device that a recipe names."""
    number = int(device.partition(":")[2] or 0)
    if device.startswith("cuda"):
        return gpu(number)
    return (gpu(0) if device == "auto" else None) or ram()


def require_room(recipe: Recipe, use: str) -> None:
    """Raise RecipeError where the weights that a use ("to train", "to answer") loads cannot fit."""
    there = find_memory(recipe.device)
    for need in list_needs(recipe):
        if need.use == use and not _divided(recipe, need) and (why := need.explain_no_room(there)):
            raise RecipeError(f"backbone: {why}")


def require_room_to_export(backbone: Backbone, dtype: str) -> None:
    """Raise RecipeError where a model that is to be written whole cannot fit into RAM."""
    size = find_size(backbone)
    if size is None:
        return
    dtype = size.stored if dtype == STORED else dtype
    if dtype in BYTES and (why := MemoryDemand("", "to write it", size, dtype, None, {}).explain_no_room(ram())):
        raise RecipeError(f"backbone: {why}")


def explain_no_room(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield the section of each use whose weights cannot fit, and why."""
    there = find_memory(recipe.device)
    for need in list_needs(recipe):
        if not _divided(recipe, need) and (why := need.explain_no_room(there)):
            yield need.section, why


def describe_needs(recipe: Recipe) -> str:
    """Say what a recipe's model needs and what there is; "" for a small one, and where it is not known."""
    there = find_memory(recipe.device)
    needs = {need.use: need for need in list_needs(recipe) if need.weights > WORTH}
    if there is None or not needs:
        return ""
    listed = "; ".join(need.describe(there) for need in needs.values())
    return f"memory, estimated from config.json: {listed}. {there.name}: {describe_bytes(there.whole)}, " + (
        f"{describe_bytes(there.free)} free"
    )


def _divided(recipe: Recipe, need: MemoryDemand) -> bool:
    """Tell whether several processes share the weights, so that none holds all."""
    launch = recipe.train.launch if recipe.train else None
    return need.section == "train" and launch is not None and (launch.strategy != "ddp" or launch.config is not None)
