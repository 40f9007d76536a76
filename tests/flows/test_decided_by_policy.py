"""What a policy decides by itself carries every check that stood then, as what a person decides does."""

from __future__ import annotations

from approvals import evidence
from approvals.models import Decision, Phase
from tests.flows.conftest import World


def test_an_approval_by_policy_tells_every_check(world: World) -> None:
    # given a segment in which the agent may go by itself
    row = Phase.objects.get(agent="dunning", segment="everyone")
    row.phase, row.sample_to_people_percent = Phase.AUTOMATE, 0
    row.save()
    # when a payment fails
    invoice_id = world.fail(world.customer("en"))
    world.hear()
    # then each approval by policy has the checks of the look that allowed it, and the pack lists them
    made = list(Decision.objects.filter(by_policy="automate:dunning", proposal__chargebee_invoice_id=invoice_id).select_related("proposal"))
    assert made
    for decision in made:
        assert decision.checks == decision.proposal.verdict["checks"]
        assert {"kill_switch", "rollout.phase"} <= {check["rule"] for check in decision.checks or []}
    told = evidence.tell(made[0].proposal.case_id)["proposals"]
    listed = [one["checks"] for proposal in told for one in proposal["decisions"] if one["by"] == "automate:dunning"]
    assert len(listed) == len(made)
    assert all({"allow"} <= {check["outcome"] for check in checks} for checks in listed)
