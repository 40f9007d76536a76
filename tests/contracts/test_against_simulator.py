"""The whole gateway against the simulated site, over a real socket: each call once, and the ports beside it."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from billing_ai.integrations import http, registry
from billing_ai.integrations.chargebee import reads, writes
from billing_ai.integrations.hubspot.adapter import HubspotCrm
from billing_ai.integrations.ports import Absent, Found, NewTask, NewTicket, OutgoingMail, OutgoingSms
from billing_ai.integrations.salesforce.adapter import SalesforceCrm
from billing_ai.kernel import clock
from billing_ai.kernel.errors import OutsideError, Retryable, Terminal, Unknown
from tests.contracts.port_cases import CrmSinkCases


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def simulator() -> Iterator[tuple[str, int]]:
    """A small world of its own: its address and its mail port."""
    port, smtp_port = _free_port(), _free_port()
    command = [
        sys.executable,
        "-m",
        "billing_ai.simulator",
        "--port",
        str(port),
        "--smtp-port",
        str(smtp_port),
        "--seed",
        "11",
        "--customers",
        "40",
    ]
    process = subprocess.Popen([*command, "--rate-limit", "0", "--read-only-keys", "key-that-reads", "--api-keys", "key-that-writes"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "ready" in line:
            break
    else:
        pytest.fail("the simulator did not start")
    yield f"http://127.0.0.1:{port}", smtp_port
    process.terminate()
    process.communicate(timeout=20)


@pytest.fixture
def site(simulator: tuple[str, int], settings: Any) -> Iterator[str]:
    url, smtp_port = simulator
    settings.CHARGEBEE_API_URL = f"{url}/api/v2"
    settings.SMS_API_URL = url
    settings.ZENDESK_URL = f"{url}/zendesk"
    settings.HUBSPOT_URL = f"{url}/hubspot"
    settings.SALESFORCE_URL = f"{url}/salesforce"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", smtp_port, 10
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    before = http.use_client(None)
    yield url
    httpx.delete(f"{url}/control/faults")
    http.client().close()
    http.use_client(before)


def fault(site: str, **rule: Any) -> None:
    httpx.post(f"{site}/control/faults", json={"times": 1, **rule}).raise_for_status()


def an_open_invoice() -> Any:
    return next(invoice for invoice in reads.list_invoices(status_in=["payment_due", "not_paid"]) if invoice.is_collectable)


def test_each_call_once(site: str) -> None:
    printed = io.StringIO()
    call_command("exercise_gateway", stdout=printed)
    lines = printed.getvalue().splitlines()
    assert lines[-1].endswith("calls made, 0 refused.")
    assert not [line for line in lines if "REFUSED" in line]


def test_a_site_that_is_not_there_fails_the_exercise(site: str, settings: Any) -> None:
    settings.CHARGEBEE_API_URL = f"http://127.0.0.1:{_free_port()}/api/v2"
    with pytest.raises(CommandError):
        call_command("exercise_gateway", stdout=io.StringIO())


def test_the_reading_key_cannot_write(site: str, settings: Any) -> None:
    invoice = an_open_invoice()
    settings.CHARGEBEE_API_KEY = settings.CHARGEBEE_READ_API_KEY
    with pytest.raises(Terminal) as caught:
        writes.create_comment("invoice", invoice.id, "x", idempotency_key="no-right")
    assert "It lacks the scope “write: comment” (comment.create)" in caught.value.sentence
    assert list(reads.list_comments(entity_type="invoice", entity_id=invoice.id)) == []


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ({"kind": "status", "status": 500}, Unknown),
        ({"kind": "status", "status": 503}, Unknown),
        ({"kind": "drop"}, Unknown),
        ({"kind": "act_then_drop"}, Unknown),
        ({"kind": "cut_body"}, Unknown),
        ({"kind": "html"}, (Unknown, Terminal)),
        ({"kind": "empty"}, Unknown),
        ({"kind": "status", "status": 429}, Retryable),
    ],
)
def test_each_fault_of_the_site_on_a_write(rule: dict[str, Any], kind: Any, site: str) -> None:
    fault(site, method="POST", path="comments", **rule)
    with pytest.raises(OutsideError) as caught:
        writes.create_comment("invoice", an_open_invoice().id, "x", idempotency_key=f"fault-{json.dumps(rule)[:60]}")
    assert isinstance(caught.value, kind)


def test_a_write_whose_answer_was_lost_is_done_once_under_its_key(site: str) -> None:
    # given a note that the site took, and whose answer was lost
    invoice = an_open_invoice()
    fault(site, method="POST", path="comments", kind="act_then_drop")
    with pytest.raises(Unknown):
        writes.create_comment("invoice", invoice.id, "once", idempotency_key="lost-answer")
    # when the same key is used again
    written = writes.create_comment("invoice", invoice.id, "once", idempotency_key="lost-answer")
    # then the site replays, and there is one note
    assert written.was_replayed
    assert [comment.notes for comment in reads.list_comments(entity_type="invoice", entity_id=invoice.id)].count("once") == 1


def test_the_same_key_for_another_note_is_refused(site: str) -> None:
    invoice = an_open_invoice()
    writes.create_comment("invoice", invoice.id, "first", idempotency_key="reused")
    with pytest.raises(Terminal):
        writes.create_comment("invoice", invoice.id, "second", idempotency_key="reused")
    assert "second" not in [comment.notes for comment in reads.list_comments(entity_type="invoice", entity_id=invoice.id)]


@pytest.mark.parametrize("kind", ["drop", "cut_body", "empty", "html"])
def test_a_read_survives_one_fault(kind: str, site: str) -> None:
    fault(site, method="GET", path="/customers/", kind=kind)
    customer_id = an_open_invoice().customer_id
    assert reads.retrieve_customer(customer_id).id == customer_id


def test_pages_of_any_number(site: str) -> None:
    found = [subscription.id for subscription in reads.list_subscriptions()]
    assert len(found) == len(set(found)) >= 40


def test_events_to_reconcile_come_in_order(site: str) -> None:
    moments = [event.occurred_at for event in reads.events_to_reconcile(clock.now() - timedelta(days=40))]
    assert moments == sorted(moments)
    assert moments


def test_a_mail_arrives(site: str) -> None:
    receipt = registry.mail().send(OutgoingMail("somebody@example.com", "Grüße", "Guten Tag", html="<p>Guten Tag</p>"), key="mail-1")
    arrived = httpx.get(f"{site}/control/mail").json()
    mails = arrived if isinstance(arrived, list) else next(iter(arrived.values()))
    assert [mail["subject"] for mail in mails if mail["message_id"] == receipt.reference] == ["Grüße"]


def test_a_mail_server_that_refuses(site: str) -> None:
    fault(site, method="SMTP", path="/smtp", kind="status", status=552)
    with pytest.raises(Terminal):
        registry.mail().send(OutgoingMail("somebody@example.com", "s", "t"), key="mail-2")


def test_an_sms_arrives_and_is_found_again(site: str) -> None:
    before = clock.now()
    sms = OutgoingSms("+4915112345678", "Hallo")
    assert registry.sms().look_up("sms-1", sms=sms, sent_after=before) == Absent()
    receipt = registry.sms().send(sms, key="sms-1")
    found = registry.sms().look_up("sms-1", sms=sms, sent_after=before)
    assert isinstance(found, Found)
    assert found.receipt.reference == receipt.reference


def test_a_ticket_is_opened_once(site: str) -> None:
    desk = registry.helpdesk()
    ticket = NewTicket("Case", "All of it.", "cus_1", "ada@example.com")
    assert desk.look_up("ticket-1") == Absent()
    first, again = desk.create_ticket(ticket, key="ticket-1"), desk.create_ticket(ticket, key="ticket-1")
    assert (first.reference, again.replayed) == (again.reference, True)
    found = desk.look_up("ticket-1")
    assert isinstance(found, Found)
    assert found.receipt.reference == first.reference
    assert desk.add_comment(first.reference, "More.", key="comment-1").url.endswith(f"/{first.reference}")


class InTheSimulator(CrmSinkCases):
    """The simulated CRMs know every customer of the simulated site."""

    @pytest.fixture
    def customer_ids(self, site: str) -> list[str]:
        return [customer["id"] for customer in httpx.get(f"{site}/control/customers", params={"limit": 3}).json()["customers"]]

    @pytest.fixture
    def fault(self, site: str) -> Any:
        return lambda **rule: fault(site, **rule)

    @pytest.fixture(autouse=True)
    def _reached(self, site: str) -> None:
        """The adapters call the simulator."""


class TestSalesforceInTheSimulator(InTheSimulator):
    sink = SalesforceCrm
    batch_path, task_path = "/composite/sobjects/Account", "/sobjects/Task"


class TestHubspotInTheSimulator(InTheSimulator):
    sink = HubspotCrm
    batch_path, task_path = "/companies/batch/upsert", "/objects/tasks"


# -- logging in ------------------------------------------------------------------------------------------------------------------


def a_task(site: str) -> NewTask:
    customer = httpx.get(f"{site}/control/customers", params={"limit": 1}).json()["customers"][0]
    return NewTask(customer["id"], "Look at this customer", "Why: it left")


def test_a_salesforce_token_that_runs_out_is_got_anew_and_nothing_happens_twice(site: str, settings: Any) -> None:
    settings.SALESFORCE_TOKEN, settings.SALESFORCE_CLIENT_ID, settings.SALESFORCE_CLIENT_SECRET = "", "an-app", "its-secret"
    first = registry.crm("salesforce").create_task(a_task(site), key="logged-in")
    httpx.post(f"{site}/control/settings", json={"salesforce_tokens": {}}).raise_for_status()
    second = registry.crm("salesforce").create_task(a_task(site), key="logged-in-again")
    assert first.reference != second.reference
    calls = httpx.get(f"{site}/control/calls", params={"channel": "salesforce", "what": "Task created", "limit": 1_000}).json()["calls"]
    made = [call["details"]["Billing_Effect_Key__c"] for call in calls]
    assert (made.count("logged-in"), made.count("logged-in-again")) == (1, 1)


def test_a_salesforce_log_in_that_is_refused_says_what_to_look_at(site: str, settings: Any) -> None:
    settings.SALESFORCE_CLIENT_ID, settings.SALESFORCE_CLIENT_SECRET = "an-app", "wrong"
    with pytest.raises(Terminal, match="SALESFORCE_CLIENT_SECRET") as caught:
        registry.crm("salesforce").create_task(a_task(site), key="refused")
    assert caught.value.code == "salesforce.bad_credentials"
