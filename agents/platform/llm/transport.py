"""The wire to a model provider, with a limit on bytes and on the whole time: an answer that never ends must not hold a worker."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx

MAX_ANSWER_BYTES = 256 * 1024


class AnswerTooLong(httpx.StreamError):
    """The provider sent more than `MAX_ANSWER_BYTES`."""


class _Capped(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, request: httpx.Request, deadline: float) -> None:
        self._stream = stream
        self._request = request
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        received = 0
        for chunk in self._stream:
            received += len(chunk)
            if received > MAX_ANSWER_BYTES:
                raise AnswerTooLong(f"more than {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > self._deadline:
                raise httpx.ReadTimeout("the whole answer took too long", request=self._request)
            yield chunk

    def close(self) -> None:
        self._stream.close()


class CappedTransport(httpx.BaseTransport):
    """httpx's transport with the request's read timeout applied to the answer as a whole, too (worst case: twice that time), and a byte limit.

    A compressed answer is refused by not asking for one: a small body must not unfold into a large one.
    """

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport(retries=0, limits=httpx.Limits(max_connections=20, max_keepalive_connections=5))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        seconds = request.extensions.get("timeout", {}).get("read") or 60.0
        deadline = time.monotonic() + seconds
        request.headers["accept-encoding"] = "identity"
        response = self._inner.handle_request(request)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            response.close()
            raise AnswerTooLong("a compressed answer that was not asked for")
        assert isinstance(response.stream, httpx.SyncByteStream)
        return httpx.Response(
            status_code=response.status_code,
            headers=response.headers,
            stream=_Capped(response.stream, request, deadline),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Nothing: the one transport is shared by every client that litellm makes and closes."""
