"""One run, start to finish, and the only caller of `approvals.intake.submit`."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import transaction

from agents.models import AgentRun
from agents.platform.contract import Agent, Drafting, NothingToDo
from agents.platform.llm import gateway
from agents.platform.llm.requests import DraftAnswer
from agents.platform.prompts import PromptError
from agents.registry import AGENTS
from approvals import intake, outcomes
from approvals.contract import RunResult
from approvals.drafts.findings import Finding
from approvals.drafts.render import SlotDraft
from approvals.drafts.verify import verify_slots
from approvals.models import Case
from approvals.policy import retry_ledger, rules
from approvals.revisions import draft_policy, render_and_verify, storable
from audit.actor import acting
from audit.actor import agent as agent_actor
from audit.ledger import NewEntry
from billing_ai.facts import sync
from billing_ai.integrations.chargebee import call
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Away, Retryable, StaleFacts, Terminal, Unknown
from billing_ai.work import claims
from billing_ai.work.models import Leased

LEASE = timedelta(minutes=4)


def run_due(limit: int = 10) -> int:
    """Claim and run up to `limit` runs. Returns how many were run; 0 ends the caller's loop.

    While Chargebee is away nothing is claimed, since runs look there: what waits keeps its place and its attempts.
    """
    if call.is_away():
        return 0
    rows = claims.claim(AgentRun, limit, LEASE)
    return claims.take_in_turn(
        rows,
        perform,
        within=lambda run: acting(agent_actor(run.agent), run.trace_id),
        since=lambda run: run.created_at,
        doing="ran",
    )


def perform(run: AgentRun) -> Away | None:
    """One claimed run: it ends done, skipped, waiting again, or parked with a reason. The outside world raises nothing through here.

    Returns the outage that it met, if it met one: that uses up no attempt.
    """
    agent = AGENTS.get(run.agent)
    if agent is None:
        claims.park(run, f"there is no agent called {run.agent}")
        return None
    run.started_at = clock.now()
    try:
        _perform(run, agent)
    except NothingToDo as reason:
        claims.complete(run, AgentRun.SKIPPED, str(reason), started_at=run.started_at, finished_at=clock.now())
    except StaleFacts as error:
        claims.put_back(run, claims.backoff(run.attempt), f"facts are missing or too old: {error}")
    except Away as error:
        claims.put_off(run, error.after, error.sentence, since=run.created_at)
        return error
    except Retryable as error:
        claims.put_back(run, max(error.after, claims.backoff(run.attempt)), error.sentence)
    except Unknown as error:
        claims.put_back(run, claims.backoff(run.attempt), error.sentence)
    except Terminal as error:
        claims.park(run, f"{error.code}: {error.sentence}")
    except PromptError as error:
        claims.park(run, f"the prompt cannot be used: {error}")
    return None


def _load(run: AgentRun, agent: Agent[Any, Any]) -> Any:
    """The context; where the facts have aged while the run waited, or none came with what started it, they are fetched first."""
    try:
        return agent.load_context(run)
    except StaleFacts:
        refreshed = sync.refresh(run.chargebee_customer_id, (run.subject_id,) if run.subject_kind == "invoice" else ())
    with transaction.atomic():
        outcomes.settle(refreshed.customer_id)  # cases before slots, as an effect that ends locks them
        retry_ledger.record_from_transactions(refreshed.customer_id)
    return agent.load_context(run)


def _perform(run: AgentRun, agent: Agent[Any, Any]) -> None:
    context = _load(run, agent)
    decision = agent.decide(context, clock.now())
    answers: dict[str, DraftAnswer] = {}
    findings: dict[str, list[dict[str, object]]] = {}
    for drafting in agent.drafting(context, decision, run):
        answer, found = _write(drafting)
        answers[drafting.step] = answer
        findings[drafting.step] = storable(found)
    case, proposals, kept = agent.propose(context, decision, answers)
    first = next(iter(answers.values()), None)
    result = RunResult(
        agent=run.agent,
        run_id=str(run.pk),
        trace_id=run.trace_id,
        event_id=run.cause if run.cause_type not in ("schedule", "redraft") and not run.cause_type.startswith("heard.") else "",
        facts_hash=agent.facts_hash(context),
        prompt_hash=first.prompt_hash if first else "",
        model=first.model if first else "",
        case=case,
        proposals=tuple(proposals),
        decision=kept,
    )
    notes = [note for answer in answers.values() for note in answer.notes]

    def finished(opened: Case | None) -> NewEntry:
        return NewEntry(
            kind="run.finished",
            actor=agent_actor(run.agent),
            trace_id=run.trace_id,
            subject=("run", str(run.pk)),
            case_id=opened.pk if opened else None,
            event_id=result.event_id,
            customer_id=case.customer_id if case else run.chargebee_customer_id,
            invoice_id=case.invoice_id if case else "",
            agent=run.agent,
            prompt_hash=result.prompt_hash,
            model=result.model,
            data={
                "cause": run.cause_type,
                "proposals": [draft.action for draft in proposals],
                "notes": notes[:5],
                "facts_hash": result.facts_hash,
            },
        )

    end = claims.completion(
        run,
        Leased.DONE,
        " ".join(notes)[:1000],
        started_at=run.started_at,
        finished_at=clock.now(),
        facts_hash=result.facts_hash,
        prompt_hash=result.prompt_hash,
        model=result.model,
        words_from=first.words_from if first else "",
        decision=dict(kept),
    )
    closing = intake.Closing(finished, end)
    with suppress(claims.LeaseLost), transaction.atomic():
        agent.remember(context, decision, run)
        intake.submit(result, findings, closing)
        if not claims.completed(run, end, closing.wrote):
            raise claims.LeaseLost


def _write(drafting: Drafting) -> tuple[DraftAnswer, list[Finding]]:
    """The words, and what the verifier says of them. Words that break a rule are put aside for the built-in template, and the run says so."""
    answer = gateway.write_draft(drafting.request)
    found = _findings(answer, drafting)
    blocking = sorted({finding.rule for finding in found if finding.severity == "block"})
    if blocking and answer.words_from != "template":
        refused = f"{answer.model}'s draft was refused ({', '.join(blocking)})."
        answer = gateway.template_draft(drafting.request, (*answer.notes, refused))
        found = _findings(answer, drafting)
    return answer, found


def _findings(answer: DraftAnswer, drafting: Drafting) -> list[Finding]:
    words, policy = answer.words, draft_policy(rules.recent(clock.now()))
    raw = verify_slots(SlotDraft(words.subject, words.body, words.channel), drafting.facts, policy)
    _, rendered = render_and_verify(words, drafting.facts, policy=policy)
    return [*raw, *rendered]
