"""A console with its rules and roles, and a Chargebee that answers from a dict."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from tests import factories


@pytest.fixture
def chargebee(monkeypatch: pytest.MonkeyPatch) -> factories.FakeChargebee:
    return factories.FakeChargebee().install(monkeypatch)


@pytest.fixture(autouse=True)
def rules(db: Any) -> None:
    cache.clear()


@pytest.fixture
def as_user() -> Any:
    """`as_user(user)` gives a signed-in client."""

    def signed_in(user: Any, **headers: str) -> Client:
        client = Client(headers=headers)
        client.force_login(user)
        return client

    return signed_in
