"""An HTTP client that reads a response up to a limit: what has no end ends here."""

from __future__ import annotations

from typing import Any

import httpx2  # the SDK's own
import openai

from mmedpo.endpoints.http.outcome import ResponseTooLongError

MOST = 4 * 2**20  # bytes of a response; answers have some thousands
ENCODED = ("content-encoding", "content-length", "transfer-encoding")  # what is no longer true of a body that was read


class BoundedClient(openai.DefaultAsyncHttpxClient):
    """The SDK's client; only the files of batches come unread, for whoever asks for a stream to count."""

    async def send(self, request: httpx2.Request, *, stream: bool = False, **how: Any) -> httpx2.Response:
        """Send a request and read the response. Raises ResponseTooLongError when it is too long."""
        response = await super().send(request, stream=True, **how)
        if stream and response.is_success:
            return response
        try:
            body = await _body(response)
        finally:
            await response.aclose()
        headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in ENCODED]
        return httpx2.Response(
            response.status_code, headers=headers, content=body, request=request, extensions=response.extensions
        )


async def _body(response: httpx2.Response) -> bytes:
    """Read a body, unpacked. Raises ResponseTooLongError when it is too long."""
    parts, size = [], 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > MOST:
            raise ResponseTooLongError(f"more than {MOST // 2**20} MB")
        parts.append(part)
    return b"".join(parts)
