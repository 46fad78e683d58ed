"""The contracts: what a plugin implements. A part is a frozen pydantic model whose fields are its options."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from mmedpo.core.records import Case, Drop, Pair, PairKind, Region, Remark, Score
from mmedpo.registry.path_options import PathRequirement

if TYPE_CHECKING:
    import torch

    from mmedpo.core.images import ImageRef
    from mmedpo.core.usage import Usage
    from mmedpo.events import Event


class AnswerStore(Protocol):
    """What has been answered before, by the hash of all that the answer depends on; outlives the process."""

    def get(self, key: str, read: Callable[[Any], Any] = lambda value: value) -> Any:
        """Return what `read` makes of the JSON value kept under a key; None where there is none that it can read."""
        ...

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value."""
        ...


class PaidModel(Protocol):
    """A model at an endpoint that calls are paid to; `Endpoint`, with its options, is one."""

    @property
    def model(self) -> str:
        """The model, by the endpoint's name for it."""
        ...

    @property
    def base_url(self) -> str:
        """Where the endpoint is."""
        ...

    @property
    def batch(self) -> bool:
        """Whether it is asked in batches."""
        ...

    @property
    def price_share(self) -> float:
        """What a request costs, as a share of the model's price."""
        ...


class CallLedger(Protocol):
    """What a run's calls are noted in, within its budget. A `ChatClient` calls it by itself; other clients must."""

    async def hold(self, need: Usage) -> None:
        """Set a call's most aside, and wait for others where it does not fit. Raises RecipeError when it never will."""
        ...

    def settle(self, model: str, need: Usage, tokens: tuple[int, int] | None) -> None:
        """Let a call's hold go, and note the tokens of prompt and answer that it took; None: nothing came."""
        ...


@dataclass(frozen=True)
class Setting:
    """Where and how a part runs; new fields may come, so take it whole."""

    device: str = "cpu"  # a torch device: "cpu", "cuda", "cuda:1", "mps"
    dtype: str = "float32"  # a torch dtype by name: "float32", "bfloat16"
    seed: int = 0  # of the run; derive an item's own with mmedpo.seed_for(setting.seed, case.id, ...)
    journal: AnswerStore | None = None  # of the run; for answers that cost something
    allow_remote: tuple[str, ...] = ()  # the other machines that restricted data may go to
    ledger: CallLedger | None = None  # of the run; keeps calls within its budget


class Part(BaseModel):
    """Anything a recipe names with `use:`.

    Subclass one of the kinds below, set `use`, and declare options as pydantic fields with a description. A part
    holds no weights, sessions or files; those live inside `open`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    use: ClassVar[str]  # the name in the recipe, kebab-case, the same as the entry point's
    slice_size: ClassVar[int] = 32  # items a stage hands over at once, journals together and redoes together

    def open(self, setting: Setting) -> AbstractContextManager[Any]:
        """Yield the live object with the kind's verb; free what it holds on exit. By default the part itself."""
        return nullcontext(self)

    def estimate_usage(self, items: Sequence[Any]) -> Sequence[tuple[PaidModel, Usage]]:
        """Return what its calls for these cases (a dispreference) or pairs (a scorer) can take at most, by endpoint.

        Called before any model is loaded; a pair not made yet has a rejected answer of the greatest length. A part
        that calls no endpoint returns nothing.
        """
        return []

    def lacking(self) -> Iterator[str]:
        """Yield what a run needs and this machine lacks, a line each, with what to do: a package, a file in a folder.

        Files and folders that options name are looked for without it, where their types say so (`ExistingFile` ...).
        """
        yield from ()


class Reader(Part, ABC):
    """Read a data set.

    A reader of cases yields `Case`; one of ready preference data yields `Pair`, which skips localize and disprefer.
    """

    yields: ClassVar[Literal["cases", "pairs"]] = "cases"  # what `read` yields, beside drops
    public: ClassVar[bool] = False  # True only for a data set that anyone may have
    license: ClassVar[str] = ""  # of the data set, by the Hub's name for it; "" where it depends
    restricted: bool = Field(default=True, description="Whether the data must not leave this machine.")

    def has_regions(self) -> bool | None:
        """Tell whether its cases come with regions; None where that is not known before they are read."""
        return None

    @abstractmethod
    def read(self) -> Iterator[Case | Pair | Drop | Remark]:
        """Yield every case or pair, in an order that does not change, and a drop for each left out on purpose.

        What the user should know of one that is read all the same is a remark; remarks are counted by their text.

        Raise DataError with file and line for what cannot be read.
        """

    def picture(self, path: Path) -> ImageRef:
        """Name an image file as this reader reads them: a film in DICOM form takes more than another."""
        from mmedpo.core.images import ImageRef

        return ImageRef.at(path)


Frame = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Encoding:
    """One side as the model reads it."""

    ids: Sequence[int]  # prompt with image placeholders expanded, then the answer, then the end token
    answer_start: int  # index in ids of the answer's first token
    vision: Mapping[str, torch.Tensor]  # what forward() takes beside ids, e.g. pixel_values (1, 3, H, W)
    image: str = ""  # identifies the image's content: equal strings, equal vision
    token_types: Sequence[int] | None = None  # what forward() takes as `LiveBackbone.types_key`, where it wants that


class LiveBackbone(ABC):
    """An open backbone: the model, in place, with the words around it."""

    model: Any  # a transformers ...ForConditionalGeneration, in eval mode; the trainer wraps it in PEFT
    tokenizer: Any  # a transformers tokenizer (PreTrainedTokenizerBase)
    lora_targets: str  # a regular expression over module names: the language model's linear layers, not the head
    projector: str  # a regular expression over module names: the vision-to-language projector
    processor: Any = None  # a transformers processor, exported beside model and tokenizer where there is one
    types_key: str = "mm_token_type_ids"
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
        """Answer each case's question about its image.

        Temperature 0 is greedy. Otherwise each case is sampled with its own seed, whatever else is in the batch. An
        answer that had to end at `max_new_tokens` is `Answer(text, cut=True)`; a plain text counts as finished.
        """

    @abstractmethod
    def encode(self, image: ImageRef, question: str, answer: str) -> Encoding:
        """Encode one side for training."""

    def frame(self, size: tuple[int, int]) -> Frame:
        """Return what the grid of the tokens of an image of this width and height covers, in the image's pixels.

        Beyond the image where it is padded before the model sees it, within it where it is cropped; by default just it.
        """
        return 0.0, 0.0, float(size[0]), float(size[1])

    def collate(self, encodings: Sequence[Encoding]) -> dict[str, torch.Tensor]:
        """Concatenate the vision tensors of several encodings along their first dimension."""
        import torch

        keys = encodings[0].vision
        return {key: torch.cat([encoding.vision[key] for encoding in encodings]) for key in keys}


class Backbone(Part, ABC):
    """A medical vision-language model that answers and is trained."""

    slice_size: ClassVar[int] = 64

    export_dtype: ClassVar[str] = "float32"  # what `open` is asked for when the model is to be exported

    adapter: Annotated[str, PathRequirement("folder")] | None = None
    """A folder with a PEFT adapter to start from; it is then the reference policy."""

    @abstractmethod
    def open(self, setting: Setting) -> AbstractContextManager[LiveBackbone]:
        """Load the model onto the device in the dtype, with its starting adapter if it has one."""


class LiveLocalizer(Protocol):
    """What an open localizer does."""

    def localize(self, cases: Sequence[Case], backbone: LiveBackbone | None) -> list[list[Region]]:
        """Return the regions of each case's image; an empty list where nothing was found.

        `backbone` is open when the part says `needs_backbone`.
        """
        ...


class Localizer(Part, ABC):
    """Find where in an image the lesion is."""

    takes_given: ClassVar[bool] = False  # True: gives the regions that the data come with, and finds none itself
    reads_question: ClassVar[bool] = False  # False: asked once an image, for all its cases
    needs_backbone: ClassVar[bool] = False

    @property
    def learnt(self) -> Path | None:
        """The file that `learn` writes and `open` reads; None for a localizer that learns nothing."""
        return None

    def learn(
        self, cases: dict[str, Sequence[Case]], setting: Setting, tell: Callable[[int, int], None]
    ) -> dict[str, Any]:
        """Learn from annotated cases and write `learnt`; return what is known of how good it is, as JSON.

        `cases` has "train", "validation" to choose by, and perhaps "test", which decides nothing; no image is in two of
        them. `tell(step, steps)` shows how far it is. Raises DataError for cases that nothing can be learned from.
        """
        raise NotImplementedError(f"{self.use} learns nothing")

    def sources(self, cases: Sequence[Case]) -> list[str]:
        """Return for each case on what else its regions rest than on its content: the name of a file, for one.

        Asked with all cases before any is localized, whatever is known of them already; what it returns is part of what
        results are remembered by. Raises DataError where something that it needs is not there.
        """
        return [""] * len(cases)

    def open(self, setting: Setting) -> AbstractContextManager[LiveLocalizer]:
        """Yield the object that localizes; by default the part itself."""
        return nullcontext(self)  # type: ignore[arg-type]


class LiveDispreference(Protocol):
    """What an open dispreference does."""

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield pairs of the cases, or a drop with its reason for a case of which none can be made.

        `backbone` is open when the part says `needs_backbone`. `earlier[i]` are the pairs which the dispreferences
        before this one in the recipe made of `cases[i]`.
        """
        ...


class Dispreference(Part, ABC):
    """Make the rejected side of a pair."""

    makes: ClassVar[PairKind]  # the kind of its pairs
    needs_backbone: ClassVar[bool] = False
    pairs_a_case: ClassVar[int] = 1  # at most

    @property
    def longest_answer(self) -> int:
        """The tokens that a rejected answer has at most."""
        return 256

    def needs_region(self) -> bool:
        """Tell whether it makes no pair of a case without a region."""
        return False

    def follows(self) -> PairKind | None:
        """Return the kind of the earlier pairs without which it makes none."""
        return None

    def open(self, setting: Setting) -> AbstractContextManager[LiveDispreference]:
        """Yield the object that disprefers; by default the part itself."""
        return nullcontext(self)  # type: ignore[arg-type]


class LiveScorer(Protocol):
    """What an open scorer does."""

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """Rate each pair, in order. A relevance of None is an abstention; say why in the evidence.

        Evidence with `passing` true says that an endpoint failed on it: the next run asks again.
        """
        ...


class Scorer(Part, ABC):
    """Rate how clinically relevant the difference within a pair is."""

    rates: ClassVar[frozenset[PairKind]]  # the pair kinds it can rate

    def open(self, setting: Setting) -> AbstractContextManager[LiveScorer]:
        """Yield the object that scores; by default the part itself."""
        return nullcontext(self)  # type: ignore[arg-type]

    def summary(self, pairs: Sequence[Pair], scores: Sequence[Score]) -> dict[str, Any]:
        """Return what is worth knowing of its scores of a whole set of pairs, as JSON; by default nothing."""
        return {}


class Weighting(Part, ABC):
    """Make the loss factors of a whole set of pairs from their relevances."""

    @abstractmethod
    def weigh(self, scores: Sequence[Score]) -> list[float]:
        """Return a finite, non-negative weight for each score; every score here has a relevance."""


Statistics = Mapping[str, float]  # of one case; a statistic that does not apply to the case is left out


class MeasureCombiner(Protocol):
    """What makes measures of statistics: a metric, or a metric that is checked."""

    @property
    def additive(self) -> bool:
        """Whether sums of statistics give the measures of their cases."""
        ...

    @property
    def better(self) -> Mapping[str, int]:
        """Return 1 for a measure of which more is better, -1 where less is."""
        ...

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return the measures of a set of cases."""
        ...


class Metric(Part, ABC):
    """Compare answers with the clinicians'."""

    additive: ClassVar[bool] = False
    """True when `combine` of any rows equals `combine([totals(rows)])`; intervals then take a fraction of the time.

    `mmedpo.sum_statistics` sums each statistic over the rows that have it; one that no row has is not in the sum.
    """
    better: ClassVar[Mapping[str, int]] = {}  # by measure: 1 where more is better, -1 where less is; others are neither
    counts: ClassVar[str] = ""  # which cases it counts, for the end of a sentence: "cases of kind report"

    @abstractmethod
    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Statistics]:
        """Return the statistics of each case, in order, all that `combine` needs."""

    @abstractmethod
    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return the measures of a set of cases; must work for any resample of them.

        A measure is a finite number; one that is not defined for these cases is left out.
        """

    def cautions(self, before: Mapping[str, float], after: Mapping[str, float] | None) -> list[str]:
        """Return sentences that must stand beside these measures, lest they mislead; by default none.

        `after` is None where nothing was trained.
        """
        return []


class Observer(Part, ABC):
    """Watch a run. One that raises is dropped with a warning; the run goes on."""

    @abstractmethod
    def see(self, event: Event) -> None:
        """Take note of an event."""


CONTRACTS: dict[str, type[Part]] = {
    "reader": Reader,
    "backbone": Backbone,
    "localizer": Localizer,
    "dispreference": Dispreference,
    "scorer": Scorer,
    "weighting": Weighting,
    "metric": Metric,
    "observer": Observer,
}
