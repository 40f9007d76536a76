"""What would a changed rule have done to the last days' cases? Runs it over what was sent, tried and proposed, and changes nothing.

Facts other than times and counts (consent, zone, country) are taken as they are now; what was refused then is not looked at again.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from django.db.models import QuerySet

from approvals.models import CollectionAttempt, Contact, Proposal
from approvals.policy import rule_values, rules, words_origin
from approvals.policy.case_view import LOOK_BACK, attempt_of
from approvals.policy.contact_rules import NOT_COUNTED, ContactFacts, Question, Said, may_contact
from approvals.policy.limits import AMOUNT_PER_ACTION, SECOND_PAIR_OF_EYES, SPECIALIST, Counts, weigh
from approvals.policy.phase_rules import AUTOMATE, is_sampled, phase_for, wants_plans
from approvals.policy.retry_rules import Attempt, Charge, check_retry
from approvals.policy.rules import PhaseRule, Rule, Rules
from approvals.policy.subject import Subject, of_proposal
from billing_ai.facts.models import Customer, PaymentSource, Subscription
from billing_ai.kernel.money import Money

One = TypeVar("One")
Thing = TypeVar("Thing")
AMOUNTS = (AMOUNT_PER_ACTION, SECOND_PAIR_OF_EYES, SPECIALIST)
"""The limits that past proposals can be held against."""
MOST_LOOKED_AT = 20_000
"""Messages, attempts or proposals of one trial, the newest. A month with 5,000 customers has a third of them."""
LONGEST_SECONDS = 8.0
"""Of one trial. Whoever may look may try, so what that costs has an end."""
_MOST_EXAMPLES = 20
_AT_A_TIME = 500
_HOLDS_BACK = ("deny", "wait")


class _Bounds:
    """How far one trial goes back, and for how long it counts. `cut` says in words what was left out."""

    def __init__(self) -> None:
        self.cut = ""
        self._ends = time.monotonic() + LONGEST_SECONDS

    def newest(self, rows: QuerySet[Any, One], *by: str) -> list[One]:
        """The newest rows, oldest first."""
        found = list(rows.order_by(*(f"-{name}" for name in by))[: MOST_LOOKED_AT + 1])
        if len(found) > MOST_LOOKED_AT:
            self._note_cut()
        return found[MOST_LOOKED_AT - 1 :: -1] if self.cut else found[::-1]

    def streamed(self, rows: QuerySet[Any, One], by: str) -> Iterator[One]:
        """The newest rows, newest first, a few hundred in memory at a time: for rows that are large."""
        for number, row in enumerate(rows.order_by(f"-{by}")[: MOST_LOOKED_AT + 1].iterator(chunk_size=_AT_A_TIME)):
            if number == MOST_LOOKED_AT:
                self._note_cut()
                return
            yield row

    def _note_cut(self) -> None:
        self.cut = f" Only the newest {MOST_LOOKED_AT:,} were looked at."

    def in_time(self, things: Iterable[Thing]) -> Iterator[Thing]:
        """Until the time is over."""
        for thing in things:
            if time.monotonic() > self._ends:
                self.cut = f" It was stopped after {LONGEST_SECONDS:g} seconds, so not all of them are counted."
                return
            yield thing


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What changes: of `total` things of this kind, so many would have been held back, so many let through that the rules now hold back."""

    kind: str
    total: int
    held_back: int
    let_through: int
    examples: tuple[str, ...]
    """Ids of customers, transactions or proposals that are affected, at most 20."""
    sentence: str
    """Says it in words, and what was left out where there was too much to look at."""


def policy(key: str, *, now: datetime, params: Mapping[str, Any] | None = None, is_enabled: bool = True, days: int = 30) -> WhatIf:
    """Try changed values, or a switched-off rule. Raises ValueError when the values cannot be used, or the rule is of a kind that counts nothing."""
    before = rules.current(now)
    old = before.policies.get(key)
    values = dict(params) if params is not None else dict(old.params if old is not None else {})
    trouble = rule_values.problem(key, values)
    if trouble:
        raise ValueError(trouble)
    changed = Rule(key, old.kind if old is not None else key.split(".")[0], values, is_enabled)
    after = replace(before, policies={**before.policies, key: changed})
    bounds = _Bounds()
    if key.startswith("contact."):
        return _sum_up("messages", _contacts(key, before, after, now, days, bounds), days, bounds)
    if key.startswith("retry."):
        return _sum_up("attempts", _attempts(key, before, after, now, days, bounds), days, bounds)
    if key == "reference_rates":
        return _sum_up("proposals", _amounts(before, after, now, days, bounds), days, bounds, held="needed another approval")
    raise ValueError(f"{key} decides nothing that could be counted")


def limit(agent: str, key: str, value: int, *, now: datetime, days: int = 30) -> WhatIf:
    """Try another amount for one of the limits that say who approves. Raises ValueError for a limit that past proposals do not show."""
    if key not in AMOUNTS:
        raise ValueError(f"{key} cannot be tried on past proposals; its use of each day is on the dashboard")
    before = rules.current(now)
    after = replace(before, limits={**before.limits, (agent, key): value})
    bounds = _Bounds()
    return _sum_up("proposals", _amounts(before, after, now, days, bounds, agent), days, bounds, held="needed another approval")


def phase(agent: str, segment: str, *, now: datetime, days: int = 30, model_words: bool | None = None) -> WhatIf:
    """How many past proposals of a segment would have gone out without a person, had it been automated; `model_words` as it is, or tried."""
    before = rules.current(now)
    row = next((one for one in before.phases if (one.agent, one.segment) == (agent, segment)), None)
    if row is None:
        raise ValueError(f"there is no segment {segment} of {agent}")
    return _automated(before, row if model_words is None else replace(row, model_words=model_words), now, days)


def segment(agent: str, name: str, match: Mapping[str, Any], *, rank: int, sample_percent: int, now: datetime, days: int = 30) -> WhatIf:
    """The same for a segment that does not exist yet, or would take in other customers."""
    before = rules.current(now)
    row = PhaseRule(agent, name, dict(match), AUTOMATE, sample_percent, rank)
    others = tuple(one for one in before.phases if (one.agent, one.segment) != (agent, name))
    return _automated(replace(before, phases=(*others, row)), row, now, days)


def _automated(in_force: Rules, row: PhaseRule, now: datetime, days: int) -> WhatIf:
    total, alone, worded, examples, bounds = 0, 0, 0, [], _Bounds()
    for proposal, subject in bounds.in_time(_proposals(now, days, row.agent, bounds, with_plans=wants_plans(in_force, row.agent))):
        fitting = phase_for(subject, in_force)
        if fitting is None or fitting.segment != row.segment:
            continue
        total += 1
        checks = {check["rule"]: check for check in proposal.verdict.get("checks", ())}
        asks = [rule for rule, check in checks.items() if check["outcome"] in ("deny", "person") and rule != words_origin.RULE]
        if not all(rule.startswith("rollout.") for rule in asks) or is_sampled(subject, row.sample_percent):
            continue
        # One from before there was the rule tells nothing of its words, so it is none that would have gone.
        if subject.writes and not words_origin.would_go(checks.get(words_origin.RULE, {}), others_may_go=row.model_words):
            worded += 1
            continue
        alone += 1
        examples.append(str(proposal.pk))
    sentence = (
        f"{alone} of the last {days} days' {total} proposals of this segment would have gone out without a person under “{AUTOMATE}”."
    ) + (f" {worded} more would have waited for a person only because of who wrote their words." if worded else "")
    return WhatIf("proposals", total, 0, alone, tuple(examples[:_MOST_EXAMPLES]), sentence + bounds.cut)


def _sum_up(kind: str, answers: Iterable[tuple[str, bool, bool]], days: int, bounds: _Bounds, *, held: str = "denied or put off") -> WhatIf:
    total = back = through = 0
    examples: list[str] = []
    for ident, was_held, is_held in bounds.in_time(answers):
        total += 1
        back += is_held and not was_held
        through += was_held and not is_held
        if is_held != was_held and len(examples) < _MOST_EXAMPLES:
            examples.append(ident)
    what = "This change would have"
    sentence = f"{what} {held} {back} of the last {days} days' {total} {kind}" + (
        f", and let through {through} that are held back now." if through else "."
    )
    return WhatIf(kind, total, back, through, tuple(examples), sentence + bounds.cut)


def _contacts(key: str, before: Rules, after: Rules, now: datetime, days: int, bounds: _Bounds) -> Iterator[tuple[str, bool, bool]]:
    """(customer id, held back by this rule as it is, held back as changed) for each message that was sent."""
    since = now - timedelta(days=days)
    said_then = Contact.objects.filter(direction="out", at__gt=since - LOOK_BACK, at__lte=now)
    rows = bounds.newest(said_then.values_list("chargebee_customer_id", "channel", "kind", "at"), "at")
    facts = _facts_of({row[0] for row in rows})
    said: dict[str, list[Said]] = defaultdict(list)
    for customer_id, channel, kind, at in rows:
        earlier = tuple(said[customer_id])
        said[customer_id].append(Said(at, channel, kind))
        if at <= since or kind in NOT_COUNTED or kind == "conversation":
            continue
        known = replace(facts.get(customer_id, ContactFacts()), said=earlier)
        question = Question(channel, kind, at)
        yield customer_id, _held_by(key, question, known, before), _held_by(key, question, known, after)


def _held_by(key: str, question: Question, known: ContactFacts, in_force: Rules) -> bool:
    return any(check.rule == key and check.outcome in _HOLDS_BACK for check in may_contact(question, known, in_force))


def _facts_of(customer_ids: set[str]) -> dict[str, ContactFacts]:
    found = Customer.objects.filter(pk__in=customer_ids).values_list(
        "pk", "country", "time_zone", "phone_country", "has_email", "has_phone"
    )
    return {
        pk: ContactFacts(country=country, time_zone=zone, phone_country=phone, has_email=has_email, has_phone=has_phone)
        for pk, country, zone, phone, has_email, has_phone in found.iterator()
    }


def _attempts(key: str, before: Rules, after: Rules, now: datetime, days: int, bounds: _Bounds) -> Iterator[tuple[str, bool, bool]]:
    """(transaction id, held back as the rules are, held back as changed) for each attempt that was made."""
    since = now - timedelta(days=days)
    rows = bounds.newest(CollectionAttempt.objects.filter(happened_at__gt=since - LOOK_BACK, happened_at__lte=now), "happened_at", "pk")
    charged = PaymentSource.objects.filter(instrument_hash__in={row.instrument_hash for row in rows} - {""})
    countries = dict(charged.values_list("instrument_hash", "issuing_country"))
    earlier: dict[str, list[Attempt]] = defaultdict(list)
    for row in rows:
        seen = earlier[row.instrument_hash]
        # A first attempt of an invoice is the renewal itself, which no rule of ours decides on.
        is_retry = any(one.invoice_id == row.chargebee_invoice_id and not one.succeeded for one in seen)
        if row.happened_at > since and is_retry:
            charge = Charge(
                amount=Money(row.amount_minor, row.currency),
                invoice_id=row.chargebee_invoice_id,
                network=row.network,
                at=row.happened_at,
                merchant_account=row.merchant_account,
                issuing_country=countries.get(row.instrument_hash, ""),
            )
            yield row.chargebee_transaction_id, _stops(charge, seen, before), _stops(charge, seen, after)
        seen.append(attempt_of(row))


def _stops(charge: Charge, seen: list[Attempt], in_force: Rules) -> bool:
    return any(check.outcome in _HOLDS_BACK for check in check_retry(charge, seen, in_force))


def _amounts(before: Rules, after: Rules, now: datetime, days: int, bounds: _Bounds, agent: str = "") -> Iterator[tuple[str, bool, bool]]:
    """(proposal id, False, does it now need more people than before) for each proposal; fewer people counts as let through."""
    for proposal, subject in _proposals(now, days, agent, bounds):
        was, would = _strictness(subject, before, now), _strictness(subject, after, now)
        yield str(proposal.pk), was > would, would > was


def _strictness(subject: Subject, in_force: Rules, now: datetime) -> tuple[int, bool, bool]:
    weighed = weigh(subject, Counts(), in_force, now)
    asks = any(check.outcome == "person" for check in weighed.checks)
    return weighed.approvals_needed, weighed.role_needed == "lead", asks


def _proposals(now: datetime, days: int, agent: str, bounds: _Bounds, *, with_plans: bool = False) -> Iterator[tuple[Proposal, Subject]]:
    """Past proposals with their customers' tags, countries and plans as they are now, a few hundred at a time."""
    rows = Proposal.objects.filter(created_at__gt=now - timedelta(days=days), created_at__lte=now).select_related("case", "current")
    if agent:
        rows = rows.filter(agent=agent)
    for some in _batched(bounds.streamed(rows, "created_at"), _AT_A_TIME):
        ids = {proposal.chargebee_customer_id for proposal in some}
        about = {pk: (tags, country) for pk, tags, country in Customer.objects.filter(pk__in=ids).values_list("pk", "tags", "country")}
        plans = _plans_of(ids) if with_plans else {}
        for proposal in some:
            subject = of_proposal(proposal, moment="propose")
            tags, country = about.get(subject.customer_id, ((), ""))
            subject = replace(subject, tags=tuple(dict.fromkeys((*subject.tags, *tags))), country=subject.country or country)
            yield proposal, replace(subject, plans=plans.get(subject.customer_id, ()))


def _plans_of(customer_ids: set[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    rows = Subscription.objects.filter(chargebee_customer_id__in=customer_ids, is_deleted=False)
    for customer_id, prices in rows.values_list("chargebee_customer_id", "item_price_ids"):
        found[customer_id] += map(str, prices)
    return {customer_id: tuple(dict.fromkeys(prices)) for customer_id, prices in found.items()}


def _batched(rows: Iterable[Proposal], size: int) -> Iterator[list[Proposal]]:
    """Lists of at most `size`, in order."""
    them = iter(rows)
    while some := list(islice(them, size)):
        yield some
