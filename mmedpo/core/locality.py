"""Which endpoints are this machine; restricted data go to no other unless the recipe names it."""

from __future__ import annotations

import ipaddress
import socket
import uuid
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from mmedpo.errors import RecipeError

BOOT = Path("/proc/sys/kernel/random/boot_id")


def parse_host(url: str) -> str:
    """Return the host that a URL names, in lower case, without port."""
    return (urlsplit(url).hostname or "").rstrip(".")


def has_valid_host(url: str) -> bool:
    """Tell whether a URL's host can be the name of one, and its port is one."""
    try:
        parts = urlsplit(url)
        parse_host(url).encode("idna")  # no label is empty or too long
        return parts.port != 0
    except ValueError:
        return False


def is_this_machine(host: str) -> bool:
    """Tell whether a host is loopback by its own name.

    Only literal addresses and `localhost` count: what another name resolves to, someone else decides. The addresses
    of a private network are other machines.
    """
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    inner = getattr(address, "ipv4_mapped", None)
    return (inner or address).is_loopback


def is_allowed_host(host: str, allowed: Collection[str]) -> bool:
    """Tell whether restricted data may go to a host: this machine, or one that the recipe names."""
    return is_this_machine(host) or is_named(host, allowed)


def is_named(host: str, allowed: Collection[str]) -> bool:
    """Tell whether a recipe names a host as one that restricted data may go to."""
    return host in {name.lower().rstrip(".") for name in allowed}


def refuse_remote_host(url: str, what: str, allowed: Collection[str]) -> None:
    """Raise RecipeError when restricted data would go to a host that is neither this machine nor allowed."""
    host = parse_host(url)
    if is_allowed_host(host, allowed):
        return
    raise RecipeError(explain_refusal(host, what))


def explain_refusal(host: str, what: str) -> str:
    """Say that restricted data were not sent to a host, and what would let them go."""
    return (
        f"{what} is restricted and would be sent to {host}, which is not this machine; nothing was sent. "
        f"If it may go there, say so in the recipe: 'allow_remote: [{host}]'; "
        f"if anyone may have the data, 'restricted: false' at their reader"
    )


@cache
def identify_machine() -> str:
    """Return what tells this machine from all others for as long as it runs; its name may be another's too."""
    with suppress(OSError):
        return BOOT.read_text().strip()
    return f"{socket.gethostname()} {uuid.getnode():x}"


def list_names() -> list[str]:
    """Return the names and the address that this machine has of itself, but for those that every machine has."""
    names = [socket.gethostname(), socket.getfqdn()]
    with suppress(OSError):
        names.append(socket.gethostbyname(names[0]))
    return [name for name in dict.fromkeys(map(str.lower, names)) if not is_this_machine(name)]
