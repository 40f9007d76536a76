"""Plays a month: leads set the rules, colleagues approve whatever is put before them at any hour, customers answer, pay, promise, dispute and opt out.

It writes down what people said and approved, in the checker's words. The system itself is driven as its workers would drive it.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.test import Client
from django.utils.http import urlencode

from agents import runner, runs
from approvals import case_transitions, execution, outcomes, settling, transitions
from approvals.models import Case, Contact, Proposal
from approvals.people import Refused
from approvals.policy import consent, rollout
from billing_ai.facts.queries import facts_hash
from billing_ai.inbox import intake, routing
from billing_ai.integrations.chargebee import reads
from billing_ai.kernel import clock
from tests.flows.conftest import World
from tests.flows.month.checker import Approvals, Limits, Said

PILOT = ["DE", "AT", "CH", "GB", "JP", "US"]
"""Automated."""
OBSERVED = ["FR", "NL", "SE"]
"""Only watched. Everyone else: a person approves."""
RATES = {
    "USD": ("1", 2), "EUR": ("1.08", 2), "GBP": ("1.27", 2), "CHF": ("1.12", 2), "SEK": ("0.095", 2), "BRL": ("0.19", 2), "JPY": ("0.0067", 0),
    "KWD": ("3.25", 3),
}  # fmt: skip


@dataclass
class Month:
    """One month on one site. `limits`, `said` and `approvals` are what the checker is given."""

    world: World
    customers: int
    chance: random.Random
    said: list[Said] = field(default_factory=list)
    approvals: Approvals = field(default_factory=Approvals)
    refused: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    phases: dict[str, set[str]] = field(default_factory=dict)
    _people_of: dict[Any, int] = field(default_factory=dict)
    _listened_until: datetime | None = None

    def __post_init__(self) -> None:
        self.began = self._now()
        self.limits = Limits(
            frequency=[(self.began, 3)],
            first_hour=8,
            last_hour=20,
            daily_count=max(6, self.customers // 40),
            daily_amount=100_000 * max(1, self.customers // 100),
            amount_alone=40_000,
            two_people_above=150_000,
            messages_per_invoice=3,
            charges_per_invoice=2,
            rates=RATES,
        )
        self.specialist, self.lead = self.world.people["specialist"], self.world.people["lead"]
        self.second, self.boss = self._lead("second_lead"), self._lead("boss")

    def run(self, days: int = 30) -> None:
        """The month, in steps of uneven length, so that every hour of the day is met in every zone."""
        self._rules()
        end = self.began + timedelta(days=days)
        stopped, tightened, lifted_at = False, False, end
        while self._now() < end:
            self.world.advance(minutes=self.chance.randrange(95, 320))
            if not tightened and self._now() > self.began + timedelta(days=days * 0.5):
                tightened = True
                rollout.change_policy("contact.frequency", self.lead, reason="too many complaints", params={"messages": 2, "days": 7})
                self.limits = replace(self.limits, frequency=[*self.limits.frequency, (self._now(), 2)])
            if not stopped and self._now() > self.began + timedelta(days=days * 0.7):
                stopped, lifted_at = True, self._now() + timedelta(days=1)
                rollout.set_kill_switch("all", True, self.lead, reason="an exercise")
            self._listen()
            self._approve()
            self._speak()
            # A few seconds pass between the last word and the next step of the machine.
            self.world.advance(seconds=5)
            if stopped and self._now() > lifted_at:
                self.said.append(Said("stopped", "", lifted_at - timedelta(days=1), self._now()))
                rollout.set_kill_switch("all", False, self.lead, reason="the exercise is over")
                lifted_at = end + timedelta(days=365)
            self._work()
        for country in OBSERVED:
            self.said += [
                Said("observed", one["id"], self.began) for one in self._everyone() if one["billing_address"]["country"] == country
            ]

    def _rules(self) -> None:
        why = "the pilot"
        for segment, countries in (("pilot", PILOT), ("watched", OBSERVED)):
            rollout.change_segment("dunning", segment, self.lead, reason=why, match={"country": countries}, rank=10, sample_percent=10)
        rollout.request_phase("dunning", "watched", "observe", self.lead, reason=why)
        rollout.request_phase("dunning", "pilot", "automate", self.lead, reason=why)
        rollout.confirm_phase("dunning", "pilot", self.second, reason=why)
        for key, value in {
            "daily_count": self.limits.daily_count,
            "daily_amount": self.limits.daily_amount,
            "amount_per_action": self.limits.amount_alone,
            "second_pair_of_eyes_above": self.limits.two_people_above,
            "messages_per_invoice": self.limits.messages_per_invoice,
            "attempts_per_invoice": self.limits.charges_per_invoice,
        }.items():
            rollout.change_limit("dunning", key, value, self.lead, reason=why)

    def _listen(self) -> None:
        """Everything that Chargebee has told since the last time, routed, and the agents run."""
        since = self._listened_until or self.began - timedelta(minutes=1)
        self._listened_until = self._now() - timedelta(minutes=1)
        for envelope in reads.list_events(occurred_after=since):
            with transaction.atomic():
                self.counts["events"] += intake.store(envelope, body_sha256="0" * 64, found_by="test")
        while routing.process_due():
            pass
        runs.start_due(clock.now())
        while runner.run_due():
            pass

    def _approve(self) -> None:
        """Colleagues click through whatever waits, whatever the hour. Now and then one says no."""
        waiting = Proposal.objects.filter(status__in=("waiting", "waiting_second")).select_related("current").order_by("created_at", "pk")
        for proposal in waiting:
            if proposal.current is None or self.chance.random() < 0.05:
                continue
            seen = {"content_hash": proposal.current.content_hash, "facts_hash": facts_hash(proposal.chargebee_invoice_id)}
            for person in (self.specialist, self.boss):
                try:
                    status = transitions.approve(proposal.pk, person, **seen).status
                except Refused as refused:
                    self.refused[refused.code] += 1
                    continue
                self.counts["approvals"] += 1
                self._people_of[proposal.pk] = self._people_of.get(proposal.pk, 0) + 1
                if proposal.action == "collect_payment":
                    self.approvals.charges[proposal.chargebee_invoice_id].append((clock.now(), self._people_of[proposal.pk]))
                if status == "approved":
                    break

    def _speak(self) -> None:
        """What customers and colleagues say in these hours, about the cases that there are."""
        for case in Case.objects.filter(status=Case.OPEN).order_by("opened_at", "pk"):
            chance, customer = self.chance.random(), case.chargebee_customer_id
            now = self._now() + timedelta(seconds=2)
            if chance < 0.010:
                case_transitions.dispute(case.pk, self.specialist, "amount", "The customer does not agree.")
                self._said("dispute", customer, now, invoice=case.chargebee_invoice_id)
            elif chance < 0.022:
                due_on = clock.utc_date(clock.now()) + timedelta(days=self.chance.randrange(1, 8))
                case_transitions.take_promise(case.pk, self.specialist, case.amount_due, due_on)
                until = datetime.combine(due_on + timedelta(days=1), datetime.min.time(), UTC)
                self._said("promise", customer, now, until=until, invoice=case.chargebee_invoice_id)
            elif chance < 0.030:
                case_transitions.add_note(case.pk, self.specialist, "We spoke.", "call")
                self._said("conversation", customer, self._now())
            elif chance < 0.034:
                consent.suppress(customer, "do_not_contact", self.lead, reason="asked by letter")
                self._said("suppressed", customer, now)
            elif chance < 0.037:
                consent.suppress(customer, "hardship", self.lead)
                self._said("hardship", customer, now)
            elif chance < 0.045:
                self._unsubscribes(customer, now)
            elif chance < 0.055:
                self._texts_stop(customer, now)
            elif chance < 0.065:
                self.world.site.post("/control/pay", invoice_id=case.chargebee_invoice_id)
                self.counts["paid by the customer"] += 1
            elif chance < 0.070:
                self.world.site.post("/control/card", customer_id=customer)
                self.counts["new cards"] += 1

    def _said(
        self, what: str, customer: str, since: datetime, *, until: datetime | None = None, channel: str = "", invoice: str = ""
    ) -> None:
        self.counts[what] += 1
        self.said.append(Said(what, customer, since, until, channel, invoice))

    def _unsubscribes(self, customer: str, now: datetime) -> None:
        """By the link in the header of the last mail, as a mail program does with one click."""
        mails = self.world.site.get("/control/mail", customer_id=customer, limit=1)["mail"]
        if not mails:
            return
        link = mails[0]["headers"]["List-Unsubscribe"].split(">")[0].lstrip("<")
        path = "/" + link.split("/", 3)[3]
        answer = Client().post(path, urlencode({"List-Unsubscribe": "One-Click"}), content_type="application/x-www-form-urlencoded")
        assert answer.status_code == 200, answer.content
        self._said("opt out", customer, now, channel="email")

    def _texts_stop(self, customer: str, now: datetime) -> None:
        """STOP, in whatever case, to the number of ours; the simulated provider passes it on, signed."""
        (told,) = self.world.site.get("/control/customers", id=customer)["customers"]
        texts = self.world.site.get("/control/sms", customer_id=customer, limit=1)["sms"]
        if not texts or any(one.what == "opt out" and (one.customer, one.channel) == (customer, "sms") for one in self.said):
            return
        message = {"from": told["phone"], "to": settings.SMS_FROM, "body": self.chance.choice(("STOP", "stop", "Unsubscribe."))}
        where = {"url": f"{settings.PUBLIC_URL}/webhooks/sms/", "token": settings.SMS_TOKEN}
        webhook = self.world.site.post("/control/sms/reply", **message, **where)["webhook"]
        answer = Client().post(
            "/webhooks/sms/", urlencode(webhook["form"]), content_type="application/x-www-form-urlencoded", headers=webhook["headers"]
        )
        assert answer.status_code == 200, answer.content
        self._said("opt out", customer, now, channel="sms")

    def _work(self) -> None:
        """What workers and beat do."""
        while execution.execute_due():
            pass
        settling.expire_leases()
        settling.settle_unknowns()
        outcomes.follow_promises()
        outcomes.expire_proposals()

    def _everyone(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.world.site.get("/control/customers", limit=1_000_000)["customers"]
        return found

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.world.site.now(), UTC)

    def _lead(self, name: str) -> User:
        user = User.objects.create_user(username=name, password="a-long-password", is_staff=True)
        user.groups.add(Group.objects.get(name="lead"))
        return user

    def in_phases(self) -> dict[str, int]:
        """How many proposals each phase had, so that a month in which one never came up is noticed."""
        return dict(Counter(Proposal.objects.values_list("phase", flat=True)))

    def contacts(self) -> int:
        """How many contacts we believe to have made."""
        return Contact.objects.filter(direction="out").exclude(kind="conversation").count()
