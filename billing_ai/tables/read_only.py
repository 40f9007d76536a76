"""The admin page of rows that people look at and nobody changes by hand.

Made for tables of millions: no COUNT(*), no SELECT DISTINCT for filters, searches by whole ids only, pages that end where offsets would hurt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.admin import SimpleListFilter
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import BinaryField, JSONField, Model, Q, QuerySet, UUIDField
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from billing_ai.tables.differences import word_difference
from billing_ai.tables.exports import export_list

Row = TypeVar("Row", bound=Model)

_SAID_ABOVE = frozenset({"changed_by", "changed_at", "reason"})
"""Columns that repeat who changed it, when and why: the heading of each change says so already."""

LAST_ROW = 5_000
"""Rows that can be paged to; who looks further back searches or filters."""


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # generic only in the stubs
    """Counts no further than `LAST_ROW`."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return len(rows.order_by().values_list("pk", flat=True)[:LAST_ROW]) if isinstance(rows, QuerySet) else len(rows)


def choice_filter(field: str, title: str, choices: Mapping[str, str]) -> type[SimpleListFilter]:
    """A filter on one column with fixed choices."""

    class ChoiceFilter(SimpleListFilter):
        parameter_name = field

        def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
            return choices.items()

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            return queryset.filter(**{field: self.value()}) if self.value() in choices else queryset

    ChoiceFilter.title = title
    return ChoiceFilter


def as_json(value: object) -> SafeString:
    """A stored value, set so that a person can read it."""
    return format_html('<pre class="json">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str))


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Look, search, export. `search_fields` are compared as a whole; `heavy` columns are left out of lists."""

    show_full_result_count = False
    paginator = CappedPaginator
    list_per_page = 50
    list_max_show_all = 50
    list_fullwidth = True
    list_before_template = "console/table_tools.html"
    actions = None
    heavy: tuple[str, ...] = ()
    exported: tuple[str, ...] = ()

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        is_list = request.resolver_match is not None and str(request.resolver_match.url_name).endswith(("_changelist", "_export"))
        return rows.defer(*self.heavy) if is_list and self.heavy else rows

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """Whole values only, so that each comparison is one look into an index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        where = Q(pk__in=[])
        for name in self.search_fields:
            field = self.model._meta.get_field(name.split("__")[0]) if "__" not in name else None
            if isinstance(field, UUIDField):
                try:
                    where |= Q(**{name: UUID(term)})
                except ValueError:
                    continue  # not an id of ours, so no row can have it
            else:
                where |= Q(**{name: term})
        return queryset.filter(where), False

    def get_exclude(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [field.name for field in self.model._meta.concrete_fields if isinstance(field, BinaryField)]

    def get_urls(self) -> list[URLPattern]:
        info = self.model._meta.app_label, self.model._meta.model_name
        own = [path("export/", self.admin_site.admin_view(self.export), name="{}_{}_export".format(*info))]
        return own + super().get_urls()  # type: ignore[no-any-return]

    def export(self, request: HttpRequest) -> HttpResponse:
        """What the list shows with its filters, as a file; the ledger says who took it. At most 50,000 rows."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        columns = self.exported or tuple(
            field.attname
            for field in self.model._meta.concrete_fields
            if not isinstance(field, BinaryField | JSONField) and field.name not in self.heavy
        )
        return export_list(request.user, self.get_changelist_instance(request), columns)  # type: ignore[return-value, arg-type]


class HistoryAdmin(ReadOnlyAdmin):
    """A read-only page whose history shows what changed, word by word, with who and why."""

    object_history_template = "console/history.html"
    _history_shown = 50

    def history_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        from django.contrib.admin.utils import unquote
        from django.http import Http404
        from django.template.response import TemplateResponse

        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        records = list(row.history.select_related("history_user").order_by("-history_date", "-history_id")[: self._history_shown + 1])
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {row}",
            "opts": self.model._meta,
            "object": row,
            "changes": [
                {"record": new, "fields": _field_differences(old, new)} for new, old in zip(records, [*records[1:], None], strict=True)
            ][: self._history_shown],
            **(extra_context or {}),
        }
        return TemplateResponse(request, self.object_history_template, context)


def _field_differences(old: Any, new: Any) -> list[dict[str, Any]]:
    """Each column that differs, in words. The first record has nothing to differ from."""
    if old is None:
        return []
    found = []
    for field in new.tracked_fields:
        if isinstance(field, BinaryField) or field.name in _SAID_ABOVE:
            continue
        before, after = (_shown(getattr(record, field.attname)) for record in (old, new))
        if before != after:
            found.append({"name": field.verbose_name, "pieces": word_difference(before, after)})
    return found


def _shown(value: object) -> str:
    if value is None:
        return "—"
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) if isinstance(value, dict | list) else str(value)
