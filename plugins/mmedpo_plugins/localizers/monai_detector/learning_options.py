"""How a detector learns, as a recipe says it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LearningOptions(BaseModel):
    """How a detector learns."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    size: int = Field(default=512, ge=32)
    """The longer side, in pixels, at which films are read."""
    window: int | None = Field(default=None, ge=64, multiple_of=32)
    """The side of the square that the network sees at once, for large films; by default the whole film."""
    width: int = Field(default=16, ge=8, multiple_of=8)
    """Channels of the network's first block; 16 makes 0.4 million parameters."""
    steps: int = Field(default=2000, ge=1)
    """Steps at most."""
    batch_size: int = Field(default=8, ge=1)
    """Films a step."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """The greatest of a one-cycle schedule, for AdamW."""
    flip: bool = False
    """Whether films are also shown mirrored; not where a finding has a side of its own, as the heart has."""
    examine_every: int = Field(default=150, ge=1)
    """Steps between two looks at the validation films."""
    patience: int = Field(default=5, ge=1)
    """Learning stops after so many looks without a better mean average precision."""
