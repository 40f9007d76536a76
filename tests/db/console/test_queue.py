"""The queue: order, saved views, filters, search, pages by key, counts that stop, and how many queries it takes."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals import transitions
from approvals.admin import queue_query as q
from approvals.models import Case, Proposal
from approvals.policy import rules
from approvals.wording.reader import UTC_READER
from audit.models import PersonalDataRead
from billing_ai.kernel import clock
from tests import factories


def _bulk(count: int, **columns: Any) -> list[Case]:
    """Cases as bare rows: what the queue reads, and nothing besides."""
    return Case.objects.bulk_create(
        Case(
            chargebee_customer_id=f"cus_{n}", chargebee_invoice_id=f"INV-{n}", currency="EUR", amount_due_minor=100, stake=columns.get("stake", n),
            waiting_count=1, trace_id="0" * 32, **{key: value for key, value in columns.items() if key != "stake"},
        )
        for n in range(count)
    )  # fmt: skip


def test_pages_by_key_give_every_case_once_in_the_order_of_stake(db: Any) -> None:
    _bulk(130)
    Case.objects.filter(stake__lt=60).update(stake=7)  # many equal stakes: the id settles their order
    seen: list[Any] = []
    after, pages = "", 0
    user = factories.user("specialist")
    while True:
        shown = q.page(q.matching(q.question({}), user, UTC_READER), after=after)
        seen += shown.cases
        pages += 1
        if not shown.after:
            break
        after = shown.after
    assert pages == 6
    assert [case.pk for case in seen] == [case.pk for case in sorted(Case.objects.all(), key=lambda case: (-case.stake, case.pk))]
    last = q.page(q.matching(q.question({}), user, UTC_READER), after=after)
    back = q.page(q.matching(q.question({}), user, UTC_READER), before=last.before)
    assert [case.pk for case in back.cases] == [case.pk for case in seen[100:125]] or len(back.cases) == 25


def test_counts_stop_counting(db: Any) -> None:
    _bulk(120)
    counts = q.view_counts(factories.user("specialist"), UTC_READER)
    assert (q.count_text(counts["all"]), q.count_text(counts["mine"])) == ("99+", "0")


def test_each_saved_view_holds_what_it_says(chargebee: Any) -> None:
    me, now = factories.user("specialist"), clock.now()
    cases = {
        "mine": factories.case(chargebee, owner=me),
        "due": factories.case(chargebee, deadline_at=now - timedelta(hours=1)),
        "high": factories.case(chargebee, due_minor=300_000),
        "broken": factories.case(chargebee, broken_promise=True),
        "second": factories.case(chargebee),
        "escalated": factories.case(chargebee, escalated_to_lead=True),
        "snoozed": factories.case(chargebee, snoozed_until=now + timedelta(days=1)),
        "promised": factories.case(chargebee, status="promised"),
        "disputed": factories.case(chargebee, status="disputed"),
    }
    Proposal.objects.filter(case=cases["second"]).update(status="waiting_second")
    for key, case in cases.items():
        found = set(q.matching(q.question({"view": key}), me, UTC_READER).values_list("pk", flat=True))
        assert found == {case.pk}, key
    to_decide = {who: set(q.matching(q.question({}), who, UTC_READER).values_list("pk", flat=True)) for who in (me, factories.user("lead"))}
    assert to_decide[me] == {cases[key].pk for key in ("mine", "due", "high", "broken", "second")}
    assert [found - to_decide[me] for found in to_decide.values()] == [set(), {cases["escalated"].pk}]


def test_filters_come_from_fixed_lists_and_nothing_else_is_believed(chargebee: Any) -> None:
    euro = factories.case(chargebee, overdue_days=40)
    factories.case(chargebee, currency="GBP", overdue_days=2, category="expired_card")
    user = factories.user("specialist")

    def found(**given: str) -> int:
        return q.matching(q.question(given), user, UTC_READER).count()

    assert found(currency="EUR") == 1
    assert found(age="31-60", reason="insufficient_funds") == 1
    assert found(currency="EUR' OR 1=1") == 2
    assert q.matching(q.question({"age": "31-60"}), user, UTC_READER).get() == euro


@pytest.mark.parametrize("term", ["exact id", "prefix", "uuid"])
def test_search_by_id_looks_at_all_cases(chargebee: Any, term: str) -> None:
    case = factories.case(chargebee, status="closed", customer_id="cus_of_this_search")
    text = {"exact id": case.chargebee_invoice_id, "prefix": "cus_of_this", "uuid": str(case.pk)}[term]
    assert q.matching(q.question({"q": text}), factories.user("specialist"), UTC_READER).get() == case


def test_a_beginning_that_fits_half_the_table_gives_its_first_cases_and_reads_no_further(db: Any) -> None:
    _bulk(q.SEARCH_STOPS_AT + 40)
    user = factories.user("specialist")
    found = q.matching(q.question({"q": "INV-"}), user, UTC_READER)
    assert found.count() == q.SEARCH_STOPS_AT
    assert len(q.page(found).cases) == q.PAGE
    assert {case.chargebee_invoice_id for case in q.matching(q.question({"q": "INV-23"}), user, UTC_READER)} == {
        "INV-23", *(f"INV-23{n}" for n in range(10)),
    }  # fmt: skip
    assert not q.matching(q.question({"q": "INV_"}), user, UTC_READER).exists()
    assert q.matching(q.question({"q": "IN"}), user, UTC_READER).count() == 0


def test_a_name_is_asked_of_chargebee_and_kept_nowhere(chargebee: Any, as_user: Any) -> None:
    case = factories.case(chargebee, first_name="Zebulon", last_name="Quatermain", email="zq@example.com")
    user = factories.user("specialist")
    for who in ("Quater", "zq@example.com", "Zebulon Quat"):
        page = as_user(user).post("/console/queue/find/", {"who": who}).content.decode()
        assert case.chargebee_invoice_id in page
    assert PersonalDataRead.objects.filter(chargebee_customer_id=case.chargebee_customer_id).count() == 3
    chargebee.away = True
    assert "Chargebee could not be asked" in as_user(user).post("/console/queue/find/", {"who": "Quater"}).content.decode()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            assert "Quatermain" not in repr(cursor.fetchall()), table


def _asked_by(client: Any, path: str) -> list[str]:
    """The statements of a page that was open before; what begins and ends a transaction asks nothing."""
    client.get(path)
    # As after a pause: what was read in the last seconds may not be counted on.
    if (kept := getattr(rules._local, "kept", None)) is not None:
        rules._local.kept = replace(kept, read_at=monotonic() - rules.RECENT_SECONDS)
    with CaptureQueriesContext(connection) as asked:
        assert client.get(path).status_code == 200
    return [query["sql"] for query in asked if not query["sql"].startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"))]


@pytest.mark.parametrize("rows", [3, 200])
@pytest.mark.parametrize("path", ["/console/queue/", "/console/queue/?view=second", "/console/queue/?q=INV-1", "/console/queue/?q=INV-1&age=90%2B", "/console/"])  # fmt: skip
def test_at_most_eight_queries_whatever_the_number_of_rows(as_user: Any, rows: int, path: str) -> None:
    _bulk(rows)
    asked = _asked_by(as_user(factories.user("specialist")), path)
    assert len(asked) <= 8, [sql[:120] for sql in asked]
    assert not [sql for sql in asked if re.search(r"SELECT DISTINCT|OFFSET [1-9]", sql)]


@pytest.mark.parametrize("proposals", [1, 40])
def test_at_most_eight_queries_for_a_case_whatever_has_happened_on_it(chargebee: Any, as_user: Any, proposals: int) -> None:
    case = factories.case(chargebee)
    for number in range(proposals):
        factories.proposal(case, step=f"message:{number + 2}", words=factories.ENGLISH, status="rejected")
        transitions.make_ready(factories.proposal(case, action="add_comment", step=f"note:{number}", status="approved"), delay=timedelta(1))
    for path in (f"/console/case/{case.pk}/", f"/console/case/{case.pk}/?q={case.chargebee_invoice_id}"):
        asked = _asked_by(as_user(factories.user("specialist", f"u{len(path)}")), path)
        assert len(asked) <= 8, [sql[:120] for sql in asked]


def test_figures_follow_the_readers_own_locale_and_zone(chargebee: Any, as_user: Any) -> None:
    factories.case(chargebee, due_minor=123_456, deadline_at=clock.now().replace(hour=12, minute=0))
    user = factories.user("specialist")
    german = as_user(user, **{"accept-language": "de-DE,de;q=0.9"})
    german.cookies["reader_zone"] = "Asia/Tokyo"
    page = german.get("/console/queue/").content.decode()
    assert "1.234,56\u00a0€" in page
    assert "21:00" in page
    english = as_user(user, **{"accept-language": "en-GB"})
    english.cookies["reader_zone"] = "../../etc/passwd"
    page = english.get("/console/queue/").content.decode()
    assert "€1,234.56" in page
    assert "12:00" in page


def test_a_headline_is_shown_to_the_letter_and_a_case_without_one_by_its_kind(chargebee: Any, as_user: Any) -> None:
    case = factories.case(chargebee, headline="The card has expired. A customer for 2.5 years.")
    without = factories.case(chargebee, headline="")
    client = as_user(factories.user("specialist"))
    for path in ("/console/queue/", f"/console/case/{case.pk}/"):
        assert ">The card has expired. A customer for 2.5 years.<" in client.get(path).content.decode()
    assert ">Dunning</h2>" in client.get(f"/console/case/{without.pk}/").content.decode()
