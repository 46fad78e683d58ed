"""The options of the engine that does a run's slices in other processes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

OTHERS = {"address": "host:port", "workers": "a whole number from 1", "gpus": "a number from 0"}
ADDRESS = r"^(auto|[\w.-]+:\d+|\[[0-9A-Fa-f:]+\]:\d+)$"


class RayOptions(BaseModel):
    """Workers on Ray: on the GPUs of this machine, or on those of a cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    use: Literal["ray"] = "ray"
    """The engine."""
    address: str | None = Field(default=None, pattern=ADDRESS)
    """A cluster that runs: auto, the one that this machine is a node of, or host:port; by default one of this machine
    alone, which lasts as long as the run and which no other machine can reach."""
    workers: Literal["auto"] | Annotated[int, Field(ge=1, strict=True)] = "auto"
    """How many processes work; auto: as many as there is room for."""
    gpus: Literal["auto"] | Annotated[float, Field(ge=0)] = "auto"
    """How many GPUs a worker has, a part of one if several share it; auto: one where there are any."""
    cpus: float = Field(default=1, gt=0)
    """How many processor cores a worker has, and computes with unless `threads:` says otherwise."""
    trusted: bool = False
    """Whether restricted data may go to all machines of the cluster; else to those alone that `allow_remote` names."""

    @field_validator("address", "workers", "gpus", mode="wrap")
    @classmethod
    def _auto_or_other(cls, value: Any, validate: ValidatorFunctionWrapHandler, field: ValidationInfo) -> Any:
        try:
            return validate(value)
        except ValidationError:
            raise ValueError(f"auto, or {OTHERS[field.field_name or '']}") from None


def _read_engine(value: Any) -> Any:
    """Turn the name of an engine into its options. Raises ValueError for another name."""
    if not isinstance(value, str):
        return value
    if value not in ("local", "ray"):
        raise ValueError("local, ray, or {use: ray, ...}")
    return None if value == "local" else {}


Engine = Annotated[
    RayOptions | None,
    BeforeValidator(_read_engine, json_schema_input_type=Literal["local", "ray"] | RayOptions | None),
]
