"""One set of servers for a test run, one running system for a file of tests."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.faults.installed import OneMachine, Servers, one_machine, servers
from tests.faults.rig import Rig, running
from tests.faults.servers import Missing


@pytest.fixture(scope="session")
def held() -> Iterator[Servers]:
    """PostgreSQL and Redis of our own. Where one is missing: skipped with its name, or failed where CI=true."""
    try:
        with servers() as made:
            yield made
    except Missing as error:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(str(error))
        pytest.skip(f"real servers are needed: {error}")


@pytest.fixture(scope="module")
def shared(held: Servers, django_db_blocker: DjangoDbBlocker) -> Iterator[Rig]:
    """A system that is running; every test of the file leaves it running."""
    with _played(held, django_db_blocker) as rig:
        yield rig


@pytest.fixture(scope="module")
def alone(django_db_blocker: DjangoDbBlocker) -> Iterator[Rig]:
    """The same without any server: SQLite and the file-system broker."""
    with one_machine() as held, _played(held, django_db_blocker) as rig:
        yield rig


@contextlib.contextmanager
def _played(held: Servers | OneMachine, blocker: DjangoDbBlocker) -> Iterator[Rig]:
    with blocker.unblock(), pytest.MonkeyPatch.context() as patched:
        # This process approves; waking the workers is left to their sweeps.
        patched.setattr("billing_ai.work.wake._waker.wake", lambda task: None)
        from django.conf import settings

        patched.setattr(settings, "SEND_DELAY_SECONDS", 0)
        with running(held) as rig:
            yield rig


@pytest.fixture
def rig(shared: Rig, capfd: Any) -> Iterator[Rig]:
    """The running system, healed before and after each test."""
    heal(shared)
    yield shared
    heal(shared)


def heal(rig: Rig) -> None:
    """Every line open, no fault set, web, worker and beat there, and nothing else."""
    for proxy in rig.proxies:
        proxy.let_through()
    rig.site.delete("/control/faults")
    if rig.has_servers:
        rig.redis.thaw()
    for child in [child for child in rig.group.children if child.process.poll() is not None]:
        rig.group.children.remove(child)
    names = [child.name for child in rig.group.children]
    for extra in set(names) - {"web", "worker", "beat"}:
        rig.kill(extra)
    for name in {"web", "worker", "beat"} - set(names):
        rig.start(name)
