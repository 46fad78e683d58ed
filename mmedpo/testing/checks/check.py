"""A named check, what came of it, and the part that it is tried on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from mmedpo.curate.adoption import adopt_record
from mmedpo.errors import MmedpoError, PluginError
from mmedpo.registry.conformance.blame import blame_part, make_plugin_error
from mmedpo.registry.conformance.opening import open_part
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.setting import Setting
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.store.journal import Journal
from mmedpo.testing.tiny_backbone import TinyBackbone

LOWER = "the options"


class SkippedCheck(MmedpoError):
    """A check cannot be done, and why."""


class MemoryStore(dict[str, Any]):
    """A journal that ends with the check."""

    def get(self, key: str, read: Callable[[Any], Any] = lambda value: value) -> Any:  # type: ignore[override]
        return read(self[key]) if key in self else None

    def get_all(self, keys: Any, read: Callable[[Any], Any] = lambda value: value) -> list[Any]:
        return [self.get(key, read) for key in keys]

    def put(self, key: str, value: Any) -> None:
        self[key] = value


class Trial:
    """A part that is tried, and whom to blame; it is open from the first check that needs it to the end."""

    def __init__(self, part: Part, plugin: PluginInfo, backbone: Callable[[], LiveBackbone] = TinyBackbone) -> None:
        """Take a part, where it comes from, and what makes the backbone that it is given if it asks one."""
        self.part, self.plugin, self.make_backbone = part, plugin, backbone
        self._stack, self._live = ExitStack(), list[Any]()
        self._journal: Journal | None = None

    def live(self) -> Any:
        """Return what the part opens to; it is opened once, since that is what takes long."""
        if not self._live:
            self._live.append(self._stack.enter_context(self.open()))
        return self._live[0]

    def adopt(self, records: Sequence[Any]) -> list[Any]:
        """Give the images of cases and pairs files and hashes, as a run does before a part sees them."""
        if self._journal is None:
            folder = self._stack.enter_context(TemporaryDirectory(prefix="mmedpo-"))
            self._journal = self._stack.enter_context(closing(Journal(Path(folder, "journal.sqlite"))))
        adopted = [adopt_record(self._journal, record, False) for record in records]
        self._journal.settle()
        return adopted

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Open the part anew, as a run does, with a journal of its own, and blame it for what goes wrong meanwhile."""
        setting = Setting(journal=MemoryStore())
        with blame_part(self.plugin, LOWER), open_part(self.plugin, self.part, setting) as live:
            yield live

    def close(self) -> None:
        """Close it."""
        with blame_part(self.plugin, LOWER):
            self._stack.close()

    def make_breach(self, what: str) -> PluginError:
        """Make the error that says what is broken, and what to do about it."""
        return make_plugin_error(self.plugin, what)


@dataclass(frozen=True)
class Check:
    """Something that a contract asks for, tried by using the part."""

    name: str
    says: str  # what the part does that keeps it, as a sentence about "it"
    run: Callable[[Trial], None]  # raises PluginError, or another error of ours, where it is broken


@dataclass(frozen=True)
class PartCheck:
    """What came of a check."""

    name: str
    says: str
    outcome: Literal["kept", "broken", "skipped"]
    told: str = ""  # how it is broken, or why it was skipped
    error: Exception | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> dict[str, str]:
        """Return it as `plugins test --json` prints it."""
        return {"name": self.name, "says": self.says, "outcome": self.outcome, "told": self.told}
