"""The report in a browser: nothing goes wrong, pictures show, filters filter, and no page is wider than a phone.

The page is opened in headless Chromium with a script of the test's own before its policy; what that finds lies in the
DOM that the browser prints.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from run_folder import write_rounds, write_run

from mmedpo.report.page import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: apt-get install chromium"),
]
BEFORE = """<script>
window.wrong = [];
addEventListener("error", (event) => wrong.push(String(event.message)));
addEventListener("securitypolicyviolation", (event) => wrong.push(event.violatedDirective));
console.error = (...said) => wrong.push(said.join(" "));
addEventListener("load", () => setTimeout(() => {  // what a policy refuses may be told after the load
  const form = document.getElementById("filters");
  const shown = () => [...document.querySelectorAll(".card.pair")].filter((card) => card.offsetParent !== null);
  const scrolls = (one) => one.closest(".scroll, nav ul, pre, .quiet, svg");
  const edge = document.documentElement.clientWidth + 1;
  const sticksOut = (one) => !scrolls(one) && one.getBoundingClientRect().right > edge;
  const filtered = {};
  const ask = (name, value) => {
    form.reset();
    if (name) form[name].value = value;
    form.dispatchEvent(new Event("input"));
    filtered[name ? `${name}=${value}` : "all"] = {
      shown: shown().length, said: document.getElementById("count").textContent,
      kinds: [...new Set(shown().map((card) => card.dataset.kind))],
    };
  };
  if (form) {
    ask("kind", "image"); ask("made", "wrong"); ask("weight", "high"); ask("apart", "4"); ask("", "");
  }
  const found = {
    wrong, filtered, title: document.title,
    images: [...document.images].map((image) => image.naturalWidth),
    charts: [...document.querySelectorAll(".chart svg")].map((chart) => chart.getBoundingClientRect().width),
    ids: [...document.querySelectorAll("[id]")].map((one) => one.id),
    broken: [...document.querySelectorAll("nav a")].filter((link) => !document.querySelector(link.hash)).length,
    ink: getComputedStyle(document.body).color, paper: getComputedStyle(document.body).backgroundColor,
    wide: [...document.querySelectorAll("body *")].filter(sticksOut).map((one) => `${one.tagName}.${one.className}`),
  };
  const pre = document.createElement("pre");
  pre.id = "found";
  pre.textContent = JSON.stringify(found);
  document.body.append(pre);
}, 500));
</script>"""


def opened(page: Path, *options: str, width: int = 1200) -> dict[str, Any]:
    """Open a page and return what the scripts found in it."""
    text = page.read_text().replace("<head>", f"<head>{BEFORE}", 1)
    probed = page.with_name("probed.html")
    probed.write_text(text)
    line = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    line += [f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=10000", f"--window-size={width},900"]
    done = subprocess.run(
        [*line, *options, "--dump-dom", f"file://{probed}"], capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    result: dict[str, Any] = json.loads(html.unescape(found.group(1)))
    return result


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report([write_run(tmp_path_factory.mktemp("page") / "run", pairs=12)])


@pytest.fixture(scope="module")
def found(page: Path) -> dict[str, Any]:
    return opened(page)


def test_nothing_goes_wrong_and_no_answer_is_obeyed(found: dict[str, Any]) -> None:
    assert found["wrong"] == []
    assert found["title"] == "run · mmedpo"


INTRUDERS = {  # each with the rule that stops it
    "<script>document.title = 'owned'</script>": "script-src-elem",
    "<script src='data:text/javascript,document.title=1'></script>": "script-src-elem",
    "<img src=x onerror=\"document.title = 'owned'\">": "script-src-attr",
    "<img src='http://localhost:1/a.png'>": "img-src",
    "<style>body { display: none }</style>": "style-src-elem",
    "<link rel=stylesheet href='http://localhost:1/a.css'>": "style-src-elem",
    "<iframe src='http://localhost:1/'></iframe>": "frame-src",
    "<object data='http://localhost:1/'></object>": "object-src",
    "<base href='http://localhost:1/'>": "base-uri",
    "<b style=\"background: url('http://localhost:1/b.png')\">b</b>": "img-src",
}


def test_what_would_get_into_the_page_past_all_escaping_runs_nothing_and_asks_nobody(page: Path) -> None:
    owned = page.with_name("owned.html")
    owned.write_text(page.read_text().replace("<main>", f"<main>{''.join(INTRUDERS)}", 1))
    found = opened(owned)
    assert found["title"] == "run · mmedpo"
    assert sorted(found["wrong"]) == sorted([*INTRUDERS.values(), "img-src"])  # the film that is none, too


def test_pictures_and_charts_show(found: dict[str, Any]) -> None:
    assert len(found["images"]) > 20
    assert min(found["images"]) > 0
    assert len(found["charts"]) >= 5
    assert min(found["charts"]) > 150


def test_filters_show_what_fits_and_say_how_many(found: dict[str, Any]) -> None:
    filtered = found["filtered"]
    assert filtered["all"] == {"shown": 12, "said": "12 of 12 shown", "kinds": ["text", "image"]}
    assert filtered["kind=image"] == {"shown": 6, "said": "6 of 12 shown", "kinds": ["image"]}
    assert filtered["made=wrong"]["kinds"] == ["text"]
    assert filtered["weight=high"]["shown"] == 4
    assert filtered["apart=4"]["shown"] == 1


def test_links_lead_somewhere_and_ids_are_unique(found: dict[str, Any]) -> None:
    assert found["broken"] == 0
    assert len(set(found["ids"])) == len(found["ids"])


def test_nothing_but_tables_is_wider_than_the_window(page: Path, found: dict[str, Any]) -> None:
    assert found["wide"] == []
    assert opened(page, width=500)["wide"] == []  # the narrowest window that Chromium opens


def test_a_page_of_many_rounds_is_no_wider_either(tmp_path: Path) -> None:
    found = opened(write_report([write_rounds(tmp_path / "rounds", 6, 6)]), width=500)
    assert (found["wide"], found["wrong"], found["broken"]) == ([], [], 0)


def test_dark_is_dark_and_light_is_light(page: Path, found: dict[str, Any]) -> None:
    dark = opened(page, "--blink-settings=preferredColorScheme=0")
    assert (found["paper"], found["ink"]) == ("rgb(251, 250, 247)", "rgb(28, 35, 38)")
    assert (dark["paper"], dark["ink"]) == ("rgb(20, 24, 26)", "rgb(229, 231, 227)")


def test_a_comparison_and_an_unfinished_run_open_as_well(tmp_path: Path) -> None:
    bare = write_run(tmp_path / "bare", pairs=0, measures=False, training=False, run={"state": "running"})
    for runs in ([bare], [bare, write_run(tmp_path / "other")]):
        found = opened(write_report(runs))
        assert found["wrong"] == []
        assert found["broken"] == 0


def test_sixty_large_films_stay_below_ten_megabytes(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    folder = write_run(tmp_path / "run", pairs=120)
    noise = np.random.default_rng(0)
    for path in (folder / "images").glob("*/*"):  # nothing compresses worse
        Image.fromarray(noise.integers(0, 256, (700, 560), dtype=np.uint8)).save(path)
    page = write_report([folder])
    assert page.stat().st_size < 10_000_000
    assert opened(page)["wrong"] == []
