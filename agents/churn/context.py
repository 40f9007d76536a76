"""What the churn agent reads about one customer: the figures of this moment, the score before, the rules, and what was done already."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agents.churn import interventions, queries, scoring, storing
from agents.churn.gather import Gathered, gather, sources
from agents.churn.holdout import is_held_out
from agents.churn.interventions import RuleValue
from agents.churn.models import Intervention
from agents.churn.scoring import Scorer
from agents.churn.signals import CustomerSignals
from agents.churn.storing import Before
from agents.models import AgentRun
from agents.platform.contract import NothingToDo
from approvals.models import Case
from approvals.policy import phase_rules, rules
from approvals.policy.subject import Subject
from billing_ai.facts.models import Customer
from billing_ai.kernel import clock
from billing_ai.kernel.errors import StaleFacts
from billing_ai.kernel.money import Money

CASE_KIND = "churn"
PLAIN_CURRENCY = "USD"
"""Of a case in which no money is named, where the customer has no one currency."""


@dataclass(frozen=True, slots=True)
class ChurnContext:
    """Everything that `decide` looks at: figures and rules, no name and no address."""

    customer: Customer
    as_of: datetime
    gathered: Gathered
    """The figures of this one customer."""
    before: Before
    """The score that stands, as arrays of one."""
    scorer: Scorer
    rules: tuple[RuleValue, ...]
    is_held_out: bool
    is_observed: bool
    """The agent may only observe this customer: what fits is counted, and nothing is proposed."""
    cool_until: datetime | None
    """Until when the last intervention keeps another one off."""
    has_open_case: bool
    past: CustomerSignals | None
    """The customer's own figures of a week or more ago."""
    peers: dict[str, float]


def load(run: AgentRun) -> ChurnContext:
    """Read it. Raises NothingToDo for a customer who is gone, StaleFacts when nothing of them was ever fetched."""
    customer = Customer.objects.filter(pk=run.subject_id).first()
    if customer is None:
        raise StaleFacts(f"customer {run.subject_id}")
    if customer.is_deleted:
        raise NothingToDo("the customer was deleted in Chargebee")
    as_of = clock.now()
    scorer = scoring.current()
    gathered = gather([customer.pk], as_of, sources(as_of))
    last = Intervention.objects.filter(chargebee_customer_id=customer.pk).order_by("-at", "-pk").first()
    return ChurnContext(
        customer=customer,
        as_of=as_of,
        gathered=gathered,
        before=storing.read_before([customer.pk], as_of),
        scorer=scorer,
        rules=interventions.rules_in_force(),
        is_held_out=is_held_out(customer.pk, salt=scorer.knobs.hold_out_salt, share=scorer.knobs.hold_out_share),
        is_observed=_is_observed(customer, gathered, as_of),
        cool_until=last.cool_down_until if last is not None else None,
        has_open_case=Case.objects.filter(kind=CASE_KIND, chargebee_customer_id=customer.pk, status__in=Case.ACTIVE).exists(),
        past=queries.figures_before(customer.pk, as_of),
        peers=queries.peers_of(gathered.segments[0]),
    )


def _is_observed(customer: Customer, gathered: Gathered, as_of: datetime) -> bool:
    asked = Subject(
        id="",
        agent="churn",
        action="",
        step="",
        amount=Money(0, gathered.currencies[0] or PLAIN_CURRENCY),
        customer_id=customer.pk,
        invoice_id="",
        kind=CASE_KIND,
        tier=customer.tier,
        country=customer.country,
        tags=tuple(str(tag) for tag in customer.tags),
    )
    phase = phase_rules.phase_for(asked, rules.recent(as_of))
    return phase is not None and phase.phase == phase_rules.OBSERVE
