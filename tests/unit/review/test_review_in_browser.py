"""From the first pair to the table of ratings in headless Chromium, by keyboard, from a file, at two widths.

What the page saves is what `mmedpo.data.read_ratings` reads; nothing is asked of any network.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import quickstart_page
from browser import CHROMIUM, BrowserTab, open_browser
from run_folder import write_run

from mmedpo.data import name_opaquely, read_ratings, translate_verdict
from mmedpo.evaluate.clinicians.comparison import compare_with_clinicians
from mmedpo.report.page import write_ratings, write_report
from mmedpo.review.page import ReviewOptions, write_review
from mmedpo.store.run_files.reader import read_pairs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: apt-get install chromium"),
]
TITLE = 'document.getElementById("item-title").textContent'
FOCUS = "document.activeElement.id || document.activeElement.name || document.activeElement.tagName"
SHOWN = """({
  films: [...document.querySelectorAll("#films img")].map((image) => image.naturalWidth),
  answers: [...document.querySelectorAll("#answers dd")].map((one) => one.textContent),
  readable: !document.getElementById("readable").hidden,
})"""
WIDE = """[...document.querySelectorAll("body *")]
  .filter((one) => !one.closest(".pane, .skip, svg, .scroll, .quiet, nav ul"))
  .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((one) => `${one.tagName}.${one.className}`)"""
UNNAMED = """[...document.querySelectorAll("input, textarea, button, progress")]
  .filter((one) => !one.labels?.length && !one.textContent && !one.getAttribute("aria-labelledby"))
  .map((one) => one.id)"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run", pairs=8)


@pytest.fixture(scope="module")
def page(run: Path) -> Path:
    write_review(run, run.parent / "review.html", ReviewOptions(raters=2, twice=0.25))
    return run.parent / "review.html"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserTab]:
    folder = tmp_path_factory.mktemp("browser")
    with open_browser(folder / "profile") as tab:
        tab.save_to(folder)
        yield tab


def begin(tab: BrowserTab, page: Path, name: str, width: int = 1280) -> None:
    """Open the page and begin under a name, as nobody has yet."""
    tab.open(page, width)
    tab.run('localStorage.clear(); document.getElementById("rater").value = ""')
    tab.write(name)
    tab.press("Enter")


def save(tab: BrowserTab, folder: Path) -> Path:
    """Save the ratings by key, and return the file."""
    tab.save_to(folder)
    tab.press("s")
    tab.wait_for_download()
    (file,) = folder.glob("*.csv")
    return file


def test_the_keyboard_alone_leads_from_the_first_pair_to_a_table_that_is_read(
    tab: BrowserTab, run: Path, page: Path, tmp_path: Path
) -> None:
    begin(tab, page, '=Änne, "A"')
    pairs = {name_opaquely(item.pair): item.pair for item in read_pairs(run)}
    for number in range(10):
        assert tab.run(TITLE) == f"Pair {number + 1} of 10"
        shown = tab.run(SHOWN)
        assert all(shown["films"])
        assert shown["readable"] is (len(shown["films"]) == 2)
        pair = pairs[tab.run('document.getElementById("code").textContent')]
        at = shown["answers"].index(pair.chosen.answer) if pair.kind == "text" else number % 2
        tab.press("AB"[at].lower(), str(number))
        if pair.kind == "image":
            tab.press("r", "r")
        if number == 0:
            tab.press("m")
            tab.write('شعاع <b>x</b>\n"7", a')
            tab.press("Escape")
        tab.press("Enter")
    file = save(tab, tmp_path)
    assert file.name.startswith("ratings-Anne-A-")
    ratings = read_ratings([file]).ratings
    assert (len(ratings), {one.rater for one in ratings}) == (10, {'=Änne, "A"'})
    assert [one.relevance for one in ratings] == list(range(10))
    assert ratings[0].comment == 'شعاع <b>x</b>\n"7", a'
    assert sorted(one.presentation for one in ratings) == [1] * 8 + [2] * 2
    for one in ratings:
        pair = pairs[one.pair]
        verdict = translate_verdict(one, pair)
        assert verdict == "chosen" if pair.kind == "text" else verdict in ("chosen", "rejected")
        assert one.readable == ("partly" if pair.kind == "image" else "")
    found = compare_with_clinicians(run, [file])
    assert (found["pairs"], found["rows_refused"], found["verdicts"].get("rejected", 0)) == (8, 0, len(found["wrong"]))
    write_ratings(run, found, tmp_path / "ratings.html")
    assert tab.run("wrong") == []
    assert {url for url in tab.requests if not url.startswith("blob:")} == {page.as_uri()}
    tab.open(tmp_path / "ratings.html", width=400)
    assert "what clinicians say" in tab.run("document.title")
    assert (tab.run("wrong"), tab.run(WIDE)) == ([], [])


def test_what_was_entered_is_there_when_the_page_is_opened_again(tab: BrowserTab, page: Path) -> None:
    begin(tab, page, "Ben")
    tab.press("b", "4", "Enter", "e", "Enter")
    for _ in range(20):  # what one process of the browser keeps, the next may see a moment later
        tab.open(page)
        if tab.run("Object.values(localStorage).some((one) => JSON.parse(one).at === 2)"):
            break
    tab.press("Tab", "ArrowDown")
    assert tab.run('document.getElementById("rater").value') == ""  # of the second reader nothing is known
    tab.press("ArrowUp")
    assert tab.run('document.getElementById("rater").value') == "Ben"
    tab.press("Enter")
    assert tab.run(TITLE) == "Pair 3 of 10"
    tab.press("j", "j")
    assert tab.run('document.querySelector("[name=verdict]:checked").value') == "B"
    assert tab.run('document.getElementById("progress").value') == 1
    tab.press("o")
    assert tab.run(TITLE) == "Pair 2 of 10"
    tab.press("x")
    assert tab.run('document.querySelector("[name=verdict]:checked")') is None


def test_a_saved_table_goes_on_in_another_browser(tab: BrowserTab, page: Path, tmp_path: Path) -> None:
    begin(tab, page, "Ben")
    tab.press("b", "4", "Enter", "n", "9")
    text = save(tab, tmp_path).read_text()
    tab.run("localStorage.clear()")
    tab.open(page)
    tab.run(f"""(() => {{
      const chosen = new DataTransfer(), place = document.getElementById("resume");
      chosen.items.add(new File([{text!r}], "ratings.csv"));
      place.files = chosen.files;
      place.dispatchEvent(new Event("change"));
      return new Promise((done) => setTimeout(done, 100));
    }})()""")
    assert tab.run(TITLE) == "Pair 3 of 10"
    assert tab.run('document.getElementById("progress-said").textContent') == "2 of 10 rated"


def test_a_browser_that_keeps_nothing_says_so(tab: BrowserTab, page: Path) -> None:
    hide = tab.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source='Object.defineProperty(window, "localStorage", { get() { throw new Error("denied"); } });',
    )
    tab.open(page)
    assert "does not keep" in tab.run('document.getElementById("kept-where").textContent')
    tab.write("Eve")
    tab.press("Enter", "a", "5", "Enter")
    assert "Not kept in this browser" in tab.run('document.getElementById("kept").textContent')
    assert (tab.run(TITLE), tab.run("wrong")) == ("Pair 2 of 10", [])
    tab.call("Page.removeScriptToEvaluateOnNewDocument", identifier=hide["identifier"])


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_window_and_everything_has_a_name(tab: BrowserTab, page: Path, width: int) -> None:
    begin(tab, page, "Ben", width)
    for _ in range(11):
        assert (tab.run(WIDE), tab.run(UNNAMED)) == ([], [])
        tab.press("k")
    tab.press("?")
    assert (tab.run(WIDE), tab.run(FOCUS)) == ([], "help-close")


def test_films_are_zoomed_moved_and_windowed_by_keys_and_both_alike(tab: BrowserTab, page: Path) -> None:
    begin(tab, page, "Ben")
    while not tab.run(SHOWN)["readable"]:
        tab.press("k")
    transforms = '[...document.querySelectorAll("#films img")].map((image) => image.style.transform)'
    slope = 'Number(document.querySelector("#greys feFuncR").getAttribute("slope"))'
    before = tab.run(transforms)
    tab.press("+", "+", "ArrowLeft", "w", "i")
    one, other = tab.run(transforms)
    assert one == other != before[0]
    assert tab.run(slope) == pytest.approx(-1.15)
    tab.press("f")
    assert (tab.run(transforms), tab.run(slope)) == (before, 1)


def test_no_script_but_the_page_s_own_runs(tab: BrowserTab, page: Path) -> None:
    tab.open(page)
    tab.run("""(() => {
      const script = Object.assign(document.createElement("script"), { textContent: "window.owned = 1" });
      document.body.append(script);
      const image = "<img src='https://example.org/x.png' onerror='window.owned = 1'>";
      document.body.insertAdjacentHTML("beforeend", image);
    })()""")
    tab.run("fetch('https://example.org/').catch(() => 0)")
    assert tab.run("window.owned") is None
    assert {"script-src-elem", "img-src", "connect-src"} <= set(tab.run("wrong"))


def test_the_command_that_makes_the_pictures_of_the_pages_shows_a_rated_pair_and_each_part_of_a_report(
    tab: BrowserTab, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quickstart_page, "REVIEW", tmp_path / "review.png")
    monkeypatch.setattr(quickstart_page, "PAGE", tmp_path / "quickstart.md")
    assert quickstart_page.take_review(run, tmp_path).stat().st_size > 10_000
    tab.open(tmp_path / "rated.html")
    assert tab.run('document.getElementById("progress-said").textContent').startswith("1 of ")
    assert tab.run(SHOWN)["readable"]
    taken = quickstart_page.take_pictures(write_report([run], tmp_path / "report.html"), tmp_path)
    assert [path.name for path in taken] == [f"report-{name}.png" for name in quickstart_page.PICTURES]
