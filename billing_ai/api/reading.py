"""What can be read: the token itself, customers, cases, proposals, changes."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import Q, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import states
from approvals.models import Case
from billing_ai.api import answers, changes, forgetting, reach, shapes
from billing_ai.api.access import token_of
from billing_ai.api.calls import FEED_CURSOR, ApiView, bad_cursor, bad_parameter, cursor_text
from billing_ai.api.problems import Problem
from billing_ai.api.schema import documented
from billing_ai.signals.models import SYSTEMS

PROPOSAL_STATES = (
    states.OBSERVED, states.BLOCKED, states.WAITING, states.SECOND, states.APPROVED, states.EXECUTING, states.DONE, states.DECLINED,
    states.FAILED, states.UNKNOWN, states.REJECTED, states.WITHDRAWN, states.EXPIRED,
)  # fmt: skip
CASE_STATES = (*Case.ACTIVE, Case.RECOVERED, Case.CLOSED)


class Me(ApiView):
    """Whose token this is."""

    @documented("me", "Whose token this is, and what it allows", answer=shapes.MeOut, example="me")
    def get(self, request: Request) -> Response:
        token = token_of(request)
        people = [user.get_username() for user in token.may_act_as.order_by("username")]
        named = {"client": token.client.name, "token_id": token.pk, "label": token.label, "scopes": token.scopes, "may_act_as": people}
        return Response(shapes.MeOut({**named, "rate_per_minute": token.rate_per_minute, "expires_at": token.expires_at}).data)


class Customers(ApiView):
    """Customers in reach."""

    scopes: ClassVar = {"GET": "customers:read"}
    parameters: ClassVar = {"GET": ("limit", "cursor")}

    @documented(
        "list_customers",
        "Customers with scores, reasons, trend, open cases and next action",
        answer=shapes.CustomerPage,
        example="customers",
        paged=True,
    )
    def get(self, request: Request) -> Response:
        rows = reach.customers(self.client).order_by("pk")
        after = self.cursor(1)
        if after:
            rows = rows.filter(pk__gt=after[0])
        page, next_cursor = _page(rows, self.limit(), lambda row: cursor_text(row.pk))
        return Response(shapes.CustomerPage({"items": answers.customers(self.client, page), "next_cursor": next_cursor}).data)


class Customer(ApiView):
    """One customer."""

    scopes: ClassVar = {"GET": "customers:read"}

    @documented("get_customer", "One customer, by Chargebee's id", answer=shapes.CustomerOut, example="customer")
    def get(self, request: Request, customer_id: str) -> Response:
        row = reach.customer(self.client, customer_id)
        return Response(shapes.CustomerOut(answers.customers(self.client, [row])[0]).data)


class CustomerByCrm(ApiView):
    """One customer, found by the CRM's id."""

    scopes: ClassVar = {"GET": "customers:read"}

    @documented(
        "get_customer_by_crm_id",
        "One customer, by the id it has in your CRM (see crm-links)",
        answer=shapes.CustomerOut,
        example="customer",
    )
    def get(self, request: Request, system: str, crm_id: str) -> Response:
        row = reach.customer(self.client, crm_id) if system == SYSTEMS[0] else reach.customer_by_crm(self.client, system, crm_id)
        return Response(shapes.CustomerOut(answers.customers(self.client, [row])[0]).data)


class Cases(ApiView):
    """Cases in reach."""

    scopes: ClassVar = {"GET": "cases:read"}
    parameters: ClassVar = {"GET": ("limit", "cursor", "status", "customer_id")}

    @documented(
        "list_cases", "Cases with status and outcome, oldest first", answer=shapes.CasePage, example="cases", paged=True,
        filters={"status": CASE_STATES, "customer_id": None},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        rows = reach.cases(self.client).order_by("opened_at", "id")
        if status := self.chosen("status", CASE_STATES):
            rows = rows.filter(status=status)
        if (customer_id := request.query_params.get("customer_id")) is not None:
            rows = rows.filter(chargebee_customer_id=customer_id) if reach.is_storable(customer_id) else rows.none()
        if after := self.cursor(2):
            rows = rows.filter(_later("opened_at", after))
        page, next_cursor = _page(
            rows.prefetch_related(*answers.CASE_PARTS), self.limit(), lambda row: cursor_text(row.opened_at.isoformat(), row.pk)
        )
        return Response(shapes.CasePage({"items": answers.cases(page), "next_cursor": next_cursor}).data)


class OneCase(ApiView):
    """One case."""

    scopes: ClassVar = {"GET": "cases:read"}

    @documented("get_case", "One case with its promises and outcomes", answer=shapes.CaseOut, example="case")
    def get(self, request: Request, case_id: UUID) -> Response:
        return Response(shapes.CaseOut(answers.cases([reach.case(self.client, case_id)])[0]).data)


class Proposals(ApiView):
    """Proposals in reach."""

    scopes: ClassVar = {"GET": "cases:read"}
    parameters: ClassVar = {"GET": ("limit", "cursor", "status", "case_id")}

    @documented(
        "list_proposals", "Proposals with status and outcome, oldest first", answer=shapes.ProposalPage, example="proposals", paged=True,
        filters={"status": PROPOSAL_STATES, "case_id": None},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        rows = reach.proposals(self.client).select_related("current").order_by("created_at", "id")
        if status := self.chosen("status", PROPOSAL_STATES):
            rows = rows.filter(status=status)
        if "case_id" in request.query_params:
            try:
                rows = rows.filter(case_id=UUID(request.query_params["case_id"]))
            except ValueError:
                rows = rows.none()  # no case has such an id
        if after := self.cursor(2):
            rows = rows.filter(_later("created_at", after))
        page, next_cursor = _page(
            rows.prefetch_related(*answers.PROPOSAL_PARTS), self.limit(), lambda row: cursor_text(row.created_at.isoformat(), row.pk)
        )
        items = answers.proposals(page, with_words="words:read" in token_of(request).scopes)
        return Response(shapes.ProposalPage({"items": items, "next_cursor": next_cursor}).data)


class OneProposal(ApiView):
    """One proposal."""

    scopes: ClassVar = {"GET": "cases:read"}

    @documented(
        "get_proposal", "One proposal, with the two hashes that an approval has to carry", answer=shapes.ProposalOut, example="proposal"
    )
    def get(self, request: Request, proposal_id: UUID) -> Response:
        row = reach.proposal(self.client, proposal_id)
        with_words = "words:read" in token_of(request).scopes
        return Response(shapes.ProposalOut(answers.proposals([row], with_words=with_words)[0]).data)


class Changes(ApiView):
    """The change feed."""

    scopes: ClassVar = {"GET": "changes:read"}
    parameters: ClassVar = {"GET": ("limit", "cursor")}

    @documented(
        "list_changes", "What changed since a cursor: cases, proposals, score bands. Without a cursor: from the beginning",
        answer=shapes.ChangePage, example="changes", paged="feed",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        raw = request.query_params.get("cursor", "0")
        if not re.fullmatch(FEED_CURSOR, raw):
            raise bad_parameter("cursor", "invalid", "Send the next_cursor of an earlier answer, as it was.")
        changes.number_all()
        # A reader who stayed away for too long must not take the feed as it is now for all that happened.
        if "cursor" in request.query_params and int(raw) < forgetting.forgotten_up_to():
            raise Problem(
                404,
                "changes_forgotten",
                "What came after this cursor is kept no longer. Read cases and proposals anew, then the feed without a cursor.",
            )
        limit = self.limit()
        rows = list(reach.changes(self.client).filter(position__gt=int(raw)).order_by("position")[: limit + 1])
        page = rows[:limit]
        # Kept when there is nothing new: the reader asks again with the same one.
        next_cursor = str(page[-1].position) if page else raw
        items = [answers.change(row) for row in page]
        return Response(shapes.ChangePage({"items": items, "next_cursor": next_cursor, "has_more": len(rows) > limit}).data)


def _page(rows: QuerySet[Any], limit: int, mark: Any) -> tuple[list[Any], str | None]:
    found = list(rows[: limit + 1])
    page = found[:limit]
    return page, mark(page[-1]) if len(found) > limit else None


def _later(column: str, after: list[str]) -> Q:
    try:
        moment, pk = datetime.fromisoformat(after[0]), UUID(after[1])
    except ValueError as error:
        raise bad_cursor() from error
    if moment.tzinfo is None:
        raise bad_cursor()
    return Q(**{f"{column}__gt": moment}) | Q(**{column: moment, "pk__gt": pk})
