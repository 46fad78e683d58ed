"""What a recipe is once it is checked: every part an instance, every option with its value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, field_validator

from mmedpo.core.json_values import Keys
from mmedpo.endpoints.ledger import Budget
from mmedpo.recipe.document.yaml import YamlDocument
from mmedpo.recipe.engine_options import Engine
from mmedpo.recipe.requirements import Requirements
from mmedpo.recipe.slots import find_slots
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.contracts.answer_limits import AnswerLimits
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.contracts.dispreference import Dispreference
from mmedpo.registry.contracts.localizer import Localizer
from mmedpo.registry.contracts.metric import Metric
from mmedpo.registry.contracts.observer import Observer
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.reader import Reader
from mmedpo.registry.contracts.scorer import Scorer
from mmedpo.registry.contracts.weighting import Weighting
from mmedpo.registry.discovery import shorten_use
from mmedpo.registry.path_options import FOLDER
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.store.run_files.record import RunRound

MOST_THREADS = 1024
MOST_ROUNDS = 100


class RecipeSection(BaseModel):
    """A part of the recipe that belongs to the framework."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class EvaluateOptions(RecipeSection):
    """What is measured before and after."""

    data: InstanceOf[Reader]
    """The reader of the cases to answer; never those trained on. By default what the reader of `data` holds out."""
    measure: Annotated[list[InstanceOf[Metric]], Field(min_length=1)]
    """The metrics."""
    probe: list[InstanceOf[Dispreference]] = []
    """Image dispreferences that change the films, to see which answers change with them."""
    attention: int = Field(default=0, ge=0)
    """On how many cases with a region to see where the model looks while it answers; 0: on none."""
    confidence: bool = False
    """Whether to see how likely the model finds yes against no, for each closed question that is answered so."""
    max_new_tokens: AnswerLimits = AnswerLimits()
    """The longest answer, in tokens: a number, or one each for `closed`, `open` and `report`."""
    adapter: Annotated[str, FOLDER] | None = None
    """A folder with an adapter to measure beside the backbone, where the recipe trains none; without it, the backbone
    alone."""
    strict_split: bool = False
    """Whether to refuse, before anything is made or trained, when an image of these cases is also in the training data;
    by default such images are counted and named under every table."""


class DetectorOptions(RecipeSection):
    """What a localizer learns from while its checkpoint is missing; no image may be in two of these."""

    train: InstanceOf[Reader]
    """The reader of the cases with boxes or masks to learn from."""
    validation: InstanceOf[Reader]
    """The reader of the cases that its threshold and its best step are chosen by."""
    test: InstanceOf[Reader] | None = None
    """The reader of the cases that it is measured on at the end; they decide nothing."""


class RoundOptions(RecipeSection):
    """Rounds of making pairs and training on them, each with the model that the one before it trained."""

    count: int = Field(ge=1, le=MOST_ROUNDS, strict=True)
    """How many."""
    reference: Literal["start", "previous"] = "previous"
    """What each round holds its policy to: the model at the beginning of the first round, or of its own."""


def _read_rounds(value: Any) -> Any:
    """Turn a number of rounds into options."""
    return {"count": value} if type(value) is int else value


Rounds = Annotated[
    RoundOptions | None,
    BeforeValidator(
        _read_rounds, json_schema_input_type=Annotated[int, Field(ge=1, le=MOST_ROUNDS)] | RoundOptions | None
    ),
]


class Recipe(RecipeSection):
    """What to do, resolved: every part an instance, every option with its value."""

    output: Path
    """The run folder."""
    journal: Path | None = None
    """The journal's file; by default journal.sqlite beside the run folder, shared by its neighbours."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """All randomness of the run derives from it."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    """auto, cpu, mps, cuda or cuda:N; auto takes a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto is bfloat16 on a GPU that has it, float32 elsewhere."""
    threads: Literal["auto"] | Annotated[int, Field(ge=1, le=MOST_THREADS)] = "auto"
    """How many threads compute; auto: as many as there are cores for this process, one for a small model."""
    engine: Engine = None
    """Where slices are worked on: `local`, in the run's own process, or `{use: ray, ...}`, in several."""
    allow_remote: list[str] = []
    """The hosts, besides this machine, that restricted data may be sent to; a private address counts as remote."""
    requires: Requirements = {}
    """The packages that parts come from, mmedpo's among them: by name a version (`==0.1.0`), or `{version, hash}`.
    Another one is refused before anything of it is imported; `mmedpo plugins lock RECIPE` prints this section."""
    budget: Budget | None = None
    """What endpoints may be paid at most; without it, what is spent is only noted."""
    data: list[InstanceOf[Reader]] = []
    """The readers of the cases, or of ready pairs; of several, one after another. None to measure a model alone."""
    backbone: InstanceOf[Backbone]
    """The model to align."""
    localize: list[InstanceOf[Localizer]] = []
    """Who finds the lesions, one or several; without it, the regions are those the data come with."""
    localized: Literal["union", "agreed"] = "union"
    """Of several localizers: all their regions, or those that at least two of them agree on."""
    detector: DetectorOptions | None = None
    """What the localizer learns from, while its checkpoint is missing."""
    disprefer: list[InstanceOf[Dispreference]] = []
    """Who makes the rejected sides, in order; where the data are ready pairs, further ones of the pairs' cases."""
    score: list[InstanceOf[Scorer]] = []
    """Who rates clinical relevance; one scorer a pair kind."""
    unrated: Literal["drop", "keep"] = "drop"
    """What becomes of a pair that nobody rated: drop it, or keep it at weight 1 (or at the weight it came with)."""
    weigh: InstanceOf[Weighting]
    """Who makes weights of the relevances."""
    train: TrainOptions | None = None
    """How to train; without it the run ends with the pairs."""
    evaluate: EvaluateOptions | None = None
    """What to measure before and after."""
    rounds: Rounds = None
    """How often pairs are made and trained on, each time with the model of the time before; without it, once."""
    observe: list[InstanceOf[Observer]] = []
    """Who else watches the run."""

    @property
    def has_pairs(self) -> bool:
        """Whether there will be pairs: somebody makes them, or they are read."""
        return bool(self.disprefer) or self.reads("pairs")

    @property
    def measures_alone(self) -> bool:
        """Whether it only measures what is there: it says how to measure, and neither makes pairs nor trains."""
        return self.evaluate is not None and self.train is None and not self.has_pairs

    @property
    def trains_on_cases(self) -> bool:
        """Whether training learns every case that was read, and no pair."""
        if self.train is None or self.train.cases == "pairs":
            return False
        return self.train.cases == "all" or (not self.train.needs_pairs and self.reads("cases"))

    @property
    def training(self) -> TrainOptions | None:
        """How to train, with what it learns settled: where that is cases, kinds of pairs count nothing."""
        if self.train is None or not self.trains_on_cases:
            return self.train
        return self.train.model_copy(update={"cases": "all", "pairs": self.train.pairs.of_cases()})

    def reads(self, what: str) -> bool:
        """Tell whether a reader of the data says that it yields cases, or pairs."""
        return any(reader.yields == what for reader in self.data)

    @field_validator("threads", mode="before")
    @classmethod
    def _auto_or_number(cls, value: Any) -> Any:
        if value != "auto" and not (type(value) is int and 1 <= value <= MOST_THREADS):
            raise ValueError(f"auto, or a number from 1 to {MOST_THREADS}")
        return value


SLOTS = {slot.path: slot for slot in find_slots(Recipe)}
PLAN = ("variants", "seeds")  # keys of a recipe of several runs; no single run has them
HELD_OUT: Keys = ("evaluate", "data")  # is, where nobody says it, what the reader of `data` holds out
DEFAULTS: dict[Keys, Any] = {("weigh",): {"use": "clinical"}, ("train", "loss"): [{"use": "sigmoid"}]}


@dataclass
class LoadedRecipe:
    """A checked recipe, and where its parts come from."""

    recipe: Recipe
    plugins: dict[type[Part], PluginInfo]
    name: str
    tree: YamlDocument  # as written, overrides applied
    round: RunRound | None = None  # which of a run's rounds this is the recipe of

    @property
    def start(self) -> Backbone:
        """The model before any training: of a round, what the first one began with."""
        backbone = self.recipe.backbone
        return backbone.model_copy(update={"adapter": self.round.start}) if self.round else backbone

    def place(self, path: Keys, *, of_key: bool = False) -> str:
        """Return where something stands in the recipe."""
        return self.tree.place(self.as_written(path), of_key=of_key)

    def as_written(self, path: Keys) -> Keys:
        """Return the keys that lead to something in the recipe; a list of one may be written without brackets."""
        for slot in (slot.path for slot in SLOTS.values() if slot.several):
            inside = path[: len(slot)] == slot and len(path) > len(slot)
            if inside and (*slot, 0) not in self.tree.places and path[: len(slot) + 1] not in self.tree.places:
                path = (*slot, *path[len(slot) + 1 :])
        return path

    def parts(self) -> Iterator[tuple[Keys, Part]]:
        """Yield every part with its place in the recipe."""
        for path in SLOTS:
            held: Any = self.recipe
            for key in path:
                held = getattr(held, str(key), None)
            if isinstance(held, Part):
                yield path, held
            else:
                yield from (((*path, index), part) for index, part in enumerate(held or ()))


def dump_recipe(loaded: LoadedRecipe) -> dict[str, Any]:
    """Return the resolved recipe as the plain values that a YAML file would hold, defaults included."""
    written: dict[str, Any] = _dump(loaded.recipe, loaded.plugins)
    return written


def _dump(value: Any, plugins: dict[type[Part], PluginInfo]) -> Any:
    if isinstance(value, BaseModel):
        use = {"use": shorten_use(plugins[type(value)])} if isinstance(value, Part) else {}
        return use | {name: _dump(getattr(value, name), plugins) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {str(key): _dump(item, plugins) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_dump(item, plugins) for item in value]
    return str(value) if isinstance(value, Path) else value
