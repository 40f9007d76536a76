"""The whole way through, in one process: real rows, the real SDK, the real simulator with its mail server; only Celery is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import holidays
import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction

from agents import runner
from approvals import execution, transitions
from approvals.models import Case, Proposal
from approvals.people import Refused
from approvals.policy.defaults import install_defaults
from billing_ai.facts.queries import facts_hash
from billing_ai.inbox import intake, routing
from billing_ai.integrations import site_state
from billing_ai.integrations.chargebee import circuit, reads
from billing_ai.integrations.chargebee.events import EventEnvelope
from billing_ai.kernel import clock
from tests.simulator.running import RunningSimulator, running_simulator


@pytest.fixture(scope="session")
def site() -> Iterator[RunningSimulator]:
    """One simulated company for all flows; each test uses customers of its own."""
    with running_simulator(customers=400, fresh_failures=0) as simulator:
        yield simulator


def to_office_hours(site: RunningSimulator) -> None:
    """Move the site's clock on to ten o'clock of a day in the middle of a week, unless it is a working hour there already."""
    now = datetime.fromtimestamp(site.now(), UTC)
    if _is_working_day(now) and 9 <= now.hour < 15:
        return
    start = now.replace(hour=10, minute=0, second=0, microsecond=0) + timedelta(days=1)
    while not _is_working_day(start):
        start += timedelta(days=1)
    site.post("/control/clock", to=int(start.timestamp()))


def _is_working_day(moment: datetime) -> bool:
    """Tuesday or Wednesday, and no day off in any country whose customers the tests use."""
    return moment.weekday() in (1, 2) and not any(moment.date() in holidays.country_holidays(country) for country in _EUROPE)


class World:
    """What a test does to the outside and to the system."""

    def __init__(self, site: RunningSimulator) -> None:
        self.site = site
        self.mine: set[str] = set()
        self.started = datetime.fromtimestamp(site.now(), UTC)
        self.people = {name: self._person(name) for name in ("specialist", "lead", "auditor")}

    def _person(self, name: str) -> User:
        user = User.objects.create_user(username=name, password="a-long-password", is_staff=True)
        user.groups.add(Group.objects.get(name=name))
        return user

    def customer(
        self, language: str = "", gateway: str = "", *, fits: Callable[[dict[str, Any]], bool] = lambda row: True
    ) -> dict[str, Any]:
        """A customer in Europe (where it is office hours) who owes nothing yet and whom no test has used.

        `gateway`: for tests of one decline, since not every gateway has a code of its own for each. Without it the next customer is taken,
        so that the flows are run across all gateways. `fits` says what else has to hold.
        """
        for row in self.site.get("/control/customers", limit=500)["customers"]:
            is_near = row["billing_address"]["country"] in _EUROPE and row["locale"].startswith(language)
            is_near = is_near and gateway in ("", (row.get("payment_method") or {}).get("gateway"))
            if is_near and not row["open_invoice_ids"] and row["id"] not in _USED and row["truth"] and fits(row):
                _USED.add(row["id"])
                self.mine.add(row["id"])
                return dict(row)
        raise AssertionError(f"no unused customer who speaks {language or 'anything'} and pays through {gateway or 'anything'}")

    def sync_clock(self) -> None:
        """Our clock is the site's."""
        clock.shift(timedelta())
        clock.shift(timedelta(seconds=self.site.now() - clock.now().timestamp()))

    def advance(self, **by: float) -> None:
        """Let time pass, outside and here."""
        self.site.advance(int(timedelta(**by).total_seconds()))
        self.sync_clock()

    def fail(self, customer: dict[str, Any], code: str = "insufficient_funds") -> str:
        """A payment of theirs fails; returns the invoice's id."""
        return str(self.site.fail_payment(customer_id=customer["id"], code=code)["invoice_id"])

    def hear(self, *, newest_first: bool = False) -> None:
        """Events about this test's customers are fetched from Chargebee's list, routed, and the agents run, until nothing is left to do."""
        listed = list(reads.list_events(occurred_after=self.started - timedelta(minutes=1)))
        for envelope in reversed(listed) if newest_first else listed:
            if envelope.customer_id in self.mine:
                with transaction.atomic():
                    intake.store(envelope, body_sha256="0" * 64, found_by="test")
        while routing.process_due():
            pass
        while runner.run_due():
            pass

    def hear_of(self, envelope: EventEnvelope, event_id: str) -> None:
        """The same news once more, under another id."""
        with transaction.atomic():
            intake.store(replace(envelope, id=event_id), body_sha256="0" * 64, found_by="test")
        while routing.process_due():
            pass
        while runner.run_due():
            pass

    def act(self) -> None:
        """What is approved and due is carried out."""
        while execution.execute_due():
            pass

    def case(self, invoice_id: str) -> Case:
        return Case.objects.get(chargebee_invoice_id=invoice_id)

    def proposal(self, invoice_id: str, action: str) -> Proposal:
        return Proposal.objects.select_related("current").get(chargebee_invoice_id=invoice_id, action=action)

    def approve(self, proposal: Proposal) -> Proposal:
        """By as many people as it takes, each seeing the present text and facts; by the lead where the amount is over the specialist's limit.

        What an invoice comes to depends on the customer, and the customer on what was taken before: no flow may rest on that.
        """
        proposal.refresh_from_db()
        assert proposal.current is not None
        seen = {"content_hash": proposal.current.content_hash, "facts_hash": facts_hash(proposal.chargebee_invoice_id)}
        try:
            approved = transitions.approve(proposal.pk, self.people["specialist"], **seen)
        except Refused as refused:
            if refused.code not in ("over_limit", "needs_lead"):
                raise
            approved = transitions.approve(proposal.pk, self.people["lead"], **seen)
        if approved.status == "waiting_second":
            approved = transitions.approve(proposal.pk, self.people["lead"], **seen)
        return approved

    def mail_to(self, customer: dict[str, Any]) -> list[dict[str, Any]]:
        return self.site.mail(to=customer["email"])


_USED: set[str] = set()
_EUROPE = frozenset({"DE", "AT", "CH", "FR", "BE", "ES", "PT", "IT", "NL", "GB", "IE", "SE", "DK", "NO", "FI", "PL"})


@pytest.fixture
def world(site: RunningSimulator, transactional_db: None, settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The system set up against the site, with its clock, and messages that go out at once."""
    settings.CHARGEBEE_API_URL = site.api_url
    settings.CHARGEBEE_API_KEY = site.api_key
    settings.CHARGEBEE_READ_API_KEY = site.read_only_key
    settings.CHARGEBEE_RATE_PER_MINUTE = 100_000
    settings.REDIS_URL = ""
    # What is known of the site's limit and faults begins anew with each test.
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(site_state, "_states", {})
    monkeypatch.setattr(site_state, "_unreachable_until", 0.0)
    monkeypatch.setattr(circuit, "_failed_here", False)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", site.smtp_port
    settings.SMS_API_URL = site.base_url
    settings.ZENDESK_URL = f"{site.base_url}/zendesk"
    settings.SEND_DELAY_SECONDS = 0
    settings.LLM_MODEL = "offline/collector"
    # A wake-up would need a broker; the tests call what it would have woken.
    monkeypatch.setattr("billing_ai.work.wake._waker.wake", lambda task: None)
    site.delete("/control/faults")
    install_defaults()
    to_office_hours(site)
    found = World(site)
    found.sync_clock()
    yield found
    clock.shift(timedelta())
    site.delete("/control/faults")
