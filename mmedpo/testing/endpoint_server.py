"""An HTTP server on this machine that speaks the chat protocol of OpenAI's API and misbehaves on demand."""

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

from mmedpo.testing.fake_replies import FakeReply, Request, answer_by_schema, write_completion

NO_MODELS = FakeReply(body='{"object": "list", "data": []}')


@dataclass
class FakeEndpoint:
    """A server; `reply` decides by the request's body and how often that same body came before."""

    reply: Callable[[Request, int], FakeReply]
    connections: int = 0
    seen: list[tuple[str, bool]] = field(default_factory=list)  # the request's hash, and whether it was answered whole
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keep: bool = True  # requests, to look at later
    times: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    most_in_flight: int = 0
    port: int = 0
    sent: int = 0  # bytes of bodies without end
    models: FakeReply = NO_MODELS  # what a GET is answered with
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
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
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
        reply = self.reply(request, self.times[key])
        if self.keep:
            self.times[key] += 1
            self.seen.append((key, reply.answers))
            self.bodies.append(request)
            self.heads.append(head)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(reply.delay)
        finally:
            self.in_flight -= 1
        return await self._respond(writer, reply, request)

    async def _respond(self, writer: asyncio.StreamWriter, reply: FakeReply, request: dict[str, Any]) -> bool:
        if reply.drop == "before":
            writer.transport.abort()
            return False
        body = reply.raw if reply.raw is not None else (reply.body or write_completion(reply, request)).encode()
        if reply.body == "":
            body = b""
        if reply.drip or reply.endless:
            return await self._slowly(writer, reply, body)
        extra = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head = f"HTTP/1.1 {reply.status} X\r\n{kind}{extra}\r\n"
        writer.write(head.encode() + (body[: len(body) // 2] if reply.drop else body))
        await writer.drain()
        if reply.drop:
            writer.transport.abort()
        return not reply.drop

    async def _slowly(self, writer: asyncio.StreamWriter, reply: FakeReply, body: bytes) -> bool:
        """Send a body byte by byte, or without end."""
        length = "" if reply.endless else f"Content-Length: {len(body)}\r\n"
        extra = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
        writer.write(f"HTTP/1.1 {reply.status} X\r\n{length}{extra}Connection: close\r\n\r\n".encode())
        while reply.endless:
            writer.write(b" " * 65536)
            await writer.drain()
            self.sent += 65536
        for at in range(len(body)):
            writer.write(body[at : at + 1])
            await writer.drain()
            await asyncio.sleep(reply.drip)
        return False


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    """Read a body that comes in chunks."""
    whole = b""
    while size := int((await reader.readline()).strip() or b"0", 16):
        whole += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return whole


async def _end_tasks(tasks: set[asyncio.Task[Any]]) -> None:
    """End what serves connections that are still open, so that nobody is told of tasks that were left."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def fake_endpoint(
    reply: Callable[[Request, int], FakeReply] = answer_by_schema, host: str = "127.0.0.1", batches: Any = None
) -> Iterator[FakeEndpoint]:
    """Run a server in a thread; a recipe names its `url` as `base_url`, and any text as the model.

    `reply(request, before)` decides what is done with a request that came so often before; by default each is answered
    as its schema asks.
    """
    server = FakeEndpoint(reply, batches=batches)
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
        loop.run_until_complete(_end_tasks(asyncio.all_tasks(loop)))
        loop.close()


if __name__ == "__main__":  # a bare server with a fixed delay, for measuring; its argument is the seconds

    async def main() -> None:
        seconds = float(sys.argv[1])
        server = FakeEndpoint(lambda request, before: FakeReply(text='{"word": "fine"}', delay=seconds), keep=False)
        listening = await asyncio.start_server(server.handle, "127.0.0.1", 0, limit=2**24, backlog=1024)
        print(listening.sockets[0].getsockname()[1], flush=True)
        await listening.serve_forever()

    asyncio.run(main())
