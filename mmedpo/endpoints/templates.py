"""Jinja templates that come to an end: a sandbox that counts what a template does, and stops one that does too much.

A template is a small program. One of somebody else's may loop for ever, or ask for a text of a terabyte, and no signal
reaches a process that is busy with that. So loops and calls are counted, and what they make is measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from jinja2 import StrictUndefined, TemplateRuntimeError, nodes
from jinja2 import Template as Compiled
from jinja2.sandbox import SandboxedEnvironment

WORK = 300_000  # steps of loops, and thousands of characters made, in one prompt
CALL = 20  # steps that a call counts as
LONGEST = 10_000_000  # characters
LARGEST = 1_000_000  # number that a template may write or reckon


class TemplateLimitError(TemplateRuntimeError):
    """A template does more than a prompt needs."""


class SandboxTemplate:
    """A template in its sandbox."""

    def __init__(self, text: str, name: str) -> None:
        """Compile a text; `name` is what its errors call it. Raises jinja2's errors for what is no template."""
        self._sandbox = _BoundedSandbox(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        tree = self._sandbox.parse(text)
        code = self._sandbox.compile(_count_loops(tree), filename=name)
        self._template = Compiled.from_code(self._sandbox, code, self._sandbox.make_globals(None))

    def render(self, values: dict[str, Any]) -> str:
        """Fill in the values. Raises what its expressions raise, and TooMuch."""
        self._sandbox.done = 0
        parts, size = [], 0
        for part in self._template.generate(values):
            size += len(part)
            if size > LONGEST:
                raise TemplateLimitError(f"makes a prompt of more than {LONGEST:,} characters")
            parts.append(part)
        return "".join(parts)


class _BoundedSandbox(SandboxedEnvironment):
    """Jinja's sandbox, which keeps a template from the machine, and also from working for ever."""

    intercepted_binops = frozenset(["+", "-", "*", "**", "%"])

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.done = 0
        del self.globals["lipsum"]  # makes texts without end, of no use
        self.filters |= {"_counted": self._counted, "_measured": self._measured, "format": _format_bounded}

    def call(self, *args: Any, **values: Any) -> Any:
        """Call what a template calls, as the sandbox allows it."""
        self._work(CALL)
        return self._measured(super().call(*args, **values))

    def wrap_str_format(self, value: Any) -> Any:
        """Let a text be formatted as the sandbox allows it."""
        if getattr(value, "__name__", "") in ("format", "format_map"):
            _refuse_wide_format(getattr(value, "__self__", ""))
        return super().wrap_str_format(value)

    def call_filter(self, name: str, value: Any, *args: Any, **values: Any) -> Any:
        """Apply a filter that another one, such as `map`, applies to each item."""
        return self._measured(super().call_filter(name, value, *args, **values))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Reckon within bounds."""
        if operator == "%":
            _refuse_wide_format(left)
        if operator == "**" and isinstance(right, int) and abs(right) > 64:
            raise TemplateLimitError(f"reckons with a power of {right:,}")
        for one, other in ((left, right), (right, left)):
            if operator == "*" and isinstance(one, int) and hasattr(other, "__len__") and one * len(other) > LONGEST:
                raise TemplateLimitError(f"makes a text or list of more than {LONGEST:,}")
        return self._measured(super().call_binop(context, operator, left, right))

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._work(1)
            yield item

    def _measured(self, value: Any) -> Any:
        if isinstance(value, int) and abs(value) > LARGEST:
            raise TemplateLimitError(f"reckons with numbers beyond {LARGEST:,}")
        size = len(value) if isinstance(value, str | list | tuple | dict) else 0
        if size > LONGEST:
            raise TemplateLimitError(f"makes a text or list of more than {LONGEST:,}")
        self._work(size // 1000)
        return value

    def _work(self, steps: int) -> None:
        self.done += steps
        if self.done > WORK:
            raise TemplateLimitError("loops too long: a prompt has no need of it")


def _count_loops(tree: nodes.Template) -> nodes.Template:
    """Put a count on every loop of a template, and a measure on every text that it puts together."""
    for number in tree.find_all(nodes.Const):
        if isinstance(number.value, int) and abs(number.value) > LARGEST:
            raise TemplateLimitError(f"line {number.lineno}: has a number beyond {LARGEST:,}")
    for loop in tree.find_all(nodes.For):
        loop.iter = _wrap_filter("_counted", loop.iter)
    for made in list(tree.find_all(nodes.Assign)):
        made.node = _wrap_filter("_measured", made.node)
    for changed in list(tree.find_all(nodes.Filter)):
        if changed.node is not None:  # else it changes a block
            changed.node = _wrap_filter("_measured", changed.node)
    return tree


def _format_bounded(pattern: Any, *args: Any, **values: Any) -> str:
    """Format as Jinja's own filter does, but no text of any length."""
    from jinja2.filters import do_format

    _refuse_wide_format(pattern)
    return do_format(pattern, *args, **values)


def _refuse_wide_format(pattern: Any) -> None:
    """Refuse a pattern that asks for a text of any length."""
    if isinstance(pattern, str) and re.search(r"[0-9]{5,}|\*", pattern):
        raise TemplateLimitError("formats a text wider than a page")


def _wrap_filter(name: str, expression: Any) -> nodes.Filter:
    return nodes.Filter(expression, name, [], [], None, None, lineno=expression.lineno)
