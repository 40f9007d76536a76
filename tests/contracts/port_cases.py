"""What every adapter of a port has to do, whichever vendor is behind it. A vendor's test inherits this and says only what its answers look like."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

import httpx
import pytest

from billing_ai.integrations.ports import Absent, Found, LookUp
from billing_ai.kernel.errors import OutsideError, Retryable, Terminal, Unknown
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
        assert isinstance(error, Retryable)
        assert "Nothing was sent." in error.sentence

    def test_slow_down(self, edge: Edge) -> None:
        error = self.fails(edge, httpx.Response(429, headers={"Retry-After": "37"}))
        assert isinstance(error, Retryable)
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
