"""Where and how a part runs: device, seed, and what of the run it may use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mmedpo.core.usage import Usage


class AnswerStore(Protocol):
    """What has been answered before, by the hash of all that the answer depends on; outlives the process."""

    def get(self, key: str, read: Callable[[Any], Any] = lambda value: value) -> Any:
        """Return what `read` makes of the JSON value kept under a key; None where there is none that it can read."""
        ...

    def get_all(self, keys: Sequence[str], read: Callable[[Any], Any] = lambda value: value) -> list[Any]:
        """Return what `get` returns for each key; asked at once, many take little longer than one."""
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

    async def hold(self, usage: Usage) -> None:
        """Set a call's most aside, and wait for others where it does not fit. Raises RecipeError when it never will."""
        ...

    def settle(self, model: str, usage: Usage, tokens: tuple[int, int] | None) -> None:
        """Let a call's hold go, and note the tokens of prompt and answer that it took; None: nothing came."""
        ...


@dataclass(frozen=True)
class Setting:
    """Where and how a part runs; new fields may come, so take it whole."""

    device: str = "cpu"  # a torch device: "cpu", "cuda", "cuda:1", "mps"
    dtype: str = "float32"  # a torch dtype by name: "float32", "bfloat16"; "auto", of a backbone: as stored
    quantize: str | None = None  # "4bit" or "8bit": hold a backbone's frozen weights so; `load_model` heeds it
    seed: int = 0  # of the run; derive an item's own with mmedpo.seed_for(setting.seed, case.id, ...)
    journal: AnswerStore | None = None  # of the run; for answers that cost something
    allow_remote: tuple[str, ...] = ()  # the other machines that restricted data may go to
    ledger: CallLedger | None = None  # of the run; keeps calls within its budget
