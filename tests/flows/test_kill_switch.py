"""The kill switch turned in the middle of the work: the call that is on the wire finishes and is shown, and nothing follows it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from approvals.models import Execution
from billing_ai.integrations import ports, registry
from tests.flows.conftest import World


class TurnedDuringTheFirstCall:
    """The real mail adapter at the edge; while its first message is under way a lead turns the switch in the console."""

    def __init__(self, client: Client, scope: str) -> None:
        self.real, self.client, self.scope, self.said = registry.mail(), client, scope, ""

    def send(self, mail: ports.OutgoingMail, *, key: str) -> ports.SentReceipt:
        if not self.said:
            answer = self.client.post("/console/switch/", {"scope": self.scope, "turn": "on", "reason": "Something is wrong."})
            assert answer.status_code == 302
            (self.said,) = [str(message) for message in get_messages(answer.wsgi_request)]
        return self.real.send(mail, key=key)

    def look_up(self, key: str) -> ports.LookUp:
        return self.real.look_up(key)


@pytest.mark.parametrize("scope", ["all", "dunning"])
def test_at_most_the_calls_on_the_wire_finish_and_they_are_shown(world: World, monkeypatch: pytest.MonkeyPatch, scope: str) -> None:
    # given five approved messages that are due
    customers = [world.customer("en") for _ in range(5)]
    invoices = [world.fail(customer) for customer in customers]
    world.hear()
    for invoice_id in invoices:
        world.approve(world.proposal(invoice_id, "send_message"))
    client = Client()
    client.force_login(world.people["lead"])
    turned = TurnedDuringTheFirstCall(client, scope)
    monkeypatch.setattr(registry, "mail", lambda: turned)
    # when the switch is turned while the first of them is under way
    world.act()
    # then that one arrives, and it was shown as being on the wire; nothing else went out
    arrived = [customer for customer in customers if world.mail_to(customer)]
    assert len(arrived) == 1
    first = invoices[customers.index(arrived[0])]
    assert turned.said == f"Nothing goes out any more. On the wire, and still to finish: 1 (Send message, invoice {first})."
    messages = Execution.objects.filter(action="send_message", proposal__chargebee_invoice_id__in=invoices)
    assert sorted(messages.values_list("status", flat=True)) == ["done", "waiting", "waiting", "waiting", "waiting"]
    # and lifting it needs a reason
    client.post("/console/switch/", {"scope": scope, "turn": "off", "reason": " "})
    world.advance(minutes=3)
    world.act()
    assert sum(len(world.mail_to(customer)) for customer in customers) == 1
    client.post("/console/switch/", {"scope": scope, "turn": "off", "reason": "It was a false alarm."})
    world.advance(minutes=3)
    world.act()
    assert [len(world.mail_to(customer)) for customer in customers] == [1, 1, 1, 1, 1]


def test_the_switch_says_when_nothing_is_on_the_wire(world: World) -> None:
    client = Client()
    client.force_login(world.people["lead"])

    answer: Any = client.post("/console/switch/", {"scope": "all", "turn": "on", "reason": "A test."})

    assert [str(message) for message in get_messages(answer.wsgi_request)] == ["Nothing goes out any more. No call is on the wire."]
