"""Each way in which a call to Chargebee can go wrong, and what the specialist reads about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from billing_ai.integrations import http, site_state
from billing_ai.integrations.chargebee import budget, call, circuit, client, reads, setup_check, writes
from billing_ai.integrations.chargebee.errors import Declined, meaning_of
from billing_ai.kernel.errors import Away, OutsideError, Retryable, Terminal, Unknown
from tests.contracts.conftest import Edge

INVOICE = {"invoice": {"id": "inv", "status": "not_paid", "currency_code": "KWD", "amount_due": 12_500}}


def api_error(
    status: int, code: str, kind: str = "operation_failed", *, headers: dict[str, str] | None = None, **more: Any
) -> httpx.Response:
    body = {
        "message": "m",
        "type": kind,
        "api_error_code": code,
        "error_code": more.pop("error_code", ""),
        "http_status_code": status,
        **more,
    }
    return httpx.Response(status, json=body, headers=headers)


def write() -> Any:
    return writes.collect_payment("inv", idempotency_key="k")


def read() -> Any:
    return reads.retrieve_invoice("inv")


def failure(call: Callable[[], Any], edge: Edge, answer: Callable[[], httpx.Response | Exception]) -> OutsideError:
    """What the caller sees when every attempt is answered like this."""
    edge.answers = [answer() for _ in range(3)]
    with pytest.raises(OutsideError) as caught:
        call()
    return caught.value


HTML = "<html><body>502 Bad Gateway</body></html>"
LOST: dict[str, Callable[[], httpx.Response | Exception]] = {
    "chargebee.timeout": lambda: httpx.ReadTimeout("slow"),
    "chargebee.connection_lost": lambda: httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
    "chargebee.server_error": lambda: httpx.Response(502, html=HTML),
    "chargebee.internal_error": lambda: api_error(500, "internal_error"),
    "chargebee.internal_temporary_error": lambda: api_error(503, "internal_temporary_error"),
    "chargebee.gateway_timeout": lambda: api_error(504, "gateway_timeout"),
    "chargebee.status_500": lambda: api_error(500, "a_code_of_next_year"),
}
UNREADABLE: dict[str, Callable[[], httpx.Response]] = {
    "a web page": lambda: httpx.Response(200, html=HTML),
    "nothing": lambda: httpx.Response(200, content=b""),
    "cut off": lambda: httpx.Response(200, content=b'{"invoice": {"id": "in'),
    "a list": lambda: httpx.Response(200, json=[1]),
    "another resource": lambda: httpx.Response(200, json={"customer": {"id": "cus"}}),
    "an odd type": lambda: httpx.Response(200, json={"invoice": [], "transaction": 7}),
    "no id": lambda: httpx.Response(200, json={"invoice": {"status": "paid"}, "transaction": {}}),
}


@pytest.mark.parametrize("code", LOST)
def test_a_lost_answer_leaves_a_write_open(code: str, edge: Edge) -> None:
    error = failure(write, edge, LOST[code])
    assert isinstance(error, Unknown)
    assert error.code == code
    assert "has to be looked up" in error.sentence
    assert len(edge.requests) == 1


@pytest.mark.parametrize("code", LOST)
def test_a_lost_answer_makes_a_read_be_repeated(code: str, edge: Edge, waits: list[float]) -> None:
    error = failure(read, edge, LOST[code])
    # the site itself answers, so it is this request that fails
    assert type(error) is Retryable
    assert error.code == code
    assert (len(edge.requests), edge.looks) == (3, 1)
    assert [0.15 <= waits[0] <= 0.3, 0.5 <= waits[1] <= 1.0, len(waits)] == [True, True, 2]


@pytest.mark.parametrize("code", LOST)
def test_a_lost_answer_of_a_site_that_answers_nobody_speaks_of_the_site(code: str, edge: Edge) -> None:
    edge.is_down = True
    error = failure(read, edge, LOST[code])
    assert isinstance(error, Away)
    assert (error.code, error.system) == (code, "chargebee")
    # what a write has done is not known all the same
    assert isinstance(failure(write, edge, LOST[code]), Unknown)


@pytest.mark.parametrize("what", UNREADABLE)
def test_an_answer_that_cannot_be_read(what: str, edge: Edge) -> None:
    assert isinstance(failure(write, edge, UNREADABLE[what]), Unknown)
    assert len(edge.requests) == 1
    error = failure(read, edge, UNREADABLE[what])
    assert isinstance(error, Retryable)
    assert error.code == "chargebee.unreadable_answer"


@pytest.mark.parametrize("fault", [httpx.ConnectError("refused"), httpx.ConnectTimeout("no answer"), httpx.PoolTimeout("full")])
def test_nothing_was_sent(fault: Exception, edge: Edge) -> None:
    error = failure(write, edge, lambda: fault)
    assert isinstance(error, Away)
    assert error.sentence == "Chargebee could not be reached. Nothing was sent."


@pytest.mark.parametrize(
    ("answer", "code", "sentence"),
    [
        (api_error(404, "resource_not_found", "invalid_request"), "chargebee.resource_not_found", "nothing under that id"),
        (api_error(409, "invalid_state_for_request", "invalid_request"), "chargebee.invalid_state_for_request", "present state"),
        (api_error(422, "idempotency_key_mismatch", "invalid_request"), "chargebee.status_422", "used before with other values"),
        (
            api_error(400, "param_wrong_value", "invalid_request", param="amount"),
            "chargebee.param_wrong_value",
            "names the parameter amount",
        ),
        (api_error(401, "api_authentication_failed", ""), "chargebee.api_authentication_failed", "does not accept the API key"),
        (api_error(400, "configuration_incompatible", "invalid_request"), "chargebee.configuration_incompatible", "Product Catalog"),
        (api_error(501, "whatever"), "chargebee.status_501", "does not offer this call"),
        (api_error(418, "whatever"), "chargebee.status_418", "refuses the request"),
        (api_error(400, "payment_of_next_year", "payment"), "chargebee.status_400", "could not take the payment"),
        (httpx.Response(302, headers={"location": "http://elsewhere.test"}), "chargebee.unexpected_status", "a way that we do not know"),
    ],
)
def test_a_refusal_is_final(answer: httpx.Response, code: str, sentence: str, edge: Edge) -> None:
    error = failure(write, edge, lambda: answer)
    assert isinstance(error, Terminal)
    assert not error.declined
    assert error.code == code
    assert sentence in error.sentence
    assert len(edge.requests) == 1


def test_a_decline_is_a_finished_answer_with_the_gateways_code(edge: Edge) -> None:
    error = failure(
        write, edge, lambda: api_error(400, "payment_processing_failed", "payment", error_code="insufficient_funds", error_cause_id="PE_7")
    )
    assert isinstance(error, Declined)
    assert error.declined
    assert (error.gateway_code, error.cause) == ("insufficient_funds", "PE_7")
    assert len(edge.requests) == 1


@pytest.mark.parametrize(
    ("call", "scope"), [(write, "“write: invoice” (invoice.collect_payment)"), (read, "“read: invoice” (invoice.retrieve)")]
)
def test_a_missing_scope_is_named(call: Callable[[], Any], scope: str, edge: Edge) -> None:
    error = failure(call, edge, lambda: api_error(403, "api_authorization_failed", ""))
    assert isinstance(error, Terminal)
    assert f"It lacks the scope {scope}" in error.sentence


def test_a_firewalls_refusal_names_the_scope_too(edge: Edge) -> None:
    error = failure(read, edge, lambda: httpx.Response(403, html="<html>Forbidden</html>"))
    assert isinstance(error, Terminal)
    assert "It lacks the scope “read: invoice”" in error.sentence


def test_an_error_that_is_none_of_chargebees_is_seen_as_one_of_ours() -> None:
    assert meaning_of(ZeroDivisionError(), operation="invoice.retrieve", has_effect=False) is None


# -- rate limit, budget, circuit -------------------------------------------------------------------------------------------------


def test_a_short_retry_after_is_waited_out_by_a_read(edge: Edge, waits: list[float]) -> None:
    edge.answers = [api_error(429, "api_request_limit_exceeded", headers={"Retry-After": "2"}), httpx.Response(200, json=INVOICE)]
    assert read().id == "inv"
    assert 2.0 in waits


def test_a_long_retry_after_is_for_the_caller_to_wait(edge: Edge) -> None:
    edge.answers = [api_error(429, "api_request_limit_exceeded", headers={"Retry-After": "42"})]
    with pytest.raises(Retryable) as caught:
        read()
    assert caught.value.after == timedelta(seconds=42)
    assert len(edge.requests) == 1


def test_after_a_429_nobody_calls_until_the_site_said_so(edge: Edge) -> None:
    # given a site that refused a call for being one too many
    edge.answers = [api_error(429, "api_request_limit_exceeded", headers={"Retry-After": "42"})]
    with pytest.raises(Retryable):
        write()
    # when another call is due, then it does not go out
    with pytest.raises(Away) as caught:
        write()
    assert caught.value.code == "chargebee.budget_spent"
    assert timedelta(seconds=40) < caught.value.after <= timedelta(seconds=42)
    assert len(edge.requests) == 1
    assert circuit.state().sentence == "Chargebee asked us to slow down; calls go on in 42 s. Nothing is lost."


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("7", 7),
        ("0", 1),
        ("-5", 1),
        ("999999", 3600),
        ("soon", 60),
        ("", 60),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 1),
        ("nan", 60),
        ("inf", 60),
    ],
)
def test_every_form_of_retry_after(text: str, wait: int) -> None:
    assert http.retry_after(httpx.Headers({"retry-after": text}), timedelta(seconds=60)) == timedelta(seconds=wait)


def test_batch_work_leaves_room_for_people(settings: Any) -> None:
    settings.CHARGEBEE_RATE_PER_MINUTE = 10
    state = site_state.current()
    for _ in range(6):
        with budget.lane(budget.Lane.BATCH):
            budget.take()
    with budget.lane(budget.Lane.BATCH), pytest.raises(Retryable) as batch:
        budget.take()
    assert batch.value.code == budget.SPENT
    for lane, more in ((budget.Lane.EXECUTION, 3), (budget.Lane.PEOPLE, 1)):
        for _ in range(more):
            with budget.lane(lane):
                budget.take()
    with budget.lane(budget.Lane.PEOPLE), pytest.raises(Retryable):
        budget.take()
    assert state.take(11) == 0.0


def test_two_processes_share_one_budget(tmp_path: Any) -> None:
    one, other = site_state.FileState(tmp_path / "calls"), site_state.FileState(tmp_path / "calls")
    assert [one.take(2), other.take(2)] == [0.0, 0.0]
    assert 59 < one.take(2) <= 60
    assert 59 < other.take(2) <= 60


def test_a_broken_state_file_is_started_afresh(tmp_path: Any) -> None:
    (tmp_path / "calls").write_bytes(b"\x00\x01\x02")
    assert site_state.FileState(tmp_path / "calls").take(1) == 0.0


def test_the_circuit_opens_and_the_console_says_so(edge: Edge) -> None:
    # given a site that fails five times in a row: three calls, and the question after each whether it answers at all
    edge.is_down = True
    edge.answers = [httpx.Response(502, html=HTML)] * 3
    for _ in range(3):
        assert not circuit.state().is_open
        with pytest.raises(Unknown):
            write()
    assert circuit.state().is_open
    assert circuit.state().sentence.startswith("Chargebee is down: 6 calls in a row failed. The next try is in ")
    assert circuit.state().since > 0
    # when another call is due
    with pytest.raises(Away) as caught:
        write()
    # then it does not go out, and the site's check says why
    assert caught.value.code == "chargebee.circuit_open"
    assert (len(edge.requests), edge.looks) == (3, 3)
    [finding] = setup_check.check_site()
    assert (finding.code, finding.level) == ("site.down", setup_check.Level.BLOCKING)


def test_one_good_answer_closes_the_circuit_again(edge: Edge) -> None:
    edge.is_down = True
    edge.answers = [httpx.Response(502, html=HTML)] * 2
    for _ in range(2):
        with pytest.raises(Unknown):
            write()
    assert circuit.state().sentence == "Chargebee is shaky: the last 4 calls failed."
    edge.answers = [httpx.Response(200, json=INVOICE)]
    assert read().amount_due_minor == 12_500
    assert circuit.state() == circuit.State(False, 0, "Chargebee answers.", is_well=True)


def test_a_request_that_fails_each_time_opens_nothing(edge: Edge) -> None:
    # given one subject on which the site always fails, while it answers otherwise
    edge.answers = [httpx.Response(500, html=HTML)] * 30
    for _ in range(10):
        with pytest.raises(Retryable) as caught:
            read()
        assert not isinstance(caught.value, Away)
    # then nobody else is kept from calling
    assert circuit.state() == circuit.State(False, 0, "Chargebee answers.", is_well=True)
    edge.answers = [httpx.Response(200, json=INVOICE)]
    assert read().id == "inv"


def down(edge: Edge) -> None:
    """The circuit is open, and nothing more is prepared."""
    edge.is_down = True
    edge.answers = [httpx.Response(502, html=HTML)] * 3
    for _ in range(3):
        with pytest.raises(Unknown):
            write()
    edge.looks = 0


def test_one_look_in_half_a_minute_says_how_it_is(edge: Edge, waits: list[float]) -> None:
    down(edge)
    # while the circuit's time is not over, nobody looks
    assert call.is_away()
    assert edge.looks == 0
    # then one looks, and the others go by that for the next half minute
    waits.append(circuit.OPEN_SECONDS + 1)
    assert [call.is_away() for _ in range(20)] == [True] * 20
    assert (edge.looks, len(edge.requests)) == (1, 3)
    # and when the site is back, the look after that lets everybody go on
    edge.is_down = False
    assert call.is_away()
    waits.append(circuit.OPEN_SECONDS + 1)
    assert not call.is_away()
    assert circuit.state() == circuit.State(False, 0, "Chargebee answers.", is_well=True)
    assert (edge.looks, len(edge.requests)) == (2, 3)


def test_a_caller_looks_too_and_then_calls(edge: Edge, waits: list[float]) -> None:
    down(edge)
    edge.is_down = False
    waits.append(circuit.OPEN_SECONDS + 1)
    edge.answers = [httpx.Response(200, json=INVOICE)]
    assert read().id == "inv"
    assert edge.looks == 1


@pytest.mark.parametrize(
    "answer", [api_error(404, "resource_not_found"), api_error(501, "x"), api_error(400, "payment_processing_failed", "payment")]
)
def test_a_refusal_is_no_sign_of_an_outage(answer: httpx.Response, edge: Edge) -> None:
    edge.answers = [answer] * 6
    for _ in range(6):
        with pytest.raises(Terminal):
            write()
    assert not circuit.state().is_open


# -- lists -----------------------------------------------------------------------------------------------------------------------


def test_a_list_holds_one_page_at_a_time(edge: Edge) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("offset", "0"))
        rows = [{"invoice": {"id": f"{number}-{row}"}} for row in range(100)]
        return httpx.Response(200, json={"list": rows, "next_offset": str(number + 1)})

    edge.answer = page
    found = reads.list_invoices()
    assert [next(found).id for _ in range(101)][-1] == "1-0"
    assert [request.url.params.get("offset") for request in edge.requests] == [None, "1"]


def test_a_list_that_does_not_go_on_is_ended(edge: Edge) -> None:
    edge.answer = lambda request: httpx.Response(200, json={"list": [{"invoice": {"id": "1"}}], "next_offset": "same"})
    with pytest.raises(Terminal) as caught:
        list(reads.list_invoices())
    assert caught.value.code == "chargebee.endless_list"
    assert len(edge.requests) == 2


def test_reconciliation_reaches_back_behind_its_cursor(edge: Edge) -> None:
    events = [
        {"event": {"id": "ev_1", "event_type": "payment_failed", "occurred_at": 1_770_000_000, "content": {}}},
        {"event": {"id": "ev_2"}},
    ]
    edge.answer = lambda request: httpx.Response(200, json={"list": events})
    assert [event.id for event in reads.events_to_reconcile(datetime(2026, 3, 1, 12, tzinfo=UTC))] == ["ev_1"]
    assert edge.requests[0].url.params["occurred_at[after]"] == str(int(datetime(2026, 3, 1, 11, 50, tzinfo=UTC).timestamp()))


def test_amounts_keep_their_currencys_digits(edge: Edge) -> None:
    edge.answers = [httpx.Response(200, json=INVOICE)]
    assert str(read().amount_due.amount) == "12.500"


# -- the pool --------------------------------------------------------------------------------------------------------------------


def test_another_use_of_the_sdk_goes_its_own_way(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    import chargebee

    seen: list[str] = []

    def as_it_comes(method: str, url: str, *rest: Any) -> Any:
        seen.append(url)
        return INVOICE, {}, 200

    monkeypatch.setattr(client, "_sdk_request", as_it_comes)
    assert chargebee.Chargebee(api_key="k", site="other").Invoice.retrieve("inv").invoice.id == "inv"
    assert seen == ["/invoices/inv"]
    assert edge.requests == []


def test_the_answer_of_another_forked_process_is_never_shared(edge: Edge) -> None:
    before = http.client()
    http._drop_after_fork()
    try:
        assert http.client() is not before
    finally:
        http.use_client(before)


def test_a_body_that_drips_for_ever_is_given_up(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 11.0])
    monkeypatch.setattr(http.time, "monotonic", lambda: next(moments))
    edge.answers = [httpx.Response(200, json=INVOICE)]
    with pytest.raises(http.BodyTooSlow):
        http.exchange("GET", "http://chargebee.test/")


def test_a_body_that_is_too_large_is_given_up(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LARGEST_BODY", 10)
    error = failure(write, edge, lambda: httpx.Response(200, json=INVOICE))
    assert isinstance(error, Unknown)
    assert error.code == "chargebee.unreadable"
