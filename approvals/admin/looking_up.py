"""Cases, proposals, executions, promises, outcomes, contacts: what happened, to look at."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from approvals.models import Case, CollectionAttempt, Contact, Execution, Outcome, Promise, Proposal
from approvals.wording import words
from approvals.wording.reader import UTC_READER
from billing_ai.tables.read_only import HistoryAdmin, ReadOnlyAdmin, as_json, choice_filter

_LABELS = {
    "open": "warning", "promised": "info", "disputed": "warning", "recovered": "success", "waiting": "warning", "waiting_second": "warning",
    "approved": "info", "executing": "info", "done": "success", "declined": "danger", "failed": "danger", "unknown": "danger", "blocked": "danger",
    "kept": "success", "part_kept": "warning", "broken": "danger", "person": "danger", "parked": "danger",
}  # fmt: skip


def _titles(*keys: str) -> dict[str, str]:
    return {key: words.status(key)[0] for key in keys}


ACTION_CHOICES = {key: row[0] for key, row in words.ACTIONS.items()}


def case_link(case_id: object, text: str) -> SafeString:
    """To the review page of a case; a case without an invoice has no number to be called by."""
    address = reverse("console:case", args=[case_id])
    return format_html('<a class="text-primary-700 dark:text-primary-500" href="{}">{}</a>', address, text or "no invoice")


@admin.register(Case)
class CaseAdmin(HistoryAdmin):
    """All cases, closed ones too; the queue is for working on them."""

    list_display = ("opened_at", "invoice", "chargebee_customer_id", "shown_status", "due", "recovered", "category", "owner", "closed_at")
    list_display_links = ("opened_at",)
    list_select_related = ("owner",)
    list_filter = (choice_filter("status", "status", _titles("open", "promised", "disputed", "recovered", "closed")),)
    search_fields = ("chargebee_invoice_id", "chargebee_customer_id", "trace_id", "id")
    search_help_text = "Whole invoice number, customer id, trace id or case id"
    ordering = ("-opened_at", "id")
    heavy = ("reasons", "tags")

    @admin.display(description="Invoice")
    def invoice(self, case: Case) -> SafeString:
        return case_link(case.pk, case.chargebee_invoice_id)

    @display(description="Status", label=_LABELS)
    def shown_status(self, case: Case) -> tuple[str, str]:
        return case.status, words.status(case.status)[0]

    @admin.display(description="Due")
    def due(self, case: Case) -> str:
        return UTC_READER.minor(case.amount_due_minor, case.currency)

    @admin.display(description="Recovered")
    def recovered(self, case: Case) -> str:
        return UTC_READER.minor(case.recovered_minor, case.currency) if case.recovered_minor else ""


@admin.register(Proposal)
class ProposalAdmin(HistoryAdmin):
    """Everything that was ever proposed."""

    list_display = ("created_at", "invoice", "shown_action", "shown_status", "amount_shown", "phase", "model", "status_reason")
    list_display_links = ("created_at",)
    list_select_related = ("case",)
    list_filter = (
        choice_filter(
            "status", "status", _titles("waiting", "waiting_second", "approved", "executing", "done", "declined", "failed", "unknown", "blocked", "observed", "rejected", "withdrawn", "expired")
        ),
        choice_filter("action", "action", ACTION_CHOICES),
        choice_filter("phase", "phase", words.PHASES),
    )  # fmt: skip
    search_fields = ("trace_id", "id", "chargebee_invoice_id", "chargebee_event_id")
    search_help_text = "Whole trace id, proposal id, invoice number or event id"
    ordering = ("-created_at",)
    heavy = ("verdict", "reasons")
    readonly_fields = ("checks", "why", "decided")

    def get_exclude(self, request: HttpRequest, obj: object | None = None) -> list[str]:
        return [*super().get_exclude(request), "verdict", "reasons"]

    @admin.display(description="Invoice")
    def invoice(self, proposal: Proposal) -> SafeString:
        return case_link(proposal.case_id, proposal.chargebee_invoice_id)

    @admin.display(description="What")
    def shown_action(self, proposal: Proposal) -> str:
        return words.action(proposal.action)

    @display(description="Status", label=_LABELS)
    def shown_status(self, proposal: Proposal) -> tuple[str, str]:
        return proposal.status, words.status(proposal.status)[0]

    @admin.display(description="Amount")
    def amount_shown(self, proposal: Proposal) -> str:
        return UTC_READER.minor(proposal.amount_minor, proposal.currency) if proposal.amount_minor else ""

    @admin.display(description="Checks at the last look")
    def checks(self, proposal: Proposal) -> SafeString:
        return as_json(proposal.verdict)

    @admin.display(description="Reasons")
    def why(self, proposal: Proposal) -> SafeString:
        return as_json(proposal.reasons)

    @admin.display(description="Decisions")
    def decided(self, proposal: Proposal) -> SafeString:
        """A note may name the customer: it is read on the page of the case, where the look is written down."""
        rows = proposal.decisions.select_related("by").order_by("at")
        told = ((UTC_READER.moment(row.at), row.kind, row.by or row.by_policy, ", with a note" if row.note else "") for row in rows)
        return format_html_join("", "<div>{} {} by {}{}</div>", told)


@admin.register(Execution)
class ExecutionAdmin(ReadOnlyAdmin):
    """What was carried out, with every call that was made for it."""

    list_display = ("id", "invoice", "shown_action", "shown_status", "not_before", "attempt", "settled_by", "finished_at")
    list_select_related = ("proposal",)
    list_filter = (
        choice_filter(
            "status", "status", _titles("waiting", "leased", "executing", "done", "declined", "failed", "unknown", "person", "withdrawn")
        ),
        choice_filter("action", "action", ACTION_CHOICES),
    )
    search_fields = ("idempotency_key", "business_key", "proposal__chargebee_invoice_id")
    search_help_text = "Whole invoice number or key"
    ordering = ("-id",)
    heavy = ("request", "result", "sealed_request", "reason")
    readonly_fields = ("calls", "asked", "answered")

    def get_exclude(self, request: HttpRequest, obj: object | None = None) -> list[str]:
        return [*super().get_exclude(request), "request", "result"]

    @admin.display(description="Invoice")
    def invoice(self, execution: Execution) -> SafeString:
        return case_link(execution.proposal.case_id, execution.proposal.chargebee_invoice_id)

    @admin.display(description="What")
    def shown_action(self, execution: Execution) -> str:
        return words.action(execution.action)

    @display(description="Status", label=_LABELS)
    def shown_status(self, execution: Execution) -> tuple[str, str]:
        return execution.status, words.status(execution.status)[0]

    @admin.display(description="Calls")
    def calls(self, execution: Execution) -> SafeString:
        rows = execution.attempts.order_by("number")
        return format_html_join(
            "",
            "<div>{}. {}: {} {} {}</div>",
            ((row.number, UTC_READER.moment(row.started_at), row.outcome, row.code, row.sentence) for row in rows),
        )

    @admin.display(description="Frozen request")
    def asked(self, execution: Execution) -> SafeString:
        return as_json(execution.request)

    @admin.display(description="Result")
    def answered(self, execution: Execution) -> SafeString:
        return as_json(execution.result)


@admin.register(Promise)
class PromiseAdmin(HistoryAdmin):
    """Promises to pay; whether they were kept follows by itself."""

    list_display = ("taken_at", "invoice", "promised", "due_on", "shown_status", "kept", "taken_by")
    list_display_links = ("taken_at",)
    list_select_related = ("case", "taken_by")
    list_filter = (choice_filter("status", "status", _titles("open", "kept", "part_kept", "broken", "withdrawn")),)
    search_fields = ("case__chargebee_invoice_id", "case__chargebee_customer_id")
    search_help_text = "Whole invoice number or customer id"
    ordering = ("-id",)

    @admin.display(description="Invoice")
    def invoice(self, promise: Promise) -> SafeString:
        return case_link(promise.case_id, promise.case.chargebee_invoice_id)

    @admin.display(description="Promised")
    def promised(self, promise: Promise) -> str:
        return UTC_READER.minor(promise.amount_minor, promise.currency)

    @admin.display(description="Came in")
    def kept(self, promise: Promise) -> str:
        return UTC_READER.minor(promise.kept_minor, promise.currency) if promise.kept_minor else ""

    @display(description="Status", label=_LABELS)
    def shown_status(self, promise: Promise) -> tuple[str, str]:
        return promise.status, words.status(promise.status)[0]


@admin.register(Outcome)
class OutcomeAdmin(ReadOnlyAdmin):
    """Money that came in, and which step is credited with it."""

    list_display = ("happened_at", "invoice", "kind", "credited", "recovered", "attempt_number", "chargebee_transaction_id")
    list_display_links = ("happened_at",)
    list_select_related = ("case",)
    list_filter = (choice_filter("credited_to", "credited to", words.CREDITED),)
    search_fields = ("case__chargebee_invoice_id", "case__chargebee_customer_id", "chargebee_transaction_id")
    search_help_text = "Whole invoice number, customer or transaction id"
    ordering = ("-happened_at",)

    @admin.display(description="Invoice")
    def invoice(self, outcome: Outcome) -> SafeString:
        return case_link(outcome.case_id, outcome.case.chargebee_invoice_id)

    @admin.display(description="Credited to")
    def credited(self, outcome: Outcome) -> str:
        return words.CREDITED.get(outcome.credited_to, outcome.credited_to)

    @admin.display(description="Came in")
    def recovered(self, outcome: Outcome) -> str:
        return UTC_READER.minor(outcome.recovered_minor, outcome.currency)


@admin.register(Contact)
class ContactAdmin(ReadOnlyAdmin):
    """Every contact over every channel: what the frequency rules count. What was said is sealed."""

    list_display = ("at", "chargebee_customer_id", "channel", "direction", "kind")
    list_filter = (choice_filter("channel", "channel", {"email": "mail", "sms": "SMS", "call": "call"}),)
    search_fields = ("chargebee_customer_id",)
    search_help_text = "Whole customer id"
    ordering = ("-id",)
    list_select_related: Any = False


@admin.register(CollectionAttempt)
class CollectionAttemptAdmin(ReadOnlyAdmin):
    """The retry ledger: attempts from every source, Chargebee's own included."""

    list_display = (
        "happened_at",
        "chargebee_invoice_id",
        "chargebee_customer_id",
        "amount",
        "succeeded",
        "source",
        "network",
        "decline_category",
    )
    list_filter = (
        choice_filter(
            "source",
            "source",
            {"ours": "ours", "chargebee_dunning": "Chargebee's dunning", "customer": "customer", "manual": "by hand", "unknown": "unknown"},
        ),
    )
    search_fields = ("chargebee_invoice_id", "chargebee_transaction_id", "chargebee_customer_id")
    search_help_text = "Whole invoice number, transaction or customer id"
    ordering = ("-id",)

    @admin.display(description="Amount")
    def amount(self, attempt: CollectionAttempt) -> str:
        return UTC_READER.minor(attempt.amount_minor, attempt.currency)
