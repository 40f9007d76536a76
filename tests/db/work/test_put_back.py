"""What a test commits is gone afterwards, and the installation is what it was: its rules, its groups and the ledger's guard."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.db import DatabaseError, connection, transaction

from approvals.models import Policy
from audit.actor import system
from audit.ledger import append
from audit.models import Entry
from tests import factories
from tests.database import Installed

pytestmark = pytest.mark.django_db(transaction=True)


def noted(subject: str) -> None:
    with transaction.atomic():
        append("proposal.approved", actor=system("test"), trace_id="t", subject=("proposal", subject))


def test_all_that_was_committed_is_taken_back() -> None:
    before = Installed.now()
    rules = list(Policy.objects.order_by("pk").values())
    assert rules
    assert Group.objects.get(name="lead").permissions.exists()

    factories.case()
    factories.user("lead")
    noted("p1")
    Policy.objects.filter(key="contact.frequency").update(params={"messages": 99})
    Policy.objects.filter(key="contact.days_off").delete()
    Group.objects.all().delete()
    assert Installed.now() != before
    before.put_back()

    assert Installed.now() == before
    assert list(Policy.objects.order_by("pk").values()) == rules
    assert not User.objects.exists()
    noted("p2")
    for statement in ("DELETE FROM audit_entry", "UPDATE audit_entry SET kind = 'x'"):
        with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
            cursor.execute(statement)
    assert Entry.objects.get().subject_id == "p2"


@pytest.mark.parametrize("number", [1, 2])
def test_a_test_that_commits_finds_nothing_of_the_one_before(number: int) -> None:
    assert not User.objects.exists()
    assert not Entry.objects.exists()
    assert Group.objects.filter(name="lead").count() == 1
    factories.user("lead")
    Group.objects.all().delete()
    noted(f"p{number}")
