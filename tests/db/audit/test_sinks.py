"""Places outside the database, by URL: what they hold is read back and compared, and one that is down holds nothing up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client

from audit import ledger
from audit.actor import system
from audit.checkpoints import checkpoint, line_of, places
from audit.checks import check_places
from audit.models import Checkpoint, CheckpointStamp
from audit.sinks import BadPlace, sink_of
from audit.verify import verify, verify_part
from billing_ai.inbox import tasks
from billing_ai.kernel import clock
from billing_ai.work.models import Tick
from tests.db.audit.small_s3 import SmallS3, small_s3
from tests.db.audit.small_tsa import OPENSSL, SmallTsa, make_authority, openssl, small_tsa

pytestmark = pytest.mark.django_db(transaction=True)
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="the time-stamp service of these tests is `openssl ts`: install openssl")


def write(count: int = 1) -> Checkpoint:
    """Entries and a checkpoint over them."""
    with transaction.atomic():
        for number in range(count):
            ledger.append("test.entry", actor=system("test"), trace_id="0" * 32, subject=("test", str(number)))
    found = checkpoint()
    assert found is not None
    return found


def findings() -> dict[str, int]:
    counted: dict[str, int] = {}
    for finding in verify().findings:
        counted[finding.what] = counted.get(finding.what, 0) + 1
    return counted


@pytest.fixture
def s3(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallS3]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with small_s3() as server:
        settings.AUDIT_CHECKPOINTS = [f"s3://proofs/billing/heads?endpoint={server.url}&region=eu-central-1"]
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("tsa") / "ours")


@pytest.fixture
def tsa(authority: Path, settings: Any) -> Iterator[SmallTsa]:
    with small_tsa(authority.parent) as server:
        settings.AUDIT_CHECKPOINTS = [f"tsa+{server.url}"]
        settings.AUDIT_TSA_ROOTS = authority
        yield server
    clock.shift(timedelta())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file://relative/path",
        "/var/heads.jsonl",
        "s3:///no-bucket",
        "s3://b/p?secret=x",
        "ftp://host/x",
        "tsa+https:///x",
        "tsa+ftp://x",
    ],
)
def test_a_url_that_names_no_place_stops_the_start(url: str, settings: Any) -> None:
    with pytest.raises(BadPlace):
        sink_of(url)
    settings.AUDIT_CHECKPOINTS = [url]
    assert [error.id for error in check_places()] == ["audit.E001"]


def test_roots_that_are_no_certificates_stop_the_start(settings: Any, tmp_path: Path) -> None:
    settings.AUDIT_TSA_ROOTS = tmp_path / "none.pem"
    assert [error.id for error in check_places()] == ["audit.E002"]
    settings.AUDIT_TSA_ROOTS.write_text("no certificate")
    assert [error.id for error in check_places()] == ["audit.E002"]


def test_a_bucket_gets_each_checkpoint_once_and_verify_reads_them_back(s3: SmallS3) -> None:
    taken = [write(2) for _ in range(7)]
    # then each is an object of its own, as the line that goes outside
    assert sorted(s3.objects) == [f"proofs/billing/heads/{number:012}.json" for number in range(1, 8)]
    assert s3.objects["proofs/billing/heads/000000000003.json"].decode() == line_of(taken[2]) + "\n"
    assert checkpoint() is None
    assert sum(call.startswith("PUT") for call in s3.calls) == 7
    report = verify()
    assert (report.is_whole, report.outside) == (True, 7)
    [place] = places()
    assert (place.name, place.last_number, place.failing_since) == ("s3://proofs/billing/heads", 7, None)


def test_what_is_in_the_bucket_is_not_overwritten(s3: SmallS3) -> None:
    write()
    sink = sink_of(f"s3://proofs/billing/heads?endpoint={s3.url}&region=eu-central-1")
    before = dict(s3.objects)
    sink.write([(1, "something else")])
    assert s3.objects == before


def test_a_bucket_that_was_tampered_with_or_a_database_that_was_is_found(s3: SmallS3) -> None:
    for _ in range(3):
        write()
    key = "proofs/billing/heads/000000000002.json"
    whole = s3.objects[key]
    told = json.loads(whole)
    s3.objects[key] = json.dumps(told | {"heads": [[told["heads"][0][0], 1, "0" * 64]]}).encode()
    assert findings() == {"outside_changed": 1}
    del s3.objects[key]
    assert findings() == {"outside_gap": 1}
    s3.objects[key] = json.dumps(told | {"hash": "0" * 64}).encode()
    assert findings() == {"checkpoint_outside": 1}
    s3.objects[key] = whole
    assert findings() == {}


def test_a_bucket_that_is_away_holds_nothing_up_is_shown_and_gets_the_rest_later(s3: SmallS3, settings: Any, client: Client) -> None:
    write()
    s3.refuses = True
    with transaction.atomic():
        ledger.append("test.entry", actor=system("test"), trace_id="0" * 32, subject=("test", "x"))
    # when the sweep runs
    tasks.checkpoint_audit()
    # then the checkpoint stands, and the sweep's row, which the console's health and /metrics show, says what is wrong
    assert Checkpoint.objects.count() == 2
    tick = Tick.objects.get(schedule="audit.checkpoint")
    assert tick.problems == 1
    assert tick.result.startswith("not written to s3://proofs/billing/heads since ")
    assert "SlowDown" in tick.result
    told = client.get("/metrics").content.decode()
    assert 'billing_tick_problems{schedule="audit.checkpoint"} 1.0' in told
    assert 'billing_audit_place_behind{place="s3://proofs/billing/heads"} 1.0' in told
    assert 'billing_audit_place_failing_seconds{place="s3://proofs/billing/heads"}' in told
    # and what could not be compared is a finding
    assert findings() == {"outside_unreadable": 1}
    out = StringIO()
    with pytest.raises(CommandError, match="1 of the places"):
        call_command("checkpoint_audit", stdout=out)
    assert "s3://proofs/billing/heads: up to checkpoint 1, down since " in out.getvalue()
    # when it is back
    s3.refuses = False
    assert checkpoint() is None
    assert len(s3.objects) == 2
    assert 'billing_audit_place_behind{place="s3://proofs/billing/heads"} 0.0' in client.get("/metrics").content.decode()
    assert findings() == {}


def test_one_place_that_is_down_does_not_keep_the_next_from_its_copy(s3: SmallS3, settings: Any, tmp_path: Path) -> None:
    settings.AUDIT_CHECKPOINTS = [*settings.AUDIT_CHECKPOINTS, (tmp_path / "heads.jsonl").as_uri()]
    s3.refuses = True
    write()
    assert [json.loads(line)["number"] for line in (tmp_path / "heads.jsonl").read_text().splitlines()] == [1]
    assert [place.failing_since is None for place in places()] == [False, True]


def test_the_sweep_reads_a_bucket_in_bounds(s3: SmallS3, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(6):
        write()
    monkeypatch.setattr("audit.verify._OUTSIDE_A_PART", 2)
    s3.calls.clear()
    report, last = verify_part(None, 1_000)
    assert (report.is_whole, report.outside, last) == (True, 2, None)
    assert sum(call.endswith(".json") for call in s3.calls) == 2


@needs_openssl
def test_a_time_stamp_is_asked_for_once_an_hour_and_covers_what_came_before(tsa: SmallTsa) -> None:
    first, _ = write(), write()
    assert [stamp.checkpoint_id for stamp in CheckpointStamp.objects.all()] == [first.pk]
    clock.shift(timedelta(minutes=59))
    write()
    assert CheckpointStamp.objects.count() == 1
    clock.shift(timedelta(minutes=61))
    last = write()
    assert [stamp.checkpoint_id for stamp in CheckpointStamp.objects.order_by("pk")] == [first.pk, last.pk]
    assert tsa.asked == 2
    report = verify()
    assert (report.is_whole, report.stamps) == (True, 2)


@needs_openssl
def test_a_time_stamp_of_something_else_or_by_someone_else_is_found(tsa: SmallTsa, settings: Any, tmp_path: Path) -> None:
    write()
    clock.shift(timedelta(hours=2))
    write()
    first, second = CheckpointStamp.objects.order_by("pk")
    # the token of another checkpoint
    mine, first.token = bytes(first.token), second.token
    first.save()
    assert findings() == {"stamp": 1}
    # no token at all
    first.token = b"\x30\x03\x02\x01\x00"
    first.save()
    assert findings() == {"stamp": 1}
    first.token = mine
    first.save()
    assert findings() == {}
    # a service that is not under the roots that are trusted
    settings.AUDIT_TSA_ROOTS = make_authority(tmp_path / "others")
    assert findings() == {"stamp": 2}


@needs_openssl
def test_a_service_that_nobody_trusts_gives_no_stamp_and_one_that_is_away_is_asked_again(
    tsa: SmallTsa, settings: Any, tmp_path: Path
) -> None:
    trusted, settings.AUDIT_TSA_ROOTS = settings.AUDIT_TSA_ROOTS, make_authority(tmp_path / "others")
    write()
    [place] = places()
    assert "was not signed by whom AUDIT_TSA_ROOTS names" in place.error
    settings.AUDIT_TSA_ROOTS, tsa.refuses = trusted, True
    write()
    [place] = places()
    assert place.error.endswith("answered 503")
    assert CheckpointStamp.objects.count() == 0
    tsa.refuses = False
    checkpoint()
    [place] = places()
    assert (place.last_number, place.failing_since, CheckpointStamp.objects.count()) == (2, None, 1)


@needs_openssl
def test_an_outsider_checks_a_time_stamp_with_openssl_alone(tsa: SmallTsa, authority: Path, tmp_path: Path) -> None:
    write(3)
    folder, out = tmp_path / "stamps", StringIO()
    call_command("verify_audit", stamps=folder, stdout=out)
    assert "1 time stamps" in out.getvalue()
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-1.json", "checkpoint-1.tsr"]
    said = openssl("ts", "-verify", "-data", folder / "checkpoint-1.json", "-in", folder / "checkpoint-1.tsr", "-CAfile", authority)
    assert b"Verification: OK" in said.stdout
    told = openssl("ts", "-reply", "-in", folder / "checkpoint-1.tsr", "-text").stdout.decode()
    assert "Hash Algorithm: sha256" in told
    text = folder / "checkpoint-1.json"
    assert json.loads(text.read_text())["entries"] == 3
    assert hashlib.sha256(text.read_bytes()).digest() == bytes(Checkpoint.objects.get(pk=1).hash)
    text.write_text(text.read_text().replace('"entries":3', '"entries":2'))
    changed = openssl("ts", "-verify", "-data", text, "-in", folder / "checkpoint-1.tsr", "-CAfile", authority)
    assert changed.returncode != 0
