"""docs/reliability.md: each fault that is to be survived has a row, each row names its tests, and each of these is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (ROOT / "docs/reliability.md").read_text())))


ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/reliability.md").read_text().partition("## What to watch")[0].splitlines()
    if line.startswith("| ") and not line.startswith(("| fault", "| ---"))
]
FAULTS = (
    # delivery
    "50 duplicates at once", "out of order", "crash before the commit", "crash after the commit", "missed webhooks", "forged",
    "replayed a month later", "huge", "deep", "broken JSON", "slow body", "poison event", "a backlog of a million", "a storm from one customer",
    # machines
    "kill -9 between call and commit", "a pool child is killed", "a task outlives its lease", "the broker is flushed", "the broker is frozen",
    "evicts", "the database is restarted", "two beats", "clock skew", "daylight saving", "migration under load", "disk full",
    "deploy mid-task",
    # money and messages
    "paid while a draft waits", "double click", "approve against edit", "stale page", "policy changed after the approval",
    "an approver is disabled", "self-approval and over-limit", "429", "5xx or a lost answer", "the key's window has passed",
    "two proposals for one step", "mail accepted, then time-out", "opt-out after the draft or after the approval",
    "quiet hours after the approval", "kill switch in the middle of a run",
    # model
    "garbage", "huge or endless answers", "wrong amount, currency, date, link, name", "injection through company name, notes, ticket",
    "another customer's data", "provider down", "cost loop",
    # web
    "stored XSS", "header injection", "HTML injection", "SSRF", "CSV formulas", "IDOR", "mass assignment", "tampering with the audit",
    "session theft", "brute force", "CSRF",
)  # fmt: skip
"""The faults that the system is built to survive."""


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_a_row_with_a_test(fault: str) -> None:
    [row, *_] = [row for row in ROWS if fault in row[0]] or [[]]
    assert row, f"no row says what holds when: {fault}"
    assert re.search(r"`tests/[\w/]+\.py::test_\w+`", row[2])


def test_each_row_says_what_holds_and_names_a_test() -> None:
    for row in ROWS:
        assert len(row) == 3, row
        assert row[1], row
        assert "::test_" in row[2], row


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_the_test_is_there(file: str, name: str) -> None:
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_the_table_is_not_empty() -> None:
    assert len(NAMED) > 50
