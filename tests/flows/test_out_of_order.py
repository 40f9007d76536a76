"""News that comes late, twice or the wrong way round: the event only says where to look, so the case ends up the same."""

from __future__ import annotations

from datetime import timedelta

from approvals.models import Case
from billing_ai.inbox.models import Event
from billing_ai.integrations.chargebee import reads
from tests.flows.conftest import World


def test_the_payment_is_heard_of_before_the_failure(world: World) -> None:
    # given a payment that failed, was made good, and was never heard of in between
    customer = world.customer()
    invoice_id = world.fail(customer)
    world.site.post("/control/pay", invoice_id=invoice_id)
    # when all of it comes, the newest first
    world.hear(newest_first=True)
    kinds = list(Event.objects.order_by("id").values_list("event_type", flat=True))
    assert kinds.index("payment_succeeded") < kinds.index("payment_failed")
    # then there is nothing to collect and nobody is written to
    assert not Case.objects.filter(chargebee_invoice_id=invoice_id, status__in=Case.ACTIVE).exists()
    world.act()
    assert world.mail_to(customer) == []


def test_the_failure_is_heard_of_again_after_the_case_has_ended(world: World) -> None:
    customer = world.customer()
    invoice_id = world.fail(customer)
    world.hear()
    world.site.post("/control/pay", invoice_id=invoice_id)
    world.hear()
    assert world.case(invoice_id).status == "recovered"
    # when an event of the failure turns up under another id, as after a change of endpoints
    [failed] = [
        one
        for one in reads.list_events(occurred_after=world.started - timedelta(minutes=1))
        if one.event_type == "payment_failed" and one.customer_id == customer["id"]
    ]
    world.hear_of(failed, "ev_late_copy")
    assert Event.objects.get(chargebee_event_id="ev_late_copy").status == "done"
    assert world.case(invoice_id).status == "recovered"
    assert Case.objects.filter(chargebee_invoice_id=invoice_id).count() == 1
    world.act()
    assert world.mail_to(customer) == []
