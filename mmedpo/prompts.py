"""Prompts in files: Jinja templates that a part ships and a recipe can replace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmedpo.errors import RecipeError


class Prompts:
    """The texts `system.txt` and `user.txt` of a recipe's folder; one that is missing there is the part's own."""

    def __init__(self, own: Path, folder: Path | str | None) -> None:
        """Read the files. Raises RecipeError with the file for what is missing or no template."""
        if folder and not Path(folder).is_dir():
            raise RecipeError(f"prompts: {folder}: there is no such folder; copy {own} and change it")
        self._texts = {name: _read(own, Path(folder) if folder else own, f"{name}.txt") for name in ("system", "user")}

    def render(self, name: str, **values: Any) -> str:
        """Fill in a prompt. Raises RecipeError for a value that it names and does not get."""
        import jinja2

        path, template = self._texts[name]
        try:
            return str(template.render(**values)).strip()
        except jinja2.TemplateError as error:
            known = ", ".join(sorted(values))
            raise RecipeError(f"{path}: {error}; a prompt may name: {known}") from error


def _read(own: Path, folder: Path, name: str) -> tuple[Path, Any]:
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    path = folder / name if (folder / name).is_file() else own / name
    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    try:
        return path, environment.from_string(path.read_text(encoding="utf-8"))
    except (jinja2.TemplateError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: is no prompt template ({error})") from error
