"""The voter that is a language model in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mmedpo import ExistingFolder, RecipeError, Setting
from mmedpo.endpoints import PromptTemplates
from mmedpo_plugins.scorers.med_llm_vote.live_local_voter import LiveLocalVoter, ModelPlace
from mmedpo_plugins.scorers.med_llm_vote.voter_turn import PROMPTS, LiveVoter


class LocalVoter(BaseModel):
    """A Hugging Face language model in this process, which may answer with a score and nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    kind: Literal["local"] = "local"
    """Which kind of voter this is."""
    model: str
    """A folder or hub name; with `package`, the file or folder in that package."""
    package: str | None = None
    """An installed Python package that ships the model, by its import name."""
    name: str = ""
    """What the evidence calls it; by default the model's name."""
    batch_size: int = Field(default=8, ge=1)
    """Pairs that run together."""
    calibrate: bool = False
    """Divide by how the model would score a pair without content, which takes out its liking for some numbers."""
    prompts: ExistingFolder | None = None
    """A folder with system.txt or user.txt, Jinja templates, in place of ours."""

    @property
    def called(self) -> str:
        """What the evidence calls it."""
        return self.name or Path(self.model).stem

    def lacking(self) -> Iterator[str]:
        """Yield the packages that are not installed."""
        if self.package is not None and find_spec(self.package) is None:
            yield f"voter {self.called}: there is no package {self.package!r}; pip install it"
        if self.model.endswith(".gguf") and find_spec("gguf") is None:
            yield f"voter {self.called}: a model in GGUF form needs the package gguf: pip install 'mmedpo[gguf]'"

    @contextmanager
    def open(self, setting: Setting) -> Iterator[LiveVoter]:
        """Load the model. Raises RecipeError when there is none, or a prompt is missing."""
        live = LiveLocalVoter.load(self.called, self._place(), PromptTemplates(PROMPTS, self.prompts), setting)
        yield replace(live, batch_size=self.batch_size, calibrate=self.calibrate)

    def _place(self) -> ModelPlace:
        """Return where the model lies. Raises RecipeError when the package has none there."""
        place = Path(self.model)
        if self.package is not None:
            found = find_spec(self.package)
            if found is None or not found.submodule_search_locations:
                say = f"med-llm-vote: voter {self.called}: there is no package {self.package!r}; pip install it"
                raise RecipeError(say)
            place = Path(found.submodule_search_locations[0]) / self.model
            if not place.exists():
                raise RecipeError(f"med-llm-vote: voter {self.called}: {place}: there is no such file")
        if place.suffix == ".gguf":
            return ModelPlace(str(place.parent), place.name)
        return ModelPlace(str(place) if self.package else self.model)
