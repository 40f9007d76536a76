"""What every adapter of a port has to do, whichever vendor is behind it. A vendor's test inherits this and says only what its answers look like."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, ClassVar

import httpx
import pytest

from billing_ai.integrations.ports import Absent, CrmSink, CustomerScore, Found, LookUp, NewTask
from billing_ai.kernel.errors import Away, OutsideError, Retryable, Terminal, Unknown
from tests.contracts.conftest import Edge

HTML = "<html><body>Bad gateway</body></html>"
LOST: dict[str, Callable[[], httpx.Response | Exception]] = {
    "no answer in time": lambda: httpx.ReadTimeout("slow"),
    "reset": lambda: httpx.ReadError("reset by peer"),
    "cut": lambda: httpx.RemoteProtocolError("incomplete body"),
    "half sent": lambda: httpx.WriteError("broken pipe"),
    "500": lambda: httpx.Response(500, json={"error": "x"}),
    "502 page": lambda: httpx.Response(502, html=HTML),
    "503 with Retry-After": lambda: httpx.Response(503, headers={"Retry-After": "9"}),
    "504": lambda: httpx.Response(504),
}
UNREADABLE: dict[str, Callable[[], httpx.Response]] = {
    "a web page": lambda: httpx.Response(200, html=HTML),
    "nothing": lambda: httpx.Response(200),
    "cut off": lambda: httpx.Response(200, content=b'{"id": "1'),
    "an odd shape": lambda: httpx.Response(200, json={"surprise": [1]}),
    "a text": lambda: httpx.Response(200, json="ok"),
}
NOT_SENT: dict[str, Callable[[], Exception]] = {
    "refused": lambda: httpx.ConnectError("refused"),
    "no connection in time": lambda: httpx.ConnectTimeout("slow"),
    "pool full": lambda: httpx.PoolTimeout("full"),
}


class SendCases:
    """One effect over HTTP: how it goes well, and each way in which it does not."""

    key: ClassVar[str] = "7d1c9e"
    reference: ClassVar[str]
    secrets: ClassVar[tuple[str, ...]] = ("token",)
    reads_before: ClassVar[int] = 0
    """Reads that the adapter makes before the effect itself."""

    def prelude(self) -> list[httpx.Response | Exception]:
        """Answers to the reads before the effect."""
        return []

    def taken(self) -> httpx.Response:
        """The vendor's answer when it takes it."""
        raise NotImplementedError

    def send(self) -> Any:
        """Have the effect."""
        raise NotImplementedError

    def fails(self, edge: Edge, answer: httpx.Response | Exception) -> OutsideError:
        """What the caller sees when the effect itself is answered like this."""
        edge.answers = [*self.prelude(), answer]
        with pytest.raises(OutsideError) as caught:
            self.send()
        assert len(edge.requests) == self.reads_before + 1
        assert not [secret for secret in self.secrets if secret in f"{caught.value} {caught.value.sentence}"]
        return caught.value

    def test_it_is_taken(self, edge: Edge) -> None:
        edge.answers = [*self.prelude(), self.taken()]
        receipt = self.send()
        assert receipt.reference == self.reference
        assert receipt.accepted_at.tzinfo is not None
        assert edge.requests[-1].headers["idempotency-key"] == self.key
        assert "authorization" in edge.requests[-1].headers

    @pytest.mark.parametrize("how", LOST)
    def test_a_lost_answer_leaves_it_open(self, how: str, edge: Edge) -> None:
        assert isinstance(self.fails(edge, LOST[how]()), Unknown)

    @pytest.mark.parametrize("how", UNREADABLE)
    def test_an_unreadable_answer_leaves_it_open(self, how: str, edge: Edge) -> None:
        assert isinstance(self.fails(edge, UNREADABLE[how]()), Unknown)

    @pytest.mark.parametrize("how", NOT_SENT)
    def test_nothing_was_sent(self, how: str, edge: Edge) -> None:
        error = self.fails(edge, NOT_SENT[how]())
        assert isinstance(error, Away)
        assert "Nothing was sent." in error.sentence

    def test_slow_down(self, edge: Edge) -> None:
        error = self.fails(edge, httpx.Response(429, headers={"Retry-After": "37"}))
        assert isinstance(error, Away)
        assert error.after == timedelta(seconds=37)

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422, 501, 302])
    def test_a_refusal_is_final(self, status: int, edge: Edge) -> None:
        error = self.fails(edge, httpx.Response(status))
        assert isinstance(error, Terminal)
        assert not error.declined

    def test_every_error_has_a_sentence(self, edge: Edge) -> None:
        for answer in (httpx.Response(418), httpx.Response(500), httpx.Response(401)):
            edge.requests.clear()
            error = self.fails(edge, answer)
            assert error.sentence.endswith(".")
            assert "." in error.code


class LookUpCases:
    """Asking whether an effect happened."""

    found_reference: ClassVar[str]

    def look_up(self) -> LookUp:
        """Ask."""
        raise NotImplementedError

    def has_it(self) -> httpx.Response:
        """The vendor's answer when it has it."""
        raise NotImplementedError

    def has_it_not(self) -> httpx.Response:
        """The vendor's answer when it has nothing."""
        raise NotImplementedError

    def test_it_is_found(self, edge: Edge) -> None:
        edge.answers = [self.has_it()]
        found = self.look_up()
        assert isinstance(found, Found)
        assert found.receipt.reference == self.found_reference
        assert found.receipt.replayed
        assert found.receipt.accepted_at.tzinfo is not None
        assert edge.requests[0].method == "GET"

    def test_it_is_absent(self, edge: Edge) -> None:
        edge.answers = [self.has_it_not()]
        assert self.look_up() == Absent()

    @pytest.mark.parametrize("how", [*LOST, *UNREADABLE, *NOT_SENT])
    def test_a_failed_look_says_nothing_about_the_effect(self, how: str, edge: Edge) -> None:
        edge.answers = [{**LOST, **UNREADABLE, **NOT_SENT}[how]()]
        with pytest.raises(Retryable):
            self.look_up()


class CrmSinkCases:
    """A CRM behind the port, over a real socket: scores and tasks come to be there once, and what was lost can be found out.

    `sink` is the adapter, `customer_ids` are customers that the CRM knows, `effect` is the address of a batch and of a task there.
    """

    sink: ClassVar[Callable[[], CrmSink]]
    batch_path: ClassVar[str]
    task_path: ClassVar[str]

    @pytest.fixture
    def customer_ids(self) -> list[str]:
        """Customers that the CRM knows."""
        raise NotImplementedError

    @pytest.fixture
    def fault(self) -> Callable[..., None]:
        """Have the next call fail: `fault(path=…, kind=…)`."""
        raise NotImplementedError

    def sent(self, customer_ids: list[str], band: str) -> list[CustomerScore]:
        return [CustomerScore(one, {"Churn_Band": band, "churn_90": 22, "why": None}) for one in customer_ids]

    def task(self, customer_id: str) -> NewTask:
        return NewTask(customer_id, "Call them", "Usage fell by half.", date(2026, 3, 9), is_urgent=True)

    def test_scores_are_set_and_can_be_read_back(self, customer_ids: list[str]) -> None:
        sink, scores = type(self).sink(), self.sent(customer_ids, "high")
        assert sink.which_are_set(scores) == frozenset()
        receipt = sink.upsert_scores(scores, key="scores-1")
        assert (set(receipt.accepted), receipt.refused) == (set(customer_ids), {})
        assert sink.which_are_set(scores) == frozenset(customer_ids)
        # another value is not this value
        assert sink.which_are_set(self.sent(customer_ids, "low")) == frozenset()

    def test_more_than_one_call_takes(self, customer_ids: list[str]) -> None:
        sink = type(self).sink()
        many = [*customer_ids, *(f"many_{number}" for number in range(230))]
        scores = self.sent(many, "medium")
        assert set(sink.upsert_scores(scores, key="scores-many").accepted) == set(many)
        assert sink.which_are_set(scores) == frozenset(many)

    def test_setting_the_same_again_changes_nothing(self, customer_ids: list[str]) -> None:
        sink, scores = type(self).sink(), self.sent(customer_ids, "critical")
        for key in ("scores-2", "scores-2", "scores-3"):
            assert set(sink.upsert_scores(scores, key=key).accepted) == set(customer_ids)
        assert sink.which_are_set(scores) == frozenset(customer_ids)

    def test_a_lost_answer_to_a_batch_is_settled_by_looking(self, customer_ids: list[str], fault: Callable[..., None]) -> None:
        sink, scores = type(self).sink(), self.sent(customer_ids, "lost")
        fault(path=self.batch_path, kind="act_then_drop")
        with pytest.raises(Unknown):
            sink.upsert_scores(scores, key="scores-4")
        assert sink.which_are_set(scores) == frozenset(customer_ids)
        # and one that never arrived is not there
        never = self.sent(customer_ids, "never")
        fault(path=self.batch_path, kind="drop")
        with pytest.raises(Unknown):
            sink.upsert_scores(never, key="scores-5")
        assert sink.which_are_set(never) == frozenset()

    def test_a_busy_crm_is_left_alone_for_as_long_as_it_says(self, customer_ids: list[str], fault: Callable[..., None]) -> None:
        fault(path=self.batch_path, kind="status", status=429, retry_after=17)
        with pytest.raises(Retryable) as caught:
            type(self).sink().upsert_scores(self.sent(customer_ids, "busy"), key="scores-6")
        assert caught.value.after == timedelta(seconds=17)

    def test_a_task_is_made_once(self, customer_ids: list[str]) -> None:
        sink, key = type(self).sink(), f"task-{customer_ids[0]}"
        assert sink.look_up(key) == Absent()
        first, again = (sink.create_task(self.task(customer_ids[0]), key=key) for _ in range(2))
        assert (first.reference, first.replayed, again.replayed) == (again.reference, False, True)
        found = sink.look_up(key)
        assert isinstance(found, Found)
        assert found.receipt.reference == first.reference

    def test_a_lost_answer_to_a_task_is_settled_by_looking(self, customer_ids: list[str], fault: Callable[..., None]) -> None:
        sink = type(self).sink()
        for kind, is_there in (("act_then_drop", True), ("drop", False)):
            key = f"lost-{kind}-{customer_ids[0]}"
            fault(path=self.task_path, kind=kind)
            with pytest.raises(Unknown):
                sink.create_task(self.task(customer_ids[0]), key=key)
            assert isinstance(sink.look_up(key), Found if is_there else Absent)

    def test_a_customer_whom_the_crm_does_not_know_gets_no_task(self) -> None:
        sink = type(self).sink()
        with pytest.raises(Terminal) as caught:
            sink.create_task(self.task("nobody_at_all"), key="task-nobody")
        assert caught.value.code.endswith((".no_account", ".no_company"))
        assert sink.look_up("task-nobody") == Absent()
