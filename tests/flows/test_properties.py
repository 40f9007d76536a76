"""Whatever people, Chargebee and failing machines do, in whatever order: each step at most once, only what was approved, nothing after payment.

A state machine drives the real rooms from approval to record; the outside world is a ledger of what really happened there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from approvals import execution as executing
from approvals import outcomes, settling, tasks, transitions
from approvals.actions import ACTIONS
from approvals.actions.contract import Absent, CannotTell, Done, Look, Request, Settled
from approvals.contract import Check
from approvals.models import Case, Decision, Execution, KillSwitch, Proposal, Revision
from approvals.people import Refused
from approvals.policy import rules as rules_in_force
from approvals.policy.defaults import install_defaults
from audit.verify import verify
from billing_ai.facts.models import Invoice, Transaction
from billing_ai.facts.queries import facts_hash
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Retryable, Terminal, Unknown
from tests import factories

START = datetime(2027, 3, 10, 10, 0, tzinfo=UTC)
"""A Wednesday morning, no day off."""
ANSWERS = (
    "ok",
    "acts and loses the answer",
    "loses the request",
    "refuses for now",
    "declines",
    "dies before the call",
    "dies after the call",
    "answers after its lease",
    "answers after it was looked up",
    "declines after its lease",
)
STEPS = {"send_message": "message:1", "collect_payment": "retry:1"}


class Died(BaseException):
    """The worker's process ends here."""


@dataclass
class Outside:
    """What really happened out there. `effects` holds one row for each time it did; `wrong` what must never have."""

    is_paid: bool = False
    is_stopped: bool = False
    next_answer: str = "ok"
    effects: list[tuple[str, str, str]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


class Edge:
    """An action whose calls end as the machine says. A charge honours its key; a message does not, and cannot be looked up."""

    moves_money = False
    calls_to_freeze = False

    def __init__(self, key: str, outside: Outside) -> None:
        self.key = self.label = key
        self.channel = "email" if key == "send_message" else ""
        self.outside = outside

    def describe(self, proposal: Proposal, revision: Revision) -> str:
        return self.label

    def look_again(self, proposal: Proposal, revision: Revision) -> Look:
        return Look((Check("look.invoice_open", "deny" if self.outside.is_paid else "allow", "The invoice was paid meanwhile."),))

    def freeze(self, proposal: Proposal, revision: Revision, look: Look, key: str) -> Request:
        return Request({"proposal": str(proposal.pk), "content_hash": revision.content_hash, "step": proposal.step})

    def act(self, request: Request, *, key: str) -> Done:
        answer, self.outside.next_answer = self.outside.next_answer, "ok"
        if answer == "dies before the call":
            raise Died
        if answer == "loses the request":
            raise Unknown("edge.no_answer", "No answer.")
        if answer == "refuses for now":
            raise Retryable("edge.busy", "Not now.", timedelta(minutes=1))
        if answer == "declines":
            raise Terminal("edge.declined", "No.", declined=True)
        if answer == "declines after its lease":
            self._outlives_its_lease()
            raise Terminal("edge.declined", "No.", declined=True)
        self._happens(request, key)
        if answer.startswith("answers after"):
            self._outlives_its_lease()
            if answer == "answers after it was looked up":
                settling.settle_unknowns()
        if answer == "dies after the call":
            raise Died
        if answer == "acts and loses the answer":
            raise Unknown("edge.no_answer", "No answer.")
        return Done(key)

    def _outlives_its_lease(self) -> None:
        clock.shift(clock.offset() + executing.LEASE * 2)
        settling.expire_leases()

    def _happens(self, request: Request, key: str) -> None:
        if self.key == "collect_payment" and key in self.outside.keys:
            return
        held = Execution.objects.get(idempotency_key=key)
        approved = Decision.objects.filter(
            proposal_id=request.values["proposal"], kind="approve", content_hash=request.values["content_hash"]
        )
        if not approved.exists() or held.status != Execution.EXECUTING:
            self.outside.wrong.append(f"{self.key} without an approval of that text, or not committed before the call")
        if self.outside.is_paid:
            self.outside.wrong.append(f"{self.key} after the payment")
        if approved.filter(by__is_active=False).exists():
            self.outside.wrong.append(f"{self.key} by the approval of a disabled account")
        if self.outside.is_stopped:
            self.outside.wrong.append(f"{self.key} while the kill switch is on")
        self.outside.keys.add(key)
        self.outside.effects.append((self.key, str(request.values["step"]), key))

    def look_up(self, execution: Execution, request: Request, *, since: datetime) -> Settled:
        if self.key == "send_message":
            return CannotTell("Mail cannot be asked.")
        if execution.idempotency_key in self.outside.keys:
            return Done(execution.idempotency_key)
        return Absent(may_repeat=clock.now() - (execution.first_sent_at or clock.now()) < timedelta(minutes=25))


class Books(RuleBasedStateMachine):
    """One case with a message and a retry, two people, a site, and workers that may end at any moment."""

    outside: Outside
    people: dict[str, User]

    @initialize()
    def begin(self) -> None:
        self.example = transaction.atomic()
        self.example.__enter__()
        clock.shift(timedelta())
        clock.shift(START - clock.now())
        self.outside = Outside()
        for action in STEPS:
            ACTIONS[action] = Edge(action, self.outside)  # type: ignore[assignment]  # stands in for the real one
        self.people = {role: factories.user(role) for role in ("specialist", "lead")}
        self.case = factories.case(words=factories.ENGLISH, retry_in_days=0)
        Invoice.objects.filter(pk=self.case.chargebee_invoice_id).update(dunning_status="")

    def teardown(self) -> None:
        if hasattr(self, "example"):
            assert verify().is_whole
            transaction.set_rollback(True)
            self.example.__exit__(None, None, None)
        clock.shift(timedelta())

    # -- people ----------------------------------------------------------------------------------------------------------------------------

    def newest(self, action: str) -> Proposal:
        return Proposal.objects.filter(case=self.case, action=action).select_related("current").order_by("created_at", "pk").last()  # type: ignore[return-value]

    def page(self, proposal: Proposal) -> dict[str, str]:
        assert proposal.current is not None
        return {"content_hash": proposal.current.content_hash, "facts_hash": facts_hash(proposal.chargebee_invoice_id)}

    @rule(
        action=st.sampled_from(sorted(STEPS)),
        who=st.sampled_from(["specialist", "lead"]),
        is_stale=st.sampled_from([False, False, False, True]),
    )
    def approve(self, action: str, who: str, is_stale: bool) -> None:
        proposal = self.newest(action)
        page = self.page(proposal) | ({"content_hash": "0" * 64} if is_stale else {})
        before = (proposal.status, Execution.objects.filter(proposal=proposal).values_list("status", flat=True).first())
        try:
            transitions.approve(proposal.pk, self.people[who], **page)
        except Refused:
            proposal.refresh_from_db()
            assert (proposal.status, Execution.objects.filter(proposal=proposal).values_list("status", flat=True).first()) == before
        else:
            assert not is_stale

    @rule(action=st.sampled_from(sorted(STEPS)), answer=st.sampled_from(ANSWERS))
    def approve_and_act(self, action: str, answer: str) -> None:
        """The usual way, in one step, so that the search gets past it."""
        self.propose_again(action)
        self.approve(action, "specialist", False)
        self.time_passes(1)
        self.the_next_call(answer)
        self.a_worker_comes()

    @rule(action=st.sampled_from(sorted(STEPS)), value=st.integers(0, 3))
    def edit(self, action: str, value: int) -> None:
        proposal = self.newest(action)
        payload = {"invoice_id": proposal.chargebee_invoice_id, "variant": value}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transitions, "sealed_draft_findings", lambda *_: [])  # would read the name from Chargebee
            self._try(
                lambda: transitions.edit(proposal.pk, self.people["lead"], base_revision_id=proposal.current_id or 0, payload=payload)
            )

    @rule(action=st.sampled_from(sorted(STEPS)))
    def reject(self, action: str) -> None:
        self._try(lambda: transitions.reject(self.newest(action).pk, self.people["specialist"], reason_code="wrong_time"))

    @rule(action=st.sampled_from(sorted(STEPS)))
    def undo(self, action: str) -> None:
        self._try(lambda: transitions.undo(self.newest(action).pk, self.people["specialist"]))

    @rule(action=st.sampled_from(sorted(STEPS)))
    def propose_again(self, action: str) -> None:
        """Another run wants the same step: possible only where the earlier try came to nothing."""
        amount = self.case.amount_due_minor if action == "collect_payment" else 0
        words = factories.ENGLISH if action == "send_message" else None
        try:
            with transaction.atomic():
                factories.proposal(self.case, action=action, step=STEPS[action], words=words, amount_minor=amount)
        except IntegrityError:
            return

    @rule(who=st.sampled_from(["specialist", "lead"]), is_active=st.sampled_from([False, True, True]))
    def an_account_is_switched(self, who: str, is_active: bool) -> None:
        self.people[who].is_active = is_active
        self.people[who].save()

    @rule(is_on=st.sampled_from([False, False, True]))
    def the_kill_switch_is_thrown(self, is_on: bool) -> None:
        switch = KillSwitch.objects.get(scope="all")
        switch.is_on = is_on
        switch.save()
        self.outside.is_stopped = is_on

    @rule()
    def a_person_settles(self) -> None:
        """Someone looks in the other system, and says truly what is there."""
        for held in Execution.objects.filter(status=Execution.PERSON):
            happened = held.idempotency_key in self.outside.keys
            self._try(
                lambda held=held, happened=happened: transitions.settle_unknown(
                    held.proposal_id, self.people["lead"], happened=happened, note="Looked."
                )
            )

    # -- the outside -----------------------------------------------------------------------------------------------------------------------

    @rule(answer=st.sampled_from(ANSWERS))
    def the_next_call(self, answer: str) -> None:
        self.outside.next_answer = answer

    @rule()
    def the_customer_pays(self) -> None:
        self.outside.is_paid = True

    @rule()
    def the_news_arrives(self) -> None:
        if not self.outside.is_paid:
            return
        Invoice.objects.filter(pk=self.case.chargebee_invoice_id).update(status="paid", amount_due_minor=0)
        Transaction.objects.get_or_create(
            pk="txn_paid",
            defaults={
                "chargebee_customer_id": self.case.chargebee_customer_id, "invoice_ids": [self.case.chargebee_invoice_id], "kind": "payment",
                "status": "success", "amount_minor": self.case.amount_due_minor, "currency": "EUR", "happened_at": clock.now(),
                "fetched_at": clock.now(), "initiator": "customer",
            },
        )  # fmt: skip
        outcomes.settle(self.case.chargebee_customer_id)

    # -- machines --------------------------------------------------------------------------------------------------------------------------

    @rule()
    def a_worker_comes(self) -> None:
        try:
            while executing.execute_due():
                pass
        except Died:
            return

    @rule(minutes=st.sampled_from([1, 4, 30, 90]))
    def time_passes(self, minutes: int) -> None:
        clock.shift(clock.offset() + timedelta(minutes=minutes))

    @rule()
    def the_sweeps_run(self) -> None:
        settling.expire_leases()
        settling.settle_unknowns()
        outcomes.expire_proposals()

    @rule()
    def two_beats_tick(self) -> None:
        tasks.housekeeping()
        tasks.housekeeping()

    def _try(self, do: Any) -> None:
        try:
            do()
        except Refused:
            return

    # -- what always holds -----------------------------------------------------------------------------------------------------------------

    @invariant()
    def the_books_balance(self) -> None:
        if not hasattr(self, "case"):
            return
        assert self.outside.wrong == []
        steps = [(action, step) for action, step, _ in self.outside.effects]
        assert len(steps) == len(set(steps)), f"twice: {self.outside.effects}"
        happened = {key for _, _, key in self.outside.effects}
        for held in Execution.objects.all():
            if held.action not in STEPS:
                continue
            # what is called done was done, and what was done is called done or not yet known
            if held.status == "done":
                assert held.idempotency_key in happened
            if held.idempotency_key in happened:
                assert held.status in ("done", "executing", "unknown", "person"), held.status
        if Case.objects.get(pk=self.case.pk).status not in Case.ACTIVE:
            assert not Proposal.objects.filter(case=self.case, status__in=("waiting", "waiting_second", "approved")).exclude(
                pk__in=self._proposed_after_the_end()
            )

    def _proposed_after_the_end(self) -> list[Any]:
        closed_at = Case.objects.values_list("closed_at", flat=True).get(pk=self.case.pk)
        return list(Proposal.objects.filter(case=self.case, created_at__gte=closed_at).values_list("pk", flat=True))


@pytest.fixture
def rooms(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The rules in force, no broker, and the real actions back in their places afterwards."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.SEND_DELAY_SECONDS = 0
    monkeypatch.setattr("billing_ai.work.wake._waker.wake", lambda task: None)
    rules_in_force.forget()
    install_defaults()
    real = {key: ACTIONS[key] for key in STEPS}
    yield
    ACTIONS.update(real)
    clock.shift(timedelta())


def test_approved_steps_do_happen(rooms: None) -> None:
    """Without this, a machine in which nothing ever happens would pass."""
    books = Books()
    books.begin()
    try:
        for action in STEPS:
            books.approve(action, "specialist", False)
        books.time_passes(1)
        books.a_worker_comes()
        assert sorted(action for action, _, _ in books.outside.effects) == ["collect_payment", "send_message"]
        books.the_books_balance()
    finally:
        books.teardown()


def test_whatever_happens_the_books_balance(rooms: None) -> None:
    run_state_machine_as_test(
        Books,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert connection.in_atomic_block


@pytest.mark.parametrize("answer", [answer for answer in ANSWERS if "after" in answer])
@pytest.mark.parametrize("action", sorted(STEPS))
def test_an_answer_that_comes_too_late_stops_nothing_else(rooms: None, action: str, answer: str) -> None:
    books = Books()
    books.begin()
    try:
        books.approve(action, "specialist", False)
        books.time_passes(1)
        books.the_next_call(answer)
        books.a_worker_comes()
        books.the_books_balance()
        books.the_sweeps_run()
        books.a_person_settles()
        books.the_books_balance()
    finally:
        books.teardown()
