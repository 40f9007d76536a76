"""One customer on one page, for whoever speaks with them: who they are (fetched now), what they have, owe and use, and how likely they are to leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count
from django.db.models.functions import TruncDate
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_GET

from agents.churn import queries as scores
from agents.churn.models import Intervention
from agents.churn.pages.customers import BAND_TONE
from approvals.admin.pages import ConsoleRequest, console_page, show
from approvals.models import Case, Contact, Promise
from approvals.wording.reader import Reader, reader_of
from audit.reads import note_personal_read
from billing_ai.console.charts import Chart, standing_bars
from billing_ai.facts import models as facts
from billing_ai.facts import queries
from billing_ai.integrations import ports, readers
from billing_ai.integrations.chargebee import reads
from billing_ai.integrations.chargebee.resources import Customer as LiveCustomer
from billing_ai.kernel import clock
from billing_ai.kernel.errors import OutsideError
from billing_ai.signals import queries as told
from billing_ai.signals.models import UsageEvent
from billing_ai.work.models import Leased

_SHOWN = 12
_USAGE_DAYS = 30
_LINE_WIDTH, _LINE_HEIGHT = 520, 130


@dataclass(frozen=True, slots=True)
class Line:
    """A drawn line: an SVG path, and the marks below it."""

    path: str
    width: int
    height: int
    first: datetime
    last: datetime


@console_page
@require_GET
def customer(request: ConsoleRequest, customer_id: str) -> HttpResponse:
    """The page. Without the right to see names it has everything else; while Chargebee is away, what we know without it."""
    row = facts.Customer.objects.filter(pk=customer_id).first()
    if row is None:
        raise Http404("No facts of such a customer were ever fetched.")
    reader, now = reader_of(request), clock.now()
    live, away = _live(request, customer_id)
    score = scores.latest_scores([customer_id]).get(customer_id)
    points = scores.history(customer_id)
    tickets, helpdesk_away = _tickets(customer_id) if live is not None else ([], "")
    invoices = facts.Invoice.objects.filter(chargebee_customer_id=customer_id, is_deleted=False).order_by("-issued_on", "-pk")
    context: dict[str, Any] = {
        "customer": row,
        "live": live,
        "name": _name(live),
        "away": away,
        "score": score,
        "tone": BAND_TONE[score.band] if score is not None else "quiet",
        "chances": [(days, round(chance * 100)) for days, chance in ((30, score.p30), (60, score.p60), (90, score.p90))] if score else [],
        "parts": [("Billing", score.health_billing), ("Support", score.health_support), ("Product", score.health_product)] if score else [],
        "value": reader.minor(score.mrr_minor, score.currency) if score and score.currency and score.mrr_minor is not None else "",
        "line": _line([(point.scored_at, point.p90) for point in reversed(points)]),
        "points": points[:_SHOWN],
        "subscriptions": queries.subscriptions(customer_id)[:_SHOWN],
        "invoices": invoices[:_SHOWN],
        "payments": queries.payments(customer_id)[:_SHOWN],
        "tickets": tickets,
        "helpdesk_away": helpdesk_away,
        "told_tickets": told.tickets(customer_id, limit=_SHOWN),
        "usage": _usage(customer_id, now, reader),
        "contacts": Contact.objects.filter(chargebee_customer_id=customer_id).order_by("-at").defer("sealed_text")[:_SHOWN],
        "promises": Promise.objects.filter(case__chargebee_customer_id=customer_id).select_related("case").order_by("-taken_at")[:_SHOWN],
        "cases": Case.objects.filter(chargebee_customer_id=customer_id).order_by("-opened_at")[:_SHOWN],
        "interventions": Intervention.objects.filter(chargebee_customer_id=customer_id).order_by("-at")[:5],
        "links": told.crm_links([customer_id]).get(customer_id, []),
    }
    return show(request, "console/customer.html", f"Customer {customer_id}", context)


def _live(request: ConsoleRequest, customer_id: str) -> tuple[LiveCustomer | None, str]:
    """The customer as Chargebee has them now, the look written down; or why not, in words."""
    if not request.user.has_perm("approvals.read_personal"):
        return None, "Your role does not see names and addresses."
    try:
        live = reads.retrieve_customer(customer_id)
    except OutsideError as error:
        return None, error.sentence
    note_personal_read(request.user, customer_id, "name, address and tickets", "page of the customer")
    return live, ""


def _name(live: LiveCustomer | None) -> str:
    return " ".join(part for part in (live.first_name, live.last_name) if part) if live is not None else ""


def _tickets(customer_id: str) -> tuple[Sequence[ports.Ticket], str]:
    try:
        return readers.helpdesk().list_for_customer(customer_id, limit=_SHOWN), ""
    except OutsideError as error:
        return [], f"The help desk could not be asked: {error.sentence}"


def _usage(customer_id: str, now: datetime, reader: Reader) -> dict[str, Any] | None:
    """Uses a day over the last 30 days; None when no event of this customer ever came."""
    events = UsageEvent.objects.filter(chargebee_customer_id=customer_id, status=Leased.DONE)
    since = now - timedelta(days=_USAGE_DAYS)
    per_day = dict(
        events.filter(occurred_at__gt=since, occurred_at__lte=now)
        .annotate(day=TruncDate("occurred_at"))
        .order_by()
        .values_list("day")
        .annotate(n=Count("pk"))
    )
    if not per_day and not events.exists():
        return None
    days = [clock.utc_date(now) - timedelta(days=back) for back in range(_USAGE_DAYS - 1, -1, -1)]
    chart: Chart = standing_bars([(f"{day.day}", float(per_day.get(day, 0)), reader.number(per_day.get(day, 0))) for day in days])
    return {"chart": chart, "total": sum(per_day.values()), "table": [(reader.day(day), per_day.get(day, 0)) for day in days]}


def _line(points: Sequence[tuple[datetime, float]]) -> Line | None:
    """The chance of leaving over time, from 0 at the bottom to 100 % at the top; None below two points."""
    if len(points) < 2:
        return None
    first, last = points[0][0], points[-1][0]
    span = max(1.0, (last - first).total_seconds())
    drawn = [
        f"{'M' if number == 0 else 'L'}{round(_LINE_WIDTH * (at - first).total_seconds() / span, 1)} {round(_LINE_HEIGHT * (1 - chance), 1)}"
        for number, (at, chance) in enumerate(points)
    ]
    return Line(" ".join(drawn), _LINE_WIDTH, _LINE_HEIGHT, first, last)
