"""Appending: in the caller's transaction, in one statement, in a chain that holds through savepoints, threads and failures."""

from __future__ import annotations

import hashlib
import os
import threading
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.transaction import TransactionManagementError

from audit import ledger
from audit.actor import Actor, agent, system
from audit.ledger import NewEntry, append, append_many
from audit.models import Entry

WHO = system("test")


def write(kind: str = "proposal.approved", **more) -> int:
    return append(kind, actor=WHO, trace_id="t" * 32, subject=("proposal", "p1"), **more)


def chain() -> list[Entry]:
    return list(Entry.objects.order_by("writer", "position"))


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_nothing_is_written():
    with pytest.raises(TransactionManagementError):
        write()
    with pytest.raises(TransactionManagementError):
        append_many([NewEntry(kind="x", actor=WHO, trace_id="t", subject=("a", "b"))])
    assert Entry.objects.count() == 0


@pytest.mark.django_db
def test_every_column_is_kept_and_the_id_comes_back():
    case = UUID("12345678123456781234567812345678")
    entry_id = append(
        "draft.written",
        actor=agent("dunning"),
        trace_id="ab" * 16,
        subject=("proposal", "p7"),
        case_id=case,
        event_id="ev_1",
        customer_id="cus_1",
        invoice_id="inv_1",
        agent="dunning",
        prompt_hash="sha256:77",
        model="offline/collector",
        data={"amount_due_minor": 4200, "currency": "EUR", "note": "ü\x00\n'%s"},
    )
    entry = Entry.objects.get()
    assert (entry.pk, entry.kind, entry.actor_kind, entry.actor_id, entry.actor_label) == (
        entry_id,
        "draft.written",
        "agent",
        "dunning",
        "dunning",
    )
    assert (entry.trace_id, entry.subject_kind, entry.subject_id, entry.case_id) == ("ab" * 16, "proposal", "p7", case)
    assert (entry.chargebee_event_id, entry.chargebee_customer_id, entry.chargebee_invoice_id) == ("ev_1", "cus_1", "inv_1")
    assert (entry.agent, entry.prompt_hash, entry.model) == ("dunning", "sha256:77", "offline/collector")
    assert entry.data == {"amount_due_minor": 4200, "currency": "EUR", "note": "ü\x00\n'%s"}
    assert entry.at.tzinfo is not None


@pytest.mark.django_db
def test_append_is_one_statement(django_assert_num_queries):
    write()
    with django_assert_num_queries(1):
        write()


@pytest.mark.django_db
def test_a_batch_is_two_statements_and_the_same_chain(django_assert_num_queries):
    write("first")
    with django_assert_num_queries(2):
        ids = append_many(NewEntry(kind=f"batch.{n}", actor=WHO, trace_id="t", subject=("row", str(n))) for n in range(150))
    write("last")
    entries = chain()
    assert [entry.kind for entry in entries] == ["first", *(f"batch.{n}" for n in range(150)), "last"]
    assert [entry.pk for entry in entries[1:-1]] == ids
    assert_linked(entries)
    assert append_many([]) == []


def assert_linked(entries: list[Entry]) -> None:
    previous = bytes(32)
    for position, entry in enumerate(entries, start=1):
        content = ledger.content_hash(row_of(entry))
        assert entry.position == position
        assert bytes(entry.prev_hash) == previous
        previous = hashlib.sha256(previous + entry.pk.to_bytes(8, "big") + content).digest()
        assert bytes(entry.hash) == previous


def row_of(entry: Entry) -> tuple:
    values = [getattr(entry, name) for name in ledger.COLUMNS]
    values[-1] = ledger.canonical_json(values[-1]).decode()
    return tuple(values)


@pytest.mark.django_db
def test_a_rolled_back_savepoint_takes_its_entries_along_and_the_chain_goes_on():
    write("before")
    with transaction.atomic():
        write("lost.1")
        write("lost.2")
        transaction.set_rollback(True)
    with transaction.atomic():
        write("kept")
    write("after")
    entries = chain()
    assert [entry.kind for entry in entries] == ["before", "kept", "after"]
    assert [entry.position for entry in entries] == [1, 2, 3]
    serials = [entry.serial for entry in entries]
    assert serials == sorted(set(serials))
    assert serials[1] == serials[0] + 3  # two attempts were lost; their numbers are not used again
    assert_linked(entries)


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_transaction_leaves_nothing():
    with transaction.atomic():
        write("one")
    with transaction.atomic():
        write("lost")
        transaction.set_rollback(True)
    with transaction.atomic():
        write("two")
    entries = chain()
    assert [(entry.kind, entry.position) for entry in entries] == [("one", 1), ("two", 2)]
    assert_linked(entries)


@pytest.mark.django_db(transaction=True)
def test_threads_write_chains_of_their_own():
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("SQLite in memory shares one cache and locks whole tables: set DATABASES['default']['TEST']['NAME'] to a file")

    def work(name: str) -> None:
        try:
            for n in range(10):
                with transaction.atomic():
                    write(f"{name}.{n}")
                    write(f"{name}.{n}.again")
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(f"thread{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    entries = chain()
    assert len(entries) == 80
    writers = {entry.writer for entry in entries}
    assert len(writers) == 4
    for writer in writers:
        own = [entry for entry in entries if entry.writer == writer]
        assert len({entry.kind.split(".")[0] for entry in own}) == 1
        assert_linked(own)


@pytest.mark.django_db
@pytest.mark.parametrize("batch", [False, True])
def test_after_a_taken_position_the_next_attempt_starts_a_new_chain(batch):
    write("one")
    writer = ledger._writer.id

    def taken(execute, sql, params, many, context):
        raise IntegrityError("audit_entry_writer_position")

    with pytest.raises(IntegrityError), transaction.atomic(), connection.execute_wrapper(taken if not batch else only_inserts(taken)):
        append_many([NewEntry(kind="lost", actor=WHO, trace_id="t", subject=("a", "b"))]) if batch else write("lost")
    write("two")
    assert ledger._writer.id != writer
    assert [(entry.kind, entry.position) for entry in Entry.objects.order_by("id")] == [("one", 1), ("two", 1)]


def only_inserts(wrapper):
    def wrapped(execute, sql, params, many, context):
        hit = "INSERT INTO" in sql
        return (wrapper if hit else lambda execute, *rest: execute(*rest))(execute, sql, params, many, context)

    return wrapped


def test_a_forked_child_gets_a_chain_of_its_own():
    before = ledger._writer.id
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writes, ledger._writer.id.bytes)
        os._exit(0)
    os.waitpid(child, 0)
    told = os.read(reads, 16)
    os.close(reads)
    os.close(writes)
    assert len(told) == 16
    assert told != before.bytes
    assert ledger._writer.id == before  # the parent goes on with its own


@pytest.mark.django_db
@pytest.mark.parametrize(
    "broken",
    [
        {"kind": "k" * 81},
        {"customer_id": "c" * 201},
        {"trace_id": "t" * 65},
        {"customer_id": None},
        {"data": {"x": "y" * 70_000}},
        {"data": {"x": float("nan")}},
    ],
)
def test_what_does_not_fit_is_refused_before_the_database(broken):
    values = {"kind": "k", "actor": WHO, "trace_id": "t", "subject": ("a", "b"), **broken}
    with pytest.raises(ValueError):
        append(values.pop("kind"), **values)
    assert Entry.objects.count() == 0


@pytest.mark.django_db
def test_data_that_is_no_json_is_refused():
    with pytest.raises(TypeError):
        append("k", actor=WHO, trace_id="t", subject=("a", "b"), data={"x": object()})
    assert Entry.objects.count() == 0


@pytest.mark.django_db
def test_numbers_come_back_as_they_were_hashed():
    write(data={"likelihood": 0.1 + 0.2, "big": 1e22, "one": 1.0, "nothing": None})
    entry = Entry.objects.get()
    assert entry.data == {"likelihood": 0.30000000000000004, "big": 1e22, "one": 1.0, "nothing": None}
    assert_linked([entry])


def test_an_actor_is_frozen():
    with pytest.raises(AttributeError):
        Actor("system", "a", "b").label = "c"  # type: ignore[misc]
