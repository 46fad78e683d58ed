"""On what runs were evaluated, and how much of it they were trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmedpo.cli.display.terminal import Terminal
from mmedpo.store.run_files.measures import TrainingOverlap


def print_overlaps_of(console: Terminal, methods: Iterable[Sequence[Path]]) -> None:
    """Say it of the runs of methods."""
    from mmedpo.evaluate.comparison import count_trained_images

    overlaps = {str(folder): count_trained_images(folder) for runs in methods for folder in runs}
    print_overlaps(console, {folder: overlap for folder, overlap in overlaps.items() if overlap})


def print_overlaps(console: Terminal, overlaps: Mapping[str, TrainingOverlap]) -> None:
    """Say on what runs were evaluated; in one line where it is the same for all."""
    if len(overlaps) > 1 and len(set(overlaps.values())) == 1:
        overlaps = {f"all {len(overlaps)} runs": next(iter(overlaps.values()))}
    for name, overlap in overlaps.items():
        console.print(f"{name}: ", end="", highlight=False, soft_wrap=True)
        print_overlap(console, overlap)


def print_overlap(console: Terminal, overlap: TrainingOverlap) -> None:
    """Say on what one run was evaluated."""
    shared, images = overlap.trained_on, overlap.images
    note = "none of them was trained on" if not shared else f"[bold red]{shared} of them were trained on[/]"
    if again := overlap.questions_trained_on:
        note += f", and [bold red]{again} of the questions about them[/]"
    if not overlap.complete:
        elsewhere = "[bold red]what an adapter of the model was trained on elsewhere is not known here[/]"
        note = f"{note}; {elsewhere}" if shared else elsewhere
    console.print(f"evaluated on {images} images; {note}", highlight=False, soft_wrap=True, markup=True)
