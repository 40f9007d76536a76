"""Checkpoints: where every chain stands, signed, and written where the database's owner cannot reach.

A chain alone cannot show that its tail was cut. A checkpoint holds the heads of all writers that wrote since the one before it; positions
count from 1 without gaps per writer, and a writer's transactions commit in order, so a transaction that commits late is simply part of a later
checkpoint. Beat calls `checkpoint()`; calling it twice at once, or after a crash half way, is harmless.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from audit import keys
from audit.ledger import GENESIS, time_text
from audit.models import Checkpoint, CheckpointHead, CheckpointPlace
from audit.sinks import Sink, configured_sinks
from audit.statement import statement
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


def take() -> Checkpoint | None:
    """Take a checkpoint when any chain moved; None when nothing moved or another process was faster."""
    try:
        with transaction.atomic():
            return _take()
    except IntegrityError:
        logger.info("audit.checkpoint_taken_elsewhere")
        return None


def checkpoint() -> Checkpoint | None:
    """As `take`, and bring every place outside up to date. One that is down holds nothing up: the next call writes what it lacks."""
    taken = take()
    for sink in configured_sinks():
        publish(sink)
    return taken


def publish(sink: Sink) -> int:
    """Write out what the place does not hold yet, and note how that went; how many lines that were, 0 when it is down."""
    try:
        held = sink.last_number()
        missing = Checkpoint.objects.filter(number__gt=held).order_by("number")
        numbers = list(missing.values_list("number", flat=True))
        if numbers:
            held = numbers[-1]
            sink.write((found.number, line_of(found)) for found in missing.filter(number__lte=held).iterator(chunk_size=200))
    except OSError as error:
        logger.warning("audit.checkpoint_not_written_outside", extra={"place": sink.name, "error": str(error)})
        place, _ = CheckpointPlace.objects.get_or_create(name=sink.name)
        place.failing_since, place.error = place.failing_since or clock.now(), str(error)[:300]
        place.save()
        return 0
    seen = {"failing_since": None, "error": "", "seen_at": clock.now(), "last_number": held}
    CheckpointPlace.objects.update_or_create(name=sink.name, defaults=seen)
    return len(numbers)


def places() -> list[CheckpointPlace]:
    """How each configured place does; one that was never written to has number 0."""
    names = [sink.name for sink in configured_sinks()]
    known = {row.name: row for row in CheckpointPlace.objects.filter(name__in=names)}
    return [known.get(name) or CheckpointPlace(name=name) for name in names]


def merkle_root(heads: Iterable[Head]) -> bytes:
    """Root over the heads in order of writer; SHA-256 of a one byte and both children, an odd last node moves up unchanged; none: 32 zeros."""
    level = [head.leaf() for head in sorted(heads)]
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\x01" + level[n] + level[n + 1]).digest() for n in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) & ~1 :]
    return level[0] if level else GENESIS


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
