"""Every page and every order of the console, with who may: one row for each. A page of the console without a row fails the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from agents import releasing
from agents.churn.interventions import install_default_rules
from agents.models import AgentRun, Release
from approvals import transitions
from approvals.models import Case, Execution, Limit, Phase, Promise, Proposal, Suppression
from audit.actor import system
from billing_ai.api import changes, clients, tokens, webhooks
from billing_ai.api.models import ApiClient, ApiToken, WebhookDelivery, WebhookEndpoint
from billing_ai.facts.queries import facts_hash
from billing_ai.inbox.models import Event
from billing_ai.kernel import clock
from billing_ai.signals.models import UsageEvent
from tests import factories

ROLES = ("specialist", "lead", "finance", "auditor", "integration", "nobody", "anonymous")
SEES = {"specialist", "lead", "finance", "auditor"}
WORKERS, LEADS, NAMES, EXPORTS = {"specialist", "lead"}, {"lead"}, {"specialist", "lead", "finance"}, {"lead", "auditor"}
ACTOR = system("test")
FIGURES = {
    "model": "logistic",
    "kinds": {"logistic": {"auc": 0.81}},
    "rows": 5000,
    "left": 400,
    "tested_rows": 3000,
    "split": "forward in time",
}

Prepare = Callable[[Case], object]


@dataclass(frozen=True)
class Order:
    """A POST: `of` its address by name, `form` what is sent, `before` what has to be there. `shows`: nothing of ours but the ledger changes."""

    of: str
    who: set[str]
    args: Callable[[Case], list[Any]] = lambda case: []
    form: Callable[[Case], dict[str, Any]] = lambda case: {}
    before: tuple[Prepare, ...] = ()
    shows: bool = False
    answers: int = 0
    more: dict[str, Any] = field(default_factory=dict)

    def ask(self, client: Any, case: Case) -> Any:
        return client.post(reverse(self.of, args=self.args(case)), {**self.form(case), **self.more})


# -- what has to be there -----------------------------------------------------------------------------------------------------


def approved(case: Case) -> Proposal:
    """Approved by somebody else, as one of a release of many."""
    one = case.proposals.get()
    boss = factories.user("lead", "boss")
    assert one.current is not None
    return transitions.approve(
        one.pk, boss, content_hash=one.current.content_hash, facts_hash=facts_hash(case.chargebee_invoice_id), note="bulk:abc"
    )


def unknown(case: Case) -> None:
    one = approved(case)
    Proposal.objects.filter(pk=one.pk).update(status="unknown")
    Execution.objects.filter(proposal=one).update(status="unknown")


def parked(case: Case) -> None:
    """One of each kind that can be parked."""
    Execution.objects.filter(proposal=approved(case)).update(status="parked")
    Event.objects.create(
        chargebee_event_id="ev_parked", event_type="payment_failed", occurred_at=clock.now(), body_sha256="0" * 64, status="parked", reason="unreadable",
    )  # fmt: skip
    AgentRun.objects.create(agent="dunning", subject_kind="invoice", subject_id="INV-wrong", cause="ev_1", status="parked")
    UsageEvent.objects.create(
        client="crm", external_id="u1", customer_system="crm", customer_ref="x", name="login", occurred_at=clock.now(), status="parked"
    )


def promised(case: Case) -> None:
    Promise.objects.create(case=case, amount_minor=100, currency="EUR", due_on=clock.now().date(), amount_due_at_start_minor=4_900)
    Case.objects.filter(pk=case.pk).update(status="promised")


def disputed(case: Case) -> None:
    Case.objects.filter(pk=case.pk).update(status="disputed")


def suppressed(case: Case) -> None:
    Suppression.objects.create(chargebee_customer_id=case.chargebee_customer_id)


def api(case: Case) -> None:
    """A client with a token, and an endpoint with one delivery that was given up."""
    client = clients.make("crm", covers_everyone=True, actor=ACTOR)
    tokens.make(client, label="sync", scopes=["customers:read"], lives=timedelta(days=1), actor=ACTOR)
    webhooks.make_endpoint(client, "http://127.0.0.1:9/hook", [changes.CASE], ACTOR)
    changes.record(changes.CASE, case.chargebee_customer_id, ("case", str(case.pk)), {})
    changes.number_all()
    WebhookDelivery.objects.update(status="parked", reason="given up", attempt=12)


def offered(case: Case) -> None:
    releasing.offer(agent="churn", kind="model", name="churn", version="churn-1", content_hash="a" * 64, figures=FIGURES)


def prompt_offered(case: Case) -> None:
    from agents import prompt_releases

    prompt_releases.offer("dunning", "dunning", "v1", factories.user("lead", "ines"), reason="First.")


def prompt_before(case: Case) -> None:
    """v1 was live once, and is not now."""
    prompt_offered(case)
    Release.objects.update(status=Release.RETIRED, live_since=clock.now())


def churn_rules(case: Case) -> None:
    install_default_rules()


def automate_asked(case: Case) -> None:
    Phase.objects.filter(pk=Phase.objects.earliest("pk").pk).update(requested_phase="automate", requested_by=factories.user("lead", "ruth"))


# -- what is sent -------------------------------------------------------------------------------------------------------------


def hashes(case: Case) -> dict[str, str]:
    return hashes_of(case.proposals.get())


def hashes_of(one: Proposal) -> dict[str, str]:
    """The fields by which a page says which proposal it is about, and what of it was seen."""
    assert one.current is not None
    shown = {f"content_hash:{one.pk}": one.current.content_hash, f"facts_hash:{one.pk}": facts_hash(one.chargebee_invoice_id)}
    return {"proposal": str(one.pk), **shown}


def _case(case: Case) -> list[Any]:
    return [case.pk]


def _proposal(case: Case) -> list[Any]:
    return [case.proposals.get().pk]


def _customer(case: Case) -> list[Any]:
    return [case.chargebee_customer_id]


def _act(what: str, who: set[str] = WORKERS, before: tuple[Prepare, ...] = (), **form: str) -> Order:
    return Order("console:act", who, lambda case: [case.pk, what], before=before, more=form)


def _parked(kind: str, model: Any, what: str, **form: str) -> Order:
    return Order(
        "console:decide_parked", WORKERS, lambda case: [kind, model.objects.get(status="parked").pk], before=(parked,), more={"what": what, "note": "A test.", **form}
    )  # fmt: skip


def _rule(of: str, model: Any, **form: str) -> Order:
    return Order(of, LEADS, lambda case: [model.objects.earliest("pk").pk], more={"reason": "A test.", **form})


def _contact(who: set[str], **form: str) -> Order:
    return Order("console:contact", who, _customer, more=form)


def _list(of: str, text: str) -> Order:
    return Order(of, LEADS, form=lambda case: {"list": SimpleUploadedFile("l.csv", text.encode())})


def _of_api(of: str, model: Any, answers: int = 0, **form: str) -> Order:
    return Order(of, LEADS, lambda case: [model.objects.get().pk], before=(api,), answers=answers, more=form)


def _prompt(step: str, *before: Prepare) -> Order:
    return Order(
        "console:prompts",
        LEADS,
        before=before,
        more={"agent": "dunning", "name": "dunning", "version": "v1", "step": step, "reason": "Reads better."},
    )


SOON = (clock.now() + timedelta(days=3)).date().isoformat()
FREQUENCY = {"param:messages": "2", "param:days": "7", "is_enabled": "on", "reason": "Fewer."}
SEGMENT = {"agent": "dunning", "segment": "pilot", "tag": "pilot", "rank": "10", "sample_percent": "20", "reason": "A pilot."}
CHURN_RULE = {
    "key": "mine", "title": "Call", "bands": "high", "change": "entered", "action": "call_task", "params": '{"subject": "Call", "due_in_days": 1}', "cool_down_days": "14",
    "rank": "5", "is_enabled": "on", "reason": "Calls work better.",
}  # fmt: skip

ORDERS: dict[str, Order] = {
    # the queue, and many at once
    "find": Order("console:find", NAMES, more={"who": "Lovelace"}, shows=True),
    "preview many": Order("console:bulk", LEADS, form=lambda case: {"case": str(case.pk), "step": "preview"}, shows=True),
    "release many": Order("console:bulk", LEADS, form=hashes, more={"step": "release", "gap": "30"}),
    "stop the release": Order("console:stop_batch", LEADS, lambda case: ["abc"], before=(approved,)),
    # one case
    "here": Order("console:here", SEES, _case, shows=True),
    "approve": Order("console:approve", WORKERS, _case, hashes),
    "reject": Order("console:reject", WORKERS, _case, hashes, more={"reason_code": "wrong_tone"}),
    "undo": Order("console:undo", WORKERS, form=lambda case: {"proposal": str(case.proposals.get().pk)}, before=(approved,)),
    "check": Order("console:check", WORKERS, _proposal, more={"subject": "S", "body": "B {{ links.pay }}"}, shows=True),
    "edit": Order(
        "console:edit", WORKERS, _proposal, lambda case: {"base_revision": case.proposals.get().current_id}, more={"subject": "S", "body": "B {{ links.pay }}"}
    ),
    "settle": Order("console:settle", WORKERS, _proposal, before=(unknown,), more={"happened": "yes", "note": "It is in the outbox of the mail server."}),
    "english": Order("console:english", WORKERS, _proposal, shows=True),
    "snooze": _act("snooze", days="3"),
    "escalate": _act("escalate", to="lead", note="Large."),
    "escalate to the help desk": _act("escalate", to="helpdesk", note="A question of theirs."),
    "assign": Order("console:act", WORKERS, lambda case: [case.pk, "assign"], lambda case: {"owner": factories.user("specialist", "other").pk}),
    "note": _act("note", text="Rang.", kind="call"),
    "no_answer": _act("note", text="Rang twice.", kind="no_answer"),
    "call_task": _act("call_task", days="3", note="About the card."),
    "promise": _act("promise", amount="10.00", due_on=SOON),
    "withdraw_promise": _act("withdraw_promise", before=(promised,)),
    "dispute": _act("dispute", code="amount", note="Says it is too much."),
    "settle_dispute": _act("settle_dispute", before=(disputed,), note="Settled."),
    "already_paid": _act("already_paid", note="Yesterday."),
    "wrong_person": _act("wrong_person"),
    "do_not_contact": _act("do_not_contact"),
    "tags": _act("tags", tags="vip"),
    "deadline": _act("deadline", days="1"),
    "close": _act("close", LEADS, note="Not worth it."),
    # what is parked
    "replay an event": _parked("event", Event, "replay"),
    "correct an event": _parked("event", Event, "correct", customer_id="cus_right"),
    "drop an event": _parked("event", Event, "drop"),
    "replay a run": _parked("run", AgentRun, "replay"),
    "correct a run": _parked("run", AgentRun, "correct", invoice_id="INV-right"),
    "drop a run": _parked("run", AgentRun, "drop"),
    "replay an effect": _parked("execution", Execution, "replay"),
    "drop an effect": _parked("execution", Execution, "drop"),
    "replay what was told": _parked("usage", UsageEvent, "replay"),
    "drop what was told": _parked("usage", UsageEvent, "drop"),
    # rules
    "kill_switch": Order("console:switch", LEADS, more={"scope": "all", "turn": "on", "reason": "A test."}),
    "policy": Order("console:change_policy", LEADS, lambda case: ["contact.frequency"], more=FREQUENCY),
    "try a policy": Order("console:change_policy", SEES, lambda case: ["contact.frequency"], more={**FREQUENCY, "step": "try"}, shows=True),
    "limit": _rule("console:change_limit", Limit, value="7"),
    "try a limit": Order(
        "console:change_limit", SEES, lambda case: [Limit.objects.get(agent="dunning", key="specialist_limit").pk], more={"value": "7", "step": "try"}, shows=True
    ),
    "new_limit": Order("console:new_limit", LEADS, more={"agent": "dunning", "key": "daily_amount", "of": "EUR", "value": "100", "reason": "A pilot."}),
    "phase": _rule("console:change_phase", Phase, phase="observe"),
    "try a phase": Order("console:change_phase", SEES, lambda case: [Phase.objects.earliest("pk").pk], more={"step": "try"}, shows=True),
    "confirm a phase": Order(
        "console:change_phase", LEADS, lambda case: [Phase.objects.earliest("pk").pk], before=(automate_asked,), more={"step": "confirm", "reason": "Half a year without a fault."}
    ),
    "new_segment": Order("console:new_segment", LEADS, more={**SEGMENT, "step": "change"}),
    "try a segment": Order("console:new_segment", SEES, more={**SEGMENT, "step": "try"}, shows=True),
    "segment": _rule("console:change_segment", Phase, rank="100", sample_percent="50", step="change"),
    "crm_field": Order("console:crm_fields", LEADS, more={"system": "hubspot", "ours": "churn_band", "theirs": "risk_band", "is_enabled": "on", "reason": "Their name."}),
    "offer a prompt": _prompt("offer"),
    "put a prompt live": _prompt("promote", prompt_offered),
    "go back to a prompt": _prompt("back", prompt_before),
    "health weights": Order("console:churn_health", LEADS, more={"billing": "1", "support": "0", "product": "0", "reason": "Billing is all that we see."}),
    "churn settings": Order("console:churn_settings", LEADS, more={"key": "night_hour", "value": "5", "reason": "Later."}),
    "new churn rule": Order("console:churn_rule", LEADS, lambda case: ["new"], more=CHURN_RULE),
    "churn rule": Order("console:churn_rule", LEADS, lambda case: ["high_task"], before=(churn_rules,), more=CHURN_RULE),
    "put a model live": Order("console:churn_release", LEADS, lambda case: [Release.objects.get().pk], before=(offered,), more={"step": "promote", "reason": "Better."}),
    # may this customer be contacted
    "said_no": _contact(WORKERS, what="consent", channel="sms", state="denied"),
    "said_yes": _contact(LEADS, what="consent", channel="sms", state="granted"),
    "suppress": _contact(WORKERS, what="suppress", kind="hardship"),
    "lift": Order(
        "console:contact", LEADS, _customer, lambda case: {"entry": str(Suppression.objects.get().pk)}, before=(suppressed,), more={"what": "lift", "reason": "They called."}
    ),
    "import": _list("console:import_suppressions", "customer_id\ncus_listed\n"),
    "import_consents": _list("console:import_consents", "customer_id,channel,state\ncus_1,sms,granted\n"),
    # other systems
    "register_webhook": Order("console:register_webhook", LEADS, more={"order": "1"}, shows=True, answers=302),
    "new_client": Order("console:new_api_client", LEADS, more={"name": "crm-eu", "title": "CRM", "entities": "be_1"}),
    "client": _of_api("console:api_client", ApiClient, title="Other", entities="be_1", is_active="on", reason="Fewer."),
    "new_token": _of_api("console:new_api_token", ApiClient, 200, label="t", scopes="customers:read", days="30", rate="60"),
    "rotate a token": _of_api("console:api_token", ApiToken, 200, what="rotate"),
    "revoke a token": _of_api("console:api_token", ApiToken, what="revoke"),
    "replay webhooks": _of_api("console:api_endpoint", WebhookEndpoint, what="replay", hours="24"),
    "stop webhooks": _of_api("console:api_endpoint", WebhookEndpoint, what="stop", reason="Gone."),
    # the ledger
    "evidence": Order("admin:audit_entry_evidence", EXPORTS, _case, before=(approved,), shows=True),
}  # fmt: skip

PAGES: dict[str, tuple[set[str], Callable[[Case], list[Any]]]] = {
    "queue": (SEES, lambda case: []),
    "batch": (LEADS, lambda case: ["abc"]),
    "case": (SEES, _case),
    "change_policy": (SEES, lambda case: ["contact.frequency"]),
    "change_limit": (SEES, lambda case: [Limit.objects.earliest("pk").pk]),
    "new_limit": (SEES, lambda case: []),
    "change_phase": (SEES, lambda case: [Phase.objects.earliest("pk").pk]),
    "new_segment": (SEES, lambda case: []),
    "change_segment": (SEES, lambda case: [Phase.objects.earliest("pk").pk]),
    "crm_fields": (SEES, lambda case: []),
    "contact": (SEES, _customer),
    "import_consents": (LEADS, lambda case: []),
    "import_suppressions": (LEADS, lambda case: []),
    "customers": (SEES, lambda case: []),
    "customer": (SEES, _customer),
    "churn_watch": (SEES, lambda case: []),
    "churn_health": (SEES, lambda case: []),
    "churn_settings": (SEES, lambda case: []),
    "churn_rules": (SEES, lambda case: []),
    "churn_rule": (SEES, lambda case: ["new"]),
    "churn_release": (SEES, lambda case: [Release.objects.filter(kind="model").get().pk]),
    "prompts": (SEES, lambda case: []),
    "brand": (SEES, lambda case: []),
    "new_api_client": (SEES, lambda case: []),
    "api_client": (SEES, lambda case: [ApiClient.objects.get().pk]),
    "api_endpoint": (SEES, lambda case: [WebhookEndpoint.objects.get().pk]),
    "parked": (SEES, lambda case: []),
    "chargebee": (SEES, lambda case: []),
}
"""What is looked at by GET, by its name in the console."""
