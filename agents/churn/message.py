"""What the customer would be written: a question how it is going, never why we ask. The words come from the model or the built-in text."""

from __future__ import annotations

from agents.churn.context import ChurnContext
from agents.churn.decide import ChurnDecision
from agents.churn.proposal import step_of
from agents.models import AgentRun
from agents.platform.contract import Drafting
from agents.platform.llm.requests import DraftRequest
from agents.platform.prompts import live_prompt
from approvals import case_facts
from approvals.drafts.slots import slots_for

STAGE = "check_in"
_LARGE = frozenset({"enterprise", "gold", "platinum", "large"})


def drafting(context: ChurnContext, decision: ChurnDecision, run: AgentRun) -> Drafting:
    """The request for the words. Raises Retryable when Chargebee is away, Terminal when the customer is gone."""
    live = case_facts.load(context.customer.pk, "", zone=context.customer.time_zone)
    tone = str(decision.rule.params.get("tone", "warm")) if decision.rule is not None else "warm"
    customer = live.customer
    request = DraftRequest(
        agent="churn",
        run_id=run.pk,
        trace_id=run.trace_id,
        prompt=live_prompt("churn"),
        language=context.customer.locale or "en",
        channel="email",
        tone=tone,
        stage=STAGE,
        reason_category="",
        allowed_slots=frozenset(slots_for(live.draft, "email")),
        variables={"value": "high" if context.gathered.segments[0] in _LARGE else "normal"},
        instruction=run.instruction,
        never_send=tuple(
            text for text in (customer.first_name, customer.last_name, customer.company, customer.email, customer.phone) if text
        ),
    )
    return Drafting(step_of(decision, context), request, live.draft)
