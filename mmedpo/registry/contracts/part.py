"""What every part is: a frozen pydantic model whose fields are its options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, PositiveInt

from mmedpo.registry.contracts.setting import PaidModel, Setting

if TYPE_CHECKING:
    from mmedpo.core.usage import Usage


class Part(BaseModel):
    """Anything a recipe names with `use:`.

    Subclass one of the kinds below, set `use`, and declare options as pydantic fields with a description. A part
    holds no weights, sessions or files; those live inside `open`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    use: ClassVar[str]  # the name in the recipe, kebab-case, the same as the entry point's
    slice_size: ClassVar[PositiveInt] = 32  # items a stage hands over at once, journals together and redoes together

    def open(self, setting: Setting) -> AbstractContextManager[Any]:
        """Yield the live object with the kind's verb; free what it holds on exit. By default the part itself."""
        return nullcontext(self)

    def estimate_usage(self, items: Sequence[Any]) -> Sequence[tuple[PaidModel, Usage]]:
        """Return what its calls for these cases (a dispreference) or pairs (a scorer) can take at most, by endpoint.

        Called before any model is loaded; a pair not made yet has a rejected answer of the greatest length. A part
        that calls no endpoint returns nothing.
        """
        return []

    def list_changed(self) -> set[str]:
        """Return the options that are not as by default. A run's own recipe writes all of them down."""
        fields = type(self).model_fields
        return {
            name
            for name, field in fields.items()
            if getattr(self, name) != field.get_default(call_default_factory=True)
        }

    def lacking(self) -> Iterator[str]:
        """Yield what a run needs and this machine lacks, a line each, with what to do: a package, a file in a folder.

        Files and folders that options name are looked for without it, where their types say so (`ExistingFile` ...).
        """
        yield from ()
