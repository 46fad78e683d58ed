"""The process in which an installed part is tried: it tells of each check before and after it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from mmedpo.errors import MmedpoError, PluginError, RecipeError


def send_checks(out: Connection, kind: str, use: str, options: dict[str, Any]) -> None:
    """Try a part and send JSON of each check, begun and done; what it prints goes to the error output."""
    os.dup2(2, 1)

    def send(what: str, said: Any = None) -> None:
        out.send_bytes(json.dumps([what, said]).encode())

    from mmedpo.testing.checks.check import PartCheck

    try:
        _carry_out(send, kind, use, options)
    except RecipeError as error:
        send("refused", str(error))
    except PluginError as error:
        send("done", PartCheck("options", "takes its options", "broken", str(error)).to_json())
    send("end")


def _carry_out(send: Any, kind: str, use: str, options: dict[str, Any]) -> None:
    from mmedpo.registry.discovery import load_part, resolve_part
    from mmedpo.registry.kinds import KINDS
    from mmedpo.testing.checks.check import Check, PartCheck
    from mmedpo.testing.part_check import examine_class, examine_part, find_unset

    send("begun", {"name": "import", "says": "can be imported"})
    try:
        plugin = resolve_part(KINDS[kind], use)
        cls = load_part(plugin)
    except MmedpoError as error:
        send("done", PartCheck("import", "can be imported", "broken", str(error)).to_json())
        return
    send("done", PartCheck("import", "can be imported", "kept").to_json())

    def begin(check: Check) -> None:
        send("begun", {"name": check.name, "says": check.says})

    with _serve_options(cls, options, partial(send, "done")) as given:
        if unset := find_unset(cls, given):
            checks = examine_class(cls, f"it needs {', '.join(unset)}: --option {unset[0]}=..., or --recipe", begin)
        else:
            checks = examine_part(_make_part(plugin, cls, given), begin)
        for one in checks:
            send("done", one.to_json())


@contextmanager
def _serve_options(cls: Any, options: dict[str, Any], send: Callable[[Any], None]) -> Iterator[dict[str, Any]]:
    """Give a part that asks an endpoint a fake one, where its options name none."""
    from mmedpo.registry.contracts.served_model import ServedModel
    from mmedpo.testing.checks.check import PartCheck
    from mmedpo.testing.endpoint_server import fake_endpoint

    if not issubclass(cls, ServedModel) or options.keys() & {"base_url", "key_from", "azure"}:
        yield options
        return
    send(PartCheck("endpoint", "is given a fake endpoint, since its options name none", "kept").to_json())
    with fake_endpoint() as server:
        yield {"model": "fake", **options, "base_url": server.url}


def _make_part(plugin: Any, cls: Any, options: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from mmedpo.registry.making import make_part

    try:
        return make_part(plugin, cls, options)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        place, message = ".".join(map(str, wrong["loc"])), wrong["msg"].removeprefix("Value error, ")
        raise RecipeError(f"{plugin}: {place}: {message}" if place else f"{plugin}: {message}") from None
