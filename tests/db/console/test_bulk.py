"""Many at once: what is held back, and the times at which the rest goes out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import time_machine

from approvals.models import Case, Execution, Proposal
from billing_ai.facts.queries import facts_hash
from tests import factories


def _release(client: Any, cases: list[Case], gap: int) -> Any:
    form: dict[str, Any] = {"step": "release", "gap": str(gap), "proposal": []}
    for case in cases:
        one = case.proposals.get()
        assert one.current is not None
        form["proposal"].append(str(one.pk))
        form[f"content_hash:{one.pk}"] = one.current.content_hash
        form[f"facts_hash:{one.pk}"] = facts_hash(case.chargebee_invoice_id, case.chargebee_customer_id)
    return client.post("/console/queue/release/", form)


@pytest.mark.parametrize(
    ("now", "first"),
    [
        (datetime(2026, 3, 3, 11, tzinfo=UTC), datetime(2026, 3, 3, 11, 5, tzinfo=UTC)),
        # At night all of them wait for the morning, and still go out one after the other.
        (datetime(2026, 3, 3, 22, tzinfo=UTC), datetime(2026, 3, 4, 8, tzinfo=UTC)),
    ],
)
def test_a_release_goes_out_one_after_the_other_by_day_and_after_a_quiet_night(
    chargebee: Any, as_user: Any, settings: Any, now: datetime, first: datetime
) -> None:
    settings.SEND_DELAY_SECONDS = 300
    with time_machine.travel(now, tick=False):
        cases = [factories.case(chargebee) for _ in range(4)]

        answer = _release(as_user(factories.user("lead")), cases, 60)

    assert answer.status_code == 302
    times = list(Execution.objects.order_by("not_before").values_list("not_before", flat=True))
    assert times[0] == first
    assert [later - sooner for sooner, later in pairwise(times)] == [timedelta(minutes=1)] * 3


def test_what_was_approved_meanwhile_is_left_out_and_said(chargebee: Any, as_user: Any) -> None:
    cases = [factories.case(chargebee) for _ in range(2)]
    changed = cases[0].proposals.get()
    Proposal.objects.filter(pk=changed.pk).update(status="rejected")

    answer = _release(as_user(factories.user("lead")), cases, 10)

    assert answer.status_code == 302
    assert Execution.objects.get().proposal.case == cases[1]
    page = as_user(factories.user("lead", "second")).get(answer["Location"]).content.decode()
    assert "0 of 1 have gone out" in page
