"""How good the verifier is on labelled drafts: recall, right category, false alarms, each with a Wilson interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from approvals.drafts.facts import BadRecord, from_record
from approvals.drafts.findings import DraftPolicy, DraftText, Finding
from approvals.drafts.verify import verify

_Z95 = 1.959963984540054


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a proportion; (0, 1) when there were no trials."""
    if trials == 0:
        return 0.0, 1.0
    share = hits / trials
    spread = _Z95 * _Z95 / trials
    centre = (share + spread / 2) / (1 + spread)
    half = _Z95 * sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, slots=True)
class Judged:
    """One record with the verifier's findings. A record is flagged when something in it would be blocked."""

    id: str
    is_bad: bool
    is_hard: bool
    violations: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """bad: blocked; person: only a person can tell; good: nothing found."""
        severities = {finding.severity for finding in self.findings}
        return "bad" if "block" in severities else "person" if "person" in severities else "good"

    @property
    def is_flagged(self) -> bool:
        return self.verdict == "bad"

    @property
    def is_right(self) -> bool:
        """Whether one of the rules that fired is one of the record's violations."""
        return bool({finding.rule for finding in self.findings if finding.severity == "block"} & set(self.violations))

    def as_dict(self) -> dict[str, object]:
        return {"id": self.id, "verdict": self.verdict, "findings": [finding.as_dict() for finding in self.findings]}


def judge(record: Mapping[str, Any], policy: DraftPolicy | None = None) -> Judged:
    """Verify one labelled record. Raises BadRecord, which names the field."""
    output, context = record.get("output"), record.get("context")
    if not isinstance(output, dict) or not isinstance(context, dict):
        raise BadRecord("a record needs an output and a context")
    channel = output.get("channel")
    if channel not in ("email", "sms"):
        raise BadRecord(f"channel must be email or sms, not {channel!r}")
    draft = DraftText(str(output.get("subject") or ""), str(output.get("body") or ""), channel)
    return Judged(
        id=str(record.get("id", "")),
        is_bad=record.get("label") == "bad",
        is_hard=bool(record.get("hard")),
        violations=tuple(record.get("violations") or ([record["violation"]] if record.get("violation") else [])),
        findings=tuple(verify(draft, from_record(context), policy)),
    )


def _figure(hits: int, trials: int) -> dict[str, object]:
    low, high = wilson(hits, trials)
    return {"hits": hits, "of": trials, "share": round(hits / trials, 4) if trials else None, "low": round(low, 4), "high": round(high, 4)}


def _figures(judged: Sequence[Judged], prefix: str = "") -> dict[str, object]:
    bad = [entry for entry in judged if entry.is_bad]
    good = [entry for entry in judged if not entry.is_bad]
    return {
        f"{prefix}recall": _figure(sum(entry.is_flagged for entry in bad), len(bad)),
        f"{prefix}right_category": _figure(sum(entry.is_right for entry in bad), len(bad)),
        f"{prefix}false_alarms": _figure(sum(entry.is_flagged for entry in good), len(good)),
    }


def summary(judged: Iterable[Judged]) -> dict[str, object]:
    """The figures over all records and over the hard ones, recall by violation, and the ids that were judged wrongly."""
    records = list(judged)
    by_violation: dict[str, list[Judged]] = {}
    for entry in records:
        if entry.is_bad:
            for violation in entry.violations:
                by_violation.setdefault(violation, []).append(entry)
    return {
        "records": len(records),
        **_figures(records),
        **_figures([entry for entry in records if entry.is_hard], "hard_"),
        "to_a_person": sum(entry.verdict == "person" for entry in records),
        "by_violation": {name: f"{sum(e.is_flagged for e in entries)}/{len(entries)}" for name, entries in sorted(by_violation.items())},
        "missed": [entry.id for entry in records if entry.is_bad and not entry.is_flagged],
        "missed_hard": [entry.id for entry in records if entry.is_bad and entry.is_hard and not entry.is_flagged],
        "wrong_category": [entry.id for entry in records if entry.is_bad and entry.is_flagged and not entry.is_right],
        "false_alarm_ids": [entry.id for entry in records if not entry.is_bad and entry.is_flagged],
    }
