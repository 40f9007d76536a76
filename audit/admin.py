"""The ledger in the console: to look at, to search by an exact id, and to follow one trace as a time line. Nothing here changes anything."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from audit import reads
from audit.actor import person
from audit.export import case_pack
from audit.keys import Forged, MasterKeyMissing
from audit.models import Checkpoint, Entry, PersonalDataRead
from audit.seal import Erased
from billing_ai.kernel import clock

_COUNT_UP_TO = 10_000
_LONGEST_TRACE = 500


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # generic for the type checker only
    """Counts to ten thousand and no further: nobody turns to page 101, and counting millions of rows takes a second."""

    @cached_property
    def count(self) -> int:
        return int(cast("QuerySet[Any]", self.object_list).order_by()[:_COUNT_UP_TO].count())


class ActorKindFilter(admin.SimpleListFilter):
    """A list of our own: a filter on the bare field would run SELECT DISTINCT over the whole ledger."""

    title = "who"
    parameter_name = "actor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("person", "a person"), ("policy", "a policy"), ("agent", "an agent"), ("system", "the system"), ("chargebee", "Chargebee")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        return queryset.filter(actor_kind=self.value()) if self.value() else queryset


class SinceFilter(admin.SimpleListFilter):
    """By time, along the index."""

    title = "when"
    parameter_name = "since"
    spans = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=31)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("hour", "last hour"), ("day", "last 24 hours"), ("week", "last 7 days"), ("month", "last 31 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = self.spans.get(self.value() or "")
        return queryset.filter(at__gte=clock.now() - span) if span else queryset


class LookOnly(ModelAdmin):  # type: ignore[misc]  # django-unfold carries no types
    """Nobody adds, changes or deletes here, a superuser neither."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 50
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Entry)
class EntryAdmin(LookOnly):
    """The ledger."""

    ordering = ("-id",)
    list_display = ("moment", "kind", "who", "about", "trace")
    list_display_links = ("moment", "kind")
    list_filter = (ActorKindFilter, SinceFilter)
    search_fields = ("trace_id",)
    search_help_text = "An exact id: trace, case, customer, invoice, event, subject; or a kind such as proposal.approved"
    fields = (
        "moment", "kind", "who", "about", "trace", "evidence", "case_id", "chargebee_customer_id", "chargebee_invoice_id", "chargebee_event_id", "agent",
        "model", "prompt_hash", "values", "writer", "position", "serial", "own_hash", "hash_before",
    )  # fmt: skip
    readonly_fields = ("moment", "who", "about", "trace", "evidence", "values", "own_hash", "hash_before")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Entry], search_term: str) -> tuple[QuerySet[Entry], bool]:
        """Entries that carry exactly this id, each by an index; no text is searched."""
        term = search_term.strip()
        if not term:
            return queryset, False
        found = Q(trace_id=term) | Q(chargebee_customer_id=term) | Q(chargebee_invoice_id=term) | Q(chargebee_event_id=term)
        found |= Q(subject_id=term) | Q(kind=term)
        with suppress(ValueError):  # no UUID, so no case
            found |= Q(case_id=UUID(term))
        return queryset.filter(found), False

    @admin.display(description="when (UTC)")
    def moment(self, entry: Entry) -> str:
        return f"{entry.at:%Y-%m-%d %H:%M:%S.%f}"[:-3]

    @admin.display(description="who")
    def who(self, entry: Entry) -> str:
        return f"{entry.actor_label} ({entry.actor_kind})"

    @admin.display(description="about")
    def about(self, entry: Entry) -> str:
        return f"{entry.subject_kind} {entry.subject_id}"

    @admin.display(description="trace")
    def trace(self, entry: Entry) -> SafeString:
        return format_html(
            '<a href="{}"><code>{}…</code></a>', reverse("admin:audit_entry_trace", args=[entry.trace_id]), entry.trace_id[:8]
        )

    @admin.display(description="values")
    def values(self, entry: Entry) -> SafeString:
        return format_html('<pre style="white-space:pre-wrap">{}</pre>', json.dumps(entry.data, indent=2, ensure_ascii=False))

    @admin.display(description="evidence")
    def evidence(self, entry: Entry) -> SafeString | str:
        if entry.case_id is None:
            return "–"
        return format_html(
            '<a href="{}">Time line of this trace, with the evidence pack</a>', reverse("admin:audit_entry_trace", args=[entry.trace_id])
        )

    @admin.display(description="hash")
    def own_hash(self, entry: Entry) -> str:
        return bytes(entry.hash).hex()

    @admin.display(description="hash before")
    def hash_before(self, entry: Entry) -> str:
        return bytes(entry.prev_hash).hex()

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("trace/<str:trace_id>/", view(self.trace_page), name="audit_entry_trace"),
            path("evidence/<uuid:case_id>/", view(require_POST(self.evidence_pack)), name="audit_entry_evidence"),
        ]
        urls: list[URLPattern] = super().get_urls()
        return own + urls

    def trace_page(self, request: HttpRequest, trace_id: str) -> HttpResponse:
        """All steps of one trace, oldest first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        entries = list(Entry.objects.filter(trace_id=trace_id).order_by("at", "id")[: _LONGEST_TRACE + 1])
        if not entries:
            raise Http404("no entry has this trace id")
        started = entries[0].at
        context = {
            **self.admin_site.each_context(request),
            "title": f"Trace {trace_id}",
            "trace_id": trace_id,
            "steps": [(entry, entry.at - started) for entry in entries[:_LONGEST_TRACE]],
            "is_cut": len(entries) > _LONGEST_TRACE,
            "cases": list(dict.fromkeys(entry.case_id for entry in entries if entry.case_id)),
            "may_export": request.user.has_perm("audit.export_evidence"),
            "opts": self.opts,
        }
        return render(request, "admin/audit/trace.html", context)

    def evidence_pack(self, request: HttpRequest, case_id: UUID) -> HttpResponse | FileResponse:
        """The signed ZIP of one case; a POST, since exporting is itself written down."""
        if request.user.is_anonymous or not request.user.has_perm("audit.export_evidence"):
            raise PermissionDenied
        into = tempfile.SpooledTemporaryFile(max_size=4 * 1024 * 1024)  # noqa: SIM115  (the response closes it)
        try:
            case_pack(case_id, person(request.user), into)  # type: ignore[arg-type]  # a spooled file is a binary file in all but its type
        except LookupError as error:
            into.close()
            raise Http404("the ledger knows no such case") from error
        into.seek(0)
        return FileResponse(into, as_attachment=True, filename=f"case-{case_id}.zip", content_type="application/zip")


@admin.register(Checkpoint)
class CheckpointAdmin(LookOnly):
    """Where the chains stood, and when."""

    ordering = ("-number",)
    list_display = ("number", "at", "entries", "merkle_root")
    fields = ("number", "at", "entries", "merkle_root", "own_hash", "signed_by")
    readonly_fields = ("merkle_root", "own_hash", "signed_by")

    @admin.display(description="root")
    def merkle_root(self, found: Checkpoint) -> str:
        return bytes(found.root).hex()

    @admin.display(description="hash")
    def own_hash(self, found: Checkpoint) -> str:
        return bytes(found.hash).hex()

    @admin.display(description="signed by")
    def signed_by(self, found: Checkpoint) -> str:
        return bytes(found.public_key).hex()


@admin.register(PersonalDataRead)
class PersonalDataReadAdmin(LookOnly):
    """Who looked at personal data. The reason is opened on the detail page only."""

    ordering = ("-id",)
    list_display = ("at", "user_label", "what", "chargebee_customer_id")
    list_filter = ()
    search_fields = ("chargebee_customer_id",)
    search_help_text = "An exact customer id, or a colleague's user name"
    fields = ("at", "user_label", "what", "why", "chargebee_customer_id", "trace_id")
    readonly_fields = ("why",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[PersonalDataRead], search_term: str
    ) -> tuple[QuerySet[PersonalDataRead], bool]:
        """Reads about exactly this customer, or by exactly this colleague."""
        term = search_term.strip()
        return (queryset.filter(Q(chargebee_customer_id=term) | Q(user_label=term)) if term else queryset), False

    @admin.display(description="why")
    def why(self, read: PersonalDataRead) -> str:
        try:
            return reads.reason(read)
        except Erased:
            return "erased"
        except (Forged, MasterKeyMissing) as error:
            return f"cannot be opened: {error}"
