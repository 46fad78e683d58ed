"""Checks of parts in trouble: data that must stay, memory that ends, a stop and a kill in the middle."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ValidationError

from mmedpo.core.locality import is_this_machine
from mmedpo.endpoints.options import find_endpoints
from mmedpo.errors import MmedpoError
from mmedpo.registry.conformance.blame import is_out_of_memory
from mmedpo.registry.contracts.part import Part
from mmedpo.testing.checks.batches import PartVerb
from mmedpo.testing.checks.check import Check, SkippedCheck, Trial
from mmedpo.testing.checks.odd_cases import list_restricted_cases, spoil_images
from mmedpo.testing.tiny import tiny_cases
from mmedpo.testing.tiny_backbone import TinyBackbone

ELSEWHERE = "http://192.0.2.1:9/v1"  # of a network that is for examples alone


class SpoiltBackbone(TinyBackbone):
    """A backbone in which something happens whenever it is asked."""

    def __init__(self, happen: Callable[[], Any]) -> None:
        """Take what happens."""
        super().__init__()
        self._happen = happen

    def answer(self, cases: Any, **options: Any) -> Any:
        """Let it happen."""
        return self._happen()

    def encode(self, *side: Any) -> Any:
        """Let it happen."""
        return self._happen()


class TroubleChecks:
    """What a verb's parts do where a run is in trouble."""

    def __init__(self, verb: PartVerb) -> None:
        """Take the verb."""
        self.verb = verb

    def list(self) -> list[Check]:
        """Return the checks."""
        return [
            Check("restricted cases", "reaches for no other machine with a restricted case", self.restricted),
            Check(
                "out of memory", "lets an out-of-memory error through, so that a run says what to lower", self.memory
            ),
            Check("interrupt", "stops when it is told to, and does all of it when asked again", self.interrupt),
        ]

    def restricted(self, trial: Trial) -> None:
        """Ask about restricted cases, also with endpoints that are elsewhere."""
        for part in (trial.part, *_move_endpoints(trial.part)):
            moved = Trial(part, trial.plugin, trial.make_backbone)
            with watch_hosts() as reached, contextlib.suppress(MmedpoError), contextlib.closing(moved):
                self.verb.try_cases(moved, list_restricted_cases())
            if reached:
                cure = "refuse such data, as `ChatClient.admit` does, unless `setting.allow_remote` names the host"
                raise trial.make_breach(f"reached for {reached[0]} with a restricted case; {cure}")

    def memory(self, trial: Trial) -> None:
        """Let memory end wherever the part looks at an image or asks the backbone."""
        import torch

        error = self._spoil(trial, lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
        if not any(map(is_out_of_memory, _chain(error))):
            went = f"made {type(error).__name__} of it" if error else "went on"
            cure = "catch what you expect alone, never `Exception`"
            raise trial.make_breach(f"met torch.OutOfMemoryError and {went}; {cure}")

    def interrupt(self, trial: Trial) -> None:
        """Interrupt it wherever it looks at an image or asks the backbone."""
        error = self._spoil(trial, KeyboardInterrupt)
        if not isinstance(error, KeyboardInterrupt):
            raise trial.make_breach(
                "met KeyboardInterrupt and went on; catch no BaseException, nor use a bare `except:`"
            )
        self.verb.try_cases(trial, tiny_cases(1))

    def _spoil(self, trial: Trial, make: Callable[[], BaseException]) -> BaseException | None:
        """Return what comes out where an error is met; skip the check where the part meets none."""
        met = []

        def happen() -> Any:
            met.append(True)
            raise make()

        items = spoil_images(self.verb.make_items(trial, tiny_cases(2)), happen)
        came: BaseException | None = None
        try:
            with trial.open() as live:
                self.verb.ask(trial, live, items, self._spoilt_backbone(trial, happen))
        except BaseException as error:
            came = error
        if not met:
            raise SkippedCheck("it looks at no image and asks no backbone")
        return came

    def _spoilt_backbone(self, trial: Trial, happen: Callable[[], Any]) -> Any:
        return SpoiltBackbone(happen) if getattr(trial.part, "needs_backbone", False) else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _move_endpoints(part: Part) -> Iterator[Part]:
    """Yield the part with its endpoints elsewhere, if it has any."""
    if any(True for _ in find_endpoints(part)):
        with contextlib.suppress(ValidationError):
            yield type(part).model_validate(_readdress(part))


def _readdress(value: Any) -> Any:
    if isinstance(value, BaseModel):
        held = {name: _readdress(getattr(value, name)) for name in type(value).model_fields}
        return held | ({"base_url": ELSEWHERE} if "base_url" in held else {})
    return [_readdress(item) for item in value] if isinstance(value, list | tuple) else value


@contextmanager
def watch_hosts() -> Iterator[list[str]]:
    """Note the other machines that this process reaches for meanwhile, and let it reach none."""
    reached: list[str] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def refuse(host: Any) -> None:
        if isinstance(host, str) and not is_this_machine(host):
            reached.append(host)
            raise ConnectionRefusedError(f"{host}: nothing leaves this machine while a part is tried")

    def watched_connect(self: socket.socket, address: Any) -> None:
        refuse(address[0] if isinstance(address, tuple) else None)
        connect(self, address)

    def watched_look_up(host: Any, *more: Any, **options: Any) -> Any:
        refuse(host)
        return look_up(host, *more, **options)

    ours: Any = socket
    ours.socket.connect, ours.getaddrinfo = watched_connect, watched_look_up
    try:
        yield reached
    finally:
        ours.socket.connect, ours.getaddrinfo = connect, look_up
