"""A worker keeps its database connection from one task to the next, as long as it works."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery.fixups.django import DjangoWorkerFixup
from celery.signals import task_postrun, task_prerun
from django.db import connection

from billing_ai.celery import app

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="a file's connection is opened for each task, at no cost"),
]


@pytest.fixture
def celery() -> DjangoWorkerFixup:
    """What Celery itself does around each task."""
    return DjangoWorkerFixup(app)


def run_a_task(celery: DjangoWorkerFixup) -> int:
    """A task that asks the database something. The process id of the server that answered."""
    task = SimpleNamespace(request=SimpleNamespace(is_eager=False), name="test.connections")
    celery.on_task_prerun(task)
    task_prerun.send(sender=None, task=task, task_id="1")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = int(cursor.fetchone()[0])
    celery.on_task_postrun(task)
    task_postrun.send(sender=None, task=task, task_id="1")
    return backend


def test_the_next_task_uses_the_connection_of_the_one_before(celery: DjangoWorkerFixup) -> None:
    connection.close()
    assert run_a_task(celery) == run_a_task(celery) == run_a_task(celery)


def test_a_connection_that_the_server_ended_costs_no_task(celery: DjangoWorkerFixup) -> None:
    first = run_a_task(celery)
    with connection.copy().cursor() as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [first])
        other.connection.close()
    assert run_a_task(celery) != first


def test_a_connection_that_is_too_old_is_let_go(celery: DjangoWorkerFixup) -> None:
    first = run_a_task(celery)
    connection.close_at = 0.0  # type: ignore[attr-defined]
    assert run_a_task(celery) != first
