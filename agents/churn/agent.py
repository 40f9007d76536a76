"""The churn agent, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from agents.churn import context as reading
from agents.churn import message, nightly, proposal, pushing, storing
from agents.churn.context import ChurnContext
from agents.churn.decide import ChurnDecision, decide
from agents.churn.models import Intervention
from agents.churn.pushing import PushContext
from agents.models import AgentRun
from agents.platform.contract import Drafting, Subject
from agents.platform.llm.requests import DraftAnswer
from approvals.contract import CaseDraft, ProposalDraft
from billing_ai.facts.queries import facts_hash

Context = ChurnContext | PushContext


class ChurnAgent:
    """Scores one customer again when there is news of them, and does what a lead's rule asks for. The nightly run scores everyone."""

    name = "churn"
    label = "Churn and health"
    events = frozenset(
        {
            "payment_failed",
            "subscription_created",
            "subscription_changed",
            "subscription_cancellation_scheduled",
            "subscription_scheduled_cancellation_removed",
            "subscription_cancelled",
            "subscription_reactivated",
            "heard.first",
            "heard.usage",
            "heard.ticket",
            "heard.reply",
            "heard.crm",
        }
    )

    def subjects(self, event_type: str, customer_id: str, invoice_ids: Sequence[str]) -> Sequence[Subject]:
        """The customer, whatever it was."""
        return [Subject("customer", customer_id)] if customer_id else []

    def due(self, now: datetime) -> Sequence[tuple[Subject, str, str]]:
        """Nothing one by one: the night's run scores everyone, and starts runs for those whom a rule fits."""
        return []

    def load_context(self, run: AgentRun) -> Context:
        """Read what the decision rests on: one customer's figures, or the scores of a whole night."""
        return pushing.load(run) if run.subject_kind == nightly.NIGHT else reading.load(run)

    def decide(self, context: Context, now: datetime) -> ChurnDecision | None:
        """Decide about a customer. Of a night there is nothing to decide: its scores are there."""
        return None if isinstance(context, PushContext) else decide(context, now)

    def drafting(self, context: Context, decision: ChurnDecision | None, run: AgentRun) -> Sequence[Drafting]:
        """The message that a rule asks for: it goes through the same checks as any other. Names are fetched here, in memory only."""
        if isinstance(context, PushContext) or decision is None or decision.rule is None or decision.group != Intervention.TREATED:
            return []
        return [message.drafting(context, decision, run)] if decision.rule.action == "send_message" else []

    def propose(
        self, context: Context, decision: ChurnDecision | None, answers: Mapping[str, DraftAnswer]
    ) -> tuple[CaseDraft | None, Sequence[ProposalDraft], Mapping[str, Any]]:
        """The case and its step, when a rule asks for one; the push of a night."""
        if isinstance(context, PushContext) or decision is None:
            return pushing.build(context) if isinstance(context, PushContext) else (None, (), {})
        return proposal.build(context, decision, answers)

    def remember(self, context: Context, decision: ChurnDecision | None, run: AgentRun) -> None:
        """The score, and that a rule fitted. A score of a later moment that came in between stays."""
        if isinstance(context, PushContext) or decision is None:
            return
        customer_id = context.customer.pk
        before = storing.read_before([customer_id], context.as_of, locked=True)
        if not before.scored_at[0] > context.as_of.timestamp():
            storing.store(context.gathered, decision.scores, before, context.as_of, context.scorer.version)
        if decision.rule is None or not decision.group:
            return
        Intervention.objects.create(
            chargebee_customer_id=customer_id,
            rule_key=decision.rule.key,
            action=decision.rule.action,
            group=decision.group,
            band=decision.band,
            segment=context.gathered.segments[0],
            p90=decision.p90,
            at=context.as_of,
            cool_down_until=context.as_of + timedelta(days=decision.rule.cool_down_days),
            run_id=run.pk,
        )

    def facts_hash(self, context: Context) -> str:
        """The same hash that an approval of something about the whole customer, or about many at once, is held against."""
        return facts_hash("", "" if isinstance(context, PushContext) else context.customer.pk)


AGENT = ChurnAgent()
