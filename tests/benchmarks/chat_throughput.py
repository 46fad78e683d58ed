"""How much of an endpoint's capacity the client uses, and how fast journalled answers replay.

    python tests/benchmarks/chat_throughput.py --json

A server in a process of its own answers each request after 0.5 s. The client and the bare SDK take turns at it in one
run, with 64 requests at once; `share_of_sdk` compares their rates, `share_of_ideal` the client's with 64 / 0.5 s.
`own_ms_per_item` is the processor time of the client beyond the SDK's. Then answers that are in the journal are asked
for again: `replay_per_s`, and by how much the memory grew over the last nine tenths of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from mmedpo import Case, ImageRef
from mmedpo.endpoints import ChatClient, ChatQuestion, Endpoint
from mmedpo.endpoints.http.connection import connect_to
from mmedpo.endpoints.http.outcome import EndpointAnswer
from mmedpo.endpoints.structured import describe_shape, strict_schema
from mmedpo.store.journal import Journal

LATENCY, AT_ONCE = 0.5, 64
SYSTEM = "You are a radiologist."


class Word(BaseModel):
    """The shape of the answers."""

    word: str = Field(description="One word.")


@contextmanager
def server() -> Iterator[str]:
    """Run the server; yield its address."""
    command = [sys.executable, "-m", "mmedpo.testing.endpoint_server", str(LATENCY)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert running.stdout
    try:
        yield f"http://127.0.0.1:{int(running.stdout.readline())}/v1"
    finally:
        running.terminate()
        running.wait()


def question(number: int) -> ChatQuestion:
    case = Case(str(number), ImageRef(sha256="none"), "What?", "That.")
    return ChatQuestion(SYSTEM, f"Say one word about case {number}.", Word, case)


def timed(work: Callable[[], Any], count: int) -> tuple[float, float]:
    """Return items a second and processor seconds an item."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return count / (time.perf_counter() - began), (time.process_time() - used) / count


def ours(url: str, count: int, start: int, journal: Journal) -> tuple[float, float]:
    endpoint = Endpoint(model="m", base_url=url, concurrency=AT_ONCE)
    questions = [question(number) for number in range(start, start + count)]
    with ChatClient(endpoint, journal) as chat:
        return timed(lambda: chat.each(questions, chat.ask), count)


def bare(url: str, count: int, start: int) -> tuple[float, float]:
    """Ask the same with the SDK alone, typed, as its documentation shows."""
    client = connect_to(Endpoint(model="m", base_url=url, concurrency=AT_ONCE), "none")
    shape: Any = {"type": "json_schema", "json_schema": {"name": "w", "strict": True, "schema": strict_schema(Word)}}

    async def one(number: int, slots: asyncio.Semaphore) -> Any:
        text = f"Say one word about case {number}.\n\n{describe_shape(Word)}"
        async with slots:
            return await client.chat.completions.create(
                model="m",
                messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}],
                response_format=shape,
                max_tokens=1024,
                temperature=0,
            )

    async def every() -> None:
        slots = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(one(number, slots) for number in range(start, start + count)))
        await client.close()

    return timed(lambda: asyncio.run(every()), count)


def replay(count: int, journal: Journal) -> tuple[float, float]:
    """Return journalled items a second, and MB by which memory grew after the first tenth."""
    endpoint = Endpoint(model="m", base_url="http://127.0.0.1:9/v1", concurrency=AT_ONCE)
    answer = EndpointAnswer('{"word": "fine"}', tokens=(40, 5)).to_json()
    with ChatClient(endpoint, journal) as chat:
        for number in range(count):
            asked = question(number)
            messages = [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": f"{asked.text}\n\n{describe_shape(Word)}"},
            ]
            journal.put(chat._request_key(messages, asked, 0), answer)
        early = 0.0
        began = time.perf_counter()
        for start in range(0, count, 1000):
            chat.each([question(number) for number in range(start, min(count, start + 1000))], chat.ask)
            if start <= count // 10:
                early = memory()
        return count / (time.perf_counter() - began), max(0.0, memory() - early)


def memory() -> float:
    """Return the greatest resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(count: int, rounds: int, replayed: int) -> dict[str, Any]:
    rates: dict[str, list[tuple[float, float]]] = {"ours": [], "sdk": []}
    with tempfile.TemporaryDirectory() as place, server() as url:
        journal = Journal(Path(place) / "journal.sqlite")
        ours(url, AT_ONCE, -AT_ONCE, journal)  # warm-up
        bare(url, AT_ONCE, -AT_ONCE)
        for number in range(rounds):
            turns: list[tuple[str, Callable[[], tuple[float, float]]]] = [
                ("ours", lambda at=number: ours(url, count, at * count, journal)),  # type: ignore[misc]
                ("sdk", lambda at=number: bare(url, count, at * count)),  # type: ignore[misc]
            ]
            for name, turn in turns if number % 2 else reversed(turns):
                rates[name].append(turn())
        journal.close()
        again = Journal(Path(place) / "replay.sqlite")
        speed, growth = replay(replayed, again)
        again.close()
    mine, sdk = ([statistics.median(values) for values in zip(*rates[name], strict=True)] for name in ("ours", "sdk"))
    return {
        "share_of_sdk": round(mine[0] / sdk[0], 3),
        "share_of_ideal": round(mine[0] / (AT_ONCE / LATENCY), 3),
        "own_ms_per_item": round((mine[1] - sdk[1]) * 1000, 3),
        "replay_per_s": round(speed),
        "replay_rss_growth_mb": round(growth, 1),
        "ours_per_s": round(mine[0], 1),
        "sdk_per_s": round(sdk[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--replayed", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.items, options.rounds, options.replayed)
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
