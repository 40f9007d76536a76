"""Evidence packs: everything about one case or one period, signed, in a ZIP that an outsider can check without us.

The audit floor knows entries and checkpoints. What cases look like is told by the floors above, which register a contributor each:
`register_contributor("approvals", tell)` where `tell(case_id)` gives a JSON-able mapping (drafts, edits as differences, checks, calls, outcome;
redacted, and "erased" where the customer's key is gone).
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.template.loader import render_to_string

from audit import keys, ledger, reads, recipe
from audit.actor import Actor, current_trace_id
from audit.checkpoints import line_of, take
from audit.models import Checkpoint, CheckpointHead, Entry
from billing_ai.kernel import clock
from billing_ai.kernel.ids import new_trace_id

Contributor = Callable[[UUID], Mapping[str, Any]]
_contributors: dict[str, Contributor] = {}
_A_CHECK = {"rule", "outcome", "sentence"}


def register_contributor(name: str, tell: Contributor) -> None:
    """Let `tell` add a section `name` to each case. Call it from an app's `ready`. Raises ValueError when the name is taken or no plain word."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"{name!r} is no plain word")
    if _contributors.get(name, tell) is not tell:
        raise ValueError(f"{name} has a contributor already")
    _contributors[name] = tell


@dataclass(frozen=True, slots=True)
class Pack:
    """What went into a pack."""

    entries: int
    cases: int
    public_key: str


def case_pack(case_id: UUID, actor: Actor, into: BinaryIO) -> Pack:
    """Write the pack of one case; it is noted as a read of its words by `actor`. Raises LookupError when the ledger knows no such case."""
    own = Entry.objects.filter(case_id=case_id)
    if not own.exists():
        raise LookupError(f"the ledger has no entry about case {case_id}")
    return _write(case_entries(case_id), [case_id], f"Case {case_id}", actor, into, ("case", str(case_id)), case_id)


def period_pack(start: datetime, end: datetime, actor: Actor, into: BinaryIO) -> Pack:
    """Write the pack of a period, `start` included and `end` not: its entries, and each case that they mention. Raises ValueError when empty."""
    if not start < end:
        raise ValueError("a period ends after it starts")
    entries = Entry.objects.filter(at__gte=start, at__lt=end)
    named = entries.filter(case_id__isnull=False).order_by("case_id").values_list("case_id", flat=True).distinct()
    cases = (case for case in named.iterator(chunk_size=500) if case is not None)
    title = f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} (UTC)"
    return _write(entries, cases, title, actor, into, ("period", title), None)


def case_entries(case_id: UUID) -> QuerySet[Entry]:
    """The entries about a case, and those of its traces that came before there was a case and are about no other customer."""
    own = Entry.objects.filter(case_id=case_id)
    traces = list(own.order_by().values_list("trace_id", flat=True).distinct())
    customers = {"", *own.order_by().values_list("chargebee_customer_id", flat=True).distinct()}
    return Entry.objects.filter(Q(case_id=case_id) | Q(trace_id__in=traces, case_id__isnull=True, chargebee_customer_id__in=customers))


class _Writing:
    """A ZIP under way, with the SHA-256 of each file for the manifest."""

    def __init__(self, into: BinaryIO) -> None:
        self.zip = zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED)
        self.digests: dict[str, str] = {}

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        digest = hashlib.sha256()
        with self.zip.open(name, "w", force_zip64=True) as file:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)
        self.digests[name] = digest.hexdigest()


def _write(
    entries: QuerySet[Entry],
    cases: Iterable[UUID],
    title: str,
    actor: Actor,
    into: BinaryIO,
    subject: tuple[str, str],
    case_id: UUID | None,
) -> Pack:
    made_at = clock.now()
    take()  # so that every entry in the pack is covered by a checkpoint; the next sweep writes it outside
    newest = Checkpoint.objects.order_by("-number").values_list("number", flat=True).first() or 0
    entries = _covered(entries, newest)
    writing = _Writing(into)
    shown: list[UUID] = []
    for found in cases:
        _note_read(found, actor)
        told = {"case_id": str(found), **{name: dict(tell(found)) for name, tell in sorted(_contributors.items())}}
        writing.add(f"cases/{found}.json", [json.dumps(told, ensure_ascii=False, indent=1, default=str).encode()])
        page = {
            "title": f"Case {found}",
            "sections": [(name.replace("_", " "), list(outline(value))) for name, value in told.items() if name != "case_id"],
            "entries": _covered(case_entries(found), newest).order_by("at", "id"),
            "made_at": made_at,
            "made_by": actor.label,
        }
        writing.add(f"cases/{found}.html", [render_to_string("audit/evidence_case.html", page).encode()])
        shown.append(found)
    numbers: set[int] = set()
    count = 0

    def lines() -> Iterator[bytes]:
        nonlocal count
        for row in _rows(entries):
            count += 1
            yield _line(row)

    writing.add("ledger.jsonl", lines())
    writing.add("proof.jsonl", _proofs(entries, numbers))
    writing.add(
        "checkpoints.jsonl", (line_of(found).encode() + b"\n" for found in Checkpoint.objects.filter(pk__in=numbers).order_by("pk"))
    )
    kinds = entries.order_by("kind").values("kind").annotate(count=Count("id"))
    index = {"title": title, "cases": shown, "kinds": kinds, "entries": count, "made_at": made_at, "made_by": actor.label}
    writing.add("index.html", [render_to_string("audit/evidence_index.html", index).encode()])
    writing.add("check.py", [Path(recipe.__file__).read_bytes()])
    public_key = _sign(writing, title, made_at, actor)
    with transaction.atomic():
        ledger.append(
            "evidence.exported",
            actor=actor,
            trace_id=current_trace_id() or new_trace_id(),
            subject=subject,
            case_id=case_id,
            data={"entries": count, "cases": len(shown)},
        )
    return Pack(count, len(shown), public_key)


def _note_read(case_id: UUID, actor: Actor) -> None:
    """Before a case's words are opened: whoever takes the pack is a reader of them, for each customer that the case names."""
    named = Entry.objects.filter(case_id=case_id).exclude(chargebee_customer_id="").order_by()
    for customer_id in named.values_list("chargebee_customer_id", flat=True).distinct():
        reads.note_personal_read(actor, customer_id, "words and notes in an evidence pack", f"evidence pack of case {case_id}")


def _sign(writing: _Writing, title: str, made_at: datetime, actor: Actor) -> str:
    public_key = keys.sign(b"")[1]
    pem = Ed25519PublicKey.from_public_bytes(public_key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    writing.add("public_key.pem", [pem])
    manifest = {
        "title": title,
        "made_at": ledger.time_text(made_at),
        "made_by": actor.label,
        "public_key": public_key.hex(),
        "retired_public_keys": [keys.public_key(secret).hex() for secret in keys.known_secrets()[1:]],
        "files": writing.digests,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False).encode()
    writing.zip.writestr("manifest.json", text)
    writing.zip.writestr("manifest.sig", keys.sign(text)[0])
    writing.zip.close()
    return public_key.hex()


def outline(value: Any, label: str = "", depth: int = 0) -> Iterator[tuple[int, str, str]]:
    """A JSON value as rows to read: (depth, label, text). A check of a rule is one row: there are dozens behind a decision."""
    if isinstance(value, Mapping) and value.keys() == _A_CHECK:
        yield depth, label, f"{value['outcome']} · {value['rule']}: {value['sentence']}"
    elif isinstance(value, Mapping):
        if label:
            yield depth, label, ""
        for key, inner in value.items():
            yield from outline(inner, str(key), depth + bool(label))
    elif isinstance(value, list | tuple):
        if not value:
            yield depth, label, "none"
        for number, inner in enumerate(value, start=1):
            yield from outline(inner, f"{label} {number}".strip(), depth)
    else:
        yield depth, label, "–" if value is None or value == "" else str(value)


def _covered(entries: QuerySet[Entry], newest: int) -> QuerySet[Entry]:
    """Only what a checkpoint up to `newest` covers: that is provable, and it stays the same while the pack is made."""
    heads = CheckpointHead.objects.filter(writer=OuterRef("writer"), position__gte=OuterRef("position"), checkpoint_id__lte=newest)
    return entries.filter(Exists(heads))


def _rows(entries: QuerySet[Entry]) -> Iterator[tuple[Any, ...]]:
    """id, position, mark, prev_hash, hash, then the content columns, in chain order."""
    query = entries.order_by("writer", "position").annotate(text=Cast("data", TextField()))
    return query.values_list("id", "position", "mark", "prev_hash", "hash", *ledger.COLUMNS[:-1], "text").iterator(chunk_size=1000)


def _line(row: tuple[Any, ...]) -> bytes:
    entry_id, position, entry_mark, prev_hash, own_hash, *content = row
    told = dict(zip(ledger.COLUMNS, json.loads(ledger.content_bytes(tuple(content))), strict=True))
    told |= {"id": entry_id, "position": position, "mark": bytes(entry_mark).hex()}
    told |= {"prev_hash": bytes(prev_hash).hex(), "hash": bytes(own_hash).hex()}
    return json.dumps(told, ensure_ascii=False).encode() + b"\n"


def _proofs(entries: QuerySet[Entry], numbers: set[int]) -> Iterator[bytes]:
    """From the first entry of each stretch to the checkpointed head after it: ids and content hashes only, as others' entries lie between."""
    writer: UUID | None = None
    covered = 0
    for found, position in entries.order_by("writer", "position").values_list("writer", "position").iterator(chunk_size=1000):
        if found == writer and position <= covered:
            continue
        head = CheckpointHead.objects.filter(writer=found, position__gte=position).earliest("position")
        writer, covered = found, head.position
        numbers.add(head.checkpoint_id)
        stretch = list(_rows(Entry.objects.filter(writer=found, position__gte=position, position__lte=covered)))
        links = [[row[1], row[0], ledger.content_hash(tuple(row[5:])).hex()] for row in stretch]
        told = {"writer": found.hex, "checkpoint": head.checkpoint_id, "previous": bytes(stretch[0][3]).hex(), "links": links}
        yield json.dumps(told, separators=(",", ":")).encode() + b"\n"
