"""The hops of the main job, each looked for where it must show: in our rows, and in the outside world."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import httpx
from django.contrib.auth.models import User
from django.db import transaction

from agents.models import AgentRun
from approvals import transitions
from approvals.drafts.locales import money_text
from approvals.models import Case, Execution, Outcome, Proposal
from approvals.people import role_of
from audit.models import Entry
from audit.verify import verify
from billing_ai import supervisor
from billing_ai.facts.models import Invoice, Transaction
from billing_ai.facts.queries import facts_hash
from billing_ai.inbox.models import Event
from billing_ai.kernel import clock
from billing_ai.work.wake import wake

Found = TypeVar("Found")
PATIENCE_SECONDS = 60.0


class Failed(Exception):
    """A hop did not come; the text names it and says what was seen instead."""


class Tour:
    """One failed payment, from Chargebee's webhook to the verified audit chain."""

    def __init__(self, simulator_url: str, write: Callable[[str], Any]) -> None:
        self.outside = httpx.Client(base_url=simulator_url, timeout=20, follow_redirects=True)
        self.write = write
        self.number = 0

    def run(self) -> None:
        """Every hop in order. Raises Failed at the first that does not come."""
        self._move_to_office_hours()
        customer = self._pick_customer()
        failed = (
            self.outside.post("/control/fail_payment", json={"customer_id": customer["id"], "code": "insufficient_funds"})
            .raise_for_status()
            .json()
        )
        invoice_id = str(failed["invoice_id"])
        event = self._until("event stored", lambda: _event(invoice_id))
        self._hop("event stored", f"{event.chargebee_event_id} ({event.event_type}), trace {event.trace_id}")
        self._until("event routed", lambda: Event.objects.filter(pk=event.pk, status="done").first())
        invoice = self._until("facts fetched", lambda: Invoice.objects.filter(pk=invoice_id).first())
        self._hop(
            "facts fetched", f"invoice {invoice.pk}, {invoice.amount_due_minor} {invoice.currency} (minor units) due, {invoice.status}"
        )
        failure = self._until(
            "failure classified",
            lambda: Transaction.objects.filter(chargebee_customer_id=customer["id"], status="failure").order_by("-happened_at").first(),
        )
        if failure.decline_category != "insufficient_funds":
            raise Failed(f"failure classified: {failure.gateway} {failure.decline_code} became {failure.decline_category!r}")
        self._hop("failure classified", f"{failure.gateway} {failure.decline_code} → {failure.decline_category} ({failure.pk})")
        run = self._until("run", lambda: AgentRun.objects.filter(subject_id=invoice_id, status="done").first())
        self._hop("run", f"{run.pk}, likelihood {run.decision['likelihood_bp'] / 100:.0f} %, retry {run.decision['retry_at'] or 'none'}")
        case = self._until("case", lambda: Case.objects.filter(chargebee_invoice_id=invoice_id).first())
        message = self._until("draft", lambda: case.proposals.filter(action="send_message").select_related("current").first())
        if message.current is None:
            raise Failed("draft: the proposal has no text")
        words_by = f"{message.model}, prompt {message.prompt_hash[:12]}"
        self._hop("draft", f"proposal {message.pk}, revision {message.current.number}, {message.current.language}, by {words_by}")
        checks = ", ".join(f"{check['rule']}={check['outcome']}" for check in message.verdict["checks"])
        self._hop("verdict", f"{message.status}; {checks or 'no rule speaks against it'}")
        if message.status != "waiting":
            raise Failed(f"verdict: the message is {message.status}: {message.status_reason}")
        self._approve(message, "specialist")
        message.refresh_from_db()
        if message.status == "waiting_second":
            self._approve(message, "lead")
        execution = self._until("executed", lambda: self._done(message))
        self._hop(
            "executed", f"execution {execution.pk}, key {execution.idempotency_key[:12]}, reference {execution.result.get('reference')}"
        )
        mail = self._until("seen in the mailbox", lambda: self._mail(customer["email"]))
        text = str(mail["text"])
        amount = money_text(case.amount_due, customer["locale"])
        if _plain(amount) not in _plain(text):
            raise Failed(f"seen in the mailbox: the mail does not say {amount}")
        self._hop("seen in the mailbox", f"{mail['subject']!r} says {amount}")
        self._pay(text)
        self._hop("paid", "by the customer, through the link in the mail")
        outcome = self._until("outcome", lambda: Outcome.objects.filter(case=case).first())
        case = self._until("case recovered", lambda: Case.objects.filter(pk=case.pk, status="recovered").first())
        self._hop("outcome", f"{outcome.recovered_minor} {outcome.currency} (minor units) recovered, credited to {outcome.credited_to}")
        still_open = list(case.proposals.filter(status__in=("waiting", "approved")).values_list("action", flat=True))
        if still_open:
            raise Failed(f"rest withdrawn: still open: {', '.join(still_open)}")
        withdrawn = case.proposals.filter(status="withdrawn").count()
        self._hop("rest withdrawn", f"{withdrawn} proposals")
        report = verify()
        if not report.is_whole:
            raise Failed(f"audit chain verified: {report}")
        self._hop("audit chain verified", f"{Entry.objects.count()} entries, {Entry.objects.filter(case_id=case.pk).count()} of this case")

    def _hop(self, name: str, detail: str) -> None:
        self.number += 1
        self.write(f"{self.number:>2}. {name:<22} {detail}")

    def _until(self, name: str, look: Callable[[], Found | None]) -> Found:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = look()
            if found is not None:
                return found
            time.sleep(0.2)
        raise Failed(f"{name}: nothing came within {PATIENCE_SECONDS:.0f} s. {_what_is_stuck()}")

    def _move_to_office_hours(self) -> None:
        """Messages keep quiet hours and days off: start on a working day, at an hour that suits Europe."""
        start = supervisor.move_to_office_hours(str(self.outside.base_url), at_once=True)
        if start is None:
            raise Failed("clock moved: the simulator did not say to when")
        self._until("clock moved", lambda: True if abs(clock.now() - start) < timedelta(minutes=5) else None)
        self.write(f"    clock moved to {start:%A %d %B, %H:%M} UTC, inside the hours in which customers may be contacted")

    def _pick_customer(self) -> dict[str, Any]:
        answer = self.outside.get("/control/customers").raise_for_status().json()
        for row in answer["customers"]:
            if str(row.get("locale", "")).startswith("de") and row["billing_address"]["country"] == "DE" and not row["open_invoice_ids"]:
                return dict(row)
        raise Failed("no German customer in the simulated world")

    def _approve(self, message: Proposal, username: str) -> None:
        user = User.objects.get(username=username)
        if message.current is None:
            raise Failed("approved: the proposal has no text")
        transitions.approve(
            message.pk, user, content_hash=message.current.content_hash, facts_hash=facts_hash(message.chargebee_invoice_id)
        )
        needed = "the first of two people, for this amount" if message.approvals_needed > 1 else "one person is enough for this amount"
        self._hop("approved", f"by {username} in the role {role_of(user)}; {needed if username == 'specialist' else 'the second person'}")

    def _done(self, message: Proposal) -> Execution | None:
        execution = Execution.objects.filter(proposal=message).first()
        if execution is None:
            return None
        if execution.status in ("withdrawn", "failed", "declined", "unknown", "person", "parked"):
            raise Failed(f"executed: it is {execution.status}: {execution.reason}")
        if execution.status == "waiting" and execution.not_before > clock.now():
            # A day off, say: move the clock to when the message may go.
            self.outside.post("/control/clock", json={"to": int(execution.not_before.timestamp()) + 60})
            with transaction.atomic():
                wake("approvals.execute_due")
        return execution if execution.status == "done" else None

    def _mail(self, address: str) -> dict[str, Any] | None:
        found = self.outside.get("/control/mail", params={"to": address}).raise_for_status().json()["mail"]
        return dict(found[0]) if found else None

    def _pay(self, text: str) -> None:
        link = re.search(r"https?://\S+/pay/\S+|https?://\S+/pages/\S+", text)
        if link is None:
            raise Failed("paid: there is no link to the payment page in the mail")
        page = self.outside.get(link.group(0).rstrip(".,)")).raise_for_status()
        form = re.search(r"<form[^>]*action=\"([^\"]*)\"[^>]*>(?:(?!</form>).)*id=\"pay-now\"", page.text, re.DOTALL)
        if form is None:
            raise Failed("paid: the payment page has no button to pay")
        self.outside.post(str(page.url.join(form.group(1)))).raise_for_status()


def _event(invoice_id: str) -> Event | None:
    for event in Event.objects.filter(event_type="payment_failed").order_by("-id")[:20]:
        if any(ref["id"] == invoice_id for ref in event.resources):
            return event
    return None


def _plain(text: str) -> str:
    return re.sub(r"\s", " ", text)


def _what_is_stuck() -> str:
    waiting = [f"{row.event_type} is {row.status} ({row.reason})" for row in Event.objects.exclude(status__in=("done", "ignored"))[:3]]
    runs = [f"run {row.agent} is {row.status} ({row.reason})" for row in AgentRun.objects.exclude(status="done")[:3]]
    return "; ".join(waiting + runs) or "Nothing is waiting or parked."
