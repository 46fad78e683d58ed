"""The contract of backbones, the medical vision-language models that answer and are trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from pydantic import Field, PositiveInt

from mmedpo.core.records import Case
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.served_model import ServedAnswers
from mmedpo.registry.contracts.setting import Setting
from mmedpo.registry.path_options import FOLDER

if TYPE_CHECKING:
    import numpy as np
    import torch

    from mmedpo.core.images import ImageRef

Frame = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Encoding:
    """One side as the model reads it."""

    ids: Sequence[int]  # prompt with image placeholders expanded, then the answer, then the end token
    answer_start: int  # index in ids of the answer's first token
    vision: Sequence[Mapping[str, torch.Tensor]]  # of each image, what forward() takes: pixel_values (1, 3, H, W), say
    images: Sequence[str] = ()  # identify the images' contents: equal strings, equal vision
    token_types: Sequence[int] | None = None  # what forward() takes as `LiveBackbone.types_key`, where it wants that


@dataclass(frozen=True)
class TokenGrid:
    """Tokens of an image that lie in rows and columns, each as large as the others."""

    tokens: np.ndarray[Any, Any]  # (rows, columns) of indices into the image's tokens
    frame: Frame  # what they see, in the image's pixels: beyond it where it is padded, within it where it is cropped


@dataclass(frozen=True)
class TokenPlaces:
    """What of an image each of its tokens sees; one may be seen whole and in tiles."""

    count: int  # of all tokens of the image; those in no grid see no part of it, the end of a row for one
    grids: Sequence[TokenGrid]


class FeatureStore(Protocol):
    """Where a run keeps what the vision tower makes of images, by what identifies an image."""

    def __contains__(self, key: str) -> bool:
        """Tell whether something is kept of an image."""

    def __getitem__(self, key: str) -> Mapping[str, torch.Tensor]:
        """Return it."""

    def __setitem__(self, key: str, record: Mapping[str, torch.Tensor]) -> None:
        """Keep it."""


class LiveBackbone(ABC):
    """An open backbone: the model, in place, with the words around it."""

    model: Any  # a transformers ...ForConditionalGeneration, in eval mode; the trainer wraps it in PEFT
    tokenizer: Any  # a transformers tokenizer (PreTrainedTokenizerBase)
    lora_targets: str  # a regular expression over module names: the language model's linear layers, not the head
    projector: str  # a regular expression over module names: the vision-to-language projector
    processor: Any = None  # a transformers processor, exported beside model and tokenizer where there is one
    types_key: str = "mm_token_type_ids"
    image_features: FeatureStore | None = None  # set by a run, for as long as the backbone is open
    causal: bool = True  # False: tokens of an image see later ones, so branches of a token tree would differ from pairs

    @abstractmethod
    def answer(
        self,
        cases: Sequence[Case],
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[str]:
        """Answer each case's question about its images.

        Temperature 0 is greedy. Otherwise each case is sampled with its own seed, whatever else is in the batch. An
        answer that had to end at `max_new_tokens` is `Answer(text, cut=True)`; a plain text counts as finished.
        """

    @abstractmethod
    def encode(self, images: Sequence[ImageRef], question: str, answer: str) -> Encoding:
        """Encode one side for training; it shows one image, or several where the backbone takes several."""

    def token_places(self, size: tuple[int, int]) -> TokenPlaces | None:
        """Return what the tokens of an image of this width and height see of it.

        None, the default, says that this is not known: then nothing maps the model's attention.
        """
        return None

    def collate(self, vision: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Concatenate the vision tensors of several images along their first dimension."""
        import torch

        return {key: torch.cat([tensors[key] for tensors in vision]) for key in vision[0]}


class Backbone(Part, ABC):
    """A medical vision-language model that answers and is trained."""

    slice_size: ClassVar[PositiveInt] = 64

    adapter: Annotated[str, FOLDER] | None = None
    """A folder with an adapter to start from, PEFT's or one in LLaVA's names; it is then the reference policy."""
    # No part of what the model is, so of no hash: where its answers count, who gives them is added (`identity`).
    answers: ServedAnswers | None = Field(default=None, exclude=True)
    """An OpenAI-compatible endpoint, {base_url: .., model: ..}, that serves the same model and answers in its place."""

    def takes_several_images(self) -> bool:
        """Tell whether its model is shown all images of a case that has several; else a run refuses such data."""
        return False

    @abstractmethod
    def open(self, setting: Setting) -> AbstractContextManager[LiveBackbone]:
        """Load the model onto the device in the dtype, with its starting adapter if it has one."""
