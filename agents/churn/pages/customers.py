"""Customers by risk × value: how many are where, and who is worth a look first, with the reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.cache import cache
from django.db.models import Case, CharField, Count, Q, QuerySet, Value, When
from django.http import HttpResponse
from django.views.decorators.http import require_GET

from agents.churn import queries
from agents.churn.gather import LARGE_FROM_CENTS, MEDIUM_FROM_CENTS
from agents.churn.models import ChurnScore
from approvals.admin.pages import ConsoleRequest, console_page, show
from approvals.wording.reader import Reader, reader_of

PAGE = 40
LAST_PAGE = 25
_COUNTED_FOR_SECONDS = 30
_BANDS = tuple(reversed(ChurnScore.BANDS))
SIZES: dict[str, tuple[str, Q]] = {
    "large": ("Large", Q(value_reference_cents__gte=LARGE_FROM_CENTS)),
    "medium": ("Medium", Q(value_reference_cents__gte=MEDIUM_FROM_CENTS, value_reference_cents__lt=LARGE_FROM_CENTS)),
    "small": ("Small", Q(value_reference_cents__lt=MEDIUM_FROM_CENTS)),
}
"""By what a customer brings in a month, in reference cents."""
BAND_TONE = {"critical": "bad", "high": "warn", "medium": "info", "low": "good"}
_TREND = {
    "rising": ("trending_up", "bad"),
    "falling": ("trending_down", "good"),
    "steady": ("trending_flat", "quiet"),
    "new": ("fiber_new", "quiet"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for; what it does not know falls away."""

    band: str
    size: str
    trend: str
    search: str
    page: int

    def address(self, **other: Any) -> str:
        """The same question with other values, as a query string."""
        values = {"band": self.band, "size": self.size, "trend": self.trend, "q": self.search, "page": 0, **other}
        return urlencode({name: value for name, value in values.items() if value})


@console_page
@require_GET
def customers(request: ConsoleRequest) -> HttpResponse:
    """One page of the list, the table of counts above it, and how far the night's scoring is."""
    reader, given = reader_of(request), request.GET
    page = given.get("page", "0")
    asked = Asked(
        given.get("band", "") if given.get("band") in ChurnScore.BANDS else "",
        given.get("size", "") if given.get("size") in SIZES else "",
        given.get("trend", "") if given.get("trend") in ChurnScore.TRENDS else "",
        given.get("q", "").strip()[:100],
        min(int(page), LAST_PAGE) if page.isdigit() else 0,
    )
    listed = list(_listed(asked)[asked.page * PAGE : (asked.page + 1) * PAGE + 1])
    rows = [_row(score, reader) for score in queries.as_scores(listed[:PAGE])]
    context = {
        "rows": rows,
        "asked": asked,
        "table": _table(asked, reader),
        "progress": queries.nightly_progress(),
        "trends": [
            (trend, asked.address(trend="" if trend == asked.trend else trend), trend == asked.trend) for trend in ("rising", "falling")
        ],
        "before": asked.address(page=asked.page - 1) if asked.page else None,
        "after": asked.address(page=asked.page + 1) if len(listed) > PAGE and asked.page < LAST_PAGE else None,
    }
    return show(request, "console/churn_customers.html", "Customers", context)


def _listed(asked: Asked) -> QuerySet[ChurnScore]:
    rows = ChurnScore.objects.all()
    if asked.search:
        return rows.filter(chargebee_customer_id__startswith=asked.search).order_by("chargebee_customer_id")
    rows = rows.filter(is_active=True)
    if asked.size:
        rows = rows.filter(SIZES[asked.size][1])
    if asked.trend:
        rows = rows.filter(trend=asked.trend)
    if asked.band:
        return rows.filter(band=asked.band).order_by("-value_reference_cents", "id")
    return rows.order_by("-p90", "-value_reference_cents", "id")


def _row(score: queries.Score, reader: Reader) -> dict[str, Any]:
    icon, tone = _TREND[score.trend]
    return {
        "score": score,
        "p90": round(score.p90 * 100),
        "tone": BAND_TONE[score.band],
        "trend_icon": icon,
        "trend_tone": tone,
        "value": reader.minor(score.mrr_minor, score.currency) if score.currency and score.mrr_minor is not None else "",
        "health": None if score.health is None else round(score.health),
        "raised": score.raised[:2],
        "lowered": score.lowered[:1],
    }


def _table(asked: Asked, reader: Reader) -> list[dict[str, Any]]:
    """Bands down, sizes across, each cell with its count and the address that shows who is in it."""
    counts = _counts()
    most = max(counts.values(), default=0) or 1
    return [
        {
            "band": band,
            "tone": BAND_TONE[band],
            "cells": [
                {
                    "title": title,
                    "count": reader.number(counts.get((band, size), 0)),
                    "weight": round(100 * counts.get((band, size), 0) / most),
                    "is_on": asked.band == band and asked.size == size,
                    "address": asked.address(band=band, size=size)
                    if (asked.band, asked.size) != (band, size)
                    else asked.address(band="", size=""),
                }
                for size, (title, _) in SIZES.items()
            ],
        }
        for band in _BANDS
    ]


def _counts() -> dict[tuple[str, str], int]:
    """Customers by band and size, counted at most every half minute: a million rows are not counted for each reader."""
    found = cache.get("churn:counts")
    if not isinstance(found, dict):
        size = Case(*(When(where, then=Value(name)) for name, (_, where) in SIZES.items()), output_field=CharField())
        rows = ChurnScore.objects.filter(is_active=True).annotate(size=size).order_by().values_list("band", "size").annotate(n=Count("pk"))
        found = {(band, name): number for band, name, number in rows}
        cache.set("churn:counts", found, _COUNTED_FOR_SECONDS)
    return found
