"""A worked case: rules in force, people of each role, and a Chargebee that answers from a dict."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

from approvals.policy import rules as rules_in_force
from approvals.policy.defaults import install_defaults
from billing_ai.facts.queries import facts_hash
from billing_ai.kernel import clock
from tests import factories


@pytest.fixture(autouse=True)
def _rules(db: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    cache.clear()
    rules_in_force.forget()
    install_defaults()
    monkeypatch.setattr("billing_ai.work.wake._waker.wake", lambda task: None)
    yield
    clock.shift(timedelta())


@pytest.fixture
def chargebee(monkeypatch: pytest.MonkeyPatch) -> factories.FakeChargebee:
    return factories.FakeChargebee().install(monkeypatch)


@pytest.fixture
def people(db: Any, settings: Any) -> dict[str, User]:
    """One colleague a role, and a second lead and specialist. Nobody logs in, so that their passwords need no strong hash."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    made = {role: factories.user(role) for role in factories.ROLES}
    return made | {"specialist2": factories.user("specialist", "specialist2"), "lead2": factories.user("lead", "lead2")}


def seen(proposal: Any) -> dict[str, str]:
    """What a page that was opened just now would send along."""
    proposal.refresh_from_db()
    return {"content_hash": proposal.current.content_hash, "facts_hash": facts_hash(proposal.chargebee_invoice_id)}
