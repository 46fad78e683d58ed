"""What is known of a part before it is imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint

from mmedpo.registry.kinds import Kind


@dataclass(frozen=True)
class PluginInfo:
    """A part as its package's metadata announces it; nothing of it is imported."""

    kind: Kind
    name: str
    package: str
    version: str
    entry_point: EntryPoint

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of {self.package} {self.version}"

    def to_json(self) -> dict[str, str]:
        """Return what it is called and whose it is."""
        return {"kind": self.kind.name, "name": self.name, "package": self.package, "version": self.version}
