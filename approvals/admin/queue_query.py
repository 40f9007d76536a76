"""What the queue asks the database: saved views, filters from static lists, keyset pages, counts that stop counting.

No COUNT(*), no OFFSET, no SELECT DISTINCT: the last page of a million costs what the first one does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.http import QueryDict

from approvals.models import Case, Proposal
from approvals.people import working_role
from approvals.wording import words
from approvals.wording.reader import Reader
from billing_ai.kernel import clock
from billing_ai.tables.one_statement import fetch

if TYPE_CHECKING:
    from django.contrib.auth.models import User

PAGE = 25
COUNT_STOPS_AT = 99
SEARCH_STOPS_AT = 200
"""Cases that a search by a beginning gives at most, for each of the two ids; who means another one writes more of it."""
HIGH_VALUE = 250_000
"""Reference cents from which a case is in the view of high values."""


@dataclass(frozen=True, slots=True)
class SavedView:
    """One way of looking at the queue. `empty` tells what to do when nothing is in it."""

    key: str
    title: str
    where: Callable[[User, Reader], Q]
    empty: str
    counted: bool = True


def _awake() -> Q:
    return Q(snoozed_until__isnull=True) | Q(snoozed_until__lte=clock.now())


def _to_decide(user: User, reader: Reader) -> Q:
    waiting = Q(status=Case.OPEN, waiting_count__gt=0) & _awake()
    # What was passed to the leads is theirs: on top of everyone else's queue it would only be in the way.
    return waiting & Q(escalated_to_lead=False) if working_role(user) == "specialist" else waiting


def _second() -> Exists:
    return Exists(Proposal.objects.filter(case=OuterRef("pk"), status="waiting_second"))


_VIEWS = (
    SavedView("all", "To decide", _to_decide, "Nothing waits for a decision. New drafts come in by themselves as payments fail."),
    SavedView(
        "mine",
        "Mine",
        lambda user, reader: Q(owner=user, status__in=Case.ACTIVE) & _awake(),
        "No case is yours yet. Take one from “Unassigned”: open it and press t.",
    ),
    SavedView(
        "unassigned",
        "Unassigned",
        lambda user, reader: _to_decide(user, reader) & Q(owner__isnull=True),
        "Every waiting case has someone who looks after it.",
    ),
    SavedView(
        "due",
        "Due today",
        lambda user, reader: Q(status__in=Case.ACTIVE, deadline_at__lt=reader.end_of_today()),
        "No deadline ends today.",
    ),
    SavedView(
        "high",
        "High value",
        lambda user, reader: _to_decide(user, reader) & Q(amount_reference__gte=HIGH_VALUE),
        "No large amount waits.",
    ),
    SavedView(
        "broken",
        "Promises broken",
        lambda user, reader: Q(status__in=(Case.OPEN, Case.PROMISED), broken_promise=True),
        "Nobody has broken a promise to pay.",
    ),
    SavedView(
        "second",
        "Second approval",
        lambda user, reader: Q(status=Case.OPEN, waiting_count__gt=0) & Q(_second()),
        "Nothing waits for a second pair of eyes.",
    ),
    SavedView(
        "escalated",
        "Escalated",
        lambda user, reader: Q(status__in=Case.ACTIVE, escalated_to_lead=True),
        "Nothing has been escalated to the leads.",
    ),
    SavedView(
        "snoozed",
        "Snoozed",
        lambda user, reader: Q(status__in=Case.ACTIVE, snoozed_until__gt=clock.now()),
        "No case sleeps.",
        counted=False,
    ),
    SavedView(
        "promised",
        "Promised",
        lambda user, reader: Q(status=Case.PROMISED),
        "No open promise to pay.",
        counted=False,
    ),
    SavedView(
        "disputed",
        "Disputed",
        lambda user, reader: Q(status=Case.DISPUTED),
        "No open dispute.",
        counted=False,
    ),
)
VIEWS: dict[str, SavedView] = {view.key: view for view in _VIEWS}


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter with its fixed choices; `where` turns a chosen key into a condition."""

    key: str
    title: str
    choices: dict[str, str]
    where: Callable[[str, Reader], Q] = field(repr=False)


def _ageing(key: str, reader: Reader) -> Q:
    first, last = AGEING[key][1:]
    today = reader.today()
    where = Q(due_on__lte=today - timedelta(days=first)) if first is not None else Q()
    return where & (Q(due_on__gt=today - timedelta(days=last + 1)) if last is not None else Q())


AGEING: dict[str, tuple[str, int | None, int | None]] = {
    "current": ("Not yet due", None, -1),
    "0-7": ("0–7 days", 0, 7),
    "8-30": ("8–30 days", 8, 30),
    "31-60": ("31–60 days", 31, 60),
    "61-90": ("61–90 days", 61, 90),
    "90+": ("Over 90 days", 91, None),
}
_CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY", "SEK", "NOK", "DKK", "PLN", "CZK", "CAD", "AUD", "NZD", "BRL", "MXN", "INR", "SGD", "HKD", "ZAR", "AED", "KWD", "ILS", "TRY")  # fmt: skip
_LANGUAGES = {
    "en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "nl": "Dutch", "pt": "Portuguese", "pl": "Polish",
    "sv": "Swedish", "da": "Danish", "nb": "Norwegian", "fi": "Finnish", "cs": "Czech", "ja": "Japanese", "zh": "Chinese", "ar": "Arabic",
    "he": "Hebrew", "tr": "Turkish",
}  # fmt: skip
_TIERS = {"enterprise": "Enterprise", "business": "Business", "growth": "Growth", "starter": "Starter", "free": "Free"}
_AGENTS = {"dunning": "Dunning", "payment_risk": "Payment risk", "churn": "Churn", "plan_advice": "Plan advice", "disputes": "Disputes"}

FILTERS: tuple[Filter, ...] = (
    Filter("reason", "Reason", {k: v for k, v in words.CATEGORIES.items() if k}, lambda key, reader: Q(category=key)),
    Filter("currency", "Currency", {code: code for code in _CURRENCIES}, lambda key, reader: Q(currency=key)),
    Filter("age", "Overdue", {key: row[0] for key, row in AGEING.items()}, _ageing),
    Filter("language", "Language", _LANGUAGES, lambda key, reader: Q(language=key) | Q(language__startswith=f"{key}-")),
    Filter("tier", "Tier", _TIERS, lambda key, reader: Q(tier=key)),
    Filter("agent", "Agent", _AGENTS, lambda key, reader: Q(agent=key)),
    Filter(
        "phase",
        "Phase",
        words.PHASES,
        lambda key, reader: Q(Exists(Proposal.objects.filter(case=OuterRef("pk"), phase=key, status__in=("waiting", "waiting_second")))),
    ),
)


@dataclass(frozen=True, slots=True)
class Question:
    """What the address asks for, cleaned: unknown views and choices are as if not said."""

    view: SavedView
    chosen: dict[str, str]
    search: str = ""
    customers: tuple[str, ...] = ()
    """Ids from a live search by name or e-mail; the text that was searched for is not part of the question."""

    def address(self, **changes: str) -> str:
        """The query string that asks this again, with some parts changed; an empty part is left out."""
        parts = QueryDict(mutable=True)
        for key, value in {"view": self.view.key, **self.chosen, "q": self.search, **changes}.items():
            if value and not (key == "view" and value == "all"):
                parts[key] = value
        return parts.urlencode()


def question(given: QueryDict | dict[str, str]) -> Question:
    """Read the address's parameters."""
    view = VIEWS.get(given.get("view") or "all", VIEWS["all"])
    chosen = {one.key: value for one in FILTERS if (value := given.get(one.key) or "") in one.choices}
    return Question(view, chosen, (given.get("q") or "").strip()[:100])


def matching(asked: Question, user: User, reader: Reader) -> QuerySet[Case]:
    """The cases of a question, unordered. A search looks at all cases, whatever the view."""
    rows = Case.objects.all()
    if asked.customers:
        return rows.filter(chargebee_customer_id__in=asked.customers)
    if asked.search:
        return rows.filter(_named(asked.search))
    rows = rows.filter(asked.view.where(user, reader))
    for one in FILTERS:
        if one.key in asked.chosen:
            rows = rows.filter(one.where(asked.chosen[one.key], reader))
    return rows


def _named(text: str) -> Q:
    try:
        return Q(pk=UUID(text))
    except ValueError:
        # A beginning of one or two characters would fit half the table and help nobody.
        how = "startswith" if len(text) > 2 else "exact"
        columns = ("chargebee_invoice_id", "chargebee_customer_id")
        # Each look-up by its own index, and no further than is of use: what fits half the table is not sorted for one page of it.
        parts = [
            Case.objects.filter(**{f"{column}__{how}": text}).values("pk")[:SEARCH_STOPS_AT].query.sql_with_params() for column in columns
        ]
        found = " UNION ALL ".join(f"SELECT * FROM ({sql}) AS {column}" for (sql, _), column in zip(parts, columns, strict=True))  # noqa: S608  # compiled by the ORM
        return Q(pk__in=RawSQL(found, [value for _, params in parts for value in params]))  # noqa: S611  # values stay parameters


@dataclass(frozen=True, slots=True)
class Page:
    """One page of cases, and the cursors of its neighbours (empty: there is none)."""

    cases: list[Case]
    before: str
    after: str


def _cursor(case: Case) -> str:
    return f"{case.stake}.{case.pk.hex}"


def _read_cursor(text: str) -> tuple[int, UUID] | None:
    stake, _, pk = text.partition(".")
    try:
        return int(stake), UUID(pk)
    except ValueError:
        return None


def page(rows: QuerySet[Case], *, after: str = "", before: str = "", size: int = PAGE) -> Page:
    """The page behind a cursor, in the queue's order: what is at stake, largest first. A cursor that cannot be read means the first page."""
    heavy = ("reasons",)
    if before and (place := _read_cursor(before)):
        found = list(rows.filter(_ahead_of(*place)).order_by("stake", "-id").select_related("owner").defer(*heavy)[: size + 1])
        has_more, shown = len(found) > size, list(reversed(found[:size]))
        return Page(shown, _cursor(shown[0]) if has_more else "", _cursor(shown[-1]) if shown else "")
    place = _read_cursor(after)
    if place:
        rows = rows.filter(_behind(*place))
    found = list(rows.order_by("-stake", "id").select_related("owner").defer(*heavy)[: size + 1])
    shown = found[:size]
    return Page(shown, _cursor(shown[0]) if place and shown else "", _cursor(shown[-1]) if len(found) > size else "")


def _behind(stake: int, pk: UUID) -> Q:
    # The first condition lets the index begin at the right place; the second settles equal stakes.
    return Q(stake__lte=stake) & (Q(stake__lt=stake) | Q(id__gt=pk))


def _ahead_of(stake: int, pk: UUID) -> Q:
    return Q(stake__gte=stake) & (Q(stake__gt=stake) | Q(id__lt=pk))


def neighbours(asked: Question, user: User, reader: Reader, current: Case) -> dict[str, QuerySet[Case, UUID]]:
    """The ids around a case in the same question, at most one each: `after` and `before` it, and the `first` of all others."""
    rows = matching(asked, user, reader).exclude(pk=current.pk)
    falling = rows.order_by("-stake", "id").values_list("pk", flat=True)
    return {
        "after": falling.filter(_behind(current.stake, current.pk))[:1],
        "first": falling[:1],
        "before": rows.filter(_ahead_of(current.stake, current.pk)).order_by("stake", "-id").values_list("pk", flat=True)[:1],
    }


def next_case(asked: Question, user: User, reader: Reader, current: Case) -> UUID | None:
    """The case after this one in the same question; from the end, the first one. None when nothing else is left."""
    found = fetch(neighbours(asked, user, reader, current))
    return next((pk for name in ("after", "first") for pk in found[name]), None)


def capped_counts(queries: dict[str, QuerySet[Any]], cap: int = COUNT_STOPS_AT) -> dict[str, int]:
    """How many rows each query has, counted no further than `cap` + 1, in one round trip."""
    columns: list[str] = []
    params: list[Any] = []
    for rows in queries.values():
        sql, given = rows.order_by().values("pk")[: cap + 1].query.sql_with_params()
        columns.append(f"(SELECT COUNT(*) FROM ({sql}) AS capped)")  # noqa: S608  # compiled by the ORM; values stay parameters
        params.extend(given)
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(columns), params)
        return dict(zip(queries, cursor.fetchone(), strict=True))


def view_counts(user: User, reader: Reader) -> dict[str, int]:
    """The number beside each counted view."""
    return capped_counts({key: Case.objects.filter(view.where(user, reader)) for key, view in VIEWS.items() if view.counted})


def count_text(count: int) -> str:
    """`7`, or `99+` where counting stopped."""
    return f"{COUNT_STOPS_AT}+" if count > COUNT_STOPS_AT else str(count)
