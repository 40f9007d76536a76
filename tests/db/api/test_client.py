"""A Python client, generated from the checked-in schema as an integrator would generate one, against the API."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from approvals.models import Case, Decision
from billing_ai.kernel import clock
from billing_ai.signals.models import CrmLink, UsageEvent
from billing_ai.wsgi import application
from tests.db.api.conftest import Caller, MakeToken, case_of, waiting_proposal
from tests.db.api.test_reading import score
from tests.db.api.test_schema import FILE

NAME = "generated_billing_ai_client"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`generated("models")`: a part of the client that the generator makes of the schema, without one warning."""
    folder = tmp_path_factory.mktemp("client")
    beside = Path(sys.executable).parent
    done = subprocess.run(
        [str(beside / "openapi-python-client"), "generate", "--path", str(FILE), "--output-path", str(folder / NAME), "--meta", "none"],
        env={**os.environ, "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "arning" not in said, said
    sys.path.insert(0, str(folder))
    yield lambda part: importlib.import_module(f"{NAME}.{part}" if part else NAME)
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == NAME]:
        del sys.modules[name]


@pytest.fixture
def remote(generated: Any, api: Caller, one_connection: None) -> Any:
    """The generated client with North's token."""
    made = generated("").AuthenticatedClient(
        base_url="http://localhost", token=api.secret, httpx_args={"transport": httpx.WSGITransport(app=application)}
    )
    with made as found:
        yield found


def test_a_customers_score_and_the_pages(generated: Any, remote: Any) -> None:
    case = case_of("cus_1")
    score("cus_1")
    found = generated("api.customers.get_customer").sync("cus_1", client=remote)
    assert (found.id, found.score.churn_90_days, found.score.band.value, found.open_cases[0].id) == ("cus_1", 0.22, "high", case.pk)
    assert found.score.scored_at.tzinfo is not None
    case_of("cus_2")
    listing = generated("api.customers.list_customers")
    first = listing.sync(client=remote, limit=1)
    second = listing.sync(client=remote, limit=1, cursor=first.next_cursor)
    assert ([one.id for one in first.items], [one.id for one in second.items], second.next_cursor) == (["cus_1"], ["cus_2"], None)
    assert second.items[0].score is None


def test_what_is_not_there_is_a_problem_with_a_code(generated: Any, remote: Any) -> None:
    found = generated("api.customers.get_customer").sync_detailed("cus_ghost", client=remote)
    assert (found.status_code, found.parsed.code, found.parsed.errors) == (404, "not_found", [])


def test_a_batch_of_usage_with_a_wrong_event(generated: Any, remote: Any) -> None:
    case_of("cus_1")
    models = generated("models")
    moment = clock.now() - timedelta(hours=1)
    events = [
        models.UsageEventInRequest(id=f"e{number}", customer=models.CustomerRefRequest(id="cus_1"), name="login", occurred_at=at)
        for number, at in enumerate([moment, clock.now() + timedelta(days=2)])
    ]
    found = generated("api.usage_events.send_usage_events").sync_detailed(
        client=remote, body=models.UsageBatchRequest(events=events), idempotency_key="k1"
    )
    assert (found.status_code, found.parsed.stored, found.parsed.refused) == (207, 1, 1)
    assert [(one.field, one.code) for one in found.parsed.items[1].errors] == [("events.1.occurred_at", "impossible_future")]
    assert list(UsageEvent.objects.values_list("external_id", flat=True)) == ["e0"]


def test_ownership(generated: Any, remote: Any) -> None:
    case_of("cus_1")
    models = generated("models")
    found = generated("api.customers.put_crm_link").sync(
        "cus_1", "hubspot", client=remote, body=models.CrmLinkInRequest(crm_id="77", owner="o1", tier="gold")
    )
    assert (found.crm_id, found.owner, found.tier) == ("77", "o1", "gold")
    assert CrmLink.objects.get().owner == "o1"


def test_an_approval_of_what_was_read(generated: Any, remote: Any) -> None:
    case: Case = case_of("cus_1")
    models = generated("models")
    read = generated("api.proposals.get_proposal").sync(waiting_proposal(case).pk, client=remote)
    found = generated("api.proposals.approve_proposal").sync(
        read.id, client=remote, acting_user="specialist", idempotency_key="k2",
        body=models.ApproveInRequest(content_hash=read.content_hash, facts_hash=read.facts_hash),
    )  # fmt: skip
    assert (found.status, found.decisions[0].by) == ("approved", "specialist")
    assert Decision.objects.get().kind == "approve"


def test_the_feed(generated: Any, remote: Any, token: MakeToken) -> None:
    case_of("cus_1")
    listing = generated("api.changes.list_changes")
    found = listing.sync(client=remote)
    assert [one.kind.value for one in found.items] == ["proposal.changed"]
    assert found.items[0].data["customer_id"] == "cus_1"
    assert listing.sync(client=remote, cursor=found.next_cursor).items == []
