"""The database has no room: the webhook says so, keeps nothing by half, and goes on when there is room again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from billing_ai.inbox.models import Event
from tests.db.inbox.conftest import Chargebee, event

pytestmark = pytest.mark.django_db(transaction=True)

# PostgreSQL's own error of a full disk, raised where it would arise: when the row is written.
_NO_ROOM = """
CREATE FUNCTION no_room() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$ LANGUAGE plpgsql;
CREATE TRIGGER no_room BEFORE INSERT ON inbox_event FOR EACH ROW EXECUTE FUNCTION no_room();
"""


@contextmanager
def full_disk() -> Iterator[None]:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_NO_ROOM)
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DROP TRIGGER no_room ON inbox_event; DROP FUNCTION no_room()")
        return
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")  # pages that earlier tests have left free would take many events more
        cursor.execute("PRAGMA page_count")
        (pages,) = cursor.fetchone()
    # The limit is a connection's own, and the view opens a new one after an error.
    options = connection.settings_dict["OPTIONS"]
    before = options["init_command"]
    options["init_command"] = f"{before} PRAGMA max_page_count = {pages};"
    connection.close()
    try:
        yield
    finally:
        options["init_command"] = before
        connection.close()


def test_a_full_disk_is_503_and_nothing_is_lost(chargebee: Chargebee, woken: list[str]) -> None:
    taken: list[str] = []
    refused: list[str] = []
    with full_disk():
        for number in range(200):
            answer = chargebee.post(event(f"ev_{number}"))
            assert answer.status_code in (200, 503)
            (taken if answer.status_code == 200 else refused).append(f"ev_{number}")
            if len(refused) == 3:
                break
    # then what was refused says why in words that name no table, and is not there
    assert len(refused) == 3
    assert answer.json()["error"] == "database_away"
    assert set(Event.objects.values_list("chargebee_event_id", flat=True)) == set(taken)
    # and with room again, the same events are new
    for event_id in refused:
        assert chargebee.post(event(event_id)).json() == {"received": event_id, "new": True}
    assert Event.objects.count() == len(taken) + 3
