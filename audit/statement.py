"""What a checkpoint says, byte by byte: what its hash, its signature and its time stamps cover."""

from __future__ import annotations

from audit.ledger import time_text
from audit.models import Checkpoint
from billing_ai.kernel.ids import canonical_json


def statement(number: int, at: str, entries: int, root: str, previous: str) -> bytes:
    """The canonical JSON of these five."""
    return canonical_json({"number": number, "at": at, "entries": entries, "root": root, "previous": previous})


def text_of(found: Checkpoint) -> bytes:
    """The statement of a checkpoint."""
    return statement(found.number, time_text(found.at), found.entries, bytes(found.root).hex(), bytes(found.previous).hex())
