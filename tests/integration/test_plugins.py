"""A plugin is found by metadata alone, imported only when named, and blamed by name when it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Mmedpo

from mmedpo import __version__
from mmedpo.testing import fake_package

HEAVY = {"torch", "transformers", "trl", "peft", "monai"}
SCORER = """
from mmedpo import Score, Scorer, hookimpl

class Fine(Scorer):
    "Rate every pair one half."
    use = "{name}"
    rates = frozenset({{"text"}})
    def score(self, pairs):
        return [Score(0.5) for _ in pairs]

@hookimpl
def mmedpo_scorers():
    return {offer}
"""
BROKEN = {
    "raises": ("import a_module_that_is_missing", "No module named 'a_module_that_is_missing'"),
    "exits": ("import sys; sys.exit(7)", "sys.exit(7)"),
}
CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


def scorer_package(folder: Path, name: str, source: str, package: str = "") -> Path:
    """Install a fake package with one scorer."""
    module = f"plugin_{name.replace('-', '_')}_{len(list(folder.iterdir()))}"
    return fake_package(folder, package or f"pkg-{name}", {module: source}, {"mmedpo.scorers": {name: module}}, "2.1")


def recipe_with(folder: Path, use: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(
        f"output: runs/x\ndata: {{use: phantom, images: 2}}\nbackbone: {{use: phantom}}\n"
        f"disprefer: [{{use: opposite-answer}}]\nscore: [{{use: {use}}}]\n"
    )
    return path


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Return a folder in which fake packages are installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("args", [["--help"], ["plugins", "list"], ["run", "--help"]])
def test_help_and_list_import_no_plugin_and_nothing_heavy(args: list[str]) -> None:
    code = (
        "import sys\nfrom mmedpo.cli.main import main\n"
        f"sys.argv = ['mmedpo', *{args!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print(' '.join(name for name in sys.modules if '.' not in name or name.startswith('mmedpo')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & HEAVY
    assert not {name for name in loaded if name.startswith(("mmedpo_plugins", "mmedpo.registry.contracts"))}


def test_list_gives_kind_name_package_version(mmedpo: Mmedpo) -> None:
    rows = json.loads(mmedpo("plugins", "list", "--json").stdout)
    assert {"kind": "dispreference", "name": "lesion-noise", "package": "mmedpo", "version": "0.1.0"} in rows
    assert len(mmedpo("plugins", "list").stdout.splitlines()) == len(rows) + 1


@pytest.mark.parametrize("name", [*BROKEN, "crashes", "sleeps"])
def test_a_bad_plugin_harms_neither_help_nor_list_nor_a_recipe_without_it(
    name: str, packages: Path, tmp_path: Path, mmedpo: Mmedpo
) -> None:
    source = {"crashes": CRASH, "sleeps": "import time; time.sleep(60)"}.get(name) or BROKEN[name][0]
    imported = tmp_path / "imported"
    scorer_package(packages, name, f"open({str(imported)!r}, 'w').close()\n{source}")
    assert mmedpo("--help", packages=packages).returncode == 0
    listed = mmedpo("plugins", "list", packages=packages)
    assert f"pkg-{name}" in listed.stdout
    fine = mmedpo("check", recipe_with(tmp_path, "med-llm-vote"), packages=packages)
    assert fine.returncode == 0, fine.stderr
    assert not imported.exists()


@pytest.mark.parametrize("name", BROKEN)
def test_a_run_that_names_a_bad_plugin_stops_with_plugin_package_version_and_cause(
    name: str, packages: Path, tmp_path: Path, mmedpo: Mmedpo
) -> None:
    scorer_package(packages, name, BROKEN[name][0])
    done = mmedpo("run", recipe_with(tmp_path, name), packages=packages)
    assert done.returncode == 3
    for said in (f"scorer '{name}'", f"pkg-{name} 2.1", BROKEN[name][1], "recipe.yaml:5:15"):
        assert said in done.stderr
    assert not (tmp_path / "runs").exists()


def test_when_an_import_crashes_the_process_the_last_line_names_the_plugin(
    packages: Path, tmp_path: Path, mmedpo: Mmedpo
) -> None:
    scorer_package(packages, "crashes", CRASH)
    done = mmedpo("run", recipe_with(tmp_path, "crashes"), packages=packages)
    assert done.returncode < 0
    assert done.stderr.splitlines()[-1] == "mmedpo: importing scorer 'crashes' of pkg-crashes 2.1"


def test_two_packages_with_one_name_are_an_error_that_prints_both_and_a_qualified_name_chooses(
    packages: Path, tmp_path: Path, mmedpo: Mmedpo
) -> None:
    scorer_package(packages, "med-llm-vote", SCORER.format(name="med-llm-vote", offer="[Fine]"), package="impostor")
    both = mmedpo("check", recipe_with(tmp_path, "med-llm-vote"), packages=packages)
    assert both.returncode == 2
    assert "impostor 2.1 and mmedpo 0.1.0" in both.stderr
    for package in ("impostor", "mmedpo"):
        chosen = mmedpo("check", recipe_with(tmp_path, f"{package}/med-llm-vote"), packages=packages)
        assert chosen.returncode == 0, chosen.stderr


def test_check_probes_each_plugin_in_a_process_of_its_own(packages: Path, mmedpo: Mmedpo) -> None:
    scorer_package(packages, "crashes", CRASH)
    scorer_package(packages, "heavy", "import torch\n" + SCORER.format(name="heavy", offer="[Fine]"))
    crashed = mmedpo("plugins", "check", "crashes", packages=packages)
    assert crashed.returncode == 3
    assert "SIGSEGV" in crashed.stdout
    heavy = json.loads(mmedpo("plugins", "check", "heavy", "--json", packages=packages).stdout)
    assert heavy[0]["heavy"][0] == "torch"
    assert heavy[0]["error"] is None


def test_a_thread_that_a_plugin_leaves_running_does_not_hold_up_its_check(packages: Path, mmedpo: Mmedpo) -> None:
    thread = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    scorer_package(packages, "threaded", thread + SCORER.format(name="threaded", offer="[Fine]"))
    done = mmedpo("plugins", "check", "threaded", packages=packages)
    assert done.returncode == 0, done.stdout
    assert "fine    scorer 'threaded'" in done.stdout


def test_the_built_in_plugins_pass_their_check_without_heavy_imports(mmedpo: Mmedpo) -> None:
    rows = json.loads(mmedpo("plugins", "check", "--json").stdout)
    assert {row["name"]: (row["error"], row["heavy"]) for row in rows} == {row["name"]: (None, []) for row in rows}


def test_show_prints_docstring_options_and_snippet(mmedpo: Mmedpo) -> None:
    shown = mmedpo("plugins", "show", "clinical").stdout
    for said in ("clinical: a weighting of mmedpo", "low: number (default 0.75)", "weigh: {use: clinical}"):
        assert said in shown


def test_show_of_an_unknown_name_suggests_the_nearest(mmedpo: Mmedpo) -> None:
    done = mmedpo("plugins", "show", "lesion-noize")
    assert done.returncode == 3
    assert "did you mean 'lesion-noise'?" in done.stderr


def test_the_schema_holds_every_part_and_lists_one_that_fails(packages: Path, mmedpo: Mmedpo) -> None:
    scorer_package(packages, "raises", BROKEN["raises"][0])
    done = mmedpo("schema", packages=packages)
    schema = json.loads(done.stdout)
    assert done.returncode == 0
    assert "pkg-raises 2.1" in schema["$comment"]
    assert schema["$defs"]["weighting.clinical"]["properties"]["low"]["default"] == 0.75
    assert schema["properties"]["weigh"]["anyOf"]
    assert schema["additionalProperties"] is False


def test_a_fine_plugin_needs_no_more_than_its_metadata(packages: Path, tmp_path: Path, mmedpo: Mmedpo) -> None:
    scorer_package(packages, "half", SCORER.format(name="half", offer="[Fine]"))
    done = mmedpo("check", recipe_with(tmp_path, "half"), packages=packages)
    assert done.returncode == 0, done.stderr
    assert "half (pkg-half 2.1)" in done.stdout


def broken_package(folder: Path, name: str) -> None:
    """Install a package with something wrong in its metadata."""
    info = folder / "broken_pkg-1.0.dist-info"
    info.mkdir()
    metadata, points = b"Metadata-Version: 2.1\nName: broken-pkg\nVersion: 1.0\n", b"[mmedpo.scorers]\nx = x\n"
    files: dict[str, bytes | None] = {"METADATA": metadata, "entry_points.txt": points}
    files |= {
        "no METADATA": {"METADATA": None},
        "nothing at all": {"METADATA": None, "entry_points.txt": None},
        "no name": {"METADATA": b"Metadata-Version: 2.1\n"},
        "an empty METADATA": {"METADATA": b""},
        "a name that is no text": {"METADATA": b"Name: br\x1b[31moken\nVersion: 1\n"},
        "METADATA that is not UTF-8": {"METADATA": b"\xff\xfe\x00"},
        "entry points that are not UTF-8": {"entry_points.txt": b"[mmedpo.scorers]\nx\xff = x\n"},
        "entry points without a module": {"entry_points.txt": b"[mmedpo.scorers]\njust words\n"},
        "control characters": {"entry_points.txt": b"[mmedpo.scorers]\nev\x1b[2Jil = x\n"},
        "a name with a slash": {"entry_points.txt": b"[mmedpo.scorers]\na/b = x\n"},
    }[name]  # type: ignore[operator]
    for file, content in files.items():
        if content is not None:
            (info / file).write_bytes(content)


@pytest.mark.parametrize(
    "name",
    [
        "no METADATA", "nothing at all", "no name", "an empty METADATA", "a name that is no text",
        "METADATA that is not UTF-8", "entry points that are not UTF-8", "entry points without a module",
        "control characters", "a name with a slash",
    ],
)  # fmt: skip
def test_a_package_with_broken_metadata_harms_nobody_and_one_line_names_it(
    name: str, packages: Path, tmp_path: Path, mmedpo: Mmedpo
) -> None:
    broken_package(packages, name)
    listed = mmedpo("plugins", "list", packages=packages)
    checked = mmedpo("check", recipe_with(tmp_path, "med-llm-vote"), packages=packages)
    for done in (listed, checked):
        assert done.returncode == 0, done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert "broken_pkg-1.0.dist-info: " in done.stderr
        assert "\x1b" not in done.stdout + done.stderr
    assert "med-llm-vote" in listed.stdout


@pytest.mark.parametrize("group", ["mmedpo.scorer", "mmedpo_scorers", "MMedPO.scorers"])
def test_a_group_of_entry_points_that_is_misspelt_is_told_with_the_one_that_is_meant(
    group: str, packages: Path, mmedpo: Mmedpo
) -> None:
    fake_package(packages, "pkg-half", {"half": ""}, {group: {"half": "half"}}, "1.2")
    listed = mmedpo("plugins", "list", packages=packages)
    assert listed.returncode == 0
    meant = f"unknown entry-point group {group!r}, did you mean 'mmedpo.scorers'? Its 'half' is left out"
    assert listed.stderr == f"mmedpo: {packages}/pkg_half-1.2.dist-info: {meant}\n"


def test_the_list_says_of_a_part_which_mmedpo_it_needs_where_this_is_another(packages: Path, mmedpo: Mmedpo) -> None:
    scorer_package(packages, "half", SCORER.format(name="half", offer="[Fine]"))
    with (packages / "pkg_half-2.1.dist-info/METADATA").open("a") as metadata:
        metadata.write("Requires-Dist: mmedpo<0.1,>=0.0.1\nRequires-Dist: mmedpo<0.2; extra == 'test'\n")
    refused = f"needs mmedpo<0.1,>=0.0.1, and this is mmedpo {__version__}"
    rows = json.loads(mmedpo("plugins", "list", "--json", packages=packages).stdout)
    assert [row for row in rows if "refused" in row] == [
        {"kind": "scorer", "name": "half", "package": "pkg-half", "version": "2.1", "refused": refused}
    ]
    (line,) = [line for line in mmedpo("plugins", "list", packages=packages).stdout.splitlines() if "pkg-half" in line]
    assert line.endswith(refused)


def test_a_package_that_calls_itself_mmedpo_takes_nobodys_name(packages: Path, tmp_path: Path, mmedpo: Mmedpo) -> None:
    scorer_package(packages, "med-llm-vote", SCORER.format(name="med-llm-vote", offer="[Fine]"), package="MMedPO")
    for use in ("med-llm-vote", "mmedpo/med-llm-vote"):
        done = mmedpo("check", recipe_with(tmp_path, use), packages=packages)
        assert done.returncode == 0, done.stderr
        assert "med-llm-vote (mmedpo 0.1.0)" in done.stdout
        assert "it calls itself mmedpo" in done.stderr


def test_entry_points_are_read_once_a_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mmedpo.recipe.loading import load_recipe
    from mmedpo.registry import metadata

    read = []
    real = metadata.distributions
    monkeypatch.setattr(metadata, "distributions", lambda: read.append(1) or real())
    metadata._announced.cache_clear()
    for _ in range(3):
        load_recipe(recipe_with(tmp_path, "med-llm-vote"))
    assert len(read) == 1


def test_a_reader_that_yields_pairs_without_saying_so_is_told_of_it(
    packages: Path, tmp_path: Path, mmedpo: Mmedpo
) -> None:
    source = (
        "from mmedpo import Reader, hookimpl\nfrom mmedpo.testing import tiny_pairs\n"
        "class Sly(Reader):\n    use = 'sly'\n    def read(self): yield from tiny_pairs()\n"
        "@hookimpl\ndef mmedpo_readers(): return [Sly]\n"
    )
    fake_package(packages, "pkg-sly", {"sly_module": source}, {"mmedpo.readers": {"sly": "sly_module"}})
    (tmp_path / "recipe.yaml").write_text(
        "output: o\ndata: {use: sly}\nbackbone: {use: phantom}\nlocalize: {use: annotated}\nunrated: keep\n"
    )
    done = mmedpo("run", "recipe.yaml", packages=packages)
    assert done.returncode == 3, done.stderr
    assert "read yielded a Pair, and the class says yields = 'cases'" in done.stderr
