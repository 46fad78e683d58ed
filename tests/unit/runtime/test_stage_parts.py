"""The parts of a stage: what a backbone sees in images outlasts the stage, and goes with the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmedpo_plugins.phantom.reader import PhantomReader

from mmedpo.pipeline.session import open_run
from mmedpo.recipe.loading import load_recipe
from mmedpo.runtime.stage_parts import open_parts
from mmedpo.store.run_files.format import FEATURES

RECIPE = """
output: {folder}/run
data: {{use: phantom, images: 1}}
backbone: {{use: phantom}}
"""


def test_image_features_are_found_by_the_next_stage_kept_by_a_stop_and_gone_with_the_run(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE.format(folder=tmp_path))
    loaded = load_recipe(tmp_path / "r.yaml")
    cases = list(PhantomReader(images=1).read())[:2]
    features = tmp_path / "run" / FEATURES

    def answer() -> None:
        with open_run(loaded, lambda event: None, tmp_path / "run", None) as run:
            for stage in range(2):
                with open_parts(run) as opened:
                    live = opened(run.recipe.backbone)
                    assert (cases[0].image.known_as in live.image_features) or not stage
                    live.answer(cases, max_new_tokens=1)
                    assert list(features.iterdir())
            if stopping:
                raise KeyboardInterrupt

    stopping = True
    with pytest.raises(KeyboardInterrupt):
        answer()
    assert list(features.iterdir())
    stopping = False
    answer()
    assert not features.exists()
