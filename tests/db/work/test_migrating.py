"""Indexes of large tables are made and dropped while others write."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from billing_ai.inbox.models import Event

pytestmark = pytest.mark.django_db(transaction=True)


def indexes() -> set[str]:
    with connection.cursor() as cursor:
        return {name for name, found in connection.introspection.get_constraints(cursor, Event._meta.db_table).items() if found["index"]}


def test_the_fairness_index_comes_and_goes() -> None:
    assert "event_fair" in indexes()
    try:
        MigrationExecutor(connection).migrate([("inbox", "0001_initial")])
        assert "event_fair" not in indexes()
    finally:
        MigrationExecutor(connection).migrate([("inbox", "0003_no_index_for_beginnings_of_ids")])
    assert "event_fair" in indexes()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only there it exists")
def test_no_index_is_kept_for_beginnings_of_event_ids() -> None:
    found = indexes()
    assert {"event_due", "event_fair", "event_by_status", "event_by_customer"} <= found
    assert [name for name in found if name.endswith("_like")] == []
    with connection.cursor() as cursor:
        kept = connection.introspection.get_constraints(cursor, Event._meta.db_table).values()
    assert ["chargebee_event_id"] in [one["columns"] for one in kept if one["unique"]]
