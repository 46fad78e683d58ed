"""The wheel as a third party has it: its metadata, its version, and types that hold under `mypy --strict`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import PackageNotFoundError, PathDistribution, version
from pathlib import Path

import pytest
from conftest import ROOT
from new_packages import find_home, write_new_packages

import mmedpo as package
from mmedpo.registry.kinds import KINDS

SOURCES = ("mmedpo", "plugins", "pyproject.toml", "README.md", "LICENSE")
EXAMPLES = [path.parent for path in sorted((ROOT / "examples").glob("*/pyproject.toml"))]
PARTS = ROOT / "tests" / "support" / "typed_parts.py"
MYPY = """\
[mypy]
explicit_package_bases = true
"""
SKIPPED = """\
[mypy-torch.*,transformers.*,openai.*,PIL.*]
follow_imports = skip
[mypy-mmedpo_recurrent.*]
disallow_subclassing_any = false
disallow_untyped_decorators = false
warn_return_any = false
"""  # to read theirs takes most of a minute, and ours is what is tried
MISTAKES = """\
from contextlib import AbstractContextManager, nullcontext
from mmedpo import Scorrer  # attr-defined
from mmedpo.data import csv_row  # attr-defined
from mmedpo.endpoints import Endpont  # attr-defined
from mmedpo.events import StageBegan  # attr-defined
from mmedpo.models import load_modell  # attr-defined
from mmedpo.testing import check_parts  # attr-defined
from mmedpo import Observer, Pair, Score, Scorer, Setting, hookimpl
Score("high")  # arg-type
class Silent(Scorer):
    def open(self, setting: Setting) -> AbstractContextManager[Pair]:  # override
        return nullcontext(self)  # arg-type
class Deaf(Observer):
    def see(self, event: str) -> None:  # override
        raise NotImplementedError
@hookimpl
def mmedpo_scorers() -> list[type[Scorer]]:
    return [Deaf]  # list-item
mmedpo_scorers().every  # attr-defined
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of this interpreter's environment."""
    environment = {**os.environ, "PYTHONPATH": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )


def builds_here() -> bool:
    """Tell whether the setuptools beside us is one that pyproject.toml asks for."""
    try:
        return int(version("setuptools").split(".")[0]) >= 77
    except PackageNotFoundError:
        return False


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment in which mmedpo is a wheel, and all else as here."""
    place = tmp_path_factory.mktemp("wheel")
    (place / "source").mkdir()
    for name in SOURCES:  # a build leaves folders where it builds
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, place / "source" / name)
    pip = (sys.executable, "-m", "pip", "--quiet")
    isolation = ["--no-build-isolation"] if builds_here() else []
    built = run(*pip, "wheel", "--no-deps", *isolation, "--wheel-dir", place, place / "source", cwd=place)
    assert built.returncode == 0, built.stderr
    venv.create(place / "venv")
    (site,) = (place / "venv" / "lib").glob("python*/site-packages")
    done = run(*pip, "install", "--no-deps", "--target", site, *place.glob("mmedpo-*.whl"), cwd=place)
    assert done.returncode == 0, done.stderr
    ours = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (site / "dependencies.pth").write_text("\n".join(ours))  # whose own .pth files, an editable mmedpo's, do not count
    return place / "venv" / "bin" / "python"


@pytest.mark.slow
def test_a_wheel_has_the_version_the_entry_points_and_the_types(installed: Path, tmp_path: Path) -> None:
    (info,) = installed.parents[1].glob("lib/python*/site-packages/mmedpo-*.dist-info")
    wheel = PathDistribution(info)
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    written = {(group, name, place) for group, points in groups.items() for name, place in points.items()}
    points = {(point.group, point.name, point.value) for point in wheel.entry_points}
    assert points == written | {("console_scripts", "mmedpo", "mmedpo.cli.main:main")}
    files = {str(file) for file in wheel.files or ()}
    beside = {str(path.relative_to(ROOT)) for end in ("pyi", "in") for path in (ROOT / "mmedpo").rglob(f"*.{end}")}
    assert {"mmedpo/py.typed", "mmedpo_plugins/py.typed", *beside} <= files
    told = run(installed, "-m", "mmedpo", "--version", cwd=tmp_path)
    assert told.stdout == f"mmedpo {wheel.version}\n" == f"mmedpo {package.__version__}\n", told.stderr


@pytest.mark.slow
def test_a_third_party_types_its_parts_by_public_names_alone_and_a_mistake_is_found(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    new = write_new_packages(tmp_path / "new")
    packages = [*EXAMPLES, *(new.of(kind) for kind in KINDS)]
    homes = ":".join(str(find_home(package)) for package in packages)
    (tmp_path / "mypy.ini").write_text(MYPY + f"mypy_path = {homes}\n" + SKIPPED)
    mypy = (sys.executable, "-m", "mypy", "--strict", "--config-file=mypy.ini", "--python-executable", installed)
    code = [path for package in packages for path in package.rglob("*.py")]
    told = run(*mypy, "--cache-dir", tmp_path / "cache", PARTS, "mistakes.py", *code, cwd=tmp_path)
    found = re.findall(r"^(\S+?):(\d+): error: .*\[([\w-]+)\]$", told.stdout, re.MULTILINE)
    lines = MISTAKES.splitlines()
    meant = [("mistakes.py", str(at), line.rpartition("# ")[2]) for at, line in enumerate(lines, 1) if "  # " in line]
    assert found == meant, told.stdout + told.stderr


@pytest.mark.slow
def test_a_new_package_becomes_a_wheel_that_passes_its_tests_and_works_in_its_recipe(
    installed: Path, tmp_path: Path
) -> None:
    """From an empty folder, with nothing but what is installed; pip finds that this mmedpo will do."""
    package = tmp_path / "mmedpo-sides"
    pip = (sys.executable, "-m", "pip", "--quiet", "--no-input")
    isolation = ["--no-build-isolation"] if builds_here() else []
    for command in (
        (installed, "-m", "mmedpo", "plugins", "new", "sides", "--kind", "weighting"),
        (*pip, "wheel", "--no-deps", *isolation, "--wheel-dir", tmp_path, package),
        (*pip, "--python", installed, "install", "--no-index", "--find-links", tmp_path, "mmedpo-sides"),
        (installed, "-m", "pytest", "-q", package),
        (installed, "-m", "mmedpo", "run", package / "recipe.yaml", "--until", "weigh"),
    ):
        done = run(*command, cwd=tmp_path)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    assert "32 weighted pairs" in done.stderr
