"""Every kind of tampering by someone who may write SQL and drops the triggers first is found, and said where."""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from audit import keys, ledger, seal
from audit import verify as verify_module
from audit.actor import system
from audit.append_only import install_sql, link, remove_sql
from audit.checkpoints import Head, checkpoint, merkle_root
from audit.ledger import append
from audit.models import Checkpoint, Entry
from audit.sinks import FileSink, sink_of
from audit.statement import statement
from audit.verify import Report, verify

WHO = system("test")
NOWHERE = Path("/nonexistent/heads.jsonl")


def write(count: int = 1) -> list[int]:
    with transaction.atomic():
        return [append(f"step.{n}", actor=WHO, trace_id="t" * 32, subject=("proposal", "p1"), data={"n": n}) for n in range(count)]


@pytest.fixture
def outside(settings, tmp_path):
    settings.AUDIT_CHECKPOINTS = [(tmp_path / "heads.jsonl").as_uri()]
    ledger._start_new_chain()
    return sink_of(settings.AUDIT_CHECKPOINTS[0])


@pytest.fixture
def history(outside, db):
    """Two writers with six entries each; a checkpoint after the fourth of each and one at the end."""
    ids = {}
    for name in ("first", "second"):
        ledger._start_new_chain()
        ids[name] = write(4)
        ids[name + "_writer"] = ledger._writer.id
        checkpoint()
        ids[name] += write(2)
    checkpoint()
    assert verify().is_whole
    return ids


@pytest.fixture
def attack(history):
    """Run SQL as someone who may drop the triggers, and put them back to look innocent."""

    def run(*statements: tuple[str, list] | str) -> None:
        with connection.cursor() as cursor:
            for sql in remove_sql(connection.vendor):
                cursor.execute(sql)
            for sql in statements:
                cursor.execute(*((sql,) if isinstance(sql, str) else sql))
            if connection.vendor == "postgresql":
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            for sql in install_sql(connection.vendor):
                cursor.execute(sql)

    return run


def found(report: Report) -> set[tuple]:
    return {(finding.what, finding.entry_id, finding.position) for finding in report.findings}


def db_uuid(value: uuid.UUID):
    return value if connection.features.has_native_uuid_field else value.hex


@pytest.mark.django_db
def test_a_whole_ledger_is_counted(history):
    write(2)
    report = verify()
    assert report.findings == []
    assert (report.entries, report.writers, report.checkpoints, report.outside, report.uncovered) == (14, 2, 3, 3, 2)


@pytest.mark.django_db
def test_an_empty_ledger_is_whole(outside):
    assert verify() == Report()


CHANGES = {
    "kind": "'proposal.rejected'",
    "at": "'2020-01-01 00:00:00+00:00'",
    "serial": "serial + 100",
    "actor_kind": "'person'",
    "actor_id": "'99'",
    "actor_label": "'somebody'",
    "trace_id": "'x'",
    "chargebee_event_id": "'x'",
    "chargebee_customer_id": "'x'",
    "chargebee_invoice_id": "'x'",
    "case_id": "'12345678123456781234567812345678'",
    "subject_kind": "'x'",
    "subject_id": "'x'",
    "agent": "'x'",
    "prompt_hash": "'x'",
    "model": "'x'",
    "data": "'{\"n\": 2}'",
}


def test_the_table_of_changes_covers_every_column():
    assert set(CHANGES) == set(ledger.COLUMNS) - {"writer"}


@pytest.mark.django_db
@pytest.mark.parametrize("column", CHANGES)
def test_a_change_of_any_column_is_found(history, attack, column):
    target = history["first"][2]
    attack(f"UPDATE audit_entry SET {column} = {CHANGES[column]} WHERE id = {target}")
    report = verify()
    assert ("changed", target, 3) in found(report)
    assert {finding.entry_id for finding in report.findings} <= {target, history["first"][3]}


@pytest.mark.django_db
def test_a_changed_id_is_found(history, attack):
    target = history["second"][5]
    attack(f"UPDATE audit_entry SET id = {target + 50} WHERE id = {target}")
    assert found(verify()) == {("changed", target + 50, 6)}


@pytest.mark.django_db
def test_a_change_with_its_hash_made_to_fit_is_found_by_the_link_the_mark_and_the_checkpoint(history, attack):
    target = history["first"][3]
    attack(*rehashed(target, "kind = 'proposal.rejected'"))
    assert found(verify()) == {("forged", target, 4), ("relinked", history["first"][4], 5), ("rewritten", target, 4)}


def rehashed(target: int, change: str) -> list:
    """The update, and the hash that belongs to what is there afterwards."""
    entry = Entry.objects.get(pk=target)
    values = {name: getattr(entry, name) for name in ledger.COLUMNS}
    values["kind"], values["data"] = "proposal.rejected", ledger.canonical_json(entry.data).decode()
    new = link(entry.prev_hash, target, ledger.content_hash(tuple(values.values())))
    return [f"UPDATE audit_entry SET {change} WHERE id = {target}", ("UPDATE audit_entry SET hash = %s WHERE id = %s", [new, target])]


@pytest.mark.django_db
def test_a_removed_entry_is_found(history, attack):
    attack(f"DELETE FROM audit_entry WHERE id = {history['first'][1]}")
    assert found(verify()) == {("removed", history["first"][2], 3)}


@pytest.mark.django_db
def test_a_removed_entry_with_positions_closed_up_is_found(history, attack):
    writer = db_uuid(history["first_writer"])
    attack(
        f"DELETE FROM audit_entry WHERE id = {history['first'][1]}",
        *(
            ("UPDATE audit_entry SET position = position - 1 WHERE writer = %s AND position = %s", [writer, position])
            for position in range(3, 7)
        ),
    )
    what = found(verify())
    assert ("relinked", history["first"][2], 2) in what
    assert ("cut_tail", None, 6) in what


@pytest.mark.django_db
def test_removed_first_entries_are_found(history, attack):
    attack(f"DELETE FROM audit_entry WHERE id IN ({history['first'][0]}, {history['first'][1]})")
    assert found(verify()) == {("removed", history["first"][2], 3)}


@pytest.mark.django_db
def test_two_entries_that_changed_places_are_found(history, attack):
    one, two = history["first"][1:3]
    attack(
        f"UPDATE audit_entry SET position = 1000 WHERE id = {one}",
        f"UPDATE audit_entry SET position = 2 WHERE id = {two}",
        f"UPDATE audit_entry SET position = 3 WHERE id = {one}",
    )
    assert found(verify()) >= {("relinked", two, 2), ("relinked", one, 3), ("reordered", one, 3)}


@pytest.mark.django_db
def test_an_inserted_entry_is_found_though_its_hash_and_links_fit(history, attack):
    """The strongest insertion: at the end of a chain, properly linked. Only the mark tells."""
    last = Entry.objects.get(pk=history["second"][5])
    new_id = last.pk + 1
    values = {name: getattr(last, name) for name in ledger.COLUMNS}
    values["data"] = ledger.canonical_json(last.data).decode()
    values["serial"] += 1
    forged = dict(values, kind="proposal.approved")
    own = link(last.hash, new_id, ledger.content_hash(tuple(forged.values())))
    columns = ", ".join(["id", "position", *ledger.COLUMNS, "mark", "prev_hash", "hash"])
    with connection.cursor() as cursor:
        row = [new_id, 7, *ledger._adapt(tuple(forged.values())), bytes(last.mark), bytes(last.hash), own]
        cursor.execute(f"INSERT INTO audit_entry ({columns}) VALUES ({', '.join(['%s'] * len(row))})", row)
    assert found(verify()) == {("forged", new_id, 7)}


@pytest.mark.django_db
def test_an_entry_played_again_is_found(history, attack):
    """A copy of a true entry has a true mark; its serial number gives it away."""
    last = Entry.objects.get(pk=history["second"][5])
    old = Entry.objects.get(pk=history["second"][1])
    values = {name: getattr(old, name) for name in ledger.COLUMNS}
    values["data"] = ledger.canonical_json(old.data).decode()
    own = link(last.hash, last.pk + 1, ledger.content_hash(tuple(values.values())))
    columns = ", ".join(["id", "position", *ledger.COLUMNS, "mark", "prev_hash", "hash"])
    with connection.cursor() as cursor:
        row = [last.pk + 1, 7, *ledger._adapt(tuple(values.values())), bytes(old.mark), bytes(last.hash), own]
        cursor.execute(f"INSERT INTO audit_entry ({columns}) VALUES ({', '.join(['%s'] * len(row))})", row)
    assert found(verify()) == {("reordered", last.pk + 1, 7)}


@pytest.mark.django_db
def test_a_cut_tail_is_found(history, attack):
    attack(f"DELETE FROM audit_entry WHERE id IN ({history['first'][4]}, {history['first'][5]})")
    report = verify()
    assert [(finding.what, finding.writer, finding.position, finding.checkpoint) for finding in report.findings] == [
        ("cut_tail", history["first_writer"].hex, 6, 2),
    ]


@pytest.mark.django_db
def test_a_whole_chain_that_vanished_is_found(history, attack):
    attack(("DELETE FROM audit_entry WHERE writer = %s", [db_uuid(history["second_writer"])]))
    report = verify()
    assert {(finding.what, finding.writer) for finding in report.findings} == {("cut_tail", history["second_writer"].hex)}


@pytest.mark.django_db
def test_a_tail_cut_together_with_its_checkpoints_is_found_by_the_copy_outside(history, attack):
    attack(
        f"DELETE FROM audit_entry WHERE id IN ({history['second'][4]}, {history['second'][5]})",
        "DELETE FROM audit_checkpointhead WHERE checkpoint_id = 3",
        "DELETE FROM audit_checkpoint WHERE number = 3",
    )
    report = verify()
    assert {(finding.what, finding.checkpoint, finding.position) for finding in report.findings} == {
        ("checkpoint_outside", 3, None),
        ("cut_tail", 3, 6),
    }
    assert verify(FileSink(NOWHERE)).is_whole  # without the copy outside nobody could tell: that is what it is for


@pytest.mark.django_db
def test_a_history_written_anew_with_true_keys_is_found_by_the_copy_outside(history, attack):
    """Someone with the database and the keys makes everything fit inside; the file outside still knows better."""
    target = history["second"][5]
    entry = Entry.objects.get(pk=target)
    values = {name: getattr(entry, name) for name in ledger.COLUMNS}
    values["kind"], values["data"] = "proposal.rejected", ledger.canonical_json(entry.data).decode()
    content = ledger.content_hash(tuple(values.values()))
    own = link(entry.prev_hash, target, content)
    last = Checkpoint.objects.get(number=3)
    root = merkle_root([Head(head.writer.hex, head.position, own.hex()) for head in last.heads.all()])
    text = statement(3, ledger.time_text(last.at), last.entries, root.hex(), bytes(last.previous).hex())
    attack(
        ("UPDATE audit_entry SET kind = 'proposal.rejected', hash = %s, mark = %s WHERE id = %s", [own, keys.mark(content), target]),
        ("UPDATE audit_checkpointhead SET entry_hash = %s WHERE checkpoint_id = 3", [own]),
        (
            "UPDATE audit_checkpoint SET root = %s, hash = %s, signature = %s WHERE number = 3",
            [root, hashlib.sha256(text).digest(), keys.sign(text)[0]],
        ),
    )
    assert verify(FileSink(NOWHERE)).is_whole
    assert found(verify()) == {("checkpoint_outside", None, None), ("rewritten", target, 6)}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("statement_", "what"),
    [
        ("UPDATE audit_checkpoint SET entries = entries + 1 WHERE number = 2", {"checkpoint_forged"}),
        ("UPDATE audit_checkpoint SET signature = hash WHERE number = 2", {"checkpoint_forged"}),
        ("UPDATE audit_checkpoint SET public_key = hash WHERE number = 2", {"checkpoint_forged"}),
        ("UPDATE audit_checkpoint SET previous = hash WHERE number = 2", {"checkpoint_forged", "checkpoint_relinked"}),
        ("UPDATE audit_checkpointhead SET position = position + 1 WHERE checkpoint_id = 3", {"heads_changed", "cut_tail"}),
    ],
)
def test_a_changed_checkpoint_is_found(history, attack, statement_, what):
    attack(statement_)
    assert {finding.what for finding in verify().findings} == what


@pytest.mark.django_db
def test_a_removed_checkpoint_is_found(history, attack):
    attack("DELETE FROM audit_checkpointhead WHERE checkpoint_id = 2", "DELETE FROM audit_checkpoint WHERE number = 2")
    assert [(finding.what, finding.checkpoint) for finding in verify().findings] == [("checkpoint_removed", 2), ("checkpoint_outside", 2)]


@pytest.mark.django_db
def test_a_changed_or_shortened_copy_outside_is_found(history, outside):
    lines = list(outside.lines())
    outside.path.write_text("\n".join([lines[0], lines[2]]) + "\n")
    assert {finding.what for finding in verify().findings} == {"outside_gap"}
    told = json.loads(lines[1])
    told["heads"][0][1] += 1
    outside.path.write_text("\n".join([lines[0], json.dumps(told), lines[2]]) + "\n")
    assert {finding.what for finding in verify().findings} == {"outside_changed"}


@pytest.mark.django_db
def test_a_torn_line_outside_is_counted_and_no_finding(history, outside):
    lines = list(outside.lines())
    outside.path.write_text("\n".join([lines[0], lines[1][:50], lines[1], lines[2]]) + "\n")
    report = verify()
    assert (report.is_whole, report.torn_lines, report.outside) == (True, 1, 3)


@pytest.mark.django_db
def test_missing_triggers_are_found(history):
    with connection.cursor() as cursor:
        for sql in remove_sql(connection.vendor):
            cursor.execute(sql)
    assert {finding.what for finding in verify().findings} == {"trigger_missing"}


@pytest.mark.django_db
def test_a_chain_longer_than_a_page_is_read_in_pages(history, monkeypatch, attack):
    monkeypatch.setattr(verify_module, "_PAGE", 2)
    assert verify().is_whole
    attack(f"DELETE FROM audit_entry WHERE id IN ({history['first'][1]}, {history['first'][2]})")
    assert found(verify()) == {("removed", history["first"][3], 4)}


@pytest.mark.django_db
def test_many_findings_are_counted_and_the_first_kept(history, monkeypatch, attack):
    monkeypatch.setattr(verify_module, "_KEPT", 3)
    attack("UPDATE audit_entry SET kind = 'x'")
    report = verify()
    assert (report.wrong, len(report.findings)) == (12, 3)


@pytest.mark.django_db
def test_after_a_rotation_and_an_erasure_the_chain_is_still_whole(history, settings):
    seal.seal("cus_1", "words")
    settings.MASTER_KEY, settings.MASTER_KEYS_OLD = b"n" * 32, [settings.MASTER_KEY]
    seal.rotate_master_key(WHO)
    settings.MASTER_KEYS_OLD = []
    seal.erase_customer("cus_1", WHO, "customer_request")
    write(2)
    checkpoint()
    assert verify().is_whole


@pytest.mark.django_db
def test_without_the_old_keys_old_marks_do_not_pass(history, settings):
    settings.MASTER_KEY = b"n" * 32
    what = {finding.what for finding in verify().findings}
    assert what == {"forged", "checkpoint_forged"}


@pytest.mark.django_db
def test_a_retired_secret_that_cannot_be_opened_is_said(history, settings):
    settings.MASTER_KEY, settings.MASTER_KEYS_OLD = b"n" * 32, [settings.MASTER_KEY]
    seal.rotate_master_key(WHO)
    settings.MASTER_KEY, settings.MASTER_KEYS_OLD = b"m" * 32, []
    assert "retired_secret" in {finding.what for finding in verify().findings}


@pytest.mark.django_db
def test_the_command_says_where_and_ends_with_1(history, attack):
    out = io.StringIO()
    call_command("verify_audit", stdout=out)
    assert "12 entries of 2 writers, 3 checkpoints, 3 read back from outside" in out.getvalue()
    assert "the chain is whole" in out.getvalue()

    attack(f"UPDATE audit_entry SET kind = 'x' WHERE id = {history['first'][0]}")
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 findings") as caught:
        call_command("verify_audit", stdout=out)
    assert caught.value.returncode == 1
    assert f"[entry={history['first'][0]} writer={history['first_writer'].hex} position=1]" in out.getvalue()

    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("verify_audit", "--json", stdout=out)
    assert json.loads(out.getvalue())["findings"][0]["what"] == "changed"
    with pytest.raises(CommandError, match="does not exist"):
        call_command("verify_audit", checkpoint_file=NOWHERE)
