"""run.json and what stands beside it: what was asked, what became of it, what it cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from mmedpo.core.stage import Stage
from mmedpo.events import StageCount
from mmedpo.store.run_files.counts import sum_counts
from mmedpo.store.run_files.format import JsonFile, JsonRow, RunModel, require_format
from mmedpo.store.run_folder import read_json


class StageSummary(RunModel):
    """What came out of a stage."""

    stage: str
    """`read`, `localize` ...; one that reads for another has both names: `evaluate: read`."""
    counts: tuple[StageCount, ...]
    """What it made, then what it left behind and why."""

    def total(self, what: str, **where: str) -> int:
        """Add up the counts of a key, those alone whose part, kind or reason is as given."""
        return sum_counts(self.counts, what, **where)


class WorkingFolder(RunModel):
    """Where a run was started: relative paths in its files start there."""

    absolute: str
    """As it was."""
    from_run: str
    """As seen from the run folder, for when both move together."""


class PluginVersion(RunModel):
    """A part that the recipe names."""

    kind: str
    """Its kind: `reader`, `scorer` ..."""
    use: str
    """Its name in recipes."""
    package: str
    """The package it comes from."""
    version: str
    """That package's version."""


class HostFacts(RunModel):
    """The machine of the last run."""

    name: str
    """Its name in the network."""
    system: str
    """Its operating system."""
    python: str
    """The version of Python."""


class ThreadCount(RunModel):
    """How many threads a model computed with, and what decided it."""

    number: int
    """How many."""
    why: Literal["recipe", "environment", "cores", "quota", "processes", "small_model"]
    """`recipe`: its `threads`; `environment`: the user's OMP_NUM_THREADS or MKL_NUM_THREADS; `cores`: as many as the
    process may run on; `quota`: fewer, by its cgroup; `processes`: they share the cores; `small_model`: one is best."""


class ModelSpending(RunModel):
    """What one model's endpoint was paid."""

    calls: int
    """Answered requests."""
    tokens_in: int
    """Of prompts."""
    tokens_out: int
    """Of answers."""
    money: float
    """In the currency of the recipe's prices."""
    lost_replies: int = 0
    """Requests that may have been paid for and whose reply never came."""
    calls_in_batches: int = 0
    """Requests in batches that are not done yet, not in `calls`."""
    unknown_usage: int = 0
    """Calls whose tokens the endpoint did not tell; they count at the most they may have taken."""
    half_characters: int = 0
    """Answers with half characters, which were replaced."""


class RunRound(RunModel):
    """Which of a run's rounds this is."""

    number: int
    """From 1."""
    start: str | None = None
    """The adapter that the first round began with; left out where it was none."""
    reference: Literal["start", "previous"]
    """What the policy is held to: the model at the beginning of the first round, or of this one."""


State = Literal["running", "waiting", "stopped", "finished"]


class RunRecord(JsonFile):
    """What was asked, with which versions, on which machine, and how cases flowed."""

    file: ClassVar = "run.json"

    state: State
    """`waiting`: for a batch."""
    until: Stage
    """The last stage that was asked for; `evaluate` unless a run was to end before."""
    recipe: dict[str, Any]
    """The resolved recipe, every option with its value."""
    recipe_file: str
    """The file it was read from."""
    recipe_hash: str
    """The SHA-256 of `recipe`."""
    limit: int | None
    """With `--limit`: on so many cases."""
    started_in: WorkingFolder
    """Where relative paths start."""
    restricted: bool
    """Whether anything in the folder is of restricted data."""
    seed: int
    """Of all that is drawn."""
    packages: dict[str, str]
    """The version of each package that had a part in it."""
    hashes: dict[str, str] = Field(default_factory=dict)
    """Of mmedpo, and of each package with a part in it: the hash of its files."""
    plugins: tuple[PluginVersion, ...]
    """The parts that it was made with."""
    host: HostFacts
    """The machine."""
    threads: ThreadCount | None = None
    """Of the last run that opened the backbone."""
    round: RunRound | None = None
    """Of a run in rounds, which this folder holds; its `recipe` begins with the adapter of the one before."""
    flow: tuple[StageSummary, ...]
    """The stages that are done, in their order."""
    detector: dict[str, Any]
    """What a localizer that learned says of itself."""
    scoring: dict[str, dict[str, Any]]
    """By scorer: what it says of all its scores, as how far voters agree."""
    spent: dict[str, ModelSpending]
    """By model."""

    @property
    def finished(self) -> bool:
        """Whether all stages are done."""
        return self.state == "finished" and self.until is Stage.EVALUATE

    @property
    def served(self) -> dict[str, Any]:
        """The endpoint that answers in the backbone's place, as the recipe has it; empty where there is none."""
        return (self.recipe.get("backbone") or {}).get("answers") or {}

    @property
    def measured_elsewhere(self) -> bool:
        """Whether the answers that are measured were given by an endpoint."""
        return bool(self.served and (self.served["trained"] or not self.recipe.get("train")))

    def stage(self, name: str) -> StageSummary:
        """Return the summary of a stage; one without counts where it is not done."""
        return next((one for one in self.flow if one.stage == name), StageSummary(stage=name, counts=()))


def require_readable(folder: Path) -> None:
    """Raise DataError for a run folder of another format; one that is new is fine."""
    path = folder / RunRecord.file
    if (known := read_json(path)) is not None:
        require_format(path, known)


class EndpointCall(JsonRow):
    """A call, or a batch of them, of an endpoint that takes money."""

    file: ClassVar = "calls.jsonl"

    model: str
    """Its name at the endpoint."""
    calls: int = 1
    """How many: of a batch, all of it."""
    tokens: tuple[int, int] | None = None
    """Of prompts and answers; left out where no reply came."""
    lost: int = 0
    """Replies that may have been paid for and never came."""
    share: float = 1.0
    """Of the price: batches are cheaper."""
    odd: dict[str, int] = Field(default_factory=dict)
    """What had to be guessed or replaced, by the keys of `spent` in run.json."""
    batch: str = ""
    """Of calls in a batch: its name in the journal."""
    submitted: bool = False
    """Whether the batch was only submitted: then this is the most that it can take."""


class ResultKeys(JsonFile):
    """Of each result in the folder, the hash of all that it was made from."""

    file: ClassVar = "results.json"

    keys: dict[str, str]
    """Of `pairs`, `adapter` and `measures`, those that are there."""
