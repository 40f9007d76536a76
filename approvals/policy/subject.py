"""What the gate is asked about, as a value: one proposal with the little of its case that rules look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from approvals.policy.words_origin import Origin
from billing_ai.kernel.money import Money

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from approvals.models import Proposal

Moment = Literal["propose", "approve", "execute"]
COLLECTS = frozenset({"collect_payment"})
CONTACTS = frozenset({"send_message", "call_task"})
WRITES = frozenset({"send_message"})
ORDERED_BY_PERSON = "person"
"""The agent's name on what a colleague ordered by hand: phases and the limits of automation are not about it."""
_OFFERS = ("promotion", "offer", "discount", "plan_offer")


@dataclass(frozen=True, slots=True)
class Subject:
    """One action that is to be judged. `channel` is set where the customer hears of it; `id` is the proposal's, `case_id` the case's."""

    id: str
    agent: str
    action: str
    step: str
    amount: Money
    customer_id: str
    invoice_id: str
    case_id: str = ""
    kind: str = "dunning"
    channel: str = ""
    not_before: datetime | None = None
    needs_person: bool = False
    finding_rules: tuple[str, ...] = ()
    """Rules of the draft verifier that found something in the text."""
    has_blocking_finding: bool = False
    tier: str = ""
    country: str = ""
    currency: str = ""
    plans: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    approver_id: int | None = None
    approvals_by_people: int = 0
    has_disabled_approver: bool = False
    origin: Origin | None = None
    """Whose words the customer would read; None also where nobody has looked."""
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def collects(self) -> bool:
        """Does it charge the customer?"""
        return self.action in COLLECTS

    @property
    def contacts(self) -> bool:
        """Does the customer hear from us by it?"""
        return bool(self.channel) or self.action in CONTACTS

    @property
    def writes(self) -> bool:
        """Does the customer read words that were drafted for this case?"""
        return self.action in WRITES

    @property
    def lets_go(self) -> bool:
        """Does it only give back to Chargebee what was held for a retry of ours?"""
        return self.action == "resume_dunning"

    @property
    def promotes(self) -> bool:
        """Did the verifier find an offer in the text?"""
        return any(word in rule for rule in self.finding_rules for word in _OFFERS)


def of_proposal(proposal: Proposal, *, moment: Moment, channel: str = "", approver: User | None = None) -> Subject:
    """The subject of a proposal, saved or not. Reads its decisions only before it is carried out."""
    case, revision = proposal.case, proposal.current
    findings = revision.findings if revision is not None else []
    approvers: dict[int, bool] = {}
    if moment == "execute" and revision is not None:
        approvers = dict(proposal.decisions.filter(kind="approve", by__isnull=False, revision=revision).values_list("by", "by__is_active"))
    if not channel and revision is not None:
        channel = revision.channel
    return Subject(
        id=str(proposal.pk),
        agent=proposal.agent,
        action=proposal.action,
        step=proposal.step,
        amount=proposal.amount,
        customer_id=proposal.chargebee_customer_id,
        invoice_id=proposal.chargebee_invoice_id,
        case_id=str(proposal.case_id),
        kind=case.kind,
        channel=channel or ("email" if proposal.action in CONTACTS else ""),
        not_before=proposal.not_before,
        needs_person=proposal.needs_person,
        finding_rules=tuple(str(finding.get("rule", "")) for finding in findings),
        has_blocking_finding=any(finding.get("severity") == "block" for finding in findings),
        tier=case.tier,
        country=case.country,
        currency=proposal.currency or case.currency,
        tags=tuple(str(tag) for tag in case.tags),
        approver_id=approver.pk if approver is not None else None,
        approvals_by_people=len(approvers),
        has_disabled_approver=not all(approvers.values()),
    )
