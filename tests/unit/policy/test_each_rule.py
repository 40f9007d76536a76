"""Every rule that the code knows stands in one table with its edge: the last case that it lets pass, and the first that it stops.

The names are read from the rules' own source, so a new rule without a row in the table fails here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from approvals import policy
from approvals.contract import Check
from approvals.policy import case_view, gate, limits, phase_rules
from approvals.policy.contact_rules import CHANNELS, ContactFacts, Question, Said, Suppressed, Word, may_contact
from approvals.policy.defaults import LIMITS, POLICIES
from approvals.policy.retry_rules import Attempt, Charge, check_retry
from approvals.policy.rules import PhaseRule
from approvals.policy.subject import Subject
from approvals.policy.words_origin import Origin
from billing_ai.kernel.money import Money
from tests.db.policy import test_each_rule as with_rows
from tests.unit.policy.rules_in_force import shipped

NOON = datetime(2026, 3, 11, 11, 0, tzinfo=UTC)
"""A Wednesday, 12:00 in Berlin."""
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
CUSTOMER = ContactFacts(country="DE", time_zone="Europe/Berlin", has_email=True, has_phone=True, sms_consent="yes")
FEE = Money(4_900, "EUR")
SUBJECT = Subject("p", "dunning", "collect_payment", "retry:1", Money(4_900, "USD"), "c", "inv_1", currency="USD")
MESSAGE = replace(SUBJECT, action="send_message", channel="email", amount=Money(0, "USD"))


class Edge(NamedTuple):
    """What a rule says on its two sides: `passes` gives no strict answer of this rule, `stops` gives `outcome`."""

    passes: tuple[Check, ...]
    stops: tuple[Check, ...]
    outcome: str


def contact(
    channel: str = "email", at: datetime = NOON, *, rules: Any = None, question: dict[str, Any] | None = None, **facts: Any
) -> tuple[Check, ...]:
    kind = (question or {}).pop("kind", "dunning")
    return may_contact(Question(channel, kind, at, **(question or {})), replace(CUSTOMER, **facts), rules or shipped())


def retry(*attempts: Attempt, rules: Any = None, **charge: Any) -> tuple[Check, ...]:
    values = {"amount": FEE, "invoice_id": "inv_1", "network": "visa", "at": NOON, "merchant_account": "gw_1"} | charge
    return check_retry(Charge(**values), attempts, rules or shipped())


def tried(ago: timedelta = timedelta(hours=2), **more: Any) -> Attempt:
    values = {"code": "insufficient_funds", "category": "insufficient_funds", "retryable": "yes", "invoice_id": "inv_1"} | more
    return Attempt(NOON - ago, 4_900, "EUR", "gw_1", **values)


def filled(count: int, days: int) -> list[Attempt]:
    """A window with one attempt at its very edge and the rest within it, well before the last two hours."""
    return [tried(timedelta(days=days) - MINUTE), *(tried(timedelta(hours=2 + 7 * n)) for n in range(count - 1))]


def window(network: str, count: int, days: int) -> Edge:
    inside = filled(count, days)
    aged = [replace(inside[0], at=NOON - timedelta(days=days)), *inside[1:]]
    return Edge(retry(*aged, network=network), retry(*inside, network=network), "wait")


def weigh(
    subject: Subject = SUBJECT, *, attempts: int = 0, messages: int = 0, used: dict[str, int] | None = None, **rules: Any
) -> tuple[Check, ...]:
    return limits.weigh(subject, limits.Counts(attempts, messages, used or {}), shipped(**rules), NOON).checks


def of(amount: int, currency: str = "USD") -> Subject:
    return replace(SUBJECT, amount=Money(amount, currency), currency=currency)


def phase(name: str, moment: Any = "approve", percent: int = 0) -> tuple[Check, ...]:
    return phase_rules.phase_checks(SUBJECT, shipped(phases=(PhaseRule("dunning", "everyone", {}, name, percent),)), moment)[1]


def decide(moment: Any = "propose", *, stopped: frozenset[str] = frozenset(), **subject: Any) -> tuple[Check, ...]:
    view = case_view.View(contact=CUSTOMER)
    in_force = replace(shipped(phases=(PhaseRule("dunning", "everyone", {}, "automate", 0),)), stopped=stopped)
    return gate.decide(replace(MESSAGE, **subject), view, in_force, {}, moment=moment, now=NOON).checks


BUILT_IN, MODELS = Origin(built_in="Built-in text."), Origin()


def words(
    origin: Origin | None, *, phase: str = "automate", model_words: bool = False, moment: Any = "propose", approvals: int = 0
) -> tuple[Check, ...]:
    rules = shipped(phases=(PhaseRule("dunning", "everyone", {}, phase, 0, model_words=model_words),))
    asked = replace(MESSAGE, origin=origin, approvals_by_people=approvals)
    return gate.decide(asked, case_view.View(contact=CUSTOMER), rules, {}, moment=moment, now=NOON).checks


def pause(kind: str) -> Edge:
    listed = Suppressed(kind, "", date(2026, 3, 11))
    # Until the day has ended on the last island: 12:00 UTC of the day after.
    over = datetime(2026, 3, 12, 12, 0, tzinfo=UTC)
    return Edge(contact(at=over, suppressed=(listed,)), contact(at=over - MINUTE, suppressed=(listed,)), "deny")


def said(*ages: timedelta, kind: str = "dunning") -> tuple[Said, ...]:
    return tuple(Said(NOON - age, "call", kind) for age in ages)


EDGES: dict[str, Callable[[], list[Edge]]] = {
    # -- contact ---------------------------------------------------------------------------------------------------------------
    "contact.channel": lambda: [Edge(contact("call"), contact("fax"), "deny")],
    "contact.customer": lambda: [
        Edge(contact("email", has_phone=False), contact("email", has_email=False), "deny"),
        Edge(contact("sms", has_email=False), contact("sms", has_phone=False), "deny"),
        Edge(contact("call", has_email=False), contact("call", has_phone=False), "deny"),
        Edge(contact(), contact(is_known=False), "deny"),
        Edge(contact(), contact(is_deleted=True), "deny"),
    ],
    "contact.consent.email": lambda: [
        Edge(contact(), contact(words={"email": Word("denied", "unsubscribe")}), "deny"),
        Edge(contact(email_consent="yes"), contact(email_consent="no"), "deny"),
    ],
    "contact.consent.sms": lambda: [
        Edge(contact("sms"), contact("sms", sms_consent=""), "deny"),
        Edge(contact("sms", words={"sms": Word("granted", "console")}), contact("sms", words={"sms": Word("denied", "reply")}), "deny"),
    ],
    "contact.consent.call": lambda: [Edge(contact("call"), contact("call", words={"call": Word("denied", "console")}), "deny")],
    "contact.suppressed": lambda: [
        pause("do_not_contact"),
        pause("wrong_person"),
        Edge(
            contact(suppressed=(Suppressed("do_not_contact", "sms"),)), contact(suppressed=(Suppressed("do_not_contact", "email"),)), "deny"
        ),
    ],
    "contact.pause.hardship": lambda: [pause("hardship")],
    "contact.pause.bankruptcy": lambda: [pause("bankruptcy")],
    "contact.pause.deceased": lambda: [pause("deceased")],
    "contact.pause.dispute": lambda: [
        Edge(contact(), contact(dispute="this"), "deny"),
        Edge(contact(), contact(dispute="other"), "person"),
    ],
    "contact.pause.promise": lambda: [
        Edge(contact(), contact(promise="this"), "deny"),
        Edge(contact(), contact(promise="other"), "person"),
    ],
    "contact.pause.snoozed": lambda: [Edge(contact(snoozed_until=NOON), contact(snoozed_until=NOON + MINUTE), "wait")],
    "contact.promotion": lambda: [
        Edge(contact(), contact(question={"promotes": True}), "deny"),
        Edge(contact(), contact(question={"promotes": True, "is_draft": True}), "person"),
    ],
    "contact.quiet_hours": lambda: [
        # 08:00 and 20:00 in Berlin, and on the mornings after both clock changes.
        Edge(contact(at=_utc(3, 11, 7, 0)), contact(at=_utc(3, 11, 6, 59)), "wait"),
        Edge(contact(at=_utc(3, 11, 18, 59)), contact(at=_utc(3, 11, 19, 0)), "wait"),
        Edge(contact(at=_utc(3, 29, 6, 0)), contact(at=_utc(3, 29, 5, 59)), "wait"),
        Edge(contact(at=_utc(10, 25, 7, 0)), contact(at=_utc(10, 25, 6, 59)), "wait"),
        # The first and the last zone on Earth, and a zone of half hours.
        Edge(
            contact(at=_utc(3, 10, 18, 0), **_in("KI", "Pacific/Kiritimati")),
            contact(at=_utc(3, 10, 17, 59), **_in("KI", "Pacific/Kiritimati")),
            "wait",
        ),
        Edge(contact(at=_utc(3, 11, 20, 0), **_in("UM", "Etc/GMT+12")), contact(at=_utc(3, 11, 19, 59), **_in("UM", "Etc/GMT+12")), "wait"),
        Edge(
            contact(at=_utc(3, 11, 2, 30), **_in("IN", "Asia/Kolkata")), contact(at=_utc(3, 11, 2, 29), **_in("IN", "Asia/Kolkata")), "wait"
        ),
        # A zone that nobody knows is each zone of the country; without a country no hour is left.
        Edge(contact(at=_utc(3, 11, 18, 0), **_in("US", "")), contact(at=_utc(3, 11, 17, 59), **_in("US", "")), "wait"),
        Edge(
            contact(at=_utc(3, 11, 23, 59), **_in("US", "America/Nowhere")),
            contact(at=_utc(3, 12, 0, 0), **_in("US", "America/Nowhere")),
            "wait",
        ),
        Edge(contact(**_in("DE", "")), contact(**_in("", "")), "deny"),
        # A leap day.
        Edge(contact(at=datetime(2028, 2, 29, 7, 0, tzinfo=UTC)), contact(at=datetime(2028, 2, 29, 6, 59, tzinfo=UTC)), "wait"),
        Edge(contact(at=datetime(2028, 2, 29, 18, 59, tzinfo=UTC)), contact(at=datetime(2028, 2, 29, 19, 0, tzinfo=UTC)), "wait"),
    ],
    "contact.days_off": lambda: [
        # Good Friday begins and ends at midnight in Berlin, not in London or New York.
        Edge(contact(at=_utc(4, 2, 21, 59)), contact(at=_utc(4, 2, 22, 0)), "wait"),
        Edge(contact(at=_utc(4, 3, 22, 0)), contact(at=_utc(4, 3, 21, 59)), "wait"),
        # New Year where the day begins first.
        Edge(
            contact(at=datetime(2025, 12, 31, 9, 59, tzinfo=UTC), **_in("KI", "Pacific/Kiritimati")),
            contact(at=datetime(2025, 12, 31, 10, 0, tzinfo=UTC), **_in("KI", "Pacific/Kiritimati")),
            "wait",
        ),
        Edge(contact(), contact(**_in("", "Etc/GMT+12")), "deny"),
    ],
    "contact.country": lambda: [Edge(contact(country="de"), contact(country="XX"), "deny")],
    "contact.frequency": lambda: [
        Edge(contact(said=said(DAY, 2 * DAY, 7 * DAY)), contact(said=said(DAY, 2 * DAY, 7 * DAY - MINUTE)), "wait"),
        Edge(contact(said=said(DAY, 2 * DAY)), contact(said=said(DAY, 2 * DAY), in_flight=1), "wait"),
        Edge(
            contact(at=datetime(2028, 3, 6, 11, 0, tzinfo=UTC), said=_three_since(datetime(2028, 2, 28, 11, 0, tzinfo=UTC))),
            contact(at=datetime(2028, 3, 6, 10, 59, tzinfo=UTC), said=_three_since(datetime(2028, 2, 28, 11, 0, tzinfo=UTC))),
            "wait",
        ),
        Edge(contact(), contact(rules=shipped(changed={"contact.frequency": {"messages": 0, "days": 7}})), "deny"),
    ],
    "contact.after_conversation": lambda: [
        Edge(
            contact("call", said=said(7 * DAY, kind="conversation")),
            contact("call", said=said(7 * DAY - MINUTE, kind="conversation")),
            "wait",
        ),
        Edge(contact("email", said=said(DAY, kind="conversation")), contact("call", said=said(DAY, kind="conversation")), "wait"),
    ],
    "contact.confirmation": lambda: [
        Edge(_confirm(timedelta(minutes=5)), _confirm(timedelta(minutes=5, seconds=1)), "deny"),
        Edge(_confirm(MINUTE), _confirm(MINUTE, already=True), "deny"),
        Edge(_confirm(MINUTE), contact("sms", question={"kind": "opt_out_confirmation"}), "deny"),
    ],
    # -- the retry ledger ------------------------------------------------------------------------------------------------------
    "retry.instrument": lambda: [Edge(retry(), retry(has_instrument=False), "deny")],
    "retry.unknown_network": lambda: [Edge(retry(network="amex"), retry(network="jcb"), "deny"), Edge(retry(), retry(network=""), "deny")],
    "retry.authentication": lambda: [_answer("after_auth", "deny")],
    "retry.customer_action": lambda: [_answer("after_customer_action", "person")],
    "retry.pending": lambda: [_answer("pending", "deny")],
    "retry.configuration": lambda: [_answer("fix_config", "deny")],
    "retry.unknown_code": lambda: [_answer("unknown", "deny"), _answer("", "deny")],
    "retry.hard_decline": lambda: [_answer("no", "deny"), _answer("after_update", "deny")],
    "retry.never": lambda: [
        Edge(retry(tried(network_code="51")), retry(tried(400 * DAY, network_code="41")), "deny"),
        Edge(
            retry(tried(10 * DAY, advice_code="02"), network="mastercard"),
            retry(tried(400 * DAY, advice_code="03"), tried(), network="mastercard"),
            "deny",
        ),
    ],
    "retry.advice": lambda: [
        Edge(
            retry(tried(5 * DAY, advice_code="02"), network="mastercard"),
            retry(tried(5 * DAY, advice_code="01"), network="mastercard"),
            "deny",
        )
    ],
    "retry.waiting_time": lambda: [
        Edge(retry(tried(timedelta(hours=1))), retry(tried(timedelta(hours=1) - MINUTE)), "wait"),
        Edge(retry(tried(3 * DAY, min_wait_hours=72)), retry(tried(3 * DAY - MINUTE, min_wait_hours=72)), "wait"),
    ],
    "retry.india_mandate": lambda: [
        Edge(
            retry(amount=Money(1_500_000, "INR"), noticed_at=NOON - DAY),
            retry(amount=Money(1_500_000, "INR"), noticed_at=NOON - DAY + MINUTE),
            "wait",
        ),
        Edge(
            retry(amount=Money(1_500_000, "INR"), noticed_at=NOON - DAY),
            retry(amount=Money(1_500_001, "INR"), noticed_at=NOON - DAY),
            "deny",
        ),
        Edge(retry(), retry(issuing_country="IN", noticed_at=NOON - DAY), "deny"),
        Edge(retry(amount=Money(100, "INR"), noticed_at=NOON - DAY), retry(amount=Money(100, "INR"), is_draft=True), "person"),
    ],
    "retry.window.visa": lambda: [window("visa", 15, 30)],
    "retry.window.mastercard": lambda: [window("mastercard", 35, 30)],
    "retry.window.amex": lambda: [window("amex", 20, 30)],
    "retry.window.discover": lambda: [window("discover", 20, 30)],
    "retry.window.ach": lambda: [window("ach", 3, 180)],
    "retry.window.sepa": lambda: [window("sepa", 3, 30)],
    "retry.window.bacs": lambda: [window("bacs", 3, 30)],
    "retry.window.nach": lambda: [window("nach", 2, 30)],
    # -- limits ----------------------------------------------------------------------------------------------------------------
    "limits.unknown_currency": lambda: [Edge(weigh(of(1, "EUR")), weigh(of(1, "XAF")), "person")],
    "limits.amount_per_action": lambda: [Edge(weigh(of(50_000)), weigh(of(50_001)), "person"), _unset("amount_per_action", "person")],
    "limits.specialist_limit": lambda: [Edge(weigh(of(500_000)), weigh(of(500_001)), "person"), _unset("specialist_limit", "person")],
    "limits.second_pair_of_eyes_above": lambda: [
        Edge(weigh(of(1_000_000)), weigh(of(1_000_001)), "person"),
        _unset("second_pair_of_eyes_above", "person"),
    ],
    "limits.attempts_per_invoice": lambda: [Edge(weigh(attempts=7), weigh(attempts=8), "deny"), _unset("attempts_per_invoice", "person")],
    "limits.messages_per_invoice": lambda: [
        Edge(weigh(MESSAGE, messages=5), weigh(MESSAGE, messages=6), "deny"),
        _unset("messages_per_invoice", "person", MESSAGE),
    ],
    "limits.daily_count": lambda: [
        Edge(weigh(used={"daily_count": 1_999}), weigh(used={"daily_count": 2_000}), "wait"),
        _unset("daily_count", "person"),
    ],
    "limits.daily_amount": lambda: [
        Edge(weigh(used={"daily_amount.USD": 25_000_000 - 4_900}), weigh(used={"daily_amount.USD": 25_000_000 - 4_899}), "wait"),
        Edge(weigh(of(25_000_000)), weigh(of(25_000_001)), "deny"),
        _unset("daily_amount", "person"),
    ],
    # -- rollout, the switch, and what the agent or the draft say ----------------------------------------------------------------
    "rollout.phase": lambda: [
        Edge(phase("automate"), phase("assist"), "person"),
        Edge(phase("observe", "propose"), phase("observe", "approve"), "deny"),
        Edge(phase("automate"), phase_rules.phase_checks(SUBJECT, shipped(phases=()), "approve")[1], "person"),
    ],
    "rollout.sample": lambda: [Edge(phase("automate", percent=0), phase("automate", percent=100), "person")],
    "words.origin": lambda: [
        Edge(words(BUILT_IN), words(MODELS), "person"),
        Edge(
            words(MODELS, model_words=True),
            words(replace(MODELS, lacks=("the verifier found something in it",)), model_words=True),
            "person",
        ),
        Edge(words(MODELS, model_words=True), words(MODELS, phase="assist", model_words=True), "person"),
        Edge(words(BUILT_IN), words(None, model_words=True), "person"),
        Edge(words(BUILT_IN, moment="execute"), words(MODELS, moment="execute"), "deny"),
        Edge(words(MODELS, moment="execute", approvals=1), words(MODELS, moment="execute"), "deny"),
    ],
    "kill_switch": lambda: [
        Edge(decide(stopped=frozenset({"churn"})), decide(stopped=frozenset({"dunning"})), "person"),
        Edge(decide("execute"), decide("execute", stopped=frozenset({"all"})), "wait"),
    ],
    "agent.needs_person": lambda: [Edge(decide(), decide(needs_person=True), "person")],
    "draft.blocked": lambda: [Edge(decide(), decide(has_blocking_finding=True), "person")],
    "approval.approver_disabled": lambda: [
        Edge(decide("execute", approvals_by_people=1), decide("execute", has_disabled_approver=True), "deny")
    ],
}
"""One row for each rule. What only rows of the database can show stands in tests/db/policy/test_each_rule.py."""


def _utc(month: int, day: int, hour: int, minute: int) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def _in(country: str, zone: str) -> dict[str, Any]:
    return {"country": country, "time_zone": zone}


def _three_since(first: datetime) -> tuple[Said, ...]:
    return tuple(Said(first + DAY * n, "email", "dunning") for n in range(3))


def _confirm(ago: timedelta, *, already: bool = False) -> tuple[Check, ...]:
    word = Word("denied", "reply", NOON - ago)
    sent = (Said(NOON - timedelta(seconds=30), "sms", "opt_out_confirmation"),) if already else ()
    return contact("sms", words={"sms": word}, said=sent, question={"kind": "opt_out_confirmation"})


def _answer(retryable: str, outcome: str) -> Edge:
    """The same answer as the last one, and followed by a payment that went through."""
    last = tried(timedelta(hours=3), retryable=retryable)
    return Edge(retry(last, tried(timedelta(hours=2), succeeded=True)), retry(last), outcome)


def _unset(key: str, outcome: str, subject: Subject = SUBJECT) -> Edge:
    return Edge(weigh(subject), weigh(subject, limits={name: value for name, value in LIMITS.items() if name != key}), outcome)


@pytest.mark.parametrize("rule", sorted(EDGES))
def test_each_rule_passes_on_one_side_of_its_edge_and_stops_on_the_other(rule: str) -> None:
    for number, edge in enumerate(EDGES[rule]()):
        assert {check.outcome for check in edge.passes if check.rule == rule} <= {"allow"}, (number, edge.passes)
        stopped = [check for check in edge.stops if check.rule == rule]
        assert [check.outcome for check in stopped] == [edge.outcome], (number, edge.stops)
        assert stopped[0].sentence.endswith(".")
        assert (stopped[0].not_before is not None) == (edge.outcome == "wait")


_ALWAYS_ALLOW = {
    "contact": "the sum of all rules of contact, when none of them is strict",
    "contact.pauses": "says that no pause is on record",
    "retry.decline": "says that the last decline may be tried again",
    "limits.daily": "says that the day's limits were taken from",
}
"""Names that are only ever on an answer of yes: there is no other side to test."""


def names_in_the_code() -> dict[str, set[str]]:
    """Every name under which a rule answers, with its outcomes, read from the source; `{…}` stands for what is filled in."""
    found: dict[str, set[str]] = {}
    for path in sorted(Path(policy.__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        told = {one.name: [argument.arg for argument in one.args.args].index("rule") for one in functions if _takes_a_rule(one)}
        for scope in (tree, *functions):
            known = _assigned(scope) if scope is not tree else {}
            for call in (node for node in ast.walk(scope) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                called = call.func.id  # type: ignore[attr-defined]
                place = 0 if called == "Check" else told.get(called)
                if place is None or len(call.args) <= max(place, 1):
                    continue
                first = call.args[place]
                name = known.get(first.id) if isinstance(first, ast.Name) else _text(first)
                if name is not None:
                    given = ast.walk(call.args[1]) if called == "Check" else ()
                    outcomes = {node.value for node in given if isinstance(node, ast.Constant) and isinstance(node.value, str)}
                    found.setdefault(name, set()).update(outcomes or {"?"})
    return found


def _takes_a_rule(function: ast.FunctionDef) -> bool:
    return "rule" in [argument.arg for argument in function.args.args]


def _assigned(function: ast.AST) -> dict[str, str]:
    """`rule = "…"` and `rule, other = "…", …` of a function."""
    known = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            target = node.targets[0]
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=True))
            for left, right in pairs:
                text = _text(right)
                if isinstance(left, ast.Name) and text is not None:
                    known[left.id] = text
    return known


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{…}" for part in node.values)  # type: ignore[misc]
    return None


def _is_like(pattern: str, name: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(re.escape("{…}"), r"[a-z_]+"), name) is not None


def test_no_rule_of_the_code_is_without_a_row_in_the_table() -> None:
    tested = {*EDGES, *with_rows.RULES}
    known = names_in_the_code()
    assert len(known) > 30  # the source was really read
    without = {
        name: outcomes
        for name, outcomes in known.items()
        if "." in name and name not in _ALWAYS_ALLOW and not any(_is_like(name, rule) for rule in tested)
    }
    assert without == {}
    assert {name for name in _ALWAYS_ALLOW if known.get(name) != {"allow"}} == set()
    # and the other way round: no row about a rule that is gone
    assert {rule for rule in tested if not any(_is_like(name, rule) for name in known)} == set()


def test_every_shipped_row_limit_and_channel_has_its_place_in_the_table() -> None:
    """A rule whose name is filled in (a network's window, a channel's consent, a limit) is there for each value that is shipped."""
    windows = {f"retry.window.{row.key.removeprefix('retry.')}" for row in POLICIES if "windows" in row.params}
    elsewhere = {"retry.spacing": "retry.waiting_time"}
    no_rule = {"reference_rates", "draft.brand", "contact.sms_opt_out"}
    rows = {elsewhere.get(row.key, row.key) for row in POLICIES if "windows" not in row.params and row.key not in no_rule}
    consents = {f"contact.consent.{channel}" for channel in CHANNELS}
    # What models may spend is kept by the gateway to them, before each call: tests/unit/llm/test_budget.py.
    of_limits = {f"limits.{key}" for key in LIMITS if key != limits.DAILY_MODEL_SPEND}

    assert windows | rows | consents | of_limits <= set(EDGES)
