"""Two workers at one run: whoever lost the lease writes nothing of it, whichever of them comes to its end first."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from django.db import transaction

from agents import runner
from agents.models import AgentRun
from approvals.models import Case, Proposal, Revision
from audit.models import Entry
from billing_ai.inbox import intake, routing
from billing_ai.integrations.chargebee import reads
from billing_ai.kernel import clock
from billing_ai.work import claims
from tests.flows.conftest import World


def two_claims(world: World) -> tuple[str, AgentRun, AgentRun]:
    """A run as a worker holds it whose lease is over, and as the one holds it who claimed it since."""
    invoice_id = world.fail(world.customer())
    for envelope in reads.list_events(occurred_after=world.started - timedelta(minutes=1)):
        if envelope.customer_id in world.mine:
            with transaction.atomic():
                intake.store(envelope, body_sha256="0" * 64, found_by="test")
    while routing.process_due():
        pass
    AgentRun.objects.exclude(agent="dunning").update(status="skipped")
    [slow] = claims.claim(AgentRun, 5, runner.LEASE)
    clock.shift(clock.offset() + runner.LEASE * 2)
    [fast] = claims.claim(AgentRun, 5, runner.LEASE)
    assert (slow.pk, slow.attempt, fast.attempt) == (fast.pk, 1, 2)
    return invoice_id, slow, fast


def written(invoice_id: str) -> tuple[int, int, int, int, int]:
    """Cases, proposals, revisions, rows of their history, ledger entries of the run."""
    proposals = Proposal.objects.filter(chargebee_invoice_id=invoice_id)
    return (
        Case.objects.filter(chargebee_invoice_id=invoice_id).count(),
        proposals.count(),
        Revision.objects.filter(proposal__in=proposals).count(),
        Proposal.history.filter(chargebee_invoice_id=invoice_id).count(),
        Entry.objects.filter(kind="run.finished", chargebee_invoice_id=invoice_id).count(),
    )


def test_the_one_that_lost_its_lease_ends_first(world: World, caplog: pytest.LogCaptureFixture) -> None:
    invoice_id, slow, fast = two_claims(world)
    # when the slow one comes to its end while the other is still at it
    caplog.set_level(logging.WARNING)
    runner.perform(slow)
    # then nothing of it is there, and the log says why
    assert written(invoice_id) == (0, 0, 0, 0, 0)
    assert [record.getMessage() for record in caplog.records if record.name == claims.__name__] == ["lease.lost"]
    held = AgentRun.objects.get(pk=fast.pk)
    assert (held.status, held.attempt) == ("leased", 2)
    # and the other writes it once
    runner.perform(fast)
    cases, proposals, revisions, history, finished = written(invoice_id)
    assert (cases, finished) == (1, 1)
    assert proposals == revisions == history > 0


def test_the_one_that_lost_its_lease_ends_last(world: World) -> None:
    invoice_id, slow, fast = two_claims(world)
    runner.perform(fast)
    before = written(invoice_id)
    case_before = Case.objects.values().get(chargebee_invoice_id=invoice_id)
    entries = Entry.objects.count()
    # when the slow one comes to its end after that
    runner.perform(slow)
    # then all is as it was
    assert (written(invoice_id), Entry.objects.count()) == (before, entries)
    assert Case.objects.values().get(chargebee_invoice_id=invoice_id) == case_before
    assert AgentRun.objects.get(pk=fast.pk).status == "done"
