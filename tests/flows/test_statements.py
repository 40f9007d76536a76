"""How many statements an event costs on its way to the proposals: a fixed number, however much is behind. No timing here; see tests/bench."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from agents import runner
from agents.models import AgentRun
from approvals.models import Proposal
from billing_ai.inbox import intake, routing
from billing_ai.inbox.models import Event
from billing_ai.integrations.chargebee import reads
from billing_ai.kernel import clock
from tests.flows.conftest import World

ROUTING, RUNNING = 5, 15
"""The most on PostgreSQL, without BEGIN and COMMIT; nine of the second are the model's bookkeeping. A change that needs more has to say why; one that needs fewer lowers the figure."""


def spent(world: World) -> tuple[int, int]:
    """Statements of routing and of running one failed payment of a new customer, each time with the same work: a message, a retry, a comment."""
    for _ in range(8):
        made, statements = one_failure(world)
        if "collect_payment" in made:  # for a card that is about to expire no other try is planned
            break
    assert made == ["add_comment", "collect_payment", "send_message"]
    return statements


def one_failure(world: World) -> tuple[list[str], tuple[int, int]]:
    """What was proposed, and the statements of routing and of running it."""
    customer = world.customer(gateway="stripe")
    world.fail(customer, "insufficient_funds")
    for envelope in reads.list_events(occurred_after=world.started - timedelta(minutes=1)):
        if envelope.customer_id == customer["id"] and envelope.event_type == "payment_failed":
            with transaction.atomic():
                intake.store(envelope, body_sha256="0" * 64)
    with CaptureQueriesContext(connection) as routed:
        assert routing.process_due() == 1
    AgentRun.objects.exclude(agent="dunning").update(status="skipped")  # others that want this event too
    with CaptureQueriesContext(connection) as ran:
        assert runner.run_due() == 1
    made = Proposal.objects.filter(chargebee_customer_id=customer["id"]).order_by("action").values_list("action", flat=True)
    counted = [[one["sql"] for one in asked if one["sql"] not in ("BEGIN", "COMMIT")] for asked in (routed, ran)]
    return list(made), (len(counted[0]), len(counted[1]))


def earlier(count: int) -> None:
    """Events that are done, of other customers."""
    now = clock.now()
    Event.objects.bulk_create(
        [
            Event(
                chargebee_event_id=f"old_{count}_{number}",
                event_type="payment_failed",
                occurred_at=now,
                status="done",
                body_sha256="0" * 64,
            )
            for number in range(count)
        ],
        batch_size=2_000,
    )


def test_an_event_costs_the_same_statements_behind_ten_and_ten_thousand(world: World) -> None:
    spent(world)  # the rules are read once and kept
    earlier(10)
    few = spent(world)
    earlier(10_000)
    many = spent(world)
    assert few == many
    if connection.vendor == "postgresql":
        assert many == (ROUTING, RUNNING)
