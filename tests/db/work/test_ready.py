"""/healthz says that the process answers, /readyz what it needs; the console says which sweep is late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import OperationalError
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.urls import reverse

from billing_ai import health
from billing_ai.kernel import clock
from billing_ai.supervisor import free_port
from billing_ai.work import claims
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    yield
    clock.shift(timedelta())


def ready() -> tuple[int, dict[str, Any]]:
    response = Client().get("/readyz")
    return response.status_code, response.json()


def test_all_is_there(settings: Any) -> None:
    settings.REDIS_URL = ""
    assert ready() == (200, {"ready": True, "database": "ok", "broker": "ok"})


def test_a_migration_is_missing(settings: Any) -> None:
    settings.REDIS_URL = ""
    newest = MigrationRecorder.Migration.objects.filter(app="inbox").order_by("-name").first()
    assert newest is not None
    newest.delete()
    assert ready() == (503, {"ready": False, "database": "1 migrations are missing: run manage.py migrate", "broker": "ok"})


def test_the_broker_is_away(settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    assert ready() == (503, {"ready": False, "database": "ok", "broker": "away: ConnectionError"})
    assert Client().get("/healthz").status_code == 200


def test_the_database_is_away(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REDIS_URL = ""

    def away(*_: Any) -> None:
        raise OperationalError("the server went away")

    monkeypatch.setattr(health, "MigrationExecutor", away)
    assert ready() == (503, {"ready": False, "database": "away: OperationalError", "broker": "ok"})
    assert Client().get("/healthz").status_code == 200


def lights() -> dict[str, str]:
    """Light by sweep, as the page Today shows them."""
    cache.clear()
    client = Client()
    client.force_login(User.objects.get(username="reader"))
    rows = client.get(reverse("admin:index")).context["health"]
    return {row["title"].removeprefix("Sweep: "): row["light"] for row in rows if row["title"].startswith("Sweep")}


def test_the_console_shows_a_sweep_that_does_not_come_again_and_one_that_found_faults() -> None:
    factories.user("lead", name="reader")
    for name, problems in (("inbox.reconcile", 0), ("audit.verify", 2)):
        tick = claims.claim_tick(name, timedelta(minutes=5))
        assert tick is not None
        claims.finish_tick(tick, "did it", problems)
    assert sorted(lights().values()) == ["", "bad"]
    clock.shift(timedelta(minutes=30))
    assert sorted(lights().values()) == ["bad", "warn"]
