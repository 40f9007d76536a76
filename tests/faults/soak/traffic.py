"""What customers and colleagues do meanwhile. Both go on whatever fails around them: a click that is refused or lost is made again later."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
from django.contrib.auth.models import User
from django.db import DatabaseError, InterfaceError, connection

from approvals import case_transitions, transitions
from approvals.models import Case, Execution, Proposal
from approvals.people import Refused
from billing_ai.facts.queries import facts_hash
from billing_ai.kernel.errors import OutsideError
from tests.faults.rig import Rig
from tests.faults.soak.books import was_seen

CODES = ("insufficient_funds", "insufficient_funds", "insufficient_funds", "do_not_honor", "processor_error", "expired", "limit")
_AWAY = (DatabaseError, InterfaceError, httpx.HTTPError, OutsideError)
"""What whoever clicks may meet while things are broken."""


class Player:
    """A thread that does one small thing after the other until it is told to stop."""

    def __init__(self, name: str, rig: Rig, seed: str, pause_seconds: float) -> None:
        self.name, self.rig, self.pause = name, rig, pause_seconds
        self.chance = random.Random(f"{seed} {name}")
        self.counts: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits until the present thing is done. Raises what the thread ended with, if it ended by itself."""
        self._stopped.set()
        self._thread.join(120)
        if self.failure is not None:
            raise self.failure

    def step(self) -> None:
        raise NotImplementedError

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self.pause):
                try:
                    self.step()
                except _AWAY as error:
                    self.counts[f"met {type(error).__name__}"] += 1
                    connection.close()
        except BaseException as error:  # noqa: BLE001 - raised again by stop(), in the thread that waits
            self.failure = error
        finally:
            connection.close()


class Customers(Player):
    """Payments fail, customers pay by themselves, change cards and get money; time goes by, through the working hours of a day at a time."""

    HAS_NO_ADDRESS = 3
    """One in so many has only a phone: to them goes a text message, where they have agreed to that."""

    def __init__(self, rig: Rig, seed: str) -> None:
        super().__init__("customers", rig, seed, pause_seconds=0.7)
        self.everyone = [row["id"] for row in rig.site.get("/control/customers", limit=1_000)["customers"] if row["truth"]]
        self.open: list[tuple[str, str]] = []
        for customer in self.everyone[:: self.HAS_NO_ADDRESS]:
            rig.site.client().Customer.update(customer, {"email": ""})

    def step(self) -> None:
        do = self.chance.choices(
            (self.fails, self.pays, self.gets_money, self.changes_card, self.time_passes), weights=(6, 2, 4, 1, 4), k=1
        )[0]
        try:
            do()
        except AssertionError as refused:
            # The site says no: nobody owes anything there, or the subscription has ended meanwhile.
            if " 409 " not in str(refused) and " 404 " not in str(refused):
                raise
            self.counts["refused by the site"] += 1
        else:
            self.counts[do.__name__] += 1

    def fails(self) -> None:
        customer = self.chance.choice(self.everyone)
        failed = self.rig.site.post("/control/fail_payment", customer_id=customer, code=self.chance.choice(CODES))
        self.open.append((customer, str(failed["invoice_id"])))

    def pays(self) -> None:
        found = self._somebody()
        if found is None:
            return
        owed = [row["open_invoice_ids"] for row in self.rig.site.get("/control/customers", id=found)["customers"]]
        if owed and owed[0]:
            self.rig.site.post("/control/pay", invoice_id=owed[0][0])

    def gets_money(self) -> None:
        found = self._somebody()
        if found is not None:
            self.rig.site.post("/control/truth", customer_id=found, state="ok")

    def changes_card(self) -> None:
        found = self._somebody()
        if found is not None:
            self.rig.site.post("/control/card", customer_id=found)

    def time_passes(self) -> None:
        now = datetime.fromtimestamp(self.rig.site.now(), UTC)
        if now.hour >= 15:
            self.rig.to_office_hours()
        else:
            self.rig.advance(minutes=self.chance.choice((1, 4, 10, 40)))

    def _somebody(self) -> str | None:
        return self.chance.choice(self.open)[0] if self.open else None


class Colleagues(Player):
    """They approve most of what waits, edit some, reject and undo a few, and settle what the machine could not, by looking outside."""

    def __init__(self, rig: Rig, seed: str) -> None:
        super().__init__("colleagues", rig, seed, pause_seconds=0.4)

    def step(self) -> None:
        self._settle()
        waiting = Proposal.objects.filter(status__in=("waiting", "waiting_second")).order_by("?").values_list("pk", flat=True).first()
        if waiting is None:
            return
        proposal = Proposal.objects.select_related("current").get(pk=waiting)
        if proposal.current is None:
            return
        chance = self.chance.random()
        if chance < 0.76:
            self._do("approved", lambda: self._approve(proposal))
        elif chance < 0.80:
            self._do("asked the help desk", lambda: self._ask_help_desk(proposal.case_id))
        elif chance < 0.90:
            self._do("edited", lambda: self._edit(proposal))
        elif chance < 0.95:
            self._do("rejected", lambda: transitions.reject(proposal.pk, _user("specialist"), reason_code="wrong_time"))
        elif (approved := Proposal.objects.filter(status="approved").order_by("?").first()) is not None:
            self._do("undone", lambda: transitions.undo(approved.pk, _user("specialist")))

    def _approve(self, proposal: Proposal) -> None:
        """By one person, then by another where it takes two; what they see is what is there."""
        for name in ("specialist", "lead", "lead2"):
            proposal.refresh_from_db()
            if proposal.status not in ("waiting", "waiting_second") or proposal.current is None:
                return
            seen = {
                "content_hash": proposal.current.content_hash,
                "facts_hash": facts_hash(proposal.chargebee_invoice_id, proposal.chargebee_customer_id),
            }
            try:
                transitions.approve(proposal.pk, _user(name), **seen)
            except Refused as refused:
                if refused.code not in ("over_limit", "needs_lead", "same_person"):
                    raise

    def _edit(self, proposal: Proposal) -> None:
        """A value more: a new revision with a hash of its own, which needs an approval of its own."""
        assert proposal.current is not None
        payload = {"edition": proposal.current.number}
        transitions.edit(proposal.pk, _user("lead"), base_revision_id=proposal.current.pk, payload=payload)

    def _ask_help_desk(self, case_id: UUID) -> Case:
        return case_transitions.escalate(case_id, _user("specialist"), "helpdesk", "What does the customer say?")

    def _settle(self) -> None:
        """Whoever settles has looked: at the mailbox, at the site's payments."""
        held = Execution.objects.filter(status=Execution.PERSON).select_related("proposal").first()
        if held is None:
            return
        happened = was_seen(self.rig, held)
        self._do("settled", lambda: transitions.settle_unknown(held.proposal_id, _user("lead"), happened=happened, note="Looked outside."))

    def _do(self, what: str, deed: Callable[[], Any]) -> None:
        try:
            deed()
        except Refused as refused:
            self.counts[f"refused: {refused.code}"] += 1
        else:
            self.counts[what] += 1


def _user(name: str) -> User:
    return User.objects.get(username=name)
