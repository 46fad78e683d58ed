"""The pages build as a site without a warning, and a browser opens it from files: on a phone, on a screen, offline."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: apt-get install chromium")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
# What a page may load lies in files; what it tries to load from elsewhere is a violation, which it tells.
BEFORE = """<meta http-equiv="Content-Security-Policy" content="default-src file: data: blob: 'unsafe-inline'">
<script>
window.wrong = [];
addEventListener("error", (event) => wrong.push(event.message || `not loaded: ${event.target.outerHTML}`), true);
addEventListener("securitypolicyviolation", (event) => wrong.push(`${event.violatedDirective}: ${event.blockedURI}`));
console.error = (...said) => wrong.push(said.join(" "));
console.warn = console.error;
</script>"""
BEHIND = """<script>
addEventListener("load", () => setTimeout(async () => {
  const found = [];
  if (name.endsWith("search")) {
    const asked = document.querySelector("input[name=query]");
    asked.focus();
    asked.value = "opposite-answer";
    asked.dispatchEvent(new Event("keyup", { bubbles: true }));
    for (let tries = 0; tries < 100 && !found.length; tries++) {
      await new Promise((next) => setTimeout(next, 100));
      found.push(...[...document.querySelectorAll(".md-search-result__link")].map((link) => link.href));
    }
  }
  const page = document.scrollingElement;
  const wide = page.scrollWidth > page.clientWidth ? page.scrollWidth : 0;
  parent.postMessage({ name, wrong, wide, found }, "*");
}, 50));
</script>"""
DRIVER = """<!doctype html><pre id="found"></pre><script>
const waiting = %s, told = [];
const next = () => {
  if (!waiting.length) return;
  const frame = document.createElement("iframe");
  [frame.name, frame.src, frame.width] = waiting.shift();
  frame.height = 900;
  document.body.append(frame);
};
addEventListener("message", ({ data }) => {
  told.push(data);
  document.querySelector(`iframe[name="${data.name}"]`).remove();
  document.getElementById("found").textContent = JSON.stringify(told);
  next();
});
for (let count = 0; count < 8; count++) next();
</script>"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site; a link or an anchor that leads nowhere and a page that the navigation lacks are errors."""
    folder = tmp_path_factory.mktemp("site") / "site"
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(line, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_no_page_shows_markdown_that_was_not_understood(site: Path) -> None:
    for page in site.rglob("*.html"):
        article = re.sub(r"<(pre|code)\b.*?</\1>", "", page.read_text().partition("<article")[2], flags=re.DOTALL)
        lines = [line for text in re.findall(r"<p>(.*?)</p>", article, re.DOTALL) for line in text.splitlines()]
        assert not [line for line in lines if re.match(r"\s*([-*] |\d+\. |\||#+ |```)", line)], page


@pytest.fixture(scope="module")
def seen(site: Path) -> list[dict[str, Any]]:
    """Open every page on a phone, the first of each folder on a screen, and search on one."""
    pages = sorted(page for page in site.rglob("*.html") if page.name != "404.html")
    for page in pages:
        text = page.read_text().replace("<head>", f"<head>{BEFORE}", 1)
        page.write_text(text.replace("</body>", f"{BEHIND}</body>", 1))
    firsts = {page.parent: page for page in reversed(pages)}.values()
    opened = [*((page, 400) for page in pages), *((page, 1280) for page in firsts)]
    frames = [(f"{page.relative_to(site)} {width}", page.as_uri(), width) for page, width in opened]
    frames.append(("search", (site / "index.html").as_uri(), 1280))
    driver = site / "driver.html"
    driver.write_text(DRIVER % json.dumps(frames))
    line = [CHROMIUM, *FLAGS, f"--user-data-dir={site.parent / 'profile'}", "--virtual-time-budget=600000"]
    done = subprocess.run(
        [*line, "--window-size=1400,900", "--dump-dom", driver.as_uri()], capture_output=True, text=True
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    result: list[dict[str, Any]] = json.loads(html.unescape(found.group(1)))
    assert {one["name"] for one in result} == {name for name, *_ in frames}
    return result


@pytest.mark.slow
@needs_browser
def test_no_page_fails_in_a_browser_or_asks_for_anything_from_elsewhere(seen: list[dict[str, Any]]) -> None:
    assert {one["name"]: one["wrong"] for one in seen if one["wrong"]} == {}


@pytest.mark.slow
@needs_browser
def test_no_page_is_wider_than_a_phone_or_a_screen(seen: list[dict[str, Any]]) -> None:
    assert {one["name"]: one["wide"] for one in seen if one["wide"]} == {}


@pytest.mark.slow
@needs_browser
def test_the_search_finds_a_word_without_a_server(seen: list[dict[str, Any]]) -> None:
    found = [link for one in seen if one["name"] == "search" for link in one["found"]]
    assert any("reference/parts/dispreference.html#opposite-answer" in link for link in found), found
