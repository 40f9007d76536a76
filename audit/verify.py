"""Reads the whole ledger again and says what does not fit, and where.

Memory stays bounded: entries are read a page at a time, writer by writer, and only the first findings are kept (all are counted).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import connection
from django.db.models import TextField
from django.db.models.functions import Cast

from audit import keys
from audit.append_only import APPEND_ONLY, link
from audit.checkpoints import Head, merkle_root
from audit.ledger import COLUMNS, GENESIS, content_hash
from audit.models import Checkpoint, CheckpointHead, CheckpointStamp, Entry
from audit.sinks import Sink, configured_sinks
from audit.statement import text_of
from audit.time_stamps import BadStamp, check

_PAGE = 2000
_OUTSIDE_A_PART = 1_000
"""How many checkpoints of each place the sweep reads in a round; an object store takes a call for each. `verify_audit` reads all of them."""
_KEPT = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit. `what` is a stable word, `sentence` is for the person who reads the report."""

    what: str
    sentence: str
    entry_id: int | None = None
    writer: str = ""
    position: int | None = None
    checkpoint: int | None = None


@dataclass(slots=True)
class Report:
    """What was read, and what does not fit. `uncovered` counts entries newer than the last checkpoint: a cut there would not show."""

    entries: int = 0
    writers: int = 0
    checkpoints: int = 0
    outside: int = 0
    torn_lines: int = 0
    stamps: int = 0
    uncovered: int = 0
    wrong: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing at all was found."""
        return self.wrong == 0

    def add(self, finding: Finding) -> None:
        """Count a finding, and keep it while there are few."""
        self.wrong += 1
        if len(self.findings) < _KEPT:
            self.findings.append(finding)


def verify(sink: Sink | None = None) -> Report:
    """Check triggers, checkpoints (their signatures, their chain, the copies outside, time stamps) and every entry.

    Without `sink`: each place that is configured. One that cannot be read is a finding: what it holds was not compared.

    New entries may arrive meanwhile. What was read first (the copy outside, then the checkpoints) is compared with what is read later, so they
    do no harm.
    """
    report = Report()
    secrets = _secrets(report)
    sinks = [sink] if sink is not None else configured_sinks()
    outside_last = _last_outside(report, sinks)
    newest = Checkpoint.objects.order_by("-number").values_list("number", flat=True).first() or 0
    _check_triggers(report)
    _check_checkpoints(report, {keys.public_key(secret) for secret in secrets}, newest)
    for one, last in outside_last:
        _check_outside(report, one, last)
    _check_stamps(report, newest)
    _check_entries(report, [keys.mark_key(secret) for secret in secrets], newest)
    return report


def verify_part(after: UUID | None, most_entries: int, sink: Sink | None = None) -> tuple[Report, UUID | None]:
    """As `verify`, but only the chains of the next writers after `after`, until so many entries are read; and the last of these writers.

    None in its place once the end is reached: the next part begins at the beginning.
    """
    report = Report()
    secrets = _secrets(report)
    sinks = [sink] if sink is not None else configured_sinks()
    outside_last = _last_outside(report, sinks)
    newest = Checkpoint.objects.order_by("-number").values_list("number", flat=True).first() or 0
    _check_triggers(report)
    if after is None:
        _check_checkpoints(report, {keys.public_key(secret) for secret in secrets}, newest)
        for one, last_held in outside_last:
            _check_outside(report, one, last_held, after=max(0, last_held - _OUTSIDE_A_PART))
        _check_stamps(report, newest, after=max(0, newest - _OUTSIDE_A_PART))
    mark_keys = [keys.mark_key(secret) for secret in secrets]
    for writer in _writers(newest, after):
        report.writers += 1
        _Chain(report, mark_keys, writer, newest).check()
        if report.entries >= most_entries:
            return report, writer
    return report, None


def _secrets(report: Report) -> list[bytes]:
    try:
        return keys.known_secrets()
    except (keys.MasterKeyMissing, keys.Forged) as error:
        report.add(Finding("retired_secret", f"a retired audit secret cannot be opened, so old marks cannot be checked: {error}"))
        return [keys.audit_secret(key) for key in keys.masters().values()]


def _check_triggers(report: Report) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            wanted = {f"{table}_no_{verb}" for table in APPEND_ONLY for verb in ("update", "delete", "replace")}
        else:
            cursor.execute("SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A')")
            wanted = {f"{table}_append_only" for table in APPEND_ONLY}
        present = {row[0] for row in cursor.fetchall()}
    for name in sorted(wanted - present):
        report.add(Finding("trigger_missing", f"the database no longer refuses changes: trigger {name} is missing or switched off"))


def _check_checkpoints(report: Report, public_keys: set[bytes], newest: int) -> None:
    expected, previous = 1, GENESIS
    for found in Checkpoint.objects.filter(number__lte=newest).order_by("number").iterator(chunk_size=500):
        report.checkpoints += 1
        number = found.number
        if number != expected:
            report.add(Finding("checkpoint_removed", f"checkpoints {expected} to {number - 1} are missing", checkpoint=expected))
        elif bytes(found.previous) != previous:
            report.add(Finding("checkpoint_relinked", f"checkpoint {number} does not follow from the one before", checkpoint=number))
        text = text_of(found)
        if not _is_signed(text, bytes(found.hash), bytes(found.signature), bytes(found.public_key), public_keys):
            report.add(Finding("checkpoint_forged", f"checkpoint {number} was changed, or not signed by this system", checkpoint=number))
        heads = [
            Head(head.writer.hex, head.position, bytes(head.entry_hash).hex())
            for head in CheckpointHead.objects.filter(checkpoint_id=number).order_by("writer")
        ]
        if merkle_root(heads) != bytes(found.root):
            report.add(Finding("heads_changed", f"the heads of checkpoint {number} are not those that were signed", checkpoint=number))
        expected, previous = number + 1, bytes(found.hash)


def _is_signed(text: bytes, digest: bytes, signature: bytes, public_key: bytes, trusted: set[bytes]) -> bool:
    if hashlib.sha256(text).digest() != digest or public_key not in trusted:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, text)
    except InvalidSignature:
        return False
    return True


def _last_outside(report: Report, sinks: list[Sink]) -> list[tuple[Sink, int]]:
    """What each place held when the check began. One that gives no answer is left out, and that is a finding."""
    held = []
    for sink in sinks:
        try:
            held.append((sink, sink.last_number()))
        except OSError as error:
            report.add(Finding("outside_unreadable", f"the copy outside was not compared: {error}"))
    return held


def _check_outside(report: Report, sink: Sink, last: int, after: int = 0) -> None:
    """A copy outside against the database; where they differ, its heads tell which entries."""
    try:
        _compare(report, sink, last, after)
    except OSError as error:
        report.add(Finding("outside_unreadable", f"the copy outside was not compared to its end: {error}"))


def _compare(report: Report, sink: Sink, last: int, after: int) -> None:
    expected = 0
    for line in sink.lines(after):
        try:
            told = json.loads(line)
            number, digest = int(told["number"]), str(told["hash"])
            heads = [Head(str(writer), int(position), str(entry_hash)) for writer, position, entry_hash in told["heads"]]
            root = str(told["root"])
        except (ValueError, KeyError, TypeError):
            report.torn_lines += 1
            continue
        if number > last:
            break  # written after this check began
        report.outside += 1
        if expected and number != expected:
            report.add(Finding("outside_gap", f"the copy outside goes from checkpoint {expected - 1} to {number}", checkpoint=number))
        expected = number + 1
        stored = Checkpoint.objects.filter(pk=number).values_list("hash", flat=True).first()
        if merkle_root(heads).hex() != root:
            report.add(Finding("outside_changed", f"the heads of checkpoint {number} in the copy outside were changed", checkpoint=number))
        if stored is not None and bytes(stored).hex() == digest:
            continue
        what = "is missing from the database" if stored is None else "differs between the database and the copy outside"
        report.add(Finding("checkpoint_outside", f"checkpoint {number} {what}", checkpoint=number))
        for head in heads:
            _check_head(report, head, number)


def _check_stamps(report: Report, newest: int, after: int = 0) -> None:
    """Each time stamp against the checkpoint beside which it is kept."""
    stamps = CheckpointStamp.objects.filter(checkpoint_id__gt=after, checkpoint_id__lte=newest).select_related("checkpoint")
    for stamp in stamps.order_by("checkpoint_id").iterator(chunk_size=200):
        report.stamps += 1
        try:
            check(bytes(stamp.token), bytes(stamp.checkpoint.hash))
        except BadStamp as error:
            sentence = f"the time stamp of checkpoint {stamp.checkpoint_id} by {stamp.place} does not hold: {error}"
            report.add(Finding("stamp", sentence, checkpoint=stamp.checkpoint_id))


def _check_head(report: Report, head: Head, number: int) -> None:
    entry = Entry.objects.filter(writer=UUID(head.writer), position=head.position).values_list("id", "hash").first()
    if entry is None:
        sentence = f"the entry that checkpoint {number} outside names is missing"
        report.add(Finding("cut_tail", sentence, writer=head.writer, position=head.position, checkpoint=number))
    elif bytes(entry[1]).hex() != head.hash:
        sentence = f"the entry is not the one that checkpoint {number} outside names"
        report.add(Finding("rewritten", sentence, entry[0], head.writer, head.position, number))


def _check_entries(report: Report, mark_keys: list[bytes], newest: int) -> None:
    for writer in _writers(newest):
        report.writers += 1
        _Chain(report, mark_keys, writer, newest).check()


def _writers(newest: int, last: UUID | None = None) -> Iterator[UUID]:
    """All writers after `last` that have entries or checkpoint heads, in order, hopping along the indexes."""
    heads = CheckpointHead.objects.filter(checkpoint_id__lte=newest)
    while True:
        step = {} if last is None else {"writer__gt": last}
        found = [
            query.filter(**step).order_by("writer").values_list("writer", flat=True).first()
            for query in (Entry.objects.all(), heads)
        ]  # fmt: skip
        candidates = [writer for writer in found if writer is not None]
        if not candidates:
            return
        last = min(candidates)
        yield last


class _Chain:
    """The check of one writer's chain."""

    def __init__(self, report: Report, mark_keys: list[bytes], writer: UUID, newest: int) -> None:
        self.report, self.mark_keys, self.writer, self.newest = report, mark_keys, writer, newest
        self.expected, self.previous, self.serial, self.last_id = 1, GENESIS, 0, 0
        self.covered = 0  # the highest position that a checkpoint names

    def check(self) -> None:
        """Read all entries of this writer, a page at a time, beside the heads that checkpoints hold of it."""
        last = -1
        while page := self._page(last):
            heads = self._heads(last, page[-1][1])
            for entry_id, position, entry_mark, prev_hash, own_hash, row in page:
                self._entry(entry_id, position, bytes(entry_mark), bytes(prev_hash), bytes(own_hash), row)
                for number, told in heads.pop(position, ()):
                    if told != bytes(own_hash):
                        self._add("rewritten", f"the entry is not the one that checkpoint {number} names", entry_id, position, number)
            last = page[-1][1]
        for number, position in self._heads_of().filter(position__gt=last).order_by("position").values_list("checkpoint_id", "position"):
            self._add(
                "cut_tail", f"entries {self.expected} to {position} are missing: checkpoint {number} names them", None, position, number
            )
        self.covered = self._heads_of().order_by("-position").values_list("position", flat=True).first() or 0
        self.report.uncovered += max(0, self.expected - 1 - self.covered)

    def _page(self, last: int) -> list[tuple[int, int, bytes, bytes, bytes, tuple[Any, ...]]]:
        rows = (
            Entry.objects.filter(writer=self.writer, position__gt=last)
            .order_by("position")
            .annotate(text=Cast("data", TextField()))
            .values_list("id", "position", "mark", "prev_hash", "hash", *COLUMNS[:-1], "text")[:_PAGE]
        )
        return [(*row[:5], tuple(row[5:])) for row in rows]

    def _heads_of(self) -> Any:
        return CheckpointHead.objects.filter(writer=self.writer, checkpoint_id__lte=self.newest)

    def _heads(self, after: int, up_to: int) -> dict[int, list[tuple[int, bytes]]]:
        heads: dict[int, list[tuple[int, bytes]]] = {}
        for number, position, told in (
            self._heads_of().filter(position__gt=after, position__lte=up_to).values_list("checkpoint_id", "position", "entry_hash")
        ):
            heads.setdefault(position, []).append((number, bytes(told)))
        return heads

    def _entry(self, entry_id: int, position: int, entry_mark: bytes, prev_hash: bytes, own_hash: bytes, row: tuple[Any, ...]) -> None:
        self.report.entries += 1
        if position > self.expected:
            self._add("removed", f"entries {self.expected} to {position - 1} are missing before this one", entry_id, position)
        elif position < self.expected:
            self._add("inserted", "there is no such position", entry_id, position)
        elif prev_hash != self.previous:
            self._add(
                "relinked",
                "the entry does not follow from the one before it: one of the two was replaced, inserted or moved",
                entry_id,
                position,
            )
        content = content_hash(row)
        if link(prev_hash, entry_id, content) != own_hash:
            self._add("changed", "the entry is not what was written: a column, its id or its hash was changed", entry_id, position)
        elif not any(hmac.compare_digest(hmac.digest(key, content, "sha256"), entry_mark) for key in self.mark_keys):
            self._add("forged", "the entry was not written by this system: its mark does not fit", entry_id, position)
        serial = row[1]
        if serial <= self.serial or entry_id <= self.last_id:
            self._add("reordered", "the entry is older than the one before it: it was moved, or written a second time", entry_id, position)
        self.expected, self.previous, self.serial, self.last_id = position + 1, own_hash, serial, entry_id

    def _add(self, what: str, sentence: str, entry_id: int | None, position: int, checkpoint: int | None = None) -> None:
        self.report.add(Finding(what, sentence, entry_id, self.writer.hex, position, checkpoint))
