"""Files and batches as OpenAI's API has them: checked, answered out of order, expired in part; for `fake_endpoint`."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mmedpo.testing import FakeReply
from mmedpo.testing.fake_replies import write_completion


@dataclass
class BatchService:
    """The batches of one account; a batch is worked on when it is looked at."""

    done: bool = True  # whether a batch that is looked at is finished; until then it is in progress
    looks: int = 1  # at a batch, before it is finished
    answers: int = 10**9  # requests of a batch that are answered before it expires
    validates: bool = True  # whether a batch is accepted at all
    azure: bool = False  # a file takes a while, and another path is named
    created_delay: float = 0.0  # seconds before the answer to a new batch goes out
    lose_created: int = 0  # how many answers to new batches are lost
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)  # method and path
    bodies: list[dict[str, Any]] = field(default_factory=list)  # of the requests worked on
    heads: list[str] = field(default_factory=list)
    server: Any = None
    act: Callable[[dict[str, Any]], FakeReply] | None = None
    known: int = 0
    looked: Counter[str] = field(default_factory=Counter)

    async def handle(self, head: str, raw: bytes) -> FakeReply:
        """Answer one HTTP request."""
        method, target = head.split(" ")[:2]
        self.heads.append(head)
        path = urlsplit(target).path
        path = path[path.index("/files" if "/files" in path else "/batches") :]
        self.calls.append((method, path))
        match [method, *path.strip("/").split("/")]:
            case ["POST", "files"]:
                return self._upload(head, raw)
            case ["GET", "files", name] if name in self.files:
                return _json(self._file(name, "processed"))
            case ["GET", "files", name, "content"] if name in self.files:
                return FakeReply(body=self.files[name].decode())
            case ["DELETE", "files", name] if name in self.files:
                del self.files[name]
                return _json({"id": name, "object": "file", "deleted": True})
            case ["POST", "batches"]:
                return await self._create(json.loads(raw))
            case ["GET", "batches"]:
                return self._list(parse_qs(urlsplit(target).query))
            case ["GET", "batches", name] if name in self.batches:
                self._work(self.batches[name])
                return _json(self.batches[name])
        return FakeReply(404, f"no such thing: {path}")

    def _upload(self, head: str, raw: bytes) -> FakeReply:
        kind = re.search(r"content-type: (.*)", head, re.IGNORECASE)
        assert kind
        form = BytesParser().parsebytes(b"Content-Type: " + kind[1].strip().encode() + b"\r\n\r\n" + raw)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}  # type: ignore[union-attr]
        if parts["purpose"].get_payload().strip() != "batch":  # type: ignore[union-attr]
            return FakeReply(400, "the purpose is wrong")
        name = self._new("file")
        self.files[name] = parts["file"].get_payload(decode=True)  # type: ignore[union-attr,assignment]
        return _json(self._file(name, "pending" if self.azure else "processed"))

    def _new(self, kind: str) -> str:
        self.known += 1
        return f"{kind}-{self.known}"

    def _file(self, name: str, status: str) -> dict[str, Any]:
        facts = {"bytes": len(self.files[name]), "created_at": int(time.time()), "filename": "x.jsonl"}
        return {"id": name, "object": "file", "purpose": "batch", "status": status, **facts}

    async def _create(self, asked: dict[str, Any]) -> FakeReply:
        path = "/chat/completions" if self.azure else "/v1/chat/completions"
        if asked["endpoint"] != path or asked["completion_window"] != "24h":
            return FakeReply(400, f"no such endpoint or window: {asked}")
        if asked["input_file_id"] not in self.files:
            return FakeReply(400, "there is no such file")
        name = self._new("batch")
        now = int(time.time())
        counts = {"total": 0, "completed": 0, "failed": 0}
        dates = {"created_at": now, "expires_at": now + 86400}
        self.batches[name] = {
            "id": name, "object": "batch", "status": "validating", "request_counts": counts, **asked, **dates
        }  # fmt: skip
        await asyncio.sleep(self.created_delay)
        if self.lose_created:
            self.lose_created -= 1
            return FakeReply(drop="before")
        return _json(self.batches[name])

    def _list(self, query: dict[str, list[str]]) -> FakeReply:
        every = list(reversed(self.batches.values()))
        after = query.get("after", [""])[0]
        start = next((at + 1 for at, one in enumerate(every) if one["id"] == after), 0)
        page = every[start : start + min(2, int(query.get("limit", ["20"])[0]))]  # small pages, so that there are some
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
        return _json({"object": "list", "data": page, "has_more": start + len(page) < len(every), **ends})

    def _work(self, batch: dict[str, Any]) -> None:
        """Move a batch on by one look."""
        if batch["status"] == "validating":
            lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
            if fault := self._fault(lines, batch["endpoint"]):
                batch |= {"status": "failed", "errors": {"object": "list", "data": [fault]}}
                return
            batch["request_counts"]["total"] = len(lines)
            batch["status"] = "in_progress"
        if batch["status"] == "in_progress" and self.done:
            self.looked[batch["id"]] += 1
            if self.looked[batch["id"]] >= self.looks:
                self._finish(batch)

    def _fault(self, lines: list[dict[str, Any]], path: str) -> dict[str, Any] | None:
        if not self.validates:
            return {"code": "token_limit_exceeded", "message": "Enqueued token limit reached."}
        names = {line["custom_id"] for line in lines}
        if len(names) < len(lines) or any(len(name) > 64 for name in names):
            return {"code": "duplicate_custom_id", "message": "ids are not unique, or too long"}
        if any(line["method"] != "POST" or line["url"] != path for line in lines):
            return {"code": "invalid_url", "message": "another path"}
        if len({line["body"]["model"] for line in lines}) > 1:
            return {"code": "mismatched_model", "message": "several models"}
        return None

    def _finish(self, batch: dict[str, Any]) -> None:
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        good, bad = [], []
        for at, line in enumerate(lines):
            if at >= self.answers:
                error = {"code": "batch_expired", "message": "This request could not be executed in time."}
                bad.append({"id": f"r{at}", "custom_id": line["custom_id"], "response": None, "error": error})
                continue
            self.bodies.append(line["body"])
            act = self.server.reply(line["body"], 0)
            said = json.loads(act.body if act.body is not None else write_completion(act, line["body"]))
            response = {"status_code": act.status, "request_id": "x", "body": said}
            entry = {"id": f"r{at}", "custom_id": line["custom_id"], "response": response, "error": None}
            (good if act.status == 200 else bad).append(entry)
        counts = {"total": len(lines), "completed": len(good), "failed": len(bad)}
        batch |= {"status": "completed" if self.answers >= len(lines) else "expired", "request_counts": counts}
        for kind, entries in (("output_file_id", good), ("error_file_id", bad)):
            if entries:
                random.Random(0).shuffle(entries)
                name = batch[kind] = self._new("file")
                self.files[name] = "".join(json.dumps(entry) + "\n" for entry in entries).encode()

    def created(self) -> list[int]:
        """Return how many requests each batch had that was submitted."""
        return [batch["request_counts"]["total"] for batch in self.batches.values()]


def _json(value: Any) -> FakeReply:
    return FakeReply(body=json.dumps(value))
