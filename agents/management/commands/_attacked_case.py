"""One dunning case whose customer-written fields hold a given text, run by the real runner in a database of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management import call_command
from django.db import connections

from agents import runner
from agents.dunning.agent import AGENT
from agents.dunning.context import DunningContext, Try
from agents.dunning.decide import DunningDecision
from agents.models import AgentRun
from agents.platform.contract import Drafting
from agents.platform.llm.requests import DraftAnswer
from approvals.case_facts import CaseFacts, draft_facts
from approvals.contract import CaseDraft, Check, ProposalDraft
from approvals.drafts.facts import LineItem
from approvals.drafts.render import SlotDraft, render
from approvals.drafts.untrusted import presentable_name
from approvals.models import Case, Proposal
from approvals.policy import words_origin
from billing_ai.facts import models as facts
from billing_ai.integrations.chargebee import resources
from billing_ai.kernel import clock
from billing_ai.kernel.money import Money

NAMES = ("company_name", "first_name")
TEXTS = ("ticket_text", "email_reply", "crm_note", "line_item_description", "po_number", "kb_document", "contract_clause")
FIELDS = (*NAMES, *TEXTS)
_FAILED_ON = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_DECIDED_AT = _FAILED_ON + timedelta(hours=2)


@contextmanager
def scratch_database() -> Iterator[None]:
    """An empty database in memory in place of the configured one, which is not touched, until the block ends."""
    known = connections.settings["default"]
    settings = {
        **known,
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
        "CONN_MAX_AGE": 0,
    }
    before = connections["default"]
    connections.settings["default"] = settings
    del connections["default"]
    try:
        call_command("migrate", verbosity=0, interactive=False)
        yield
    finally:
        connections["default"].close()
        connections.settings["default"] = known
        connections["default"] = before


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run came to. `effects` is what would be done, without ids and without the words; `message` is what the customer would read."""

    effects: tuple[str, ...]
    message: str
    elsewhere: str
    """Everything else that the run stored: payloads, reasons, the case's own sentences."""
    words_from: str
    notes: tuple[str, ...]
    name_is_shown: bool


class AttackedDunning:
    """The dunning agent with a context made here; everything after that is its own."""

    def __init__(self) -> None:
        self.name, self.label, self.events = AGENT.name, AGENT.label, AGENT.events
        self.text, self.field, self.number = "", "", 0
        self.answers: Mapping[str, DraftAnswer] = {}
        self.drafted: Sequence[Drafting] = ()

    def subjects(self, event_type: str, customer_id: str, invoice_ids: Sequence[str]) -> Sequence[Any]:
        """None: the trial makes its runs itself."""
        return ()

    def due(self, now: datetime) -> Sequence[Any]:
        """None."""
        return ()

    def load_context(self, run: AgentRun) -> DunningContext:
        """The case, with the text in its field. The rows that intake needs are written to the scratch database."""
        customer_id, invoice_id = f"customer-{self.number}", f"invoice-{self.number}"
        live = resources.Customer.from_raw(
            {
                "id": customer_id,
                "first_name": self.text if self.field == "first_name" else "Rosa",
                "last_name": "Tulp",
                "company": self.text if self.field == "company_name" else "Tulpenhof",
                "email": "rosa@tulpenhof.example",
                "locale": "en-GB",
                "billing_address": {"country": "GB"},
            }
        )
        invoice = resources.Invoice.from_raw(
            {
                "id": invoice_id,
                "customer_id": customer_id,
                "status": "not_paid",
                "currency_code": "GBP",
                "total": 18300,
                "amount_due": 18300,
                "date": int((_FAILED_ON - timedelta(days=1)).timestamp()),
                "due_date": int(_FAILED_ON.timestamp()),
            }
        )
        customer_row, invoice_row = _rows(customer_id, invoice_id)
        draft = draft_facts(live, invoice, [], card=None, retry_on=None, zone="Europe/London")
        if self.field == "line_item_description":
            draft = replace(draft, invoice=replace(draft.invoice, line_items=(LineItem(self.text, Money(18300, "GBP")),)))
        if self.field in TEXTS:
            draft = replace(draft, untrusted=(*draft.untrusted, self.text))
        return DunningContext(
            invoice=invoice_row,
            customer=customer_row,
            tries=(_failure(invoice_id),),
            open_invoices=(invoice_row,),
            subscriptions=(),
            primary_source=facts.PaymentSource(
                pk="pm_1", chargebee_customer_id=customer_id, kind="card", status="valid", network="visa", instrument_hash="c" * 64
            ),
            said=(),
            open_tickets=0,
            broken_promises=0,
            sms_is_allowed=False,
            retry_check=Check("retry.window", "allow", "A slot is free."),
            live=CaseFacts(live, invoice, draft),
        )

    def decide(self, context: DunningContext, now: datetime) -> DunningDecision:
        """The agent's own decision, at a moment that does not move between runs."""
        return AGENT.decide(context, _DECIDED_AT)

    def drafting(self, context: DunningContext, decision: DunningDecision, run: AgentRun) -> Sequence[Drafting]:
        """The agent's own request, with the text handed to the model as untrusted where it is no name."""
        own = AGENT.drafting(context, decision, run)
        if self.field in TEXTS:
            own = [replace(one, request=replace(one.request, untrusted={self.field: self.text})) for one in own]
        self.drafted = own
        return own

    def propose(
        self, context: DunningContext, decision: DunningDecision, answers: Mapping[str, DraftAnswer]
    ) -> tuple[CaseDraft, Sequence[ProposalDraft], Mapping[str, Any]]:
        """The agent's own proposals."""
        self.answers = answers
        return AGENT.propose(context, decision, answers)

    def remember(self, context: DunningContext, decision: DunningDecision, run: AgentRun) -> None:
        """What the agent itself keeps."""
        AGENT.remember(context, decision, run)

    def facts_hash(self, context: DunningContext) -> str:
        """The agent's own."""
        return AGENT.facts_hash(context)


def _rows(customer_id: str, invoice_id: str) -> tuple[facts.Customer, facts.Invoice]:
    now = clock.now()
    customer = facts.Customer.objects.create(
        pk=customer_id,
        fetched_at=now,
        locale="en-GB",
        country="GB",
        time_zone="Europe/London",
        has_email=True,
        email_consent="yes",
        primary_payment_source_id="pm_1",
    )
    invoice = facts.Invoice.objects.create(
        pk=invoice_id,
        fetched_at=now,
        chargebee_customer_id=customer_id,
        status="not_paid",
        currency="GBP",
        total_minor=18300,
        amount_due_minor=18300,
        issued_on=(_FAILED_ON - timedelta(days=1)).date(),
        due_on=_FAILED_ON.date(),
    )
    return customer, invoice


def _failure(invoice_id: str) -> Try:
    return Try(
        id="txn_1",
        invoice_ids=(invoice_id,),
        succeeded=False,
        at=_FAILED_ON,
        amount_minor=18300,
        currency="GBP",
        gateway="stripe",
        payment_method="card",
        decline_code="insufficient_funds",
        decline_category="insufficient_funds",
        instrument_hash="c" * 64,
        merchant_account="gw_1",
        network="visa",
    )


def run_case(agent: AttackedDunning, text: str, field: str) -> Outcome:
    """One run from context to proposals, by the real runner. Raises RuntimeError when the run did not end well: that, too, is an effect."""
    agent.text, agent.field, agent.number, agent.answers = text, field, agent.number + 1, {}
    invoice_id = f"invoice-{agent.number}"
    run = AgentRun.objects.create(
        agent=agent.name,
        subject_kind="invoice",
        subject_id=invoice_id,
        cause=f"trial-{agent.number}",
        chargebee_customer_id=f"customer-{agent.number}",
    )
    runner.run_due(limit=1)
    run.refresh_from_db()
    if run.status != AgentRun.DONE:
        raise RuntimeError(f"the run ended {run.status}: {run.reason}")
    proposals = list(Proposal.objects.filter(chargebee_invoice_id=invoice_id).select_related("current").order_by("action", "step"))
    case = Case.objects.get(chargebee_invoice_id=invoice_id)
    message, words_from = "", ""
    notes: tuple[str, ...] = ()
    for drafting in agent.drafted:
        answer = agent.answers[drafting.step]
        rendered = render(SlotDraft(answer.words.subject, answer.words.body, answer.words.channel), drafting.facts)
        message += f"{rendered.subject}\n{rendered.text}\n{rendered.html}"
        words_from, notes = answer.words_from, answer.notes
    stored = json.dumps(
        [[one.current.payload if one.current else {}, one.reasons] for one in proposals] + [[case.headline, case.reasons, case.next_action]]
    )
    return Outcome(
        effects=tuple(_effect(one).replace(invoice_id, "invoice") for one in proposals),
        message=message,
        elsewhere=stored,
        words_from=words_from,
        notes=tuple(notes),
        name_is_shown=field not in NAMES or presentable_name(text) is not None,
    )


def _effect(proposal: Proposal) -> str:
    """What carrying the proposal out would do, as text that two runs can be compared by: everything but words, notes and ids."""
    payload = {
        key: value
        for key, value in (proposal.current.payload if proposal.current else {}).items()
        # What the words were composed for is of the words: a name that is not shown is one slot fewer.
        if key not in ("notes", words_origin.KEY) or proposal.action != "send_message"
    }
    channel = proposal.current.channel if proposal.current else ""
    return json.dumps(
        [
            proposal.action,
            proposal.step,
            proposal.amount_minor,
            proposal.currency,
            str(proposal.not_before),
            proposal.status,
            channel,
            payload,
        ],
        sort_keys=True,
    )
