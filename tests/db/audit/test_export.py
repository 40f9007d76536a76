"""Evidence packs: complete for the case, silent about others, signed, and checkable with nothing but the pack."""

from __future__ import annotations

import io
import json
import os
import pwd
import subprocess
import sys
import zipfile
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, transaction

from audit import export, keys, ledger, reads, recipe, seal
from audit.actor import Actor, system
from audit.export import case_pack, outline, period_pack, register_contributor
from audit.models import Entry, PersonalDataRead
from billing_ai.kernel import clock

CASE = UUID("11111111-1111-4111-8111-111111111111")
OTHER = UUID("22222222-2222-4222-8222-222222222222")
WHO = Actor("person", "3", "auditor")


def write(kind: str, *, case_id=None, trace="t1", customer="cus_1", **more) -> int:
    with transaction.atomic():
        return ledger.append(
            kind, actor=system("test"), trace_id=trace, subject=("proposal", "p<1>"), case_id=case_id, customer_id=customer, **more
        )


@pytest.fixture
def contributors(monkeypatch):
    held: dict = {}
    monkeypatch.setattr(export, "_contributors", held)
    return held


@pytest.fixture
def history(db, settings, tmp_path, contributors):
    settings.AUDIT_CHECKPOINTS = [(tmp_path / "heads.jsonl").as_uri()]
    ledger._start_new_chain()
    write("event.stored", customer="")  # the same trace, before there was a case
    write("other.case", case_id=OTHER, customer="cus_2", trace="t2", data={"amount_due_minor": 777001})
    write("run.finished", case_id=CASE, data={"likelihood": 0.5})
    write("other.customer.same.trace", customer="cus_2")
    ledger._start_new_chain()
    write("proposal.approved", case_id=CASE, data={"note": "<script>alert(1)</script>"})
    write("unrelated", trace="t9", customer="cus_9")
    return tmp_path


def made(case_id=CASE) -> zipfile.ZipFile:
    into = io.BytesIO()
    case_pack(case_id, WHO, into)
    return zipfile.ZipFile(into)


def ledger_of(pack: zipfile.ZipFile) -> list[dict]:
    return [json.loads(line) for line in pack.read("ledger.jsonl").splitlines()]


@pytest.mark.django_db
def test_a_pack_holds_the_case_and_its_trace_and_nothing_of_others(history):
    pack = made()
    assert {entry["kind"] for entry in ledger_of(pack)} == {"event.stored", "run.finished", "proposal.approved"}
    everything = b"".join(pack.read(name) for name in pack.namelist())
    for foreign in (b"cus_2", b"cus_9", b"777001", str(OTHER).encode()):
        assert foreign not in everything
    assert list(recipe.check(pack)) == []


@pytest.mark.django_db
def test_contributors_tell_each_section_and_the_page_shows_it_escaped(history):
    register_contributor("approvals", lambda case_id: {"drafts": [{"text": "Dear <b>you</b>", "sent": None}], "case": str(case_id)})
    register_contributor("facts", lambda case_id: {"invoice": {"status": "payment_due"}})
    pack = made()
    told = json.loads(pack.read(f"cases/{CASE}.json"))
    assert told["approvals"] == {"drafts": [{"text": "Dear <b>you</b>", "sent": None}], "case": str(CASE)}
    page = pack.read(f"cases/{CASE}.html").decode()
    assert "payment_due" in page
    assert "Dear &lt;b&gt;you&lt;/b&gt;" in page
    assert "<b>you" not in page
    assert "<script>" not in page
    assert f"cases/{CASE}.html" in pack.read("index.html").decode()


@pytest.mark.django_db
def test_a_failing_contributor_fails_the_pack_instead_of_leaving_something_out(history):
    def broken(case_id):
        raise LookupError("no such case here")

    register_contributor("broken", broken)
    with pytest.raises(LookupError, match="no such case here"):
        made()
    assert not Entry.objects.filter(kind="evidence.exported").exists()


@pytest.mark.parametrize("name", ["Upper", "", "../x", "a b"])
def test_a_contributor_needs_a_plain_name(contributors, name):
    with pytest.raises(ValueError, match="plain word"):
        register_contributor(name, lambda case_id: {})
    assert contributors == {}


def test_a_contributor_name_is_taken_once(contributors):
    def tell(case_id):
        return {}

    register_contributor("approvals", tell)
    register_contributor("approvals", tell)
    with pytest.raises(ValueError, match="already"):
        register_contributor("approvals", lambda case_id: {})


@pytest.mark.django_db
def test_making_a_pack_is_written_down(history):
    made()
    entry = Entry.objects.get(kind="evidence.exported")
    assert (entry.actor_label, entry.case_id, entry.data) == ("auditor", CASE, {"cases": 1, "entries": 3})


@pytest.mark.django_db
def test_a_period_pack_holds_its_entries_and_its_cases(history):
    end = clock.now() + timedelta(seconds=1)
    write("late", case_id=uuid4(), trace="t7")
    into = io.BytesIO()
    made_pack = period_pack(end - timedelta(hours=1), end + timedelta(hours=1), WHO, into)
    pack = zipfile.ZipFile(into)
    assert (made_pack.entries, made_pack.cases) == (7, 3)
    assert list(recipe.check(pack)) == []
    into = io.BytesIO()
    assert period_pack(end + timedelta(hours=2), end + timedelta(hours=3), WHO, into).entries == 0
    assert list(recipe.check(zipfile.ZipFile(into))) == []
    with pytest.raises(ValueError, match="ends after"):
        period_pack(end, end, WHO, io.BytesIO())


@pytest.mark.django_db
def test_an_unknown_case_makes_no_pack(history):
    with pytest.raises(LookupError):
        case_pack(uuid4(), WHO, io.BytesIO())


@pytest.mark.django_db
def test_the_recipe_in_the_pack_runs_alone(history):
    pack = made()
    script, zipped = history / "check.py", history / "pack.zip"
    script.write_bytes(pack.read("check.py"))
    zipped.write_bytes(pack.fp.getvalue())
    key = keys.sign(b"")[1].hex()
    whole = subprocess.run([sys.executable, "-I", str(script), str(zipped), key], capture_output=True, text=True, check=False)
    assert (whole.returncode, whole.stdout) == (0, f"whole; signed by {key}\n")
    foreign = subprocess.run([sys.executable, "-I", str(script), str(zipped), "00" * 32], capture_output=True, text=True, check=False)
    assert foreign.returncode == 1


def rewritten(pack: zipfile.ZipFile, changes: dict) -> zipfile.ZipFile:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as other:
        for name in pack.namelist():
            content = changes.get(name, lambda raw: raw)(pack.read(name))
            if content is not None:
                other.writestr(name, content)
        for name in set(changes) - set(pack.namelist()):
            other.writestr(name, changes[name](b""))
    return zipfile.ZipFile(into)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ledger.jsonl": lambda raw: raw.replace(b"proposal.approved", b"proposal.rejected")}, "was changed"),
        ({"ledger.jsonl": lambda raw: raw.split(b"\n", 1)[1]}, "ledger.jsonl was changed"),
        ({"index.html": lambda raw: raw + b" "}, "index.html was changed"),
        ({"index.html": lambda raw: None}, "index.html is missing"),
        ({"extra.txt": lambda raw: b"x"}, "extra.txt does not belong"),
        ({"manifest.json": lambda raw: raw.replace(b"auditor", b"someone")}, "signature of manifest.json"),
        ({"proof.jsonl": lambda raw: raw.replace(b'"checkpoint":1', b'"checkpoint":2')}, "does not lead to checkpoint"),
        ({"checkpoints.jsonl": lambda raw: raw.replace(b'"entries":6', b'"entries":7')}, "checkpoint 1 was changed"),
    ],
)
def test_a_changed_pack_is_refused(history, changes, says):
    wrong = list(recipe.check(rewritten(made(), changes)))
    assert any(says in sentence for sentence in wrong), wrong


@pytest.mark.django_db
def test_after_a_rotation_old_checkpoints_in_a_pack_still_pass(history, settings):
    made()
    settings.MASTER_KEY, settings.MASTER_KEYS_OLD = b"n" * 32, [settings.MASTER_KEY]
    seal.rotate_master_key(system("test"))
    settings.MASTER_KEYS_OLD = []
    pack = made()
    assert json.loads(pack.read("manifest.json"))["public_key"] == keys.sign(b"")[1].hex()
    assert list(recipe.check(pack)) == []


@pytest.mark.django_db
def test_a_checkpoint_that_cannot_go_outside_does_not_stop_the_pack(history, settings):
    settings.AUDIT_CHECKPOINTS = [(history).as_uri()]  # a directory
    assert list(recipe.check(made())) == []


@pytest.mark.django_db
def test_the_commands_write_and_check_a_pack(history):
    out, path = io.StringIO(), history / "case.zip"
    call_command("evidence_pack", case=CASE, out=path, stdout=out)
    assert "3 entries, 1 cases, signed by" in out.getvalue()
    call_command("verify_evidence", path, stdout=out)
    assert "whole; signed by" in out.getvalue()
    with pytest.raises(CommandError, match="exists already"):
        call_command("evidence_pack", case=CASE, out=path)
    with pytest.raises(CommandError, match="no entry about case"):
        call_command("evidence_pack", case=uuid4(), out=history / "none.zip")
    assert sorted(child.name for child in history.iterdir()) == ["case.zip"]  # the next sweep writes the checkpoint outside
    with pytest.raises(CommandError, match="either"):
        call_command("evidence_pack", out=history / "none.zip")
    today = clock.utc_date(clock.now())
    call_command("evidence_pack", start=today, end=today + timedelta(days=1), out=history / "day.zip", stdout=out)
    call_command("verify_evidence", history / "day.zip", stdout=out)


@pytest.mark.django_db
def test_who_runs_the_command_is_a_reader_of_each_case_in_the_pack(history, monkeypatch):
    monkeypatch.setenv("LOGNAME", "somebody-else")  # what the environment says is not who it is
    login = pwd.getpwuid(os.getuid()).pw_name
    call_command("evidence_pack", case=CASE, out=history / "case.zip", stdout=io.StringIO())
    [read] = PersonalDataRead.objects.all()
    assert (read.user_id, read.user_label, read.chargebee_customer_id) == (f"os:{login}", f"{login} at the command line", "cus_1")
    assert reads.reason(read) == f"evidence pack of case {CASE}"
    assert Entry.objects.get(kind="evidence.exported").actor_id == f"os:{login}"

    today = clock.utc_date(clock.now())
    call_command("evidence_pack", start=today, end=today + timedelta(days=1), out=history / "day.zip", stdout=io.StringIO())
    of_period = PersonalDataRead.objects.exclude(pk=read.pk).order_by("pk")
    assert [(one.chargebee_customer_id, reads.reason(one)) for one in of_period] == [
        ("cus_1", f"evidence pack of case {CASE}"), ("cus_2", f"evidence pack of case {OTHER}"),
    ]  # fmt: skip


@pytest.mark.django_db
def test_no_words_are_opened_for_a_reader_who_cannot_be_written_down(history, contributors, monkeypatch):
    opened = []
    register_contributor("cases", lambda case_id: opened.append(case_id) or {})

    def refuse(*_, **__):
        raise OperationalError("the disk is full")

    monkeypatch.setattr(reads, "note_personal_read", refuse)
    with pytest.raises(OperationalError):
        call_command("evidence_pack", case=CASE, out=history / "case.zip", stdout=io.StringIO())
    assert (opened, list(history.glob("case.zip*"))) == ([], [])


@pytest.mark.django_db
def test_a_pack_of_another_system_is_refused(history, settings):
    path = history / "case.zip"
    call_command("evidence_pack", case=CASE, out=path, stdout=io.StringIO())
    settings.MASTER_KEY = b"z" * 32
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("verify_evidence", path, stdout=out)
    assert caught.value.returncode == 1
    assert "not signed by this system" in out.getvalue()
    (history / "junk.zip").write_text("junk")
    with pytest.raises(CommandError, match="no evidence pack"):
        call_command("verify_evidence", history / "junk.zip")


def test_the_recipe_and_the_ledger_speak_of_the_same_columns():
    assert recipe.CONTENT == ledger.COLUMNS
    assert recipe.link(b"\x01" * 32, 7, b"\x02" * 32) == export.ledger.link(b"\x01" * 32, 7, b"\x02" * 32)


def test_an_outline_is_read_row_by_row():
    assert list(outline({"a": {"b": [1, {"c": None}]}, "d": []})) == [
        (0, "a", ""), (1, "b 1", "1"), (1, "b 2", ""), (2, "c", "–"), (0, "d", "none"),
    ]  # fmt: skip
