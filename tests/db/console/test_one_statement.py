"""Several queries in one statement give what each would have given alone."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Count, F, Value
from django.db.models.functions import JSONObject
from django.test.utils import CaptureQueriesContext

from approvals.models import Case, Policy, Proposal, Revision
from audit.models import CustomerKey, Entry
from audit.reads import note_personal_read
from billing_ai.facts.models import Invoice, Subscription
from billing_ai.tables.one_statement import fetch
from tests import factories


def _columns(row: Any) -> dict[str, Any]:
    plain = {}
    for field in row._meta.concrete_fields:
        value = getattr(row, field.attname)
        plain[field.attname] = bytes(value) if isinstance(value, memoryview) else value
    return plain


def test_rows_are_what_each_query_would_have_given(chargebee: Any) -> None:
    case = factories.case(chargebee, headline="Ümläut “quote” \\ '%s' \U0001f600", tags=["a", "b"], retry_in_days=3, words=factories.GERMAN)
    factories.case(chargebee, deadline_at=case.opened_at)
    note_personal_read(factories.user("lead"), case.chargebee_customer_id, "name", "a test")
    whole = {
        "cases": Case.objects.order_by("-stake", "id"),
        "proposals": case.proposals.order_by("created_at"),
        "revisions": Revision.objects.filter(proposal__case=case).order_by("pk"),
        "keys": CustomerKey.objects.order_by("pk"),
        "entries": Entry.objects.order_by("-id")[:3],
        "invoices": Invoice.objects.order_by("pk"),
        "policies": Policy.objects.order_by("pk"),
        "subscriptions": Subscription.objects.all(),
        "nothing": Case.objects.none(),
        "people": User.objects.order_by("pk"),
    }
    values = {
        "tuples": Case.objects.order_by("pk").values_list("pk", "due_on", "opened_at", "tags"),
        "flat": Proposal.objects.order_by("pk").values_list("expires_at", flat=True),
        "sums": Proposal.objects.values("action").annotate(count=Count("pk")).order_by("action"),
        "objects": Case.objects.order_by("pk").values(one=JSONObject(stake="stake", of=F("currency"))),
        "both": Case.objects.order_by().values_list(Value("case"), "currency").union(Proposal.objects.values_list(Value("it"), "currency")),
    }
    assert connection.features.supports_json_field  # Django finds that out by a query of its own, once
    with CaptureQueriesContext(connection) as asked:
        found = fetch({**whole, **values})
    assert len(asked) == 1
    for name, rows in whole.items():
        assert [_columns(row) for row in found[name]] == [_columns(row) for row in rows], name
    for name, listed in values.items():
        assert sorted(found[name], key=repr) == sorted(listed, key=repr), name
    assert found["cases"][0].__class__ is Case
    found["cases"][0].save()  # it is known as a stored row, not as a new one
    assert Case.objects.count() == 2


def test_a_query_that_follows_relations_is_refused(db: Any) -> None:
    with pytest.raises(TypeError):
        fetch({"cases": Case.objects.select_related("owner")})
