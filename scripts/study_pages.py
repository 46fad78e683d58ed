"""Write the pages of studies, tables and figures included, from what the studies found.

    python scripts/study_pages.py        # seconds

A page is what its source in docs/studies, PAGE.md.j2, makes of docs/studies/results/*.json, each a variable with the
name of its file. A number of a study is never typed: `{{ presence.value("sft", "f1") }}`,
`{{ row.difference | signed }}`, `{{ row | interval }}`, `{{ row.p_holm | chance }}`, `{{ share | percent }}`;
`rows | where(dose=25)` and `rows | one(method="best")` choose rows, and
`draw("doses", "weights-dose", rows, "What it shows")` puts a figure there. What was seen and not kept is said so:
`{{ not_kept("about .9") }}`. Words are held to numbers by `{{ holds(row.low > 0, "it helps") }}`. Settings, which no
study found, are set as `code`.
A page whose results are not there yet is left as it is.
tests/docs/test_study_pages.py fails where a page or a figure is not what this writes, or a decimal is typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.meta import find_undeclared_variables
from study_figures import StudyFigure
from study_results import FILTERS, read_results, write_share

STUDIES = Path(__file__).parents[1] / "docs" / "studies"
NOTICE = "<!-- Written by scripts/study_pages.py from {source} and results: change those, and run it. -->\n"
# What of a page's source holds no number of a study: its code, what Jinja puts there, and where a link leads.
OTHER = re.compile(
    r"^````?.*?^````?$|(?<=\n\n) {4}.*?(?=\n\n)|`[^`\n]*`"
    r"|\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|\]\([^)]*\)|arXiv [\d.]+",
    re.DOTALL | re.MULTILINE,
)
DECIMAL = re.compile(r"(?<![\w.])[+-]?\d*\.\d+")


class StudyPages:
    """The pages of a folder, and the figures that they show once they are written."""

    def __init__(self, folder: Path = STUDIES) -> None:
        """Read the results of a folder, and make ready what turns sources into pages."""
        self.folder, self.found = folder, read_results(folder / "results")
        self.figures: dict[Path, StudyFigure] = {}
        self._engine = Environment(
            loader=FileSystemLoader(folder),
            undefined=StrictUndefined,  # a number that is not there is no gap in a sentence
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            finalize=lambda value: write_share(value) if isinstance(value, float) else value,
        )
        self._engine.filters |= FILTERS
        self._engine.globals |= {"draw": self._place, "not_kept": "{} (not kept)".format, "holds": require_claim}

    def list_sources(self) -> list[Path]:
        """Return the sources of pages; one that begins with a line under it is for others to include."""
        return sorted(self.folder.glob("[!_]*.md.j2"))

    def list_missing(self, source: Path) -> list[str]:
        """Return the results that a source tells of and that are not there yet: until then its page stays as it is."""
        named = find_undeclared_variables(self._engine.parse(source.read_text(), filename=str(source)))
        return sorted(named - self._engine.globals.keys() - self.found.keys())

    def render(self) -> dict[Path, str]:
        """Return each page as its source and the results make it."""
        ready = [source for source in self.list_sources() if not self.list_missing(source)]
        return {source.with_suffix(""): self._render(source) for source in ready}

    def _render(self, source: Path) -> str:
        """Return a page, with a word below its title on where it comes from."""
        title, _, rest = self._engine.get_template(source.name).render(self.found).lstrip().partition("\n")
        return f"{title}\n{NOTICE.format(source=source.name)}\n{rest}"

    def _place(self, kind: str, name: str, rows: Any, says: str, **options: Any) -> str:
        """Note a figure that is to be drawn, and return what shows it."""
        self.figures[self.folder / "figures" / f"{name}.svg"] = StudyFigure(kind, rows, options)
        return f"![{says}](figures/{name}.svg)"


def require_claim(is_so: bool, said: str) -> str:
    """Require the results to be as the words beside them say."""
    if not is_so:
        raise LookupError(f"the page says that {said}, and the results do not")
    return ""


def find_typed_numbers(source: str) -> Iterator[str]:
    """Yield the decimals in a page's source that somebody typed, each with its line."""
    plain = OTHER.sub(lambda found: "\n" * found[0].count("\n"), source)
    for number, line in enumerate(plain.splitlines(), 1):
        yield from (f"line {number}: {found[0]}" for found in DECIMAL.finditer(line))


def main() -> None:
    """Write pages and figures, and delete figures that no page shows."""
    pages = StudyPages()
    for page, text in pages.render().items():
        page.write_text(text)
        print(page.relative_to(STUDIES))
    for place in {*STUDIES.glob("figures/*.svg")} - pages.figures.keys():
        place.unlink()
    for place, figure in pages.figures.items():
        place.parent.mkdir(exist_ok=True)
        if not (place.exists() and figure.is_drawn(place.read_text())):  # another matplotlib sets other points
            place.write_text(figure.draw())
        print(place.relative_to(STUDIES))
    for source in pages.list_sources():
        if missing := pages.list_missing(source):
            print(f"{source.stem} waits for results: {', '.join(missing)}")


if __name__ == "__main__":
    main()
