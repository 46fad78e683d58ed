"""Prompts in files: Jinja templates that a part ships and a recipe can replace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmedpo.core.answers import replace_surrogates
from mmedpo.errors import RecipeError


class PromptTemplates:
    """The texts `system.txt` and `user.txt` of a recipe's folder; one that is missing there is the part's own."""

    def __init__(self, own: Path, folder: Path | str | None, names: Sequence[str] = ("system", "user")) -> None:
        """Read the files, by other names for a part that has others.

        Raises RecipeError with the file for what is missing or no template.
        """
        if folder and not Path(folder).is_dir():
            raise RecipeError(f"prompts: {folder}: there is no such folder; copy {own} and change it")
        if folder and not any((Path(folder) / f"{name}.txt").is_file() for name in names):
            raise RecipeError(f"prompts: {folder}: has no {' and no '.join(f'{name}.txt' for name in names)}")
        self._texts = {name: _read_template(own, Path(folder) if folder else own, f"{name}.txt") for name in names}

    def render(self, name: str, **values: Any) -> str:
        """Fill in a prompt. Raises RecipeError for a value that it names and does not get, and for one without end."""
        import jinja2

        path, template = self._texts[name]
        try:
            return replace_surrogates(template.render(values)).strip()
        except jinja2.UndefinedError as error:
            known = ", ".join(sorted(values))
            raise RecipeError(f"{_locate_error(path, error)}: {error}; a prompt may name: {known}") from None
        except jinja2.TemplateError as error:
            raise RecipeError(f"{_locate_error(path, error)}: the template {error}") from None
        except Exception as error:  # whatever an expression of somebody's may raise
            said = str(error) or "it cannot be carried out"
            raise RecipeError(f"{_locate_error(path, error)}: {type(error).__name__}: {said[:300]}") from None


def _read_template(own: Path, folder: Path, name: str) -> tuple[Path, Any]:
    import jinja2

    from mmedpo.endpoints.templates import SandboxTemplate

    path = folder / name if (folder / name).is_file() else own / name
    try:
        return path, SandboxTemplate(path.read_text(encoding="utf-8"), str(path))
    except jinja2.TemplateSyntaxError as error:
        raise RecipeError(f"{path}:{error.lineno}: is no prompt template ({error.message})") from None
    except (jinja2.TemplateError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise RecipeError(f"{path}: is no prompt template ({error})") from None


def _locate_error(path: Path, error: Exception) -> str:
    """Return a template's file, and the line where an error came up."""
    import traceback

    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)
