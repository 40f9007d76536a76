"""As much of S3's own protocol as boto3 speaks for keeping checkpoints: PUT once, GET, and listing in pages. Kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.serving import serving

PAGE = 3
"""Few keys a page, so that paging is done in every test."""


class SmallS3(ThreadingHTTPServer):
    """`objects` by bucket and key; `refuses` answers everything with 503."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.refuses = False
        self.calls: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def small_s3() -> Iterator[SmallS3]:
    server = SmallS3()
    with serving(server):
        yield server


class _Handler(BaseHTTPRequestHandler):
    server: SmallS3

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _answer(self, status: int, body: bytes = b"", code: str = "") -> None:
        if code:
            body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/xml")
        self.end_headers()
        self.wfile.write(body)

    def _is_refused(self) -> bool:
        self.server.calls.append(f"{self.command} {self.path.split('?')[0]}")
        if self.server.refuses:
            self._answer(503, code="SlowDown")
        elif "AWS4-HMAC-SHA256 Credential=" not in self.headers.get("Authorization", ""):
            self._answer(403, code="AccessDenied")
        else:
            return False
        return True

    def do_PUT(self) -> None:
        body = self._body()
        if self._is_refused():
            return
        key = unquote(urlsplit(self.path).path).lstrip("/")
        if key in self.server.objects and self.headers.get("If-None-Match") == "*":
            self._answer(412, code="PreconditionFailed")
            return
        self.server.objects[key] = body
        self._answer(200)

    def do_GET(self) -> None:
        if self._is_refused():
            return
        parts = urlsplit(self.path)
        key = unquote(parts.path).lstrip("/")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if "list-type" in query:
            self._answer(200, self._listed(key, query))
        elif key in self.server.objects:
            self._answer(200, self.server.objects[key])
        else:
            self._answer(404, code="NoSuchKey")

    def _listed(self, bucket: str, query: dict[str, str]) -> bytes:
        bucket = bucket.rstrip("/")
        after = query.get("continuation-token") or query.get("start-after", "")
        keys = sorted(name[len(bucket) + 1 :] for name in self.server.objects if name.startswith(f"{bucket}/{query.get('prefix', '')}"))
        keys = [key for key in keys if key > after]
        page, more = keys[:PAGE], len(keys) > PAGE
        rows = "".join(f"<Contents><Key>{escape(key)}</Key><Size>1</Size></Contents>" for key in page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>".encode()

    def _body(self) -> bytes:
        """The body, out of the signed chunks in which boto3 may send it."""
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return raw
        body = b""
        while raw:
            head, _, raw = raw.partition(b"\r\n")
            size = int(head.split(b";")[0], 16)
            if size == 0:
                break
            body, raw = body + raw[:size], raw[size + 2 :]
        return body
