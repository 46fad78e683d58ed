"""Write the page: facts, figures and pictures into templates, everything in one file."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmedpo.core.content_policy import write_policy
from mmedpo.core.notes import print_note
from mmedpo.core.number_format import format_number, format_p_value
from mmedpo.core.privacy import keys_in_use, private_files
from mmedpo.core.records import digest
from mmedpo.errors import MmedpoError
from mmedpo.report import facts as known
from mmedpo.report.facts import RunFacts, read_facts
from mmedpo.report.rounds import summarize_rounds
from mmedpo.store.run_files.format import read_file
from mmedpo.store.run_files.measures import RoundTable
from mmedpo.store.run_files.rounds import list_rounds
from mmedpo.store.run_folder import write_text

logger = logging.getLogger(__name__)

REPORT, COMPARISON = "report.html", "comparison.html"
TEMPLATES = Path(__file__).parent / "templates"
MARK = '<meta name="mmedpo-report" content="'
BARE = "without images "  # before the hash of a page that has none


def write_report(runs: Sequence[str | Path], out: Path | None = None, *, images: bool | None = None) -> Path:
    """Write the report on a run, or on several with their comparison, unless it is there already; return its path.

    It has `images` or none; None: as the page that is there, so that a run that goes on puts none back.

    Each of `runs` is a run folder, several by comma that differ in their seed, or a folder of runs, as `mmedpo compare`
    takes them. By default one run's report lies in its folder, that of several beside the first, that of a folder of
    runs in it; that of a run in rounds is about all of them. Raises DataError for a folder that is no run.
    """
    from mmedpo.evaluate.methods.names import name_methods

    named = [str(run) for run in runs]
    folders = [folder for method in name_methods(named).values() for folder in method]
    one = len(folders) == 1
    if out is None:
        of_runs = len(named) == 1 and Path(named[0]).is_dir()
        beside = Path(named[0]) if of_runs else folders[0].resolve().parent
        out = folders[0] / REPORT if one else beside / COMPARISON
    rounds, table = (list_rounds(folders[0]), read_file(folders[0], RoundTable)) if one else ([], None)
    shown = rounds or folders
    images = not _holds(out, f"{MARK}{BARE}") if images is None else images
    state = digest(_source(), named, table and table.count, [known.state_of(folder) for folder in shown])
    mark = f'{MARK}{"" if images else BARE}{state}"'
    if not _holds(out, mark):
        found = [read_facts(folder) for folder in shown]
        if table:
            rounded, name = summarize_rounds(found, table.count), folders[0].resolve().name
            text = render(found[-1], mark, rounded, name, images=images)
        else:
            text = render(found[0], mark, images=images) if one else render_comparison(named, found, mark)
        text = _without_keys(text, found)
        if not (out.exists() and out.read_bytes() == text.encode()):  # as it is while images are missing
            with private_files(any(facts.restricted for facts in found)):
                write_text(out, text)
                logger.info("wrote %s", out)
    return out


def _source() -> list[str]:
    """Return the hash of the report's own files: another version writes another report."""
    from mmedpo.registry.content_hash import hash_path

    return [hash_path(str(TEMPLATES.parent))]


def _holds(path: Path, mark: str) -> bool:
    if not path.exists():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return mark in file.read(1000)


def _without_keys(text: str, found: Sequence[RunFacts]) -> str:
    """Take out any key of an endpoint that got into an answer or a reason."""
    for facts in found:
        for key in keys_in_use(facts.run.recipe):
            text = text.replace(key, "(hidden)")
    return text


def render(
    facts: RunFacts,
    mark: str = f'{MARK}"',
    rounds: Mapping[str, Any] | None = None,
    name: str | None = None,
    *,
    images: bool = True,
) -> str:
    """Return the page of one run; of one in rounds that goes by a name, with what is said of all rounds."""
    from mmedpo.report.view import summary_of, whole

    shown = {**summary_of(facts), **whole(facts, images)}
    if missing := shown["missing"]:
        mark = f'{MARK}incomplete"'  # so that it is written anew once they are back
        print_note(f"{facts.folder}: {said_of_missing(missing)}")
    run = {**shown, "gone": said_of_missing(missing), "rounds": rounds}
    return _fill("run.html", mark=mark, run=run, title=name or facts.name)


def said_of_missing(missing: Mapping[str, str]) -> str:
    """Say how many images are not in the report, and what to do; "" when all are."""
    if not missing:
        return ""
    what = "1 image is" if len(missing) == 1 else f"{len(missing):,} images are"
    return (
        f"{what} missing from the report, not where the run found them or no longer what it saw, the first: "
        f"{next(iter(missing.values()))}. Put them back and write the report again, or run the recipe again."
    )


def render_comparison(named: Sequence[str], found: Sequence[RunFacts], mark: str = f'{MARK}"') -> str:
    """Return the page of several runs."""
    from mmedpo.report.view import summary_of

    runs = [summary_of(facts) for facts in found]
    title = f"{len(found)} runs compared"
    return _fill("comparison.html", mark=mark, runs=runs, title=title, **_compared(named))


def write_ratings(folder: Path, found: Mapping[str, Any], out: Path) -> None:
    """Write what `compare_with_clinicians` found of a run as a page."""
    from mmedpo.evaluate.clinicians.comparison import TABLES, WORDS
    from mmedpo.report.figures import calibration

    curve, facts = found.get("calibration"), read_facts(folder)
    text = _fill(
        "clinicians.html",
        mark=f'{MARK}"',
        title=f"{facts.name}: what clinicians say",
        restricted=facts.restricted,
        found=defaultdict(lambda: None, found),  # of few ratings there is less
        tables=TABLES,
        words=WORDS,
        curve=calibration(curve["bins"]) if curve and curve["error"] else None,
    )
    with private_files(facts.restricted):
        write_text(out, text)


def _compared(named: Sequence[str]) -> dict[str, Any]:
    """Compare the runs with the first; what cannot be compared has a reason instead."""
    from mmedpo.evaluate.comparison import compare_runs, split_by_difference
    from mmedpo.evaluate.methods.names import name_methods

    try:
        differ, equal = split_by_difference(compare_runs(name_methods(named)))
    except MmedpoError as error:
        return {"compared": [], "equal": [], "problem": str(error)}
    first = [row for row in equal if row["method"] == equal[0]["method"]]  # the others have the same
    return {"compared": differ, "equal": first, "problem": ""}


def _fill(template: str, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from mmedpo.evaluate.clinicians.comparison import name_compared
    from mmedpo.report.sentences import measure_words, signed
    from mmedpo.store.run_files.counts import describe_counts

    rooms = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rooms.filters |= {
        "number": format_number,
        "chance": format_p_value,
        "signed": signed,
        "plain": measure_words,
        "yaml": as_yaml,
        "about": short,
        "counted": describe_counts,
        "who": name_compared,
    }
    parts = {name: Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in ("style.css", "page.js")}
    rooms.globals |= {"parts": parts, "policy": Markup(write_policy(parts["page.js"], parts["style.css"]))}
    return rooms.get_template(template).render(**values)


def short(text: Any, most: int = 600) -> str:
    """Cut a long text."""
    text = str(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def as_yaml(value: Mapping[str, Any]) -> str:
    """Print a recipe as the YAML that one would write; what is unset is left out."""
    return "\n".join(_yaml(value, ""))


def _yaml(value: Mapping[str, Any], indent: str) -> list[str]:
    lines = []
    for key, item in value.items():
        if item is None or item == [] or item == {}:
            continue
        if isinstance(item, Mapping) and "use" not in item:
            lines += [f"{indent}{key}:", *_yaml(item, indent + "  ")]
        elif isinstance(item, list) and item and isinstance(item[0], Mapping):
            lines += [f"{indent}{key}:", *(f"{indent}  - {_flow(one)}" for one in item)]
        else:
            lines.append(f"{indent}{key}: {_flow(item)}")
    return lines


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items() if item is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return value if isinstance(value, str) and value.replace("-", "").replace("_", "").isalnum() else json.dumps(value)
