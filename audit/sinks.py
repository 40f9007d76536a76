"""Places outside the database that keep checkpoints: files, object stores, time-stamp services. `AUDIT_CHECKPOINTS` names them by URL.

A place that is down holds nothing up: the checkpoint stands in the database, the next sweep writes what is missing, and `CheckpointPlace` says
since when and why.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

TIMEOUT_SECONDS = 10.0


class BadPlace(ValueError):
    """A URL of `AUDIT_CHECKPOINTS` that names no place we know how to write to."""


class Sink(Protocol):
    """Somewhere outside the database that keeps lines in order. `name` is what people are shown: it holds no password."""

    name: str

    def last_number(self) -> int:
        """The number of the last checkpoint it holds, 0 when it holds none. Raises OSError when it cannot be asked."""

    def write(self, lines: Iterable[tuple[int, str]]) -> None:
        """Keep (number, line) pairs for good; numbers that it already holds are passed over. Raises OSError when it could not."""

    def lines(self, after: int = 0) -> Iterator[str]:
        """What it holds of the checkpoints after that number, oldest first. Raises OSError when it cannot be read."""


def sink_of(url: str) -> Sink:
    """The place that a URL names: `file:///path`, `s3://bucket/prefix?endpoint=…&region=…` or `tsa+https://service/path`. Raises BadPlace."""
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme == "file" and parts.path.startswith("/") and parts.netloc in ("", "localhost"):
        return FileSink(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc and not set(query) - {"endpoint", "region"}:
        return ObjectSink(parts.netloc, parts.path.strip("/"), endpoint=query.get("endpoint", ""), region=query.get("region", ""))
    if parts.scheme in ("tsa+https", "tsa+http") and parts.hostname:
        from audit.time_stamps import TimeStampSink

        return TimeStampSink(url.removeprefix("tsa+"))
    raise BadPlace(f"{parts.scheme}://{parts.hostname or ''}… is none of file:///path, s3://bucket/prefix, tsa+https://service/path")


def configured_sinks() -> list[Sink]:
    """A sink for each URL of the setting `AUDIT_CHECKPOINTS`."""
    from django.conf import settings

    return [sink_of(url) for url in settings.AUDIT_CHECKPOINTS]


class FileSink:
    """One line of JSON a checkpoint in a file that is only appended to, each flushed to the disk before it counts as written."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, f"file://{path}"

    def last_number(self) -> int:
        if not self.path.exists():
            return 0
        with self.path.open("rb") as file:
            return _last_number(file)

    def write(self, lines: Iterable[tuple[int, str]]) -> None:
        with self._locked() as file:
            held = _last_number(file)
            file.seek(0, os.SEEK_END)
            if file.tell() and not _ends_with_newline(file):
                file.write(b"\n")  # the machine stopped in the middle of a line: that line stays as it is, and ours begins a new one
            for number, line in lines:
                if number > held:
                    file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self, after: int = 0) -> Iterator[str]:
        if self.path.exists():
            with self.path.open(encoding="utf-8") as file:
                yield from (line.rstrip("\n") for line in file if line.strip() and not _is_up_to(line, after))

    @contextmanager
    def _locked(self) -> Iterator[BufferedRandom]:
        import fcntl

        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o640)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


class ObjectSink:
    """One object a checkpoint in an S3 bucket, written once: `PUT` with `If-None-Match: *`, so that nobody overwrites what is there.

    Credentials come from where boto3 looks for them (environment, files, the machine's role). Against deletion the bucket has Object Lock.
    """

    def __init__(self, bucket: str, prefix: str, *, endpoint: str = "", region: str = "") -> None:
        self.bucket, self.prefix, self.endpoint, self.region = bucket, prefix, endpoint, region
        self.name = f"s3://{bucket}/{prefix}".rstrip("/")
        self._made: Any = None

    def last_number(self) -> int:
        # Asked from a little below our own newest on, so that a long history costs one listing; from the beginning when nothing is there.
        from audit.models import Checkpoint

        newest = Checkpoint.objects.order_by("-number").values_list("number", flat=True).first() or 0
        for start in {max(0, newest - 900), 0}:
            found = list(self._numbers(start))
            if found:
                return max(found)
        return 0

    def write(self, lines: Iterable[tuple[int, str]]) -> None:
        for number, line in lines:
            body = line.encode() + b"\n"
            with self._translated("PutObject") as client:
                client.put_object(Bucket=self.bucket, Key=self._key(number), Body=body, ContentType="application/json", IfNoneMatch="*")

    def lines(self, after: int = 0) -> Iterator[str]:
        for number in self._numbers(after):
            with self._translated("GetObject") as client:
                content = client.get_object(Bucket=self.bucket, Key=self._key(number))["Body"].read().decode(errors="replace")
            yield content.strip()

    def _key(self, number: int) -> str:
        return f"{self.prefix}/{number:012}.json".lstrip("/")

    def _numbers(self, after: int) -> Iterator[int]:
        """Numbers of the objects after that one, in order."""
        with self._translated("ListObjectsV2") as client:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self._key(0)[: -len("000000000000.json")], StartAfter=self._key(after)
            )
            names = [found["Key"].rsplit("/", 1)[-1] for page in pages for found in page.get("Contents", ())]
        yield from sorted(int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit() and int(name[:-5]) > after)

    @contextmanager
    def _translated(self, what: str) -> Iterator[Any]:
        """boto3's client; its errors as OSError, except that an object that is there already is no error."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield self._client()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if what == "PutObject" and code in ("PreconditionFailed", "412"):
                return
            raise OSError(f"{self.name}: {what} was refused ({code})") from error
        except BotoCoreError as error:
            raise OSError(f"{self.name}: {what} had no answer ({type(error).__name__})") from error

    def _client(self) -> Any:
        if self._made is not None:
            return self._made
        import boto3  # costs half a second and 30 MB: only who writes to a bucket pays
        from botocore.config import Config

        config = Config(
            connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, retries={"total_max_attempts": 2},
            s3={"addressing_style": "path"} if self.endpoint else {},
        )  # fmt: skip
        self._made = boto3.client("s3", endpoint_url=self.endpoint or None, region_name=self.region or None, config=config)
        return self._made


def _is_up_to(line: str, number: int) -> bool:
    """Is it a whole line of a checkpoint up to that number? What cannot be read is for the reader to judge."""
    if not number:
        return False
    try:
        return int(json.loads(line)["number"]) <= number
    except (ValueError, KeyError, TypeError):
        return False


def _ends_with_newline(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    ends = file.read(1) == b"\n"
    file.seek(0, os.SEEK_END)
    return bool(ends)


def _last_number(file: Any) -> int:
    """The number in the last whole line, looking back from the end so that a long file costs nothing."""
    file.seek(0, os.SEEK_END)
    end, tail = file.tell(), b""
    while end > 0:
        start = max(0, end - 65536)
        file.seek(start)
        tail = file.read(end - start) + tail
        end = start
        lines = tail.split(b"\n")
        # the first piece may be the end of a longer line, unless the file begins there
        for line in reversed(lines if end == 0 else lines[1:]):
            try:
                return int(json.loads(line)["number"])
            except (ValueError, KeyError, TypeError):
                continue
    return 0
