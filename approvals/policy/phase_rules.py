"""How far the machine may go for one subject: the phase of its agent and segment, and the share that a person sees all the same. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from approvals.contract import Check
from approvals.policy import words_origin
from approvals.policy.reference import KEY as RATES
from approvals.policy.reference import in_reference_cents
from approvals.policy.rules import PhaseRule, Rules
from approvals.policy.subject import ORDERED_BY_PERSON, Moment, Subject

OBSERVE, ASSIST, AUTOMATE = "observe", "assist", "automate"
ORDER = (OBSERVE, ASSIST, AUTOMATE)
LIST_KEYS = ("tier", "country", "currency", "plan", "tag")
MATCH_KEYS = (*LIST_KEYS, "amount_max")


def phase_for(subject: Subject, rules: Rules) -> PhaseRule | None:
    """The agent's row that fits: the lowest rank first, then the one that asks for most. None when no row fits."""
    amount = abs(in_reference_cents(subject.amount, _rates(rules)))
    fitting = [row for row in rules.phases if row.agent == subject.agent and fits(row.match, subject, amount)]
    return min(fitting, key=lambda row: (row.rank, -len(row.match), row.segment), default=None)


def fits(match: Mapping[str, Any], subject: Subject, amount: int) -> bool:
    """Does every condition hold? A condition that nobody knows fits nothing."""
    values = {
        "tier": (subject.tier,),
        "country": (subject.country,),
        "currency": (subject.amount.currency,),
        "plan": subject.plans,
        "tag": subject.tags,
    }
    for key, wanted in match.items():
        if key == "amount_max":
            if not isinstance(wanted, int) or amount > wanted:
                return False
        elif key not in values or not isinstance(wanted, list) or not any(value in wanted for value in values[key]):
            return False
    return True


def wants_plans(rules: Rules, agent: str) -> bool:
    """Does any segment of the agent ask for the plan?"""
    return any("plan" in row.match for row in rules.phases if row.agent == agent)


def is_sampled(subject: Subject, percent: int) -> bool:
    """Is this one of the share that a person sees? The same action always gets the same answer."""
    if percent <= 0:
        return False
    mark = hashlib.sha256("\x1f".join((subject.agent, subject.invoice_id, subject.action, subject.step)).encode()).digest()
    return int.from_bytes(mark[:8], "big") % 100 < percent


def phase_checks(subject: Subject, rules: Rules, moment: Moment) -> tuple[str, tuple[Check, ...]]:
    """The phase, and what follows from it at this moment."""
    if subject.agent == ORDERED_BY_PERSON:
        return ASSIST, (Check("rollout.phase", "allow", "Ordered by a person."),)
    if subject.lets_go and moment == "execute":
        # It was ordered with the end of a retry, and holding on would be the larger step, whatever the phase is by now.
        return ASSIST, (Check("rollout.phase", "allow", "Gives back what was held for a retry; that waits for nobody."),)
    row = phase_for(subject, rules)
    phase, check = _of_row(subject, row, moment)
    if not subject.writes:
        return phase, (check,)
    others_may_go = row is not None and row.phase == AUTOMATE and row.model_words
    return phase, (check, words_origin.check(subject.origin, others_may_go=others_may_go))


def _of_row(subject: Subject, row: PhaseRule | None, moment: Moment) -> tuple[str, Check]:
    if row is None or row.phase not in ORDER:
        return ASSIST, Check("rollout.phase", "person", "No phase is set for this agent and customer, so a person decides.")
    if row.phase == OBSERVE:
        if moment == "propose":
            return OBSERVE, Check("rollout.phase", "allow", f"Only observed{_of_segment(row.segment)}.")
        return OBSERVE, Check("rollout.phase", "deny", f"For {row.segment} this agent may only observe: nothing goes out.")
    if row.phase == ASSIST:
        return ASSIST, Check("rollout.phase", "person", f"A person approves each of these{_of_segment(row.segment)}.")
    if is_sampled(subject, row.sample_percent):
        return AUTOMATE, Check("rollout.sample", "person", f"One of the {row.sample_percent} % that a person sees all the same.")
    return AUTOMATE, Check("rollout.phase", "allow", f"May be done without a person within the limits{_of_segment(row.segment)}.")


def _of_segment(segment: str) -> str:
    return "" if segment == "everyone" else f" (segment “{segment}”)"


def _rates(rules: Rules) -> Mapping[str, Any]:
    rule = rules.policies.get(RATES)
    return rule.params if rule is not None and rule.is_enabled else {}
