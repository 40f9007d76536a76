"""Who else has a case open: one host's people are seen on another through Redis, and a Redis that is away keeps nobody from a case."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches

from approvals.admin import presence
from tests import factories
from tests.serving import own_redis

_ASK = "from django.conf import settings; print(settings.CACHES['presence']['BACKEND'], settings.CACHES['presence']['LOCATION'])"


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    with own_redis(tmp_path / "socket") as url:
        yield url


def _kept_in(settings: Any, url: str) -> None:
    """As on a host that has just started: nothing of its own, only what Redis knows."""
    backend = "django.core.cache.backends.redis.RedisCache"
    settings.CACHES = {
        **settings.CACHES,
        "presence": {"BACKEND": backend, "LOCATION": url, "OPTIONS": {"socket_connect_timeout": 0.3, "socket_timeout": 0.3}},
    }


def test_colleagues_on_another_host_are_seen_through_redis(chargebee: Any, settings: Any, redis_url: str) -> None:
    case, other = factories.case(chargebee), factories.case(chargebee)
    ada, ben = factories.user("lead", "ada", first_name="Ada", last_name="L"), factories.user("specialist", "ben")

    _kept_in(settings, redis_url)
    assert presence.seen(case.pk, ada) == []
    _kept_in(settings, redis_url)
    assert presence.seen(case.pk, ben) == ["Ada L"]
    assert presence.seen(other.pk, ben) == []

    presence.left(case.pk, ada)
    assert presence.seen(case.pk, ben) == []
    assert caches["presence"].get(f"case-open:{case.pk}") is not None


def test_a_redis_that_is_away_keeps_nobody_from_a_case(chargebee: Any, as_user: Any, settings: Any, tmp_path: Path) -> None:
    case, client = factories.case(chargebee), as_user(factories.user("specialist"))
    _kept_in(settings, f"unix://{tmp_path}/nobody-listens")
    assert client.get(f"/console/case/{case.pk}/").status_code == 200
    assert client.post(f"/console/case/{case.pk}/here/").json() == {"others": []}
    assert client.post(f"/console/case/{case.pk}/here/", {"left": "1"}).json() == {"others": []}


@pytest.mark.parametrize(
    ("url", "backend"), [("redis://127.0.0.1:6399/3", "redis.RedisCache redis://127.0.0.1:6399/3"), ("", "filebased.FileBasedCache")]
)
def test_where_there_is_a_redis_it_is_used(url: str, backend: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "REDIS_URL": url,
        "DATABASE_URL": "",
        "DEMO": "true",
        "VAR_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "billing_ai.settings",
    }
    said = subprocess.run([sys.executable, "-c", _ASK], env=environment, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"django.core.cache.backends.{backend}")
