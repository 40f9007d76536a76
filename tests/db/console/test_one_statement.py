"""Several queries in one statement give what each would have given alone."""

from __future__ import annotations

from datetime import timedelta
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
from billing_ai.kernel import clock
from billing_ai.tables.one_statement import Kept, fetch
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


def _of(*, customer_id: str, case_id: Any, since: Any, invoice_ids: tuple[str, ...], open_only: bool) -> dict[str, Any]:
    cases = Case.objects.filter(chargebee_customer_id=customer_id, opened_at__gt=since)
    return {
        "cases": (cases.filter(status=Case.OPEN) if open_only else cases).values_list("pk", flat=True),
        "proposals": Proposal.objects.none() if case_id is None else Proposal.objects.filter(case_id=case_id).order_by("pk"),
        "invoices": Invoice.objects.filter(pk__in=invoice_ids).order_by("pk").values_list("pk", flat=True),
    }


def test_kept_questions_answer_as_if_they_were_asked_anew(chargebee: Any) -> None:
    first, second = factories.case(chargebee), factories.case(chargebee, status=Case.CLOSED)
    kept = Kept(_of)
    early, late = first.opened_at - timedelta(days=1), second.opened_at + timedelta(days=1)
    for case in (first, second, first):
        for case_id in (None, case.pk):
            for since in (early, late):
                for invoice_ids in (
                    (),
                    (first.chargebee_invoice_id,),
                    (second.chargebee_invoice_id, "none"),
                    ("none", first.chargebee_invoice_id),
                ):
                    for open_only in (True, False):
                        asked: dict[str, Any] = {
                            "customer_id": case.chargebee_customer_id, "case_id": case_id, "since": since, "invoice_ids": invoice_ids,
                            "open_only": open_only,
                        }  # fmt: skip
                        with CaptureQueriesContext(connection) as statements:
                            found = kept.ask(**asked)
                        assert len(statements) == 1
                        assert found == {name: list(rows) for name, rows in _of(**asked).items()}


def test_a_question_that_would_stand_still_is_refused() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite puts the questions into SQL each time")
    now = clock.now()
    reckoned = Kept(lambda *, now: {"cases": Case.objects.filter(opened_at__gt=now - timedelta(days=1))})
    of_today = Kept(lambda *, name: {"cases": Case.objects.filter(chargebee_customer_id=name, due_on=clock.utc_date(clock.now()))})
    in_another_form = Kept(lambda *, name: {"cases": Case.objects.filter(chargebee_customer_id__startswith=name)})
    for kept, value in ((reckoned, {"now": now}), (of_today, {"name": "cus_1"}), (in_another_form, {"name": "cus_1"})):
        with pytest.raises(TypeError):
            kept.ask(**value)
