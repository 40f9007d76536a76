"""The verifier over labelled drafts: our own, those written without a look at the word lists (`held_out_*`, 37 locales), and the shared development
set where it is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from approvals.drafts.scoring import Judged, judge, wilson

OWN = Path(__file__).parent
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "drafts" / "dev.jsonl"
FACTUAL = {"wrong_amount", "wrong_currency", "unknown_link", "pii_leak"}


def _judged(path: Path) -> list[Judged]:
    return [judge(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


@pytest.mark.parametrize("name", ["good", "held_out_good"])
def test_no_good_draft_of_ours_is_flagged(name: str) -> None:
    assert [entry.id for entry in _judged(OWN / f"{name}.jsonl") if entry.verdict != "good"] == []


@pytest.mark.parametrize("name", ["bad", "held_out_bad"])
def test_bad_drafts_of_ours_are_found(name: str) -> None:
    judged = _judged(OWN / f"{name}.jsonl")
    assert [entry.id for entry in judged if not entry.is_flagged and FACTUAL & set(entry.violations)] == []
    assert sum(entry.is_flagged for entry in judged) >= 0.97 * len(judged)
    assert sum(entry.is_right for entry in judged) >= 0.97 * len(judged)


def test_drafts_of_other_authors() -> None:
    """Fifteen sets, each measured before anything was mended by it (ADR 50): mails in 50 locales, and of the first five and last four the bad ones."""
    good, bad = _judged(OWN / "authors_good.jsonl"), _judged(OWN / "authors_bad.jsonl")
    flagged = [entry.id for entry in good if entry.verdict != "good"]
    assert len(flagged) <= 0.003 * len(good), flagged
    missed = [f"{entry.id} {entry.violations}" for entry in bad if not entry.is_flagged]
    assert len(missed) <= 0.02 * len(bad), missed


@pytest.mark.skipif(not SHARED.exists(), reason="the shared development set is not beside this checkout")
def test_the_development_set() -> None:
    judged = _judged(SHARED)
    assert [entry.id for entry in judged if entry.is_bad != entry.is_flagged] == []
    assert all(entry.is_right for entry in judged if entry.is_bad)


def test_wilson_interval() -> None:
    low, high = wilson(97, 100)
    assert (round(low, 4), round(high, 4)) == (0.9155, 0.9897)
    assert wilson(0, 0) == (0.0, 1.0)
