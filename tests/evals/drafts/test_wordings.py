"""Single sentences, wrong and right, set into a good mail of their language: written without a look at the word lists, in six rounds (W1 to W6).

They keep what the rounds taught. For a measure of words unseen, write new ones: `docs/adr/0050` has the figures of each round's first run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from approvals.drafts.scoring import Judged, judge

_HERE = Path(__file__).parent
_FRAMES: dict[str, dict[str, Any]] = json.loads((_HERE / "wording_frames.json").read_text(encoding="utf-8"))


def _judged(line: str) -> Judged:
    wording = json.loads(line)
    frame = _FRAMES[wording["locale"]]
    link = "https://quillhouse.chargebee.com/pages/v4/k3RtW9/pay"
    context = {
        "customer": {"first_name": "Paula", "company": "Delacroix Orchards", "locale": wording["locale"]},
        "vendor": "Quillhouse",
        "invoice": {
            "id": "in_55120",
            "number": "KX-2207",
            "amount_due_minor": frame["amount_due_minor"],
            "currency": frame["currency"],
            "date": "2025-06-05",
            "due_date": "2025-06-19",
        },
        "payment_link": link,
        "update_card_link": link.replace("/pay", "/update_card"),
        "allowed_offers": [],
        "sender_name": "Mira Toll",
        "support_email": "billing@quillhouse.example",
        "today": "2025-06-27",
    }
    return judge(
        {
            "id": f"{wording['id']} {wording['sentence']}",
            "label": "bad" if wording["violation"] else "good",
            "violation": wording["violation"],
            "context": context,
            "output": {"subject": "KX-2207", "body": f"{frame['before']}\n\n{wording['sentence']}\n\n{frame['after']}", "channel": "email"},
        }
    )


_JUDGED = [_judged(line) for line in (_HERE / "wordings.jsonl").read_text(encoding="utf-8").splitlines()]


def test_no_right_sentence_is_flagged() -> None:
    good = [entry for entry in _JUDGED if not entry.is_bad]
    assert len(good) >= 570
    assert [entry.id for entry in good if entry.verdict != "good"] == []


def test_wrong_sentences_are_found() -> None:
    bad = [entry for entry in _JUDGED if entry.is_bad]
    assert len(bad) >= 1_100
    assert sum(entry.is_flagged for entry in bad) >= 0.98 * len(bad), [entry.id for entry in bad if not entry.is_flagged]
    assert sum(entry.is_right for entry in bad) >= 0.97 * len(bad), [entry.id for entry in bad if not entry.is_right]
