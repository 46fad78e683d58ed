"""What is known of a part before it is imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from mmedpo.registry.kinds import Kind


@dataclass(frozen=True)
class PluginInfo:
    """A part as its package's metadata announces it; nothing of it is imported."""

    kind: Kind
    name: str
    package: str
    version: str
    entry_point: EntryPoint
    place: str = ""  # of the package's metadata
    unmet: str = ""  # the version of mmedpo that the package asks for, where this is another

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of {self.package} {self.version}"

    @property
    def refused(self) -> str:
        """Why it cannot be used with this version; "" where it can."""
        from mmedpo import __version__

        return f"needs {self.unmet}, and this is mmedpo {__version__}" if self.unmet else ""

    def to_json(self) -> dict[str, str]:
        """Return what it is called and whose it is, and why it is refused where it is."""
        told = {"kind": self.kind.name, "name": self.name, "package": self.package, "version": self.version}
        return told | ({"refused": self.refused} if self.unmet else {})


LOADED: dict[PluginInfo, type[Any]] = {}  # the classes of the parts that were imported
