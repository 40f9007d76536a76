"""What an agent hands over and what the policy answers: pure values, no model, no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from billing_ai.kernel.money import Money


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, in words, and how much it moved the result. `weight` > 0 raised it; `fact` names what it rests on: a row (`invoice:123`)
    or several of a customer's (`payments:cus_1`)."""

    code: str
    sentence: str
    weight: float = 0.0
    fact: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """A message with slots (`{{ invoice.amount_due }}`), never with facts. `channel` is email or sms."""

    channel: Literal["email", "sms"]
    language: str
    tone: str
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class CaseDraft:
    """What the case says on the queue: one case per kind and invoice."""

    kind: str
    customer_id: str
    invoice_id: str
    amount_due: Money
    category: str
    headline: str
    likelihood_bp: int
    """Likelihood that it comes in, in hundredths of a percent (0–10,000)."""
    uplift_bp: int
    """How much acting now changes that likelihood, in hundredths of a percent."""
    tier: str
    country: str
    locale: str
    due_at: datetime | None = None
    needs_person: bool = False
    next_action: str = ""
    reasons: tuple[Reason, ...] = ()
    at_stake: Money | None = None
    """What there is to lose where nothing is owed; None: the amount due."""
    over: str = ""
    """Why there is no more to be done: the case, when one is open, ends with this reason. Empty: it goes on."""


@dataclass(frozen=True, slots=True)
class ProposalDraft:
    """One thing that the agent would have done. `action` is a key of `approvals.actions.ACTIONS`; `step` makes the effect unique
    (`invoice, step, action`)."""

    action: str
    step: str
    amount: Money
    payload: Mapping[str, Any]
    words: Words | None = None
    not_before: datetime | None = None
    expires_at: datetime | None = None
    reasons: tuple[Reason, ...] = ()
    needs_person: bool = False
    """True: never by policy alone, whatever the phase."""
    words_from: str = ""
    """The model that wrote the words, or `template`."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """Everything one run proposes. Handed to `approvals.intake.submit` by the runner."""

    agent: str
    run_id: str
    trace_id: str
    event_id: str
    facts_hash: str
    prompt_hash: str
    model: str
    case: CaseDraft | None
    proposals: tuple[ProposalDraft, ...]
    decision: Mapping[str, Any] = field(default_factory=dict)


CheckOutcome = Literal["allow", "person", "wait", "deny"]


@dataclass(frozen=True, slots=True)
class Check:
    """One rule's answer. `wait` carries `not_before`: it would be allowed then."""

    rule: str
    outcome: CheckOutcome
    sentence: str
    not_before: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The form in which a check is stored beside the proposal."""
        return {
            "rule": self.rule,
            "outcome": self.outcome,
            "sentence": self.sentence,
            "not_before": self.not_before.isoformat() if self.not_before else None,
            "data": dict(self.data),
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy gate says of one proposal: the checks, and what follows from the strictest of them."""

    checks: tuple[Check, ...]
    phase: Literal["observe", "assist", "automate"]
    approvals_needed: int = 1
    role_needed: Literal["specialist", "lead"] = "specialist"

    @property
    def outcome(self) -> Literal["blocked", "observed", "person", "approved"]:
        """deny beats observe beats a person beats the policy's own approval."""
        outcomes = {check.outcome for check in self.checks}
        if "deny" in outcomes:
            return "blocked"
        if self.phase == "observe":
            return "observed"
        if "person" in outcomes or self.phase == "assist" or self.approvals_needed > 1:
            return "person"
        return "approved"

    @property
    def not_before(self) -> datetime | None:
        """The latest moment that any check asks to wait for."""
        return max((check.not_before for check in self.checks if check.not_before), default=None)

    @property
    def blocking(self) -> tuple[Check, ...]:
        """The checks that deny."""
        return tuple(check for check in self.checks if check.outcome == "deny")
