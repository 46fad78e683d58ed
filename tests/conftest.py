"""What many tests use: the command line as a user has it, and packages that look installed."""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from forks import Forks

if TYPE_CHECKING:
    from mmedpo.store.journal import Journal

ROOT = Path(__file__).parents[1]
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads of several workers spin against each other for the same cores
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
Mmedpo = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_configure() -> None:
    """Stop at once where the installed entry points are older than pyproject.toml: every part would seem broken."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    written = {(group, name, place) for group, points in groups.items() for name, place in points.items()}
    installed = distribution("mmedpo")
    if not written <= {(point.group, point.name, point.value) for point in installed.entry_points}:
        where = installed.locate_file("")
        raise pytest.UsageError(
            f"the entry points of mmedpo in {where} are not those of pyproject.toml: pip install --no-deps -e ."
            " (and delete mmedpo.egg-info, if there is one)"
        )


def environment(packages: Path | None = None) -> dict[str, str]:
    """Return the environment of a command that also sees the packages of a folder."""
    return {**os.environ, "PYTHONPATH": str(packages or ""), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the tests that share what a module makes once to one worker, or each worker would make it."""
    from one_worker import ModuleScheduling

    return ModuleScheduling(config, log)


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Return what runs commands in processes that have imported everything already."""
    made = Forks(tmp_path_factory.mktemp("forks"))
    yield made
    made.close()


@pytest.fixture
def mmedpo(tmp_path: Path, forks: Forks) -> Mmedpo:
    """Run the command line in a process of its own, in the test's folder."""

    def command(
        *args: str | Path, packages: Path | None = None, cwd: Path = tmp_path
    ) -> subprocess.CompletedProcess[str]:
        return forks.run(["-m", "mmedpo", *map(str, args)], cwd, environment(packages))

    return command


@pytest.fixture
def shared() -> Path:
    """Return the folder of real checkpoints and data, or skip."""
    folder = ROOT.parent / "shared"
    if not folder.exists():
        pytest.skip("the shared folder with real checkpoints and data is not here")
    return folder


def generated(path: Path, text: str) -> None:
    """Require a file to hold a text, or write it when asked to."""
    if os.environ.get("MMEDPO_WRITE_DOCS"):
        path.write_text(text)
    assert path.read_text() == text, f"{path.name} is out of date: MMEDPO_WRITE_DOCS=1 pytest tests/docs"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Return a journal of the test's own."""
    from mmedpo.store.journal import Journal

    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()
