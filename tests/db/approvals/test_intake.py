"""What a run proposes goes in together, and what is kept of it is what saving each row by itself would have kept."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from approvals import intake
from approvals.contract import CaseDraft, ProposalDraft, RunResult, Words
from approvals.models import Case, Proposal, Revision
from audit import seal
from audit.models import Entry
from audit.verify import verify
from billing_ai.api.models import Change
from billing_ai.facts.queries import facts_hash
from billing_ai.kernel import ids
from billing_ai.kernel.money import Money
from billing_ai.tables.one_write import FreshId, Insert, Update, write
from tests import factories


def result(of: Case, *drafts: ProposalDraft, **case: Any) -> RunResult:
    """A run about the invoice of a case."""
    draft = CaseDraft(
        kind="dunning", customer_id=of.chargebee_customer_id, invoice_id=of.chargebee_invoice_id, amount_due=of.amount_due,
        category="insufficient_funds", headline="Declined", likelihood_bp=5_000, uplift_bp=1_000, reasons=(), tier="growth", country="GB",
        locale="en-GB", next_action="Write", due_at=None, **case,
    )  # fmt: skip
    return RunResult(
        agent="dunning", run_id=str(ids.new_id()), trace_id=ids.new_trace_id(), event_id="ev_1",
        facts_hash=facts_hash(of.chargebee_invoice_id, of.chargebee_customer_id), prompt_hash="p", model="offline", case=draft, proposals=drafts,
    )  # fmt: skip


def message(step: str = "message:1", words: Words = factories.ENGLISH) -> ProposalDraft:
    return ProposalDraft("send_message", step, Money(0, "EUR"), {"n": 1}, words)


def comment(step: str = "comment:1") -> ProposalDraft:
    return ProposalDraft("add_comment", step, Money(0, "EUR"), {"text": "ü"})


def facts_only(chargebee: Any) -> Case:
    """Customer and invoice of a case that is over, so that the next run opens one of its own."""
    return factories.case(chargebee, words=None, status=Case.CLOSED)


def columns(row: Any, *but: str) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields if field.attname not in but}


def test_history_is_what_saving_would_have_kept(chargebee: Any) -> None:
    old = facts_only(chargebee)
    case = intake.submit(result(old, message(), comment()), {"message:1": []})
    assert case is not None
    for made in (case, *case.proposals.all()):
        kept = made.history.get()
        assert (kept.history_type, kept.history_user_id) == ("+", None)
        made = type(made).objects.get(pk=made.pk)
        made._change_reason = kept.history_change_reason
        made.save()  # by the signals
        by_signal = made.history.order_by("-history_id").first()
        assert columns(kept, "history_id", "history_date", "history_type") == columns(
            by_signal, "history_id", "history_date", "history_type"
        )
        assert kept.history_date <= by_signal.history_date
    assert {one.history.earliest("history_id").history_change_reason for one in case.proposals.all()} == {"proposal.waiting"}


def test_rows_ledger_and_feed_stand_together(chargebee: Any) -> None:
    old = facts_only(chargebee)
    Change.objects.all().delete()
    case = intake.submit(result(old, message(), comment()))
    assert case is not None
    assert case.waiting_count == 2
    first, second = case.proposals.order_by("-action")
    assert (first.action, second.action) == ("send_message", "add_comment")
    for one, payload in ((first, {"n": 1}), (second, {"text": "ü"})):
        revision = Revision.objects.get(proposal=one)
        assert (one.current_id, revision.number, revision.payload) == (revision.pk, 1, payload)
    assert first.current is not None
    assert first.current.sealed_words is not None
    assert factories.ENGLISH.subject in seal.unseal(case.chargebee_customer_id, first.current.sealed_words)
    told = Entry.objects.filter(case_id=case.pk).order_by("id").values_list("kind", "subject_id")
    assert list(told) == [("case.opened", str(case.pk)), ("proposal.waiting", str(first.pk)), ("proposal.waiting", str(second.pk))]
    lines = list(Change.objects.order_by("pk").values_list("kind", "subject_id", "payload__status"))
    assert lines == [
        ("case.opened", str(case.pk), "open"),
        ("proposal.changed", str(first.pk), "waiting"),
        ("proposal.changed", str(second.pk), "waiting"),
    ]
    first.save()  # no news: the feed says it already
    assert Change.objects.count() == 3
    assert verify().is_whole


def test_a_second_run_adds_what_is_new_and_changes_the_case(chargebee: Any) -> None:
    old = facts_only(chargebee)
    case = intake.submit(result(old, message()))
    again = intake.submit(result(old, message(), comment()))
    assert case is not None
    assert again is not None
    assert again.pk == case.pk
    assert sorted(again.proposals.values_list("action", flat=True)) == ["add_comment", "send_message"]
    assert list(again.history.order_by("history_id").values_list("history_type", "waiting_count")) == [("+", 1), ("~", 2)]
    # what the newest run does not want any more is withdrawn, and counted no longer
    last = intake.submit(result(old, comment()))
    assert last is not None
    assert (last.waiting_count, Case.objects.get(pk=last.pk).waiting_count) == (1, 1)
    assert last.proposals.get(action="send_message").status == "withdrawn"
    assert verify().is_whole


@pytest.mark.parametrize(("status", "proposed"), [("done", False), ("waiting", False), ("rejected", True), ("failed", True)])
def test_a_step_of_another_case_is_not_taken_twice(chargebee: Any, status: str, proposed: bool) -> None:
    old = facts_only(chargebee)
    factories.proposal(old, step="message:1", status=status, words=factories.ENGLISH)
    case = intake.submit(result(old, message(), comment()))
    assert case is not None
    assert sorted(case.proposals.values_list("action", flat=True)) == (["add_comment", "send_message"] if proposed else ["add_comment"])


def test_what_cannot_be_written_leaves_nothing(chargebee: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    old = facts_only(chargebee)
    before = (Entry.objects.count(), Case.objects.count(), Change.objects.count())
    asked = intake._LOOK.ask
    monkeypatch.setattr(intake._LOOK, "ask", lambda **values: {**asked(**values), "standing": []})  # the other's step is not seen in time
    factories.proposal(old, step="message:1", status="done", words=factories.ENGLISH)
    told = Change.objects.count()
    with pytest.raises(IntegrityError), transaction.atomic():
        intake.submit(result(old, message(), comment()))
    assert (Entry.objects.count(), Case.objects.count(), Change.objects.count()) == (*before[:2], told)
    assert Proposal.objects.filter(action="add_comment").count() == 0
    assert intake.submit(result(old, comment())) is not None  # and the ledger goes on
    assert verify().is_whole


def test_rows_go_in_at_once_with_keys_of_each_other(chargebee: Any) -> None:
    case = factories.case(chargebee)
    proposal = case.proposals.get()
    revisions = [Revision(pk=FreshId(), proposal=proposal, number=number, payload={"n": number}, content_hash="h") for number in (7, 8)]
    with CaptureQueriesContext(connection) as asked:
        wrote = write(
            Update(Case, {"id": case.pk, "status": "open"}, {"headline": "100 % ‘new’", "owner": None}),
            Update(Case, {"id": case.pk, "status": "closed"}, {"headline": "never"}),
            Insert(revisions),
            Insert([]),
        )
    assert wrote == [1, 0, 2, 0]
    if connection.vendor == "postgresql":
        assert len(asked) == 1
    assert [Revision.objects.get(pk=one.pk).payload for one in revisions] == [{"n": 7}, {"n": 8}]
    case.refresh_from_db()
    assert case.headline == "100 % ‘new’"
