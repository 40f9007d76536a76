"""One effect for each step of an invoice, whoever proposes it and however often."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from approvals import effects
from approvals.models import Execution, Proposal
from tests import factories

pytestmark = pytest.mark.django_db
STEP = {"action": "add_comment", "step": "comment:1"}


def test_two_proposals_for_one_step_are_one() -> None:
    case = factories.case()
    first = factories.proposal(case, **STEP)
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.proposal(case, **STEP)
    assert list(Proposal.objects.filter(case=case, **STEP)) == [first]


@pytest.mark.parametrize("status", ["waiting_second", "approved", "executing", "unknown", "done"])
def test_a_step_that_is_on_its_way_or_done_is_not_proposed_again(status: str) -> None:
    case = factories.case()
    factories.proposal(case, status=status, **STEP)
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.proposal(case, **STEP)
    assert Proposal.objects.filter(case=case, **STEP).count() == 1


def test_a_step_that_came_to_nothing_may_be_tried_again_and_that_is_another_effect() -> None:
    case = factories.case()
    first = effects.make_ready(factories.proposal(case, status="approved", **STEP), delay=timedelta(0))
    Proposal.objects.filter(pk=first.proposal_id).update(status="failed")
    second = effects.make_ready(factories.proposal(case, status="approved", **STEP), delay=timedelta(0))
    assert first.idempotency_key != second.idempotency_key
    # and the same one, made ready once more after an undo, keeps its key
    assert effects.make_ready(second.proposal, delay=timedelta(0)).idempotency_key == second.idempotency_key
    with pytest.raises(IntegrityError), transaction.atomic():
        Execution.objects.create(
            proposal=factories.proposal(case, action="add_comment", step="comment:2"), action="add_comment", business_key=second.business_key,
            idempotency_key="other", trace_id=case.trace_id,
        )  # fmt: skip
