"""Deciding as a person: each call goes through the one transition that the console uses too, with that person's role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.models import User
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import case_transitions, transitions
from approvals.models import Case, Proposal
from audit import ledger
from audit.actor import person
from billing_ai.api import answers, asks, reach, shapes
from billing_ai.api.access import acting_user
from billing_ai.api.calls import ApiView
from billing_ai.api.problems import Problem
from billing_ai.api.schema import documented
from billing_ai.kernel.money import Money


class Acting(ApiView):
    """A decision in the name of a person, made once per Idempotency-Key."""

    scopes: ClassVar = {"POST": "act"}

    def act(self, subject: Proposal | Case, order: str, decide: Callable[[User], object]) -> Response:
        """Find out who decides, let them, note which token it came through, and answer with what was decided on as it is then."""
        user = acting_user(self.request)
        self.in_the_name_of(user)

        def work() -> Response:
            decide(user)
            said = self._now(subject)
            case_id = subject.case_id if isinstance(subject, Proposal) else subject.pk
            ledger.append(
                "api.acted",
                actor=person(user),
                trace_id=subject.trace_id,
                subject=("proposal" if isinstance(subject, Proposal) else "case", str(subject.pk)),
                case_id=case_id,
                customer_id=subject.chargebee_customer_id,
                invoice_id=subject.chargebee_invoice_id,
                data={"order": order, "client": self.client.name, "token": str(self.request.auth.pk)},
            )
            return said

        return self.once(work, key_needed=True, acting=user)

    def _now(self, subject: Proposal | Case) -> Response:
        if isinstance(subject, Case):
            return Response(shapes.CaseOut(answers.cases([reach.case(self.client, subject.pk)])[0]).data)
        # Without the words: the answer is kept beside its idempotency key, and words are kept only sealed.
        said = answers.proposals([reach.proposal(self.client, subject.pk)], with_words=False)[0]
        return Response(shapes.ProposalOut(said).data)


class Approve(Acting):
    """Yes."""

    @documented(
        "approve_proposal", "Approve exactly what was seen: the two hashes of the proposal as you read it", ask=asks.ApproveIn,
        answer=shapes.ProposalOut, example="approve", acts=True,
    )  # fmt: skip
    def post(self, request: Request, proposal_id: UUID) -> Response:
        seen = self.read(asks.ApproveIn)
        row = reach.proposal(self.client, proposal_id)
        hashes = {name: seen[name] for name in ("content_hash", "facts_hash")}
        return self.act(row, "approve", lambda user: transitions.approve(row.pk, user, **hashes, note=seen.get("note", "")))


class Reject(Acting):
    """No."""

    @documented(
        "reject_proposal",
        "Reject, with a reason; an instruction has the agent draft again",
        ask=asks.RejectIn,
        answer=shapes.ProposalOut,
        example="reject",
        acts=True,
    )
    def post(self, request: Request, proposal_id: UUID) -> Response:
        said = self.read(asks.RejectIn)
        row = reach.proposal(self.client, proposal_id)
        words = {name: said.get(name, "") for name in ("note", "instruction")}
        return self.act(row, "reject", lambda user: transitions.reject(row.pk, user, reason_code=said["reason_code"], **words))


class Snooze(Acting):
    """Later."""

    @documented(
        "snooze_case", "Take a case out of the queue until a moment", ask=asks.SnoozeIn, answer=shapes.CaseOut, example="snooze", acts=True
    )
    def post(self, request: Request, case_id: UUID) -> Response:
        said = self.read(asks.SnoozeIn)
        row = reach.case(self.client, case_id)
        return self.act(row, "snooze", lambda user: case_transitions.snooze(row.pk, user, said["until"], said.get("note", "")))


class Promises(Acting):
    """A promise to pay."""

    @documented(
        "take_promise",
        "Note that the customer promises to pay so much by a day",
        ask=asks.PromiseIn,
        answer=shapes.CaseOut,
        example="promise",
        acts=True,
    )
    def post(self, request: Request, case_id: UUID) -> Response:
        said = self.read(asks.PromiseIn)
        row = reach.case(self.client, case_id)
        return self.act(row, "promise", lambda user: case_transitions.take_promise(row.pk, user, _money(said), said["due_on"]))


def _money(said: dict[str, Any]) -> Money:
    try:
        return Money(said["amount_minor"], said["currency"])
    except ValueError as error:
        errors = [{"field": "currency", "code": "impossible_currency", "message": "There is no such currency."}]
        raise Problem(422, "impossible_value", "Look at: currency.", errors=errors) from error
