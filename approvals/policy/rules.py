"""The rules in force, as one value. Read from rows, kept per process, and dropped the moment any of them changes.

One statement a look: it brings the kill switches that are on, and the stamp by which a kept copy is known to be current.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from time import monotonic
from typing import Any
from uuid import UUID

from django.db.models import CharField, QuerySet, Value
from django.db.models.functions import Cast
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from approvals.contract import Check
from approvals.models import KillSwitch, Limit, Phase, Policy, RuleStamp
from billing_ai.kernel import clock, ids

EVERYTHING = "all"
RECENT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy row as it is in force today."""

    key: str
    kind: str
    params: Mapping[str, Any]
    is_enabled: bool = True
    source: str = ""


@dataclass(frozen=True, slots=True)
class PhaseRule:
    """One phase row."""

    agent: str
    segment: str
    match: Mapping[str, Any]
    phase: str
    sample_percent: int
    rank: int = 100
    model_words: bool = False
    """Two leads let a model's words go out by themselves here."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that leads have set. `stopped` names the scopes whose kill switch is on."""

    policies: Mapping[str, Rule] = field(default_factory=dict)
    limits: Mapping[tuple[str, str], int] = field(default_factory=dict)
    phases: tuple[PhaseRule, ...] = ()
    stopped: frozenset[str] = frozenset()

    def params(self, key: str) -> Mapping[str, Any] | None:
        """The rule's values, or None when a lead has switched it off. Raises MissingRule when there is no such row."""
        rule = self.policies.get(key)
        if rule is None:
            raise MissingRule(key)
        return rule.params if rule.is_enabled else None

    def limit(self, agent: str, key: str) -> int | None:
        """The agent's limit, None when nobody has set one."""
        return self.limits.get((agent, key))


class MissingRule(LookupError):
    """A rule has no row, or its values cannot be read: what it would have decided is denied."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def check(self) -> Check:
        """The denial that a specialist sees."""
        return Check(
            self.key, "deny", f"The rule “{self.key}” is missing or cannot be read, so nothing it guards is allowed. A lead has to set it."
        )


@dataclass(frozen=True, slots=True)
class _Kept:
    stamp: UUID
    on: date
    read_at: float
    rules: Rules


_local = threading.local()


def current(now: datetime, *, looked: Iterable[tuple[str, str]] | None = None) -> Rules:
    """The rules in force at this moment, never older than the last committed change. `looked`: the answer to `look`, when the caller has it."""
    today = clock.utc_date(now)
    stamp, stopped = _stamp_and_switches(look() if looked is None else looked)
    kept: _Kept | None = getattr(_local, "kept", None)
    if kept is None or stamp is None or kept.stamp != stamp or kept.on != today:
        kept = _Kept(stamp or ids.new_id(), today, monotonic(), _read(today))
    rules = Rules(kept.rules.policies, kept.rules.limits, kept.rules.phases, stopped)
    _local.kept = _Kept(kept.stamp, today, monotonic(), rules)
    return rules


def recent(now: datetime) -> Rules:
    """The rules as this thread read them in the last seconds: for arithmetic (reference rates), not for what may be done."""
    kept: _Kept | None = getattr(_local, "kept", None)
    if kept is not None and monotonic() - kept.read_at < RECENT_SECONDS and kept.on == clock.utc_date(now):
        return kept.rules
    return current(now)


def forget() -> None:
    """Drop this thread's copy."""
    _local.kept = None


def stopped_by(agent: str, stopped: frozenset[str]) -> str:
    """The scope whose kill switch stops this agent; empty when none does."""
    return next((scope for scope in (EVERYTHING, agent) if scope in stopped), "")


def switches_on() -> frozenset[str]:
    """The scopes whose kill switch is on right now, in one statement: ask before each outside call."""
    return frozenset(KillSwitch.objects.filter(is_on=True).values_list("scope", flat=True))


def look() -> QuerySet[Any, Any]:
    """The stamp of the rules and the switches that are on, in one statement, as (what, text)."""
    switches = KillSwitch.objects.filter(is_on=True).annotate(what=Value("switch", CharField())).values_list("what", "scope")
    stamps = RuleStamp.objects.annotate(what=Value("stamp", CharField()), text=Cast("stamp", CharField())).values_list("what", "text")
    return switches.union(stamps, all=True)


def _stamp_and_switches(looked: Iterable[tuple[str, str]]) -> tuple[UUID | None, frozenset[str]]:
    stamp: UUID | None = None
    stopped = set()
    for what, text in looked:
        if what == "stamp":
            stamp = UUID(text)
        else:
            stopped.add(text)
    return stamp, frozenset(stopped)


def _read(today: date) -> Rules:
    policies = {row.key: _in_force(row, today) for row in Policy.objects.all()}
    limits = {(row.agent, row.key): row.value for row in Limit.objects.all()}
    phases = tuple(
        PhaseRule(row.agent, row.segment, row.match, row.phase, row.sample_to_people_percent, row.rank, row.model_words)
        for row in Phase.objects.order_by("agent", "rank", "segment")
    )
    return Rules({key: rule for key, rule in policies.items() if rule is not None}, limits, phases)


def _in_force(row: Policy, today: date) -> Rule | None:
    """The row, or what stood there before while the row's own date is still to come. None: it has not begun at all."""
    if row.effective_from <= today:
        return Rule(row.key, row.kind, row.params, row.is_enabled, row.source)
    before = row.history.filter(effective_from__lte=today).order_by("-history_date", "-history_id").first()
    return Rule(before.key, before.kind, before.params, before.is_enabled, before.source) if before is not None else None


@receiver([post_save, post_delete], sender=Policy)
@receiver([post_save, post_delete], sender=Limit)
@receiver([post_save, post_delete], sender=Phase)
@receiver([post_save, post_delete], sender=KillSwitch)
def _restamp(**_: Any) -> None:
    """A new stamp in the transaction of the change. Random, so that a stamp that was rolled back is never met again."""
    RuleStamp.objects.update_or_create(pk=1, defaults={"stamp": ids.new_id()})
    forget()
