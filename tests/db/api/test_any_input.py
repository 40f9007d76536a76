"""Whatever the schema allows, and what it does not: no call fails on our side, answers what is not documented, or reaches the other tenant.

Schemathesis makes the calls from the served schema; two tenants' tokens send them in turn, with ids that are made up, their own, and the
other's. What a refusal may look like is in tests/schemathesis.toml, which the command line takes too (docs/guide/api.md says how).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig

from billing_ai.api.models import ApiClient
from billing_ai.wsgi import application
from tests.db.api.conftest import MakeToken
from tests.db.api.test_scopes_and_tenants import World, made

ROOT = Path(__file__).resolve().parents[3]
MADE_UP, OWN, THE_OTHERS = range(3)


@dataclass
class Tenant:
    """A token, what its tenant has, and what only it may see."""

    secret: str
    world: World

    @property
    def path(self) -> dict[str, str]:
        world = self.world
        return {
            "customer_id": world.customer_id, "case_id": str(world.case.pk), "proposal_id": str(world.proposal.pk),
            "endpoint_id": str(world.endpoint.pk), "delivery_id": str(world.delivery_id), "crm_id": world.link.crm_id, "system": "salesforce",
        }  # fmt: skip

    @property
    def marks(self) -> tuple[str, ...]:
        """Ids that no answer to the other tenant may hold, unless it sent them itself."""
        world = self.world
        return (world.customer_id, str(world.case.pk), str(world.proposal.pk), str(world.endpoint.pk), world.case.chargebee_invoice_id)


@dataclass
class Turns:
    """Who calls next, with whose ids."""

    tenants: tuple[Tenant, Tenant]
    order: Iterator[tuple[int, int]] = field(default_factory=lambda: itertools.cycle(itertools.product(range(2), range(3))))

    def call(self, case: Any) -> None:
        """Send it, and hold the answer against the schema and the other tenant's secrets."""
        who, whose = next(self.order)
        caller, other = self.tenants[who], self.tenants[1 - who]
        if case.meta is None or case.meta.generation.mode.is_positive:
            ids = {} if whose == MADE_UP else (caller if whose == OWN else other).path
            case.path_parameters = {name: ids.get(name, value) for name, value in (case.path_parameters or {}).items()}
        headers = {"Authorization": f"Bearer {caller.secret}"}
        if "Acting-User" in (case.headers or {}) and whose != MADE_UP:
            headers["Acting-User"] = "specialist"
        response = case.call_and_validate(headers=headers)
        sent = f"{case.formatted_path} {case.query} {case.body}"
        leaked = [mark for mark in other.marks if mark in response.text and mark not in sent]
        assert not leaked, f"{case.method} {case.formatted_path} told {caller.world.customer_id} of {leaked}"


@pytest.fixture
def turns(north: ApiClient, south: ApiClient, token: MakeToken) -> Turns:
    worlds = ((north, "cus_north", "be_north"), (south, "cus_south", "be_south"))
    first, second = (Tenant(token(client=client, rate_per_minute=100_000).secret, made(client, *of)) for client, *of in worlds)
    return Turns((first, second))


def _described() -> Any:
    """The checked-in schema, which test_schema.py keeps equal to the served one."""
    document = yaml.safe_load((ROOT / "docs" / "guide" / "openapi.yaml").read_text(encoding="utf-8"))
    described = schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_path(ROOT / "tests" / "schemathesis.toml"))
    described.app = application
    return described


schema = _described()


@schema.parametrize()
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_schemathesis_finds_nothing(case: Any, turns: Turns, one_connection: None) -> None:
    turns.call(case)
