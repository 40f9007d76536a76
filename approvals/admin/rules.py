"""The rules as rows: looked at by everyone, changed by leads, each change with its reason and a history that shows the difference."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from approvals.models import Consent, CrmField, KillSwitch, Limit, Phase, Policy, Suppression
from approvals.policy import consent
from billing_ai.tables.read_only import HistoryAdmin, choice_filter


def _change(name: str, pk: object) -> SafeString:
    return format_html('<a class="text-primary-700 dark:text-primary-500" href="{}">Change</a>', reverse(f"console:{name}", args=[pk]))


def _contact(customer_id: str) -> SafeString | str:
    """A link to what the rules say of this customer now."""
    if not customer_id:
        return "by its number or address"
    where = reverse("console:contact", args=[customer_id])
    return format_html('<a class="text-primary-700 dark:text-primary-500" href="{}">{}</a>', where, customer_id)


@admin.register(Policy)
class PolicyAdmin(HistoryAdmin):
    """One rule of contact, retry or drafting, with where it comes from."""

    list_display = ("title", "key", "kind", "is_enabled", "effective_from", "changed_at", "change")
    list_filter = (
        choice_filter("kind", "kind", {key: key for key in ("contact", "retry", "draft", "approval", "reference_rates", "brand")}),
    )
    search_fields = ("key",)
    search_help_text = "Whole key"
    ordering = ("kind", "key")
    heavy = ("params", "reason")

    @admin.display(description="")
    def change(self, policy: Policy) -> SafeString:
        return _change("change_policy", policy.pk)


@admin.register(Limit)
class LimitAdmin(HistoryAdmin):
    """Hard limits on one agent. Amounts are in cents of the reference currency."""

    list_display = ("agent", "key", "value", "changed_by", "changed_at", "change")
    list_select_related = ("changed_by",)
    list_before_template = "console/limit_tools.html"
    ordering = ("agent", "key")

    @admin.display(description="")
    def change(self, limit: Limit) -> SafeString:
        return _change("change_limit", limit.pk)


@admin.register(Phase)
class PhaseAdmin(HistoryAdmin):
    """How far the machine may go, for one agent and one segment of customers."""

    list_display = (
        "agent",
        "segment",
        "shown_phase",
        "requested_phase",
        "requested_by",
        "sample_to_people_percent",
        "shown_words",
        "changed_by",
        "change",
    )
    list_select_related = ("changed_by", "requested_by")
    list_before_template = "console/phase_tools.html"
    ordering = ("agent", "rank", "segment")

    @display(description="Phase", label={"observe": "info", "assist": "warning", "automate": "success"})
    def shown_phase(self, phase: Phase) -> str:
        return phase.phase

    @admin.display(description="Goes out by itself")
    def shown_words(self, phase: Phase) -> str:
        if phase.phase != Phase.AUTOMATE:
            return "no message"
        return "built-in texts and a model's words" if phase.model_words else "built-in texts"

    @admin.display(description="")
    def change(self, phase: Phase) -> SafeString:
        return _change("change_phase", phase.pk)


@admin.register(KillSwitch)
class KillSwitchAdmin(HistoryAdmin):
    """The switches themselves; they are turned on the page “Today”."""

    list_display = ("scope", "is_on", "reason", "changed_by", "changed_at")
    list_select_related = ("changed_by",)
    ordering = ("scope",)


@admin.register(Consent)
class ConsentAdmin(HistoryAdmin):
    """What customers allow on which channel. The newest word counts."""

    list_display = ("customer", "channel", "state", "source", "recorded_at", "recorded_by")
    list_before_template = "console/consent_tools.html"
    list_select_related = ("recorded_by",)
    list_filter = (
        choice_filter("channel", "channel", {"email": "mail", "sms": "SMS", "call": "call"}),
        choice_filter("state", "state", {"granted": "granted", "denied": "denied"}),
    )
    search_fields = ("chargebee_customer_id",)
    search_help_text = "Whole customer id"
    ordering = ("-id",)

    @admin.display(description="Customer")
    def customer(self, row: Consent) -> SafeString | str:
        return _contact(row.chargebee_customer_id)


@admin.register(Suppression)
class SuppressionAdmin(HistoryAdmin):
    """Who is not to be contacted, until when and why."""

    list_display = ("customer", "kind", "channel", "until_on", "is_active", "reason", "added_by", "added_at")
    list_select_related = ("added_by",)
    list_filter = (choice_filter("kind", "kind", {key: key.replace("_", " ") for key in (*consent.KINDS, consent.NUMBER_OPTED_OUT)}),)
    search_fields = ("chargebee_customer_id",)
    search_help_text = "Whole customer id"
    ordering = ("-id",)
    list_before_template = "console/suppression_tools.html"

    @admin.display(description="Customer")
    def customer(self, row: Suppression) -> SafeString | str:
        return _contact(row.chargebee_customer_id)


@admin.register(CrmField)
class CrmFieldAdmin(HistoryAdmin):
    """Values that go into another field of a CRM than our package's own, or nowhere. Changed on the page “Fields of the CRM”."""

    list_display = ("system", "ours", "theirs", "is_enabled", "changed_by", "changed_at")
    list_select_related = ("changed_by",)
    ordering = ("system", "ours")
