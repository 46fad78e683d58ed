"""The localizer that asks MedKLIP where on a film an observation is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from mmedpo import ExistingFile, ExistingFolder, Localizer, Setting

if TYPE_CHECKING:
    from mmedpo_plugins.localizers.medklip.live_medklip import LiveMedKlip


class MedKlipLocalizer(Localizer):
    """Ask MedKLIP where on a frontal chest film an observation is, as the paper does.

        localize:
          use: medklip
          checkpoint: medklip/checkpoint_full.pth
          queries: medklip/observation explanation.json
          text_model: medklip/Bio_ClinicalBERT

    The heat map is the mean of the four layers' attention of the query to 14 x 14 patches, all heads together, over the
    whole film; the confidence is the probability that the observation is there. Checkpoint and sentences are those of
    MediaBrain-SJTU/MedKLIP, the text model is emilyalsentzer/Bio_ClinicalBERT. Films are read as its tests read them:
    three equal channels, squashed to 224 x 224 whatever their form. It knows frontal chest films, and no others.
    """

    use: ClassVar[str] = "medklip"

    checkpoint: ExistingFile
    """Its published weights (.pth), a state dict, also within a dict under `model`."""
    queries: ExistingFile
    """The observations it learned with, all of them, since queries see one another: the sentence that explains each by
    its name (JSON), or 768 numbers for each as the text model gives them (safetensors)."""
    text_model: ExistingFolder | None = None
    """The folder of the BERT that reads the sentences, with its vocab.txt; wanted with JSON alone."""
    query: str = "disease"
    """The observation to ask for, by its name in `queries`."""
    label: str = ""
    """The finding that regions are named after; by default none, so that they are about every question."""
    quantile: float = Field(default=0.9, gt=0, lt=1)
    """The share of the image's pixels that are too cool to count; what is hotter is the region, as a soft mask. The
    whole map comes with it, for `mask: map` of `lesion-noise`."""
    batch_size: int = Field(default=16, ge=1)
    """Films at once."""

    @model_validator(mode="after")
    def _require_what_reads_the_queries(self) -> Self:
        sentences = self.queries.suffix.casefold() == ".json"
        if sentences and not self.text_model:
            raise ValueError("queries in JSON are sentences, which want a `text_model` that reads them")
        if self.text_model and not sentences:
            raise ValueError("`text_model` reads sentences; it would do nothing where `queries` is no .json")
        return self

    @contextmanager
    def open(self, setting: Setting) -> Iterator[LiveMedKlip]:
        """Load the checkpoint and the queries. Raises DataError."""
        from mmedpo_plugins.localizers.medklip.checkpoint import load_network
        from mmedpo_plugins.localizers.medklip.live_medklip import LiveMedKlip
        from mmedpo_plugins.localizers.medklip.queries import read_queries

        table = read_queries(self.queries, self.text_model, setting)
        place = table.find(self.query)
        network = load_network(self.checkpoint, setting.device)
        yield LiveMedKlip(network, table.words, place, self.label, self.quantile, self.batch_size)
