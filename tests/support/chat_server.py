"""An HTTP server that speaks the chat protocol and misbehaves on demand, in a thread or a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Act:
    """What the server does with one request."""

    status: int = 200
    text: str = "{}"  # the model's answer, for status 200
    body: str | None = None  # the whole response body, instead
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    drop: str = ""  # "before" the response, or "within" it: the connection is cut
    finish: str = "stop"
    refusal: str | None = None
    late: bool = False  # the delay is longer than a client waits
    raw: bytes | None = None  # the whole body, byte for byte
    drip: float = 0.0  # seconds between two bytes of the body
    endless: bool = False  # the body goes on for as long as anyone reads

    @property
    def answers(self) -> bool:
        """Tell whether a whole, well-formed response goes out while the client waits."""
        return self.status == 200 and not self.drop and self.body is None and self.raw is None and not self.late


@dataclass
class ChatServer:
    """A server; `act` decides by the request's body and how often that same body came before."""

    act: Callable[[dict[str, Any], int], Act]
    connections: int = 0
    seen: list[tuple[str, bool]] = field(default_factory=list)  # the request's hash, and whether it was answered whole
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keep: bool = True  # requests, to look at later
    times: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    most_in_flight: int = 0
    port: int = 0
    sent: int = 0  # bytes of bodies without end
    models: Act = Act(body='{"object": "list", "data": []}')  # what a GET is answered with
    heads: list[str] = field(default_factory=list)  # request lines and headers, in lower case
    batches: Any = None  # a BatchService, where it has one

    @property
    def url(self) -> str:
        """Return what a recipe names as base_url."""
        return f"http://127.0.0.1:{self.port}/v1"

    def answered_twice(self) -> list[str]:
        """Return the requests that were answered more than once."""
        return [key for key, count in Counter(key for key, whole in self.seen if whole).items() if count > 1]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        plain = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        head = plain.lower()
        if self.batches and ("/files" in head.split("\r\n")[0] or "/batches" in head.split("\r\n")[0]):
            sizes = [int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length")]
            if "transfer-encoding: chunked" in head:
                raw = await _chunked(reader)
            else:
                raw = await reader.readexactly(sizes[0]) if sizes else b""
            return await self._respond(writer, await self.batches.handle(plain, raw), {})
        if head.startswith("get "):
            return await self._respond(writer, self.models, {})
        length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length"))
        raw = await reader.readexactly(length)
        key, request = hashlib.sha256(raw).hexdigest(), json.loads(raw)
        act = self.act(request, self.times[key])
        if self.keep:
            self.times[key] += 1
            self.seen.append((key, act.answers))
            self.bodies.append(request)
            self.heads.append(head)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(act.delay)
        finally:
            self.in_flight -= 1
        return await self._respond(writer, act, request)

    async def _respond(self, writer: asyncio.StreamWriter, act: Act, request: dict[str, Any]) -> bool:
        if act.drop == "before":
            writer.transport.abort()
            return False
        body = act.raw if act.raw is not None else (act.body or completion(act, request)).encode()
        if act.body == "":
            body = b""
        if act.drip or act.endless:
            return await self._slowly(writer, act, body)
        extra = "".join(f"{name}: {value}\r\n" for name, value in act.headers)
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head = f"HTTP/1.1 {act.status} X\r\n{kind}{extra}\r\n"
        writer.write(head.encode() + (body[: len(body) // 2] if act.drop else body))
        await writer.drain()
        if act.drop:
            writer.transport.abort()
        return not act.drop

    async def _slowly(self, writer: asyncio.StreamWriter, act: Act, body: bytes) -> bool:
        """Send a body byte by byte, or without end."""
        length = "" if act.endless else f"Content-Length: {len(body)}\r\n"
        extra = "".join(f"{name}: {value}\r\n" for name, value in act.headers)
        writer.write(f"HTTP/1.1 {act.status} X\r\n{length}{extra}Connection: close\r\n\r\n".encode())
        while act.endless:
            writer.write(b" " * 65536)
            await writer.drain()
            self.sent += 65536
        for at in range(len(body)):
            writer.write(body[at : at + 1])
            await writer.drain()
            await asyncio.sleep(act.drip)
        return False


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    """Read a body that comes in chunks."""
    whole = b""
    while size := int((await reader.readline()).strip() or b"0", 16):
        whole += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return whole


def completion(act: Act, request: dict[str, Any]) -> str:
    """Return a response's body as the protocol has it."""
    if act.status != 200:
        return json.dumps({"error": {"message": act.text, "type": "test", "code": None}})
    message = {"role": "assistant", "content": None if act.refusal else act.text, "refusal": act.refusal}
    usage = {"prompt_tokens": len(json.dumps(request)) // 4, "completion_tokens": len(act.text) // 4}
    choice = {"index": 0, "message": message, "finish_reason": act.finish}
    return json.dumps({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})


@contextlib.contextmanager
def serving(
    act: Callable[[dict[str, Any], int], Act], host: str = "127.0.0.1", batches: Any = None
) -> Iterator[ChatServer]:
    """Run a server in a thread."""
    server = ChatServer(act, batches=batches)
    if batches:
        batches.server = server
    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(asyncio.start_server(server.handle, host, 0, limit=2**24))
    server.port = listening.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        listening.close()
        loop.close()


def faulty(
    good: Callable[[dict[str, Any]], Act], share: float, kinds: list[Act]
) -> Callable[[dict[str, Any], int], Act]:
    """Let a share of the calls fail, each kind as often; which ones, the request and its number decide."""

    def act(request: dict[str, Any], before: int) -> Act:
        drawn = hashlib.sha256(f"{before} {json.dumps(request)}".encode()).digest()
        if int.from_bytes(drawn[:4], "big") / 2**32 >= share:
            return good(request)
        return kinds[int.from_bytes(drawn[4:8], "big") % len(kinds)]

    return act


TRANSPORT = [  # what can happen on the way
    Act(429, "slow down", headers=(("Retry-After", "0.02"),)),
    Act(500, "oops"),
    Act(503, "overloaded", headers=(("retry-after-ms", "20"),)),
    Act(delay=3.0, late=True),
    Act(drop="before"),
    Act(drop="within"),
    Act(body="<html>bad gateway</html>"),
    Act(body='{"choices": []}'),
]


if __name__ == "__main__":  # a bare server with a fixed delay, for measuring: chat_server.py SECONDS
    from chat_server import ChatServer as Server

    async def main() -> None:
        seconds = float(sys.argv[1])
        server = Server(lambda request, before: Act(text='{"word": "fine"}', delay=seconds), keep=False)
        listening = await asyncio.start_server(server.handle, "127.0.0.1", 0, limit=2**24, backlog=1024)
        print(listening.sockets[0].getsockname()[1], flush=True)
        await listening.serve_forever()

    asyncio.run(main())
