"""Runs, model calls and releases, to look at."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from agents.models import AgentRun, LlmCall, ModelSpend, Release
from billing_ai.tables.read_only import HistoryAdmin, ReadOnlyAdmin, as_json, choice_filter

RUN_STATUSES = {"waiting": "waiting", "leased": "being worked on", "done": "done", "skipped": "skipped", "parked": "parked"}


def dollars(micro: int | None) -> str:
    """Millionths of a dollar in dollars; a cost that nobody knows is not zero."""
    return "unknown" if micro is None else f"${micro / 1_000_000:,.4f}"


@admin.register(AgentRun)
class AgentRunAdmin(ReadOnlyAdmin):
    """One agent looking at one subject for one cause."""

    list_display = ("created_at", "agent", "subject_id", "cause_type", "shown_status", "words_from", "phase", "model", "finished_at")
    list_display_links = ("created_at", "subject_id")
    search_fields = ("subject_id", "trace_id", "cause", "id")
    search_help_text = "Whole invoice number, event id, trace id or run id"
    list_filter = (
        choice_filter("status", "status", RUN_STATUSES),
        choice_filter("words_from", "words from", {"model": "a model", "template": "a template"}),
    )
    ordering = ("-created_at",)
    heavy = ("decision", "instruction", "reason")
    readonly_fields = ("calls_made", "decided")

    @display(description="Status", label={"done": "success", "parked": "danger", "waiting": "warning", "leased": "info"})
    def shown_status(self, run: AgentRun) -> str:
        return run.status

    @admin.display(description="What it decided")
    def decided(self, run: AgentRun) -> SafeString:
        return as_json(run.decision)

    @admin.display(description="Model calls")
    def calls_made(self, run: AgentRun) -> SafeString:
        return format_html('<a href="{}?q={}">Calls under this trace</a>', reverse("admin:agents_llmcall_changelist"), run.trace_id)

    def get_exclude(self, request: HttpRequest, obj: object | None = None) -> list[str]:
        return [*super().get_exclude(request), "decision"]


@admin.register(LlmCall)
class LlmCallAdmin(ReadOnlyAdmin):
    """One attempt at one model. The text is not kept."""

    list_display = ("started_at", "agent", "purpose", "model", "prompt", "outcome", "duration_ms", "input_tokens", "output_tokens", "cost")
    list_display_links = ("started_at",)
    search_fields = ("trace_id", "id")
    search_help_text = "Whole trace id"
    ordering = ("-started_at",)
    list_filter = (
        choice_filter(
            "outcome", "outcome", {key: key for key in ("ok", "started", "timeout", "schema", "unreachable", "refused", "budget")}
        ),
    )

    @admin.display(description="Prompt")
    def prompt(self, call: LlmCall) -> str:
        return f"{call.prompt_name} {call.prompt_version}"

    @admin.display(description="Cost")
    def cost(self, call: LlmCall) -> str:
        return dollars(call.cost_micro_usd)


@admin.register(ModelSpend)
class ModelSpendAdmin(ReadOnlyAdmin):
    """What the models of one agent cost on one day."""

    list_display = ("day", "agent", "calls", "spent", "reserved", "unknown_cost_calls")
    ordering = ("-day", "agent")

    @admin.display(description="Spent")
    def spent(self, row: ModelSpend) -> str:
        return dollars(row.spent_micro_usd)

    @admin.display(description="Reserved")
    def reserved(self, row: ModelSpend) -> str:
        return dollars(row.reserved_micro_usd)


@admin.register(Release)
class ReleaseAdmin(HistoryAdmin):
    """Which prompt and which learned model is live."""

    list_display = ("agent", "kind", "name", "version", "shown_status", "live_since", "offered_by", "promoted_by", "page")
    list_select_related = ("offered_by", "promoted_by")
    ordering = ("agent", "kind", "name", "-id")
    heavy = ("figures",)

    @admin.display(description="Where it is put live")
    def page(self, release: Release) -> SafeString:
        where = reverse("console:prompts") if release.kind == "prompt" else reverse("console:churn_release", args=[release.pk])
        return format_html('<a href="{}">Open</a>', where)

    @display(description="Status", label={"live": "success", "offered": "info"})
    def shown_status(self, release: Release) -> str:
        return release.status
