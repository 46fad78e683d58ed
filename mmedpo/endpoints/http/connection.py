"""A connection to one endpoint: the SDK's client, which reads a response up to a limit and follows nobody elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2  # the SDK's own
import openai

from mmedpo.core.locality import is_this_machine, parse_host
from mmedpo.endpoints.http.outcome import ResponseTooLongError

if TYPE_CHECKING:
    from mmedpo.endpoints.options import Endpoint

MOST = 4 * 2**20  # bytes of a response; answers have some thousands
ENCODED = ("content-encoding", "content-length", "transfer-encoding")  # what is no longer true of a body that was read


def connect_to(endpoint: Endpoint, key: str) -> openai.AsyncOpenAI:
    """Make the SDK's client: it neither retries, which we do, nor follows anyone to another host."""
    http = BoundedClient(
        follow_redirects=False,
        trust_env=not is_this_machine(parse_host(endpoint.base_url)),  # a proxy is no part of this machine
        timeout=openai.Timeout(endpoint.timeout, connect=min(endpoint.timeout, 10.0)),
        limits=httpx2.Limits(max_connections=endpoint.concurrency, max_keepalive_connections=endpoint.concurrency),
    )
    shared: dict[str, Any] = {"api_key": key or "none", "max_retries": 0, "http_client": http}
    if endpoint.azure:
        return openai.AsyncAzureOpenAI(azure_endpoint=endpoint.base_url, api_version=endpoint.azure, **shared)
    return openai.AsyncOpenAI(base_url=endpoint.base_url, **shared)


class BoundedClient(openai.DefaultAsyncHttpxClient):
    """The SDK's client; only the files of batches come unread, for whoever asks for a stream to count."""

    async def send(self, request: httpx2.Request, *, stream: bool = False, **how: Any) -> httpx2.Response:
        """Send a request and read the response. Raises ResponseTooLongError when it is too long."""
        response = await super().send(request, stream=True, **how)
        if stream and response.is_success:
            return response
        try:
            body = await _read_bounded(response)
        finally:
            await response.aclose()
        headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in ENCODED]
        return httpx2.Response(
            response.status_code, headers=headers, content=body, request=request, extensions=response.extensions
        )


async def _read_bounded(response: httpx2.Response) -> bytes:
    """Read a body, unpacked. Raises ResponseTooLongError when it is too long."""
    parts, size = [], 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > MOST:
            raise ResponseTooLongError(f"more than {MOST // 2**20} MB")
        parts.append(part)
    return b"".join(parts)
