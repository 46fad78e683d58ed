"""Which packages a recipe requires, by version and by the hash of their files; none of them is imported to see."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from mmedpo.registry.package_hash import find_version, hash_package


class RequiredPackage(BaseModel):
    """What a recipe requires of a package."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    version: str | None = None
    """Which versions will do, as pip writes it: `==0.1.0`, `>=0.2,<0.3`."""
    hash: str | None = Field(default=None, pattern="^sha256:[0-9a-f]{64}$")
    """The hash of its files, as `mmedpo plugins lock RECIPE` says it."""

    @field_validator("version")
    @classmethod
    def _check_version(cls, version: str | None) -> str | None:
        try:
            return version and str(SpecifierSet(version))
        except InvalidSpecifier:
            raise ValueError(f"{version!r} is no version as pip writes it, for example ==0.1.0") from None

    @model_validator(mode="after")
    def _require_one(self) -> RequiredPackage:
        if not self.version and not self.hash:
            raise ValueError("name a version, a hash or both")
        return self


def _read_version(value: Any) -> Any:
    """Turn a version alone into what is required."""
    return {"version": value} if isinstance(value, str) else value


Requirements = dict[
    str, Annotated[RequiredPackage, BeforeValidator(_read_version, json_schema_input_type=str | RequiredPackage)]
]


def find_differences(required: Mapping[str, RequiredPackage]) -> Iterator[tuple[str, str]]:
    """Yield each package that is not here as it is required, with what is the matter."""
    for name, wanted in required.items():
        version = find_version(name)
        if version is None:
            yield name, f"{name} is required and not installed"
        elif wanted.version and not SpecifierSet(wanted.version).contains(version, prereleases=True):
            yield name, f"{name} is {version} here, and {wanted.version} is required"
        elif wanted.hash and (found := hash_package(name)) != wanted.hash:
            yield (
                name,
                (
                    f"{name} {version} has other files than are required ({found}, not {wanted.hash}); install what is "
                    "meant, or see what changed and take what `mmedpo plugins lock` says"
                ),
            )


def write_requirements(packages: Collection[str]) -> str:
    """Return the section `requires:` that pins packages to what is installed."""
    lines = [
        f'  {name}: {{version: "=={find_version(name)}", hash: "{hash_package(name)}"}}' for name in sorted(packages)
    ]
    return "\n".join(["requires:", *lines])
