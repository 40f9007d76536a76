"""Checkpoints: where every chain stands, signed, and written where the database's owner cannot reach.

A chain alone cannot show that its tail was cut. A checkpoint holds the heads of all writers that wrote since the one before it; positions
count from 1 without gaps per writer, and a writer's transactions commit in order, so a transaction that commits late is simply part of a later
checkpoint. Beat calls `checkpoint()`; calling it twice at once, or after a crash half way, is harmless.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import BufferedRandom
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils.module_loading import import_string

from audit import keys
from audit.ledger import GENESIS, time_text
from audit.models import Checkpoint, CheckpointHead
from billing_ai.kernel import clock
from billing_ai.kernel.ids import canonical_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Head:
    """Where one writer's chain stands: its last position, and that entry's hash."""

    writer: str
    position: int
    hash: str

    def leaf(self) -> bytes:
        """The Merkle leaf: SHA-256 over a zero byte and the canonical JSON of [writer, position, hash]."""
        return hashlib.sha256(b"\x00" + canonical_json([self.writer, self.position, self.hash])).digest()


class Sink(Protocol):
    """Somewhere outside the database that keeps lines in order: a file, an object store with retention, a time-stamp service.

    Name another one by its dotted path in the setting `AUDIT_CHECKPOINT_SINK`; it is called without arguments.
    """

    def last_number(self) -> int:
        """The number of the last checkpoint it holds, 0 when it holds none."""

    def write(self, lines: Iterable[tuple[int, str]]) -> None:
        """Keep (number, line) pairs for good; numbers that it already holds are passed over. Raises OSError when it could not."""

    def lines(self) -> Iterator[str]:
        """What it holds, oldest first."""


class FileSink:
    """One line of JSON a checkpoint in a file that is only appended to, each flushed to the disk before it counts as written."""

    def __init__(self, path: Path) -> None:
        self.path = path

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

    def lines(self) -> Iterator[str]:
        if self.path.exists():
            with self.path.open(encoding="utf-8") as file:
                yield from (line.rstrip("\n") for line in file if line.strip())

    @contextmanager
    def _locked(self) -> Iterator[BufferedRandom]:
        import fcntl

        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o640)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def checkpoint() -> Checkpoint | None:
    """Take a checkpoint when any chain moved, and bring the sink up to date; None when nothing moved or another process was faster.

    Raises OSError when the sink refuses; the checkpoint stands then, and the next call writes it out.
    """
    taken = None
    try:
        with transaction.atomic():
            taken = _take()
    except IntegrityError:
        logger.info("audit.checkpoint_taken_elsewhere")
    sink = configured_sink()
    if sink is not None:
        publish(sink)
    return taken


def publish(sink: Sink) -> int:
    """Write out what the sink does not hold yet; how many lines that were."""
    missing = Checkpoint.objects.filter(number__gt=sink.last_number()).order_by("number")
    count = missing.count()
    if count:
        sink.write((found.number, line_of(found)) for found in missing.iterator(chunk_size=200))
    return count


def configured_sink() -> Sink | None:
    """The sink that the settings name: `AUDIT_CHECKPOINT_SINK`, else a file at `AUDIT_CHECKPOINT_FILE`, else none."""
    dotted = getattr(settings, "AUDIT_CHECKPOINT_SINK", "")
    if dotted:
        sink: Sink = import_string(dotted)()
        return sink
    path = settings.AUDIT_CHECKPOINT_FILE
    return FileSink(Path(path)) if path else None


def merkle_root(heads: Iterable[Head]) -> bytes:
    """Root over the heads in order of writer; SHA-256 of a one byte and both children, an odd last node moves up unchanged; none: 32 zeros."""
    level = [head.leaf() for head in sorted(heads)]
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\x01" + level[n] + level[n + 1]).digest() for n in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) & ~1 :]
    return level[0] if level else GENESIS


def statement(number: int, at: str, entries: int, root: str, previous: str) -> bytes:
    """What a checkpoint's hash and signature cover."""
    return canonical_json({"number": number, "at": at, "entries": entries, "root": root, "previous": previous})


def line_of(found: Checkpoint) -> str:
    """A checkpoint as the line that goes outside: everything needed to check it, its heads included."""
    heads = [[head.writer.hex, head.position, bytes(head.entry_hash).hex()] for head in found.heads.order_by("writer")]
    return json.dumps(
        {
            "number": found.number,
            "at": time_text(found.at),
            "entries": found.entries,
            "root": bytes(found.root).hex(),
            "previous": bytes(found.previous).hex(),
            "hash": bytes(found.hash).hex(),
            "public_key": bytes(found.public_key).hex(),
            "signature": bytes(found.signature).hex(),
            "heads": heads,
        },
        separators=(",", ":"),
    )


def _take() -> Checkpoint | None:
    last = Checkpoint.objects.order_by("-number").first()
    moved, grown = _moved_heads()
    if not moved:
        return None
    number, previous = (last.number + 1, bytes(last.hash)) if last else (1, GENESIS)
    at, root = _after(last), merkle_root(moved)
    entries = (last.entries if last else 0) + grown
    text = statement(number, time_text(at), entries, root.hex(), previous.hex())
    signature, public_key = keys.sign(text)
    taken = Checkpoint.objects.create(
        number=number,
        at=at,
        entries=entries,
        root=root,
        previous=previous,
        hash=hashlib.sha256(text).digest(),
        public_key=public_key,
        signature=signature,
    )
    CheckpointHead.objects.bulk_create(
        [
            CheckpointHead(checkpoint=taken, writer=UUID(head.writer), position=head.position, entry_hash=bytes.fromhex(head.hash))
            for head in moved
        ],
        batch_size=200,
    )
    return taken


def _after(last: Checkpoint | None) -> datetime:
    """Now, and never before the checkpoint before: a clock that was set back must not make the order look wrong."""
    return max(clock.now(), last.at) if last else clock.now()


def _moved_heads() -> tuple[list[Head], int]:
    """The heads of all writers that wrote since their last checkpoint, and by how many entries all of them grew.

    Hops from writer to writer along the unique index, so the cost grows with writers, not with entries.
    """
    with connection.cursor() as cursor:
        cursor.execute(_MOVED)
        rows: list[Any] = cursor.fetchall()
    heads = [Head(UUID(str(writer)).hex, position, bytes(entry_hash).hex()) for writer, position, entry_hash, _ in rows]
    return heads, sum(position - known for _, position, _, known in rows)


_MOVED = """
    WITH RECURSIVE writers (writer) AS (
        SELECT (SELECT writer FROM audit_entry ORDER BY writer LIMIT 1)
        UNION ALL
        SELECT (SELECT e.writer FROM audit_entry e WHERE e.writer > writers.writer ORDER BY e.writer LIMIT 1)
        FROM writers WHERE writers.writer IS NOT NULL
    ), heads (writer, position, known) AS (
        SELECT writer,
            (SELECT e.position FROM audit_entry e WHERE e.writer = writers.writer ORDER BY e.position DESC LIMIT 1),
            COALESCE((SELECT h.position FROM audit_checkpointhead h WHERE h.writer = writers.writer ORDER BY h.position DESC LIMIT 1), 0)
        FROM writers WHERE writer IS NOT NULL
    )
    SELECT heads.writer, heads.position, e.hash, heads.known
    FROM heads JOIN audit_entry e ON e.writer = heads.writer AND e.position = heads.position
    WHERE heads.position > heads.known
"""


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
