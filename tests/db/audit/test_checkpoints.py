"""Checkpoints: signed heads of all chains, in the database and outside, safe twice and after a crash."""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import IntegrityError, connection, transaction

from audit import checkpoints, ledger
from audit.actor import system
from audit.checkpoints import Head, checkpoint, merkle_root, places, publish
from audit.models import Checkpoint, CheckpointHead, Entry
from audit.sinks import FileSink, sink_of


def write(count: int = 1) -> None:
    with transaction.atomic():
        for n in range(count):
            ledger.append("proposal.approved", actor=system("test"), trace_id="t", subject=("proposal", str(n)))


def other_writer() -> None:
    ledger._start_new_chain()


@pytest.fixture
def outside(settings, tmp_path):
    settings.AUDIT_CHECKPOINTS = [(tmp_path / "outside" / "heads.jsonl").as_uri()]
    other_writer()
    return sink_of(settings.AUDIT_CHECKPOINTS[0])


@pytest.mark.django_db
def test_an_empty_ledger_needs_no_checkpoint(outside):
    assert checkpoint() is None
    assert not outside.path.exists()


@pytest.mark.django_db
def test_a_checkpoint_holds_only_the_heads_that_moved_and_counts_all_entries(outside):
    write(3)
    first_writer = ledger._writer.id
    other_writer()
    write(2)
    first = checkpoint()
    assert checkpoint() is None  # nothing moved
    write(1)
    second = checkpoint()

    assert (first.number, first.entries, second.number, second.entries) == (1, 5, 2, 6)
    assert sorted(first.heads.values_list("position", flat=True)) == [2, 3]
    assert [(head.writer, head.position) for head in second.heads.all()] == [(ledger._writer.id, 3)]
    assert second.heads.get().writer != first_writer
    assert bytes(second.previous) == bytes(first.hash)
    assert bytes(first.previous) == bytes(32)


@pytest.mark.django_db
def test_the_line_outside_can_be_checked_with_nothing_but_itself(outside):
    write(2)
    checkpoint()
    told = json.loads(next(outside.lines()))
    text = json.dumps(
        {key: told[key] for key in ("at", "entries", "number", "previous", "root")}, sort_keys=True, separators=(",", ":")
    ).encode()
    assert hashlib.sha256(text).hexdigest() == told["hash"]
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(told["public_key"])).verify(bytes.fromhex(told["signature"]), text)
    writer, position, entry_hash = told["heads"][0]
    assert position == 2
    assert entry_hash == bytes(Entry.objects.get(position=2).hash).hex()
    leaf = hashlib.sha256(b"\x00" + json.dumps([writer, position, entry_hash], separators=(",", ":")).encode())
    assert told["root"] == leaf.hexdigest()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8])
def test_the_merkle_root_depends_on_every_head_and_not_on_their_order(count):
    heads = [Head(f"{n:032x}", n + 1, hashlib.sha256(bytes([n])).hexdigest()) for n in range(count)]
    root = merkle_root(heads)
    assert merkle_root(reversed(heads)) == root
    for n in range(count):
        changed = [*heads]
        changed[n] = Head(changed[n].writer, changed[n].position + 1, changed[n].hash)
        assert merkle_root(changed) != root
        assert merkle_root(heads[:n] + heads[n + 1 :]) != root
    assert merkle_root([]) == bytes(32)


@pytest.mark.django_db
def test_what_could_not_be_written_outside_is_written_by_the_next_call(outside):
    path = outside.path
    path.parent.mkdir()
    path.mkdir()  # a directory in the file's place: the sink cannot write
    write()
    assert checkpoint() is not None  # which nothing holds up
    [place] = places()
    assert (place.name, place.last_number, place.failing_since is not None) == (outside.name, 0, True)
    assert "Is a directory" in place.error
    path.rmdir()
    assert checkpoint() is None
    [place] = places()
    assert (place.last_number, place.failing_since, place.error) == (1, None, "")
    assert [json.loads(line)["number"] for line in outside.lines()] == [1]
    assert publish(outside) == 0


@pytest.mark.django_db
def test_a_torn_last_line_is_left_and_written_again_whole(outside):
    write()
    checkpoint()
    write()
    checkpoint()
    whole = outside.path.read_bytes()
    outside.path.write_bytes(whole[:-20])  # the power went in the middle of the second line
    assert outside.last_number() == 1
    assert publish(outside) == 1
    lines = outside.path.read_bytes().split(b"\n")
    assert [lines[0], lines[2]] == whole.split(b"\n")[:2]
    assert outside.last_number() == 2


def test_the_last_number_is_found_behind_a_line_longer_than_one_read(tmp_path):
    path = tmp_path / "heads.jsonl"
    path.write_text(json.dumps({"number": 41}) + "\n" + json.dumps({"number": 42, "heads": "x" * 200_000}) + "\n" + "torn" * 40_000)
    assert FileSink(path).last_number() == 42
    assert FileSink(tmp_path / "none").last_number() == 0


@pytest.mark.django_db
def test_the_loser_of_two_checkpoints_at_once_takes_none(outside, monkeypatch):
    write()

    def taken_elsewhere():
        raise IntegrityError("audit_checkpoint_pkey")

    monkeypatch.setattr(checkpoints, "_take", taken_elsewhere)
    assert checkpoint() is None
    assert Checkpoint.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_entries_of_a_transaction_that_commits_late_are_part_of_the_next_checkpoint(outside):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time: nobody can commit late")
    write()
    begun, may_commit = threading.Event(), threading.Event()

    def late() -> None:
        try:
            with transaction.atomic():
                ledger.append("late", actor=system("test"), trace_id="t", subject=("a", "b"))
                begun.set()
                may_commit.wait(20)
        finally:
            connection.close()

    thread = threading.Thread(target=late)
    thread.start()
    begun.wait(20)
    write()  # a higher id, committed earlier
    first = checkpoint()
    may_commit.set()
    thread.join()
    second = checkpoint()
    assert (first.entries, second.entries) == (2, 3)
    late_entry = Entry.objects.get(kind="late")
    assert late_entry.pk < Entry.objects.order_by("-pk").first().pk
    assert [(head.writer, head.position) for head in CheckpointHead.objects.filter(checkpoint=second)] == [(late_entry.writer, 1)]


@pytest.mark.django_db
def test_a_clock_set_back_does_not_set_checkpoints_back(outside, monkeypatch):
    write()
    monkeypatch.setattr(checkpoints.clock, "now", lambda: datetime(2027, 3, 1, tzinfo=UTC))
    checkpoint()
    write()
    monkeypatch.setattr(checkpoints.clock, "now", lambda: datetime(2027, 2, 1, tzinfo=UTC))
    assert checkpoint().at == datetime(2027, 3, 1, tzinfo=UTC)
