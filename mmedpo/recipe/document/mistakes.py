"""The mistakes in a recipe: collected, each with its place, so that all are told at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from mmedpo.core.json_values import Keys
from mmedpo.errors import MmedpoError, PluginError, RecipeError
from mmedpo.recipe.document.yaml import YamlDocument


@dataclass
class MistakeList:
    """The mistakes found so far, each with its place."""

    tree: YamlDocument
    messages: list[str] = field(default_factory=list)
    plugin_errors: list[str] = field(default_factory=list)

    def add(self, path: Keys, message: str, *, of_key: bool = False) -> None:
        """Note a mistake in a value, or its key."""
        self.messages.append(f"{self.tree.place(path, of_key=of_key)}: {message}")

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Note a mistake that is raised, and go on."""
        try:
            yield
        except MmedpoError as error:
            self.messages += str(error).split("\n")

    def raise_all(self) -> None:
        """Raise what there is, a line each; a word of thousands of letters is not repeated whole."""
        if self.messages:
            raise RecipeError(join_messages([*self.messages, *self.plugin_errors]))
        if self.plugin_errors:
            raise PluginError("\n".join(self.plugin_errors))


def join_messages(messages: Sequence[str]) -> str:
    """Return messages, each once and on its line; of a very long one, beginning and end."""
    lines = dict.fromkeys(messages)
    return "\n".join(line if len(line) < 1500 else f"{line[:900]} ... {line[-300:]}" for line in lines)
