"""The dunning agent, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from agents.dunning import context as reading
from agents.dunning import proposal
from agents.dunning.context import DunningContext
from agents.dunning.decide import DunningDecision, decide
from agents.models import AgentRun
from agents.platform.contract import Drafting, Subject
from agents.platform.llm.requests import DraftAnswer, DraftRequest
from agents.platform.prompts import live_prompt
from approvals.contract import CaseDraft, ProposalDraft
from approvals.drafts.slots import slots_for
from approvals.models import Case
from approvals.policy.reference import reference_cents
from billing_ai.facts.models import Invoice
from billing_ai.facts.queries import OPEN_INVOICE, hash_of_facts
from billing_ai.kernel import clock
from billing_ai.kernel.money import Money
from billing_ai.tables.one_statement import Kept

FOLLOW_UP_AFTER = timedelta(days=5)
_OPENS_CASES = frozenset({"payment_failed", "invoice_updated", "dunning_updated"})


class DunningAgent:
    """Opens a case when a payment fails, and looks again at what is open when there is news of the customer."""

    name = "dunning"
    label = "Dunning and collections"
    events = frozenset(
        {
            "payment_failed",
            "payment_succeeded",
            "invoice_generated",
            "invoice_updated",
            "subscription_changed",
            "subscription_cancelled",
            "card_expiry_reminder",
            "payment_source_expiring",
            "payment_source_added",
            "payment_source_updated",
            "card_added",
            "card_updated",
            "dunning_updated",
            "credit_note_created",
            "customer_changed",
        }
    )

    def subjects(self, event_type: str, customer_id: str, invoice_ids: Sequence[str]) -> Sequence[Subject]:
        """The unpaid invoices that the event names, when it may open a case; else those of the customer's open cases."""
        opens = event_type in _OPENS_CASES
        found = _SUBJECTS.ask(customer_id=customer_id, invoice_ids=tuple(invoice_ids) if opens else ())
        wanted = set(found["active"])
        wanted |= {
            invoice_id
            for invoice_id, dunning in found["owed"]
            if event_type == "payment_failed" or dunning in ("in_progress", "exhausted", "stopped")
        }
        return [Subject("invoice", invoice_id) for invoice_id in sorted(wanted)]

    def due(self, now: datetime) -> Sequence[tuple[Subject, str, str]]:
        """Open cases on which nothing waits and nothing has happened for some days: time for the next step."""
        quiet = Case.objects.filter(kind="dunning", status=Case.OPEN, waiting_count=0, updated_at__lt=now - FOLLOW_UP_AFTER)
        rows = quiet.exclude(proposals__status__in=("approved", "executing", "unknown")).values_list(
            "chargebee_invoice_id", "chargebee_customer_id"
        )
        return [(Subject("invoice", invoice_id), customer_id, f"follow-up:{clock.utc_date(now)}") for invoice_id, customer_id in rows[:500]]

    def load_context(self, run: AgentRun) -> DunningContext:
        """Read what the decision rests on."""
        return reading.load(run)

    def decide(self, context: DunningContext, now: datetime) -> DunningDecision:
        """Decide."""
        due = Money(context.invoice.amount_due_minor, context.invoice.currency)
        return decide(context, now, amount_reference=reference_cents(due))

    def drafting(self, context: DunningContext, decision: DunningDecision, run: AgentRun) -> Sequence[Drafting]:
        """One message, unless nothing may be written."""
        if not decision.writes:
            return []
        facts = context.live.draft
        if decision.retry is not None:
            facts = context.live.with_retry(decision.retry.at)
        live = context.live.customer
        request = DraftRequest(
            agent=self.name,
            run_id=run.pk,
            trace_id=run.trace_id,
            prompt=live_prompt(self.name, releases=context.releases),
            language=context.customer.locale or "en",
            channel=decision.channel,
            tone=decision.tone,
            stage=decision.stage,
            reason_category=decision.category,
            allowed_slots=frozenset(slots_for(facts, decision.channel)),
            variables={
                "value": "high" if context.customer.tier in ("enterprise", "gold", "platinum") else "normal",
                "open_invoices": len(context.open_invoices),
                "failed_attempts": len(context.failures),
            },
            instruction=run.instruction,
            never_send=tuple(text for text in (live.first_name, live.last_name, live.company, live.email, live.phone) if text),
        )
        return [Drafting(proposal.message_step(context), request, facts)]

    def propose(
        self, context: DunningContext, decision: DunningDecision, answers: Mapping[str, DraftAnswer]
    ) -> tuple[CaseDraft, Sequence[ProposalDraft], Mapping[str, Any]]:
        """The case and its proposals."""
        return proposal.build(context, decision, answers)

    def remember(self, context: DunningContext, decision: DunningDecision, run: AgentRun) -> None:
        """Nothing: all that it knows stands in the case."""

    def facts_hash(self, context: DunningContext) -> str:
        """The same hash that an approval is held against."""
        return hash_of_facts(context.invoice, context.customer)


def _questions(*, customer_id: str, invoice_ids: tuple[str, ...]) -> dict[str, QuerySet[Any, Any]]:
    active = Case.objects.filter(kind="dunning", chargebee_customer_id=customer_id, status=Case.OPEN)
    owed = Invoice.objects.filter(pk__in=invoice_ids, status__in=OPEN_INVOICE, amount_due_minor__gt=0)
    return {"active": active.values_list("chargebee_invoice_id", flat=True), "owed": owed.values_list("pk", "dunning_status")}


_SUBJECTS = Kept(_questions)
AGENT = DunningAgent()
