"""Headless Chromium under the hands of a test: DevTools over two pipes, real keys and clicks, files that it saves."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), "")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
NAMED_KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), " ": (32, " "), "Backspace": (8, "")}
NAMED_KEYS |= {f"Arrow{way}": (37 + at, "") for at, way in enumerate(("Left", "Up", "Right", "Down"))}
WATCH = """
window.wrong = [];
addEventListener("error", (event) => wrong.push(String(event.message)));
addEventListener("unhandledrejection", (event) => wrong.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => wrong.push(event.violatedDirective));
"""


class BrowserTab:
    """A tab of a browser."""

    def __init__(self, asks: Any, answers: Any) -> None:
        """Take the pipes of a browser, and open a tab in it."""
        self._asks, self._answers, self._number, self._session = asks, answers, 0, None
        self.requests: list[str] = []
        self._seen: list[str] = []  # events that nobody has waited for yet
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of the DevTools protocol, and return its result."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        self._send({"id": self._number, "method": method, "params": params, **session})
        while True:
            message = self._read()
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                return message["result"]

    def _send(self, message: dict[str, Any]) -> None:
        self._asks.write(json.dumps(message).encode() + b"\0")
        self._asks.flush()

    def _read(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._next())
        event = message.get("method", "")
        if event == "Page.loadEventFired" or message.get("params", {}).get("state") == "completed":
            self._seen.append(event)
        if event == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            self.requests += [url] if not url.startswith("data:") else []
        if event == "Page.javascriptDialogOpening":
            self._number += 1
            call = {"id": self._number, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            self._send({**call, "sessionId": self._session})
        return message

    def _next(self) -> bytes:
        told = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "the browser has gone"
            told += byte
        return bytes(told)

    def open(self, page: Path, width: int = 1280, height: int = 900) -> None:
        """Open a file in a window of this size, and wait until it is there."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self._seen.clear()
        self.call("Page.navigate", url=page.as_uri())
        self._wait_for("Page.loadEventFired")
        self.run(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )  # keys count from here

    def _wait_for(self, event: str) -> None:
        """Wait for an event, which may have come while a call was answered."""
        while event not in self._seen:
            self._read()
        self._seen.remove(event)

    def run(self, script: str) -> Any:
        """Return what an expression of JavaScript comes to, promises awaited."""
        told = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press keys, one after the other."""
        for key in keys:
            code, text = NAMED_KEYS.get(key, (ord(key[0].upper()), key if len(key) == 1 else ""))
            known = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 * (shift or key in "?+")}
            self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **known)
            self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def write(self, text: str) -> None:
        """Type a text into what has the focus."""
        self.call("Input.insertText", text=text)

    def save_to(self, folder: Path) -> None:
        """Put what is downloaded into a folder."""
        session, self._session = self._session, None
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), eventsEnabled=True)
        self._session = session

    def wait_for_download(self) -> None:
        """Wait until a file is there whole."""
        self._wait_for("Browser.downloadProgress")

    def picture(self, path: Path) -> Path:
        """Save what the window shows."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
        return path


@contextmanager
def open_browser(profile: Path, *options: str) -> Iterator[BrowserTab]:
    """Start a browser with a profile of its own, and end it."""
    (ask_read, ask_write), (answer_read, answer_write) = os.pipe(), os.pipe()
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (ask_read, answer_write)]
    line = ["bash", "-c", f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}', "bash", CHROMIUM, *OPTIONS, *options]
    browser = subprocess.Popen(
        [*line, f"--user-data-dir={profile}", "about:blank"], pass_fds=theirs, stderr=subprocess.DEVNULL
    )
    for end in (*theirs, ask_read, answer_write):
        os.close(end)
    try:
        with os.fdopen(ask_write, "wb") as asks, os.fdopen(answer_read, "rb") as answers:
            yield BrowserTab(asks, answers)
    finally:
        browser.terminate()
        browser.wait(30)
