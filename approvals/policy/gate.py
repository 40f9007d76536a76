"""The policy gate: every rule about one proposal, asked when it is made, when it is approved and just before it acts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, cast

from approvals.contract import Check, Verdict
from approvals.models import Execution, Limit, Phase, Policy, Proposal
from approvals.policy import case_view, limits, phase_rules, retry_ledger, rules, subject
from approvals.policy.case_view import View
from approvals.policy.contact_rules import Question, may_contact, pauses
from approvals.policy.retry_rules import check_retry
from approvals.policy.rules import Rules
from approvals.policy.subject import ORDERED_BY_PERSON, Moment, Subject
from approvals.policy.words_origin import Origin
from billing_ai.facts.models import Customer, Subscription

if TYPE_CHECKING:
    from django.contrib.auth.models import User

LOOK_AGAIN_AFTER = timedelta(minutes=1)
"""How soon work that a kill switch holds back asks again."""
_APPROVER_DISABLED = Check(
    "approval.approver_disabled", "deny", "The account of a person who approved this is disabled; someone else has to look at it."
)
"""An account is disabled because its owner has left or because it was taken over: what it approved and has not gone out is looked at again."""


def judge(
    proposal: Proposal | Subject,
    *,
    moment: Moment,
    now: datetime,
    channel: str = "",
    approver: User | None = None,
    view: View | None = None,
    address_hash: str = "",
    in_force: Rules | None = None,
    used: Mapping[str, int] | None = None,
    plans: tuple[str, ...] | None = None,
    origin: Origin | None = None,
) -> Verdict:
    """All checks of one proposal, and who has to approve it.

    `view` (from `look`) saves reading the customer again for a second proposal of the same case, `in_force`, `used` (today, by the agent) and
    `plans` the rest: with all four nothing is read. `origin` says whose words a message is in; without it they are nobody's. At `execute` look at the checks, not at
    `Verdict.outcome`: a check that asks for a person is satisfied by the people who approved, and denies when they are too few by now.
    """
    asked = proposal if isinstance(proposal, Subject) else subject.of_proposal(proposal, moment=moment, channel=channel, approver=approver)
    if in_force is None:
        in_force = rules.current(now)
    if view is None:
        view = look(asked, now=now, address_hash=address_hash, moment=moment)
    if phase_rules.wants_plans(in_force, asked.agent) and not asked.plans:
        asked = replace(asked, plans=_plans(asked.customer_id) if plans is None else plans)
    asked = replace(asked, tags=tuple(dict.fromkeys((*asked.tags, *view.tags))), country=asked.country or view.country)
    if used is None:
        used = limits.used_today(asked.agent, now) if asked.agent != ORDERED_BY_PERSON else {}
    asked = replace(asked, origin=asked.origin if origin is None else origin)
    verdict = decide(asked, view, in_force, used, moment=moment, now=now)
    if moment == "approve" and approver is not None:
        verdict = replace(verdict, checks=(*verdict.checks, wrote_the_rules_today(approver, asked.agent, now)))
    return verdict


def look(
    asked: Proposal | Subject, *, now: datetime, address_hash: str = "", moment: Moment = "propose", collects: bool | None = None
) -> View:
    """Read what the rules need about the proposal's customer and invoice. `collects=True` reads the retry ledger along with it."""
    if isinstance(asked, Subject):
        customer_id, invoice_id, own, does = asked.customer_id, asked.invoice_id, asked.id, asked.collects
    else:
        customer_id, invoice_id, own = asked.chargebee_customer_id, asked.chargebee_invoice_id, str(asked.pk)
        does = asked.action in subject.COLLECTS
    return case_view.load(
        customer_id,
        invoice_id,
        now=now,
        collects=does if collects is None else collects,
        proposal_id=own if moment == "execute" else "",
        address_hash=address_hash,
    )


def decide(asked: Subject, view: View, in_force: Rules, used_today: Mapping[str, int], *, moment: Moment, now: datetime) -> Verdict:
    """The verdict of everything that was read. Pure."""
    at = max(now, asked.not_before) if asked.not_before is not None and moment != "execute" else now
    checks: list[Check] = [_kill_switch(asked.agent, in_force.stopped, moment, now)]
    phase, of_phase = phase_rules.phase_checks(asked, in_force, moment)
    checks += of_phase
    if asked.contacts:
        question = Question(asked.channel, asked.kind, at, asked.promotes, is_draft=moment == "propose")
        checks += may_contact(question, view.contact, in_force)
    if asked.collects:
        if not asked.contacts:
            checks += pauses(view.contact, at)
        charge = retry_ledger.charge_of(view, asked.amount, asked.invoice_id, at=at, is_draft=moment != "execute")
        checks += check_retry(charge, view.attempts, in_force, view.zone())
    weighed = limits.weigh(asked, view.counts(used_today), in_force, now)
    checks += weighed.checks
    if asked.needs_person:
        checks.append(Check("agent.needs_person", "person", "The agent itself asks for a person."))
    if asked.has_blocking_finding and moment != "execute":
        checks.append(Check("draft.blocked", "person", "The text may not be sent as it is: someone has to mend it."))
    if moment == "execute":
        checks = _after_people(checks, asked.approvals_by_people, weighed.approvals_needed)
        if asked.has_disabled_approver:
            checks.append(_APPROVER_DISABLED)
    return Verdict(tuple(checks), cast("Literal['observe', 'assist', 'automate']", phase), weighed.approvals_needed, weighed.role_needed)


def kill_switch(agent: str, now: datetime) -> Check:
    """Is anything stopping this agent at this very moment? One statement: ask it right before each outside call."""
    return _kill_switch(agent, rules.switches_on(), "execute", now)


def take(execution: Execution, *, now: datetime) -> Check | None:
    """The last look of one effect, inside the transaction that commits it as begun: None when it may go out, else what stops it.

    A message takes its turn under the customer's own row, so that two workers at once cannot both send the last one that is allowed; and
    the day's limits are taken from. `settle_takings` undoes the latter when it turns out that nothing happened.
    """
    proposal = execution.proposal
    stopped = kill_switch(proposal.agent, now)
    if stopped.outcome != "allow":
        return stopped
    if proposal.action in subject.CONTACTS:
        Customer.objects.select_for_update().filter(pk=proposal.chargebee_customer_id).first()
        channel = proposal.current.channel if proposal.current is not None else ""
        view = case_view.load(proposal.chargebee_customer_id, proposal.chargebee_invoice_id, now=now, proposal_id=str(proposal.pk))
        question = Question(channel or "email", proposal.case.kind, now)
        held = next((check for check in may_contact(question, view.contact, rules.current(now)) if check.outcome in ("deny", "wait")), None)
        if held is not None:
            return held
    taken = limits.take(execution, now=now)
    return None if taken.outcome == "allow" else taken


def settle_takings(execution: Execution, *, happened: bool) -> None:
    """What was taken for an effect that has ended: its slot among the retries and its share of the day are spent, or free again where nothing happened."""
    if not happened:
        limits.give_back(execution)
        retry_ledger.release(execution)
    elif execution.action == "collect_payment":
        retry_ledger.use(execution, str(execution.result.get("transaction_id", "")))


def wrote_the_rules_today(approver: User, agent: str, now: datetime) -> Check:
    """Who changed a policy, limit or phase today may not approve under it today."""
    rule = "approval.wrote_the_rules"
    start = now.replace(hour=0, minute=0, second=0, microsecond=0)
    changed = (
        history.filter(changed_by_id=approver.pk, changed_at__gte=start, changed_at__lte=now).order_by().values_list("changed_at")
        for history in (
            Policy.history.exclude(kind="brand"),
            Limit.history.filter(agent=agent),
            Phase.history.filter(agent=agent),
        )
    )
    first, *others = changed
    if first.union(*others, all=True)[:1]:
        return Check(rule, "deny", "You changed the rules today, so today someone else has to approve under them.")
    return Check(rule, "allow", "The approver has not changed the rules today.")


def _kill_switch(agent: str, stopped: frozenset[str], moment: Moment, now: datetime) -> Check:
    scope = rules.stopped_by(agent, stopped)
    if not scope:
        return Check("kill_switch", "allow", "No kill switch is on.")
    sentence = (
        "Everything is stopped by the kill switch." if scope == rules.EVERYTHING else f"The agent {agent} is stopped by its kill switch."
    )
    if moment == "propose":
        return Check("kill_switch", "person", sentence)
    return Check("kill_switch", "wait", sentence, now + LOOK_AGAIN_AFTER)


def _after_people(checks: Iterable[Check], approvals: int, needed: int) -> list[Check]:
    """Before it acts: what asks for a person is satisfied by as many approvals as are needed by now, and by nothing less."""
    return [_satisfied(check) if approvals >= needed else _unsatisfied(check) for check in checks]


def _satisfied(check: Check) -> Check:
    return replace(check, outcome="allow", sentence=f"{check.sentence} A person approved it.") if check.outcome == "person" else check


def _unsatisfied(check: Check) -> Check:
    if check.outcome != "person":
        return check
    return replace(
        check,
        outcome="deny",
        sentence=f"{check.sentence} It was approved under other rules; a person has to look at it.",
        data={"needs": "person"},
    )


def _plans(customer_id: str) -> tuple[str, ...]:
    listed = Subscription.objects.filter(chargebee_customer_id=customer_id, is_deleted=False).values_list("item_price_ids", flat=True)
    return tuple(dict.fromkeys(str(one) for prices in listed for one in prices))
