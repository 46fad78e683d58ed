"""How long a data set of the size of MIMIC-CXR takes on so many GPUs, on paper: docs/explanation/performance.md.

    python scripts/on_paper.py

Nothing is measured here. Every rate has its source, and what is assumed says so; `tests/docs/test_performance_page.py`
holds the page to what this prints.
"""

from __future__ import annotations

from dataclasses import dataclass

IMAGES, REPORTS, TESTED = 370_000, 227_000, 3_300  # MIMIC-CXR 2.0.0; studies of its test split
GPUS = (8, 64)

# The model: LLaVA-Med v1.5 (Mistral 7B, CLIP-L/336), an adapter of rank 128.
IMAGE, QUESTION, REPORT = 576, 20, 100  # tokens of an image, of the question, of a report's findings
FORWARD, BACKWARD, ADAPTER = 14.0e9, 14.0e9, 2.0e9  # FLOP a token (the section on a 7B model)
TOWER = 0.35e12  # FLOP an image, once: 304 M parameters, 577 tokens
WEIGHTS, CACHE = 15.1e9, 131_072  # bytes; of keys and values a token: 2 x 32 layers x 8 heads x 128 x 2 bytes

# The GPU: an H100 SXM, by its data sheet.
PEAK, BANDWIDTH = 989e12, 3.35e12  # FLOP/s in bfloat16; bytes a second
SHARE = 0.4  # of the peak: assumed; on a CPU training was measured at 0.5
STEP = 0.030  # seconds a token step takes to launch its kernels, eager, 32 layers: assumed

SAMPLES, VOTERS, EPOCHS = 4, 3, 3
SLICE, ANSWERED = 32, 64  # images that are sampled, and answered, together: the slices of the two stages
DETECT = 0.055  # seconds an image: RetinaNet R50, one V100, batch 1 (Detectron2's model zoo)
NOISE = 1 / 69.2  # seconds of a core an image of 512 x 512, read and written (docs/explanation/localizing.md)
CORES = 8  # a GPU
CALLS = 1000 / 60  # a second that an endpoint answers: assumed, a usual limit of an account
VOTE_IN, VOTE_OUT = 400, 60  # tokens of a vote: the two answers and the instruction; a number and a reason
CASE = 0.0029  # seconds of a core a case, whatever the model: reading, checks, journal (Sets of any size)
SCALING = 0.9  # of ideal: assumed, for the slowest worker of a stage and the steps that wait for each other


@dataclass(frozen=True)
class Work:
    """A stage's work: how many items, and how many seconds of a GPU one takes."""

    stage: str
    of_what: str
    items: int
    seconds: float

    def hours(self, gpus: int) -> float:
        """Return how long it takes on so many GPUs."""
        return self.items * self.seconds / 3600 / gpus / SCALING


def answer_seconds(samples: int, together: int) -> float:
    """Return what an image's answers take: a slice is read in one pass, then grows by a token a step."""
    reading = together * (TOWER + (IMAGE + QUESTION) * FORWARD) / (SHARE * PEAK)
    held = together * (IMAGE + QUESTION + samples * REPORT) * CACHE
    step = max(STEP, (WEIGHTS + held) / BANDWIDTH)
    return (reading + REPORT * step) / together


def tokens_of_pairs() -> int:
    """Return the tokens that an image's two pairs take as trees: the film and two answers; the noised film and one."""
    return (IMAGE + QUESTION + 2 * REPORT) + (IMAGE + QUESTION + REPORT)


def list_work() -> list[Work]:
    """Return the stages' work on GPUs."""
    forward, step = FORWARD / (SHARE * PEAK), (FORWARD + BACKWARD + ADAPTER) / (SHARE * PEAK)
    return [
        Work("localize", "images", IMAGES, DETECT),
        Work(
            "disprefer: self-hallucination", f"reports, {SAMPLES} samples each", REPORTS, answer_seconds(SAMPLES, SLICE)
        ),
        Work("disprefer: lesion-noise, on 8 cores a GPU", "images", REPORTS, NOISE / CORES),
        Work(f"score: {VOTERS} local voters of 7B", "votes", VOTERS * REPORTS, VOTE_IN * forward),
        Work("reference", "reports, 2 pairs each", REPORTS, tokens_of_pairs() * forward),
        Work(f"train, {EPOCHS} epochs", "reports, 2 pairs each", EPOCHS * REPORTS, tokens_of_pairs() * step),
        Work("evaluate, before and after", "studies", 2 * TESTED, answer_seconds(1, ANSWERED)),
    ]


def make_table() -> str:
    """Return the hours of each stage, and of what endpoints are asked."""
    rows = [("stage", "items", "ms of a GPU an item", *(f"hours on {gpus}" for gpus in GPUS))]
    works = list_work()
    for work in works:
        hours = [f"{work.hours(gpus):.2f}" for gpus in GPUS]
        rows.append((work.stage, f"{work.items:,} {work.of_what}", f"{1000 * work.seconds:.3g}", *hours))
    sums = [f"{sum(work.hours(gpus) for work in works):.1f}" for gpus in GPUS]
    rows.append(("**all on GPUs**", "", "", *(f"**{hours}**" for hours in sums)))
    own = f"{REPORTS * CASE / 3600:.2f}"
    rows.append(("the run's own process, meanwhile", f"{REPORTS:,} cases", "", own, own))
    votes = VOTERS * REPORTS
    told = f"{votes:,} calls, {votes * VOTE_IN / 1e6:.0f} M tokens in, {votes * VOTE_OUT / 1e6:.0f} M out"
    asked = f"{votes / CALLS / 3600:.1f}"
    rows.append((f"or {VOTERS} voters at an endpoint, one round", told, "", asked, asked))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


if __name__ == "__main__":
    print(make_table())
