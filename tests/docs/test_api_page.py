"""The page of the public names: what they are, their signatures, fields and methods, from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module

from conftest import ROOT, generated
from public_interface import PUBLIC, PublicName, list_fields, list_methods, list_public, show_signature
from reference_pages import escape, make_table, render_doc

PAGE = ROOT / "docs" / "reference" / "api.md"
HEAD = """# Public names
All that a plugin, or a script beside mmedpo, may import; the rest is private and changes without a word. A change of
these is in the changelog.
"""


def test_the_page_has_every_public_name() -> None:
    generated(PAGE, "\n".join([HEAD, *(line for module in PUBLIC for line in tell_module(module))]))


def tell_module(module: str) -> Iterator[str]:
    path = ROOT.joinpath(*module.split("."))
    place = path if path.is_dir() else path.with_suffix(".py")
    source = place / "__init__.py" if place.is_dir() else place
    names = list(list_public(place))
    assert [name.name for name in names] == sorted(import_module(module).__all__)
    yield f"## {module}"
    yield render_doc(ast.get_docstring(ast.parse(source.read_text())) or "") + "\n"
    for name in names:
        yield from tell(name)


def tell(name: PublicName) -> Iterator[str]:
    """Yield the lines of a name."""
    yield f"### {name.name}"
    yield f"```python\n{head(name)}\n```\n"
    yield render_doc(name.doc) + "\n"
    if isinstance(name.node, ast.ClassDef):
        fields = [
            (f"`{field}`", f"`{kind.replace(' | ', ' or ')}`", cell(what)) for field, kind, what in list_fields(name)
        ]
        yield from [*make_table(("field", "type", "what"), iter(fields)), ""] if fields else []
        for method in list_methods(name):
            told = " ".join((ast.get_docstring(method) or "").partition("\n\n")[0].split())
            yield f"- `{method.name if is_property(method) else show_signature(method)}`: {escape(told)}"
        yield ""


def head(name: PublicName) -> str:
    """Return the first line of a definition."""
    if isinstance(name.node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in name.node.bases)
        return f"class {name.name}({bases}): ..." if bases else f"class {name.name}: ..."
    if isinstance(name.node, ast.FunctionDef):
        return f"def {show_signature(name.node)}: ..."
    return ast.unparse(name.node)


def is_property(method: ast.FunctionDef) -> bool:
    return any(ast.unparse(one).endswith("property") for one in method.decorator_list)


def cell(text: str) -> str:
    return escape(text).replace("|", "\\|")
