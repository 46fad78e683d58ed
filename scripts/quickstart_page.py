"""Write what docs/start/quickstart.md shows: the quickstart's own output, pictures of its report, of its review page.

    python scripts/quickstart_page.py                # runs it in a folder of its own: a minute or two on one core
    python scripts/quickstart_page.py FOLDER LOG     # of a run that is there, and of what it printed

The pictures are of drawn films, taken with Chromium. `tests/docs/test_start_pages.py` holds README and page together.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageChops

from mmedpo.review.page import ReviewOptions, write_review

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "start" / "quickstart.md"
RECIPE = ROOT / "examples" / "quickstart.yaml"
COLORS = 48  # a picture of so few is below 150 KB
# A picture: what of the report it shows, and how high, in pixels.
PICTURES = {
    "summary": ("#summary", 812),
    "worse": ("#cases", 820),
    "looking": ("#looking", 900),
    "gallery": ("#gallery", 966),
}
REVIEW = ROOT / "docs" / "guides" / "review.png"
# A reader's hands: a name, on to the first pair of two films, and what is said of it by three keys.
RATE = """
<script>
const find = (id) => document.getElementById(id);
find("rater").value = "reader";
find("who").requestSubmit();
const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
for (let pair = 0; pair < 100 && find("readable").hidden; pair += 1) press("k");
["a", "9", "r"].forEach(press);
</script>
"""
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")


def run_quickstart(folder: Path) -> str:
    """Run it as a reader would, and return what it prints."""
    line = [sys.executable, "-m", "mmedpo", "run", str(RECIPE)]
    done = subprocess.run(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    return done.stdout


def write_output(log: str) -> None:
    """Put what was printed onto the page, but for progress and seconds, which are another machine's."""
    lines = [line.rstrip() for line in log.splitlines() if line and not line.endswith((" left", " so far"))]
    lines = [re.sub(r" \([\d.]+ s\)$", "", line) for line in lines]
    head, _, rest = PAGE.read_text().partition("<!-- output -->\n")
    tail = rest.partition("<!-- end of output -->")[2]
    block = "\n".join(["```text", *lines, "```"])
    PAGE.write_text(f"{head}<!-- output -->\n{block}\n<!-- end of output -->{tail}")


def take_pictures(report: Path, folder: Path) -> Iterator[Path]:
    """Yield a picture of each part of a report, written beside the page."""
    text = read_open(report)
    for name, (section, height) in PICTURES.items():
        shown = f"<style>nav, section:not({section}), header, footer {{ display: none !important }}</style>"
        taken = take_picture(text.replace("</head>", f"{shown}</head>", 1), (1000, height), folder / f"{name}.html")
        yield trim(taken, PAGE.parent / f"report-{name}.png")


def take_review(run: Path, folder: Path) -> Path:
    """Write the picture of a pair on a run's review page, as a reader has just rated it."""
    write_review(run, folder / "review.html", ReviewOptions())
    text = read_open(folder / "review.html").replace("</body>", f"{RATE}</body>", 1)
    return trim(take_picture(text, (1280, 800), folder / "rated.html"), REVIEW)


def read_open(page: Path) -> str:
    """Return a page without its policy, which would let no hand of ours in."""
    return re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", page.read_text())


def take_picture(text: str, size: tuple[int, int], place: Path) -> Path:
    """Write a page at a place, open it in a window of a size, and return the picture of it."""
    place.write_text(text)
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    taken, window = place.with_suffix(".png"), f"--window-size={size[0]},{size[1]}"
    line = [browser, *FLAGS, f"--user-data-dir={place.parent / 'profile'}", window, f"--screenshot={taken}"]
    subprocess.run([*line, place.as_uri()], check=True, capture_output=True)
    return taken


def trim(taken: Path, place: Path) -> Path:
    """Write a picture without the empty paper around it."""
    image = Image.open(taken).convert("RGB")
    paper = Image.new("RGB", image.size, image.getpixel((0, 0)))
    box = ImageChops.difference(image, paper).getbbox() or (0, 0, *image.size)
    image = image.crop((0, max(box[1] - 12, 0), image.width, min(box[3] + 12, image.height)))
    image.quantize(COLORS).save(place, optimize=True)
    return place


def main() -> None:
    """Write page and pictures."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        if len(sys.argv) > 2:
            run, log = Path(sys.argv[1]), Path(sys.argv[2]).read_text()
        else:
            run, log = folder / "runs" / "quickstart", run_quickstart(folder)
        write_output(log)
        for picture in (*take_pictures(run / "report.html", folder), take_review(run, folder)):
            print(picture.relative_to(ROOT), f"{picture.stat().st_size // 1000} KB")


if __name__ == "__main__":
    main()
