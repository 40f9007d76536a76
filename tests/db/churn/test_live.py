"""News of one customer: scored again, written down, told to the floors above, and an intervention where a rule asks for one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from agents import runner, runs
from agents.churn import storing
from agents.churn.announcing import bands_changed
from agents.churn.gather import gather, sources
from agents.churn.models import ChurnHistory, ChurnScore, ChurnSetting, Departure, Intervention, ValueChange
from agents.churn.scoring import current
from agents.models import AgentRun
from approvals import case_facts, case_transitions
from approvals.models import Case, Proposal
from approvals.revisions import read_words, render_and_verify
from approvals.signals import redraft_wanted
from audit.models import Entry
from billing_ai.facts import sync
from billing_ai.facts.models import Customer
from billing_ai.kernel import clock
from billing_ai.signals.heard import heard
from billing_ai.signals.models import UsageEvent
from tests import factories
from tests.db.churn.conftest import NOW, customer, failed_payment, phase, run_agent, subscription


@pytest.fixture
def told() -> Any:
    """The changes of band that the floors above hear of."""
    changes: list[Any] = []

    def hear(changes_seen: list[Any] = changes, **sent: Any) -> None:
        changes_seen.extend(sent["changes"])

    bands_changed.connect(hear, weak=False, dispatch_uid="test.hear")
    yield changes
    bands_changed.disconnect(dispatch_uid="test.hear")


def test_an_event_starts_a_run_that_scores_the_customer() -> None:
    # given a customer with three failed payments
    customer("cus_1", failed=3)
    # when Chargebee tells of the last one
    runs.start_for_event("payment_failed", "ev_9", "t" * 32, "cus_1", ())
    runner.run_due(10)
    # then the score stands with the figures it rests on, its history has begun, and the ledger names the run
    score = ChurnScore.objects.get(chargebee_customer_id="cus_1")
    assert (score.failed_payments_90d, score.mrr_minor, score.currency, score.segment) == (3.0, 20_000.0, "EUR", "medium")
    assert 0 < score.p30 < score.p60 < score.p90 < 1
    assert (score.trend, score.band_before, score.is_active, score.first_seen_at) == ("new", "", True, score.scored_at)
    assert ChurnHistory.objects.get().p90 == score.p90
    run = AgentRun.objects.get(agent="churn")
    assert (run.status, run.decision["band"], run.decision["raised"][0]) == ("done", score.band, "failed_payments")
    assert Entry.objects.get(kind="run.finished").data["cause"] == "payment_failed"


def test_news_from_other_systems_is_folded_into_one_run_that_comes_a_moment_later() -> None:
    customer("cus_1")
    for _ in range(3):
        heard.send(sender=UsageEvent, customer_ids={"cus_1"}, kind="usage")
    run = AgentRun.objects.get()
    assert (run.cause_type, run.subject_id) == ("heard.usage", "cus_1")
    assert run.not_before > clock.now()
    assert runner.run_due(10) == 0  # not yet
    clock.shift(clock.offset() + timedelta(seconds=3))
    assert runner.run_due(10) == 1
    assert ChurnScore.objects.count() == 1


def test_a_kind_of_news_that_nobody_wants_starts_nothing() -> None:
    customer("cus_1")
    heard.send(sender=UsageEvent, customer_ids={"cus_1"}, kind="note")
    assert AgentRun.objects.count() == 0


def test_a_band_that_changes_is_told_once_with_what_it_was(told: list[Any]) -> None:
    customer("cus_1")
    run_agent("cus_1", "ev_1")
    assert told == []  # a first score in the lowest band is no news
    for day in range(6):
        failed_payment("cus_1", days_ago=day)
    run_agent("cus_1", "ev_2")
    [change] = told
    score = ChurnScore.objects.get()
    assert (change.before, change.after, change.customer_id) == ("low", score.band, "cus_1")
    assert score.band != "low"
    assert (score.band_before, score.band_changed_at) == ("low", score.scored_at)
    run_agent("cus_1", "ev_3")
    assert len(told) == 1


def test_what_a_subscription_was_worth_before_is_kept_when_it_changes() -> None:
    customer("cus_1", mrr=20_000)
    run_agent("cus_1", "ev_1")
    subscription("cus_1", mrr=12_000)
    run_agent("cus_1", "ev_2")
    change = ValueChange.objects.get()
    assert (change.what, change.before, change.after) == ("mrr", 20_000.0, 12_000.0)
    run_agent("cus_1", "ev_3")
    assert ChurnScore.objects.get().downgrades_180d == 1.0


def test_who_leaves_is_noted_with_the_day_and_no_longer_listed() -> None:
    customer("cus_1")
    run_agent("cus_1", "ev_1")
    ended = NOW - timedelta(hours=2)
    subscription("cus_1", status="cancelled", cancelled_at=ended)
    run_agent("cus_1", "ev_2", "subscription_cancelled")
    gone = Departure.objects.get()
    assert (gone.chargebee_customer_id, gone.left_at) == ("cus_1", ended)
    assert ChurnScore.objects.get().is_active is False
    run_agent("cus_1", "ev_3")
    assert Departure.objects.count() == 1


def test_observing_only_counts() -> None:
    customer("cus_1", failed=6)
    run = run_agent("cus_1")
    counted = Intervention.objects.get()
    assert (counted.group, counted.rule_key, run.decision["group"]) == ("observed", "high_task", "observed")
    assert (Case.objects.count(), Proposal.objects.count()) == (0, 0)


def test_assisting_proposes_one_step_about_the_whole_customer_and_then_leaves_them_alone() -> None:
    phase("assist")
    customer("cus_1", failed=6, mrr=20_000)
    run_agent("cus_1", "ev_1")
    case, proposal = Case.objects.get(), Proposal.objects.get()
    assert (case.kind, case.agent, case.chargebee_invoice_id, case.amount_due_minor) == ("churn", "churn", "", 0)
    assert (proposal.action, proposal.status, proposal.step) == ("crm_task", "waiting", "high_task:2026-03-11")
    assert proposal.current is not None
    assert proposal.current.payload["customer_id"] == "cus_1"
    assert case.stake > 0  # a year's worth, by the share that may be saved
    assert "failed payments" in case.headline.lower()
    # when more news comes while the step waits
    run = run_agent("cus_1", "ev_2")
    assert run.decision["rule"] == ""
    assert "keeps another one off" in run.decision["why"]
    assert Proposal.objects.get().status == "waiting"
    assert Intervention.objects.count() == 1


def test_a_customer_who_is_held_out_gets_nothing_and_is_counted() -> None:
    phase("assist")
    ChurnSetting.objects.filter(key="hold_out").update(value={"share": 0.5, "salt": "1"})
    for number in range(12):
        customer(f"cus_{number}", failed=6)
        run_agent(f"cus_{number}", f"ev_{number}")
    held = set(Intervention.objects.filter(group="held_out").values_list("chargebee_customer_id", flat=True))
    treated = set(Intervention.objects.filter(group="treated").values_list("chargebee_customer_id", flat=True))
    assert held
    assert treated
    assert held | treated == {f"cus_{number}" for number in range(12)}
    assert set(Proposal.objects.values_list("chargebee_customer_id", flat=True)) == treated


def test_a_case_ends_when_the_customer_has_left_and_what_waited_is_withdrawn() -> None:
    phase("assist")
    customer("cus_1", failed=6)
    run_agent("cus_1", "ev_1")
    subscription("cus_1", status="cancelled", cancelled_at=NOW)
    run_agent("cus_1", "ev_2", "subscription_cancelled")
    case = Case.objects.get()
    assert (case.status, Proposal.objects.get().status) == ("closed", "withdrawn")
    entry = Entry.objects.get(kind="case.closed")
    assert (entry.data["reason"], entry.actor_label) == ("the customer has left", "churn")


def test_a_score_of_a_later_moment_stays() -> None:
    customer("cus_1")
    run_agent("cus_1", "ev_1")
    ChurnScore.objects.update(scored_at=clock.now() + timedelta(minutes=5), p90=0.5)
    run_agent("cus_1", "ev_2")
    assert ChurnScore.objects.get().p90 == 0.5


def test_a_customer_whom_chargebee_does_not_have_waits_and_a_deleted_one_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "refresh", lambda customer_id, invoice_ids: sync.Refreshed(customer_id, gone=(f"customer:{customer_id}",)))
    run = run_agent("cus_unknown")
    assert (run.status, run.reason) == ("waiting", "facts are missing or too old: customer cus_unknown")
    customer("cus_gone", is_deleted=True)
    assert run_agent("cus_gone").status == "skipped"
    assert ChurnScore.objects.count() == 0


def test_the_binary_copy_writes_what_the_orm_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import connection, transaction

    if connection.vendor != "postgresql":
        pytest.skip("the binary COPY is PostgreSQL's")
    names = [f"cus_{number}" for number in range(6)]
    for number, name in enumerate(names):
        customer(name, failed=number, mrr=10_000 * number)
    subscription("cus_5", status="cancelled", cancelled_at=NOW)
    written = []
    for least in (10_000, 1):
        monkeypatch.setattr(storing, "COPY_FROM_ROWS", least)
        for at in (NOW, NOW + timedelta(days=8)):  # the first score, and one that replaces it
            gathered = gather(names, at, sources(at))
            scorer = current()
            with transaction.atomic():
                before = storing.read_before(names, at, locked=True)
                storing.store(gathered, scorer.score(gathered.columns), before, at, scorer.version)
        written.append(
            [
                [
                    {name: value for name, value in row.items() if name != "id"}
                    for row in model.objects.order_by("chargebee_customer_id", "scored_at").values()
                ]
                for model in (ChurnScore, ChurnHistory)
            ]
        )
        ChurnScore.objects.all().delete()
        ChurnHistory.objects.all().delete()
    assert written[0] == written[1]
    assert len(written[0][1]) == 10  # two points each of those who can be left
    assert np.isinf(written[0][0][0]["cancellation_in_days"])


@pytest.fixture
def chargebee(monkeypatch: pytest.MonkeyPatch) -> Any:
    from tests.factories import FakeChargebee

    return FakeChargebee().install(monkeypatch)


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it", "nl", "pt-BR", "ja"])
def test_a_rising_risk_gets_a_message_that_passes_the_same_checks_and_waits_for_a_person(chargebee: Any, language: str) -> None:
    # given a customer of medium risk who was low a month ago
    phase("assist")
    customer("cus_1", failed=2)
    Customer.objects.update(locale=language)
    chargebee.customers["cus_1"] = {
        "id": "cus_1",
        "first_name": "Ada",
        "company": "Engines Ltd",
        "email": "ada@example.com",
        "locale": language,
    }
    run_agent("cus_1", "ev_1")
    score = ChurnScore.objects.get()
    assert score.band == "medium"
    ChurnHistory.objects.update(p90=0.02, scored_at=NOW - timedelta(days=30))
    # when there is news
    run = run_agent("cus_1", "ev_2")
    # then a message about the customer as a whole waits, without an invoice, an amount or a name in its words
    assert run.decision["rule"] == "medium_message", (run.status, run.reason)
    proposal = Proposal.objects.get()
    assert (proposal.action, proposal.status, proposal.chargebee_invoice_id) == ("send_message", "waiting", "")
    assert proposal.current is not None
    assert proposal.current.findings == []
    assert proposal.current.language == language
    words = read_words(proposal.current)
    assert words is not None
    assert "Ada" not in words.body
    rendered, findings = render_and_verify(words, case_facts.load("cus_1", "").draft)
    assert rendered is not None
    assert findings == []
    assert "{{" not in rendered.text


def test_the_wish_for_another_draft_runs_about_the_customer_again(chargebee: Any) -> None:
    phase("assist")
    customer("cus_1", failed=6)
    run_agent("cus_1", "ev_1")
    redraft_wanted.send(sender=Proposal, proposal=Proposal.objects.get(), instruction="Shorter, please.")
    run = AgentRun.objects.get(cause_type="redraft")
    assert (run.subject_kind, run.subject_id, run.instruction) == ("customer", "cus_1", "Shorter, please.")


def test_the_approved_message_is_looked_at_again_and_goes_out_without_a_page_to_pay(
    chargebee: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from approvals import transitions
    from approvals.actions.send_message import ACTION
    from billing_ai.facts.queries import facts_hash
    from billing_ai.integrations.chargebee import writes
    from tests.factories import user

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a page was made")

    monkeypatch.setattr(writes, "create_collect_now_page", refused)
    monkeypatch.setattr(writes, "create_update_payment_method_page", refused)
    phase("assist")
    customer("cus_1", failed=2)
    chargebee.customers["cus_1"] = {
        "id": "cus_1",
        "first_name": "Ada",
        "company": "Engines Ltd",
        "email": "ada@example.com",
        "locale": "de",
    }
    run_agent("cus_1", "ev_1")
    ChurnHistory.objects.update(p90=0.02, scored_at=NOW - timedelta(days=30))
    run_agent("cus_1", "ev_2")
    proposal = Proposal.objects.select_related("current", "case").get()
    assert proposal.current is not None
    # given a person's approval of exactly this text and these facts
    transitions.approve(proposal.pk, user("specialist"), content_hash=proposal.current.content_hash, facts_hash=facts_hash("", "cus_1"))
    proposal.refresh_from_db()
    # then the second look has nothing against it, and the frozen message names the customer and no invoice
    look = ACTION.look_again(proposal, proposal.current)
    assert [check for check in look.checks if check.outcome == "deny"] == []
    request = ACTION.freeze(proposal, proposal.current, look, "key")
    assert request.values["hosted_page_ids"] == []
    assert request.sealed is not None
    assert request.sealed["to"] == "ada@example.com"
    assert request.sealed["text"].startswith("Guten Tag")
    # when the customer is gone meanwhile, it is stopped
    chargebee.customers["cus_1"]["deleted"] = True
    assert "look.customer_gone" in [check.rule for check in ACTION.look_again(proposal, proposal.current).checks]


def test_a_dispute_counts_as_a_signal_for_half_a_year_and_after_it_is_settled() -> None:
    customer("cus_dispute")
    case = factories.case(customer_id="cus_dispute", words=None)
    person = factories.user("specialist")
    case_transitions.dispute(case.pk, person, "amount", "They ordered fewer seats.")
    case_transitions.settle_dispute(case.pk, person, "Agreed on the phone.")
    found = [
        gather(["cus_dispute"], at, sources(at)).columns["disputes_180d"].tolist()
        for at in (clock.now(), clock.now() + timedelta(days=179), clock.now() + timedelta(days=181))
    ]
    assert found == [[1.0], [1.0], [0.0]]
