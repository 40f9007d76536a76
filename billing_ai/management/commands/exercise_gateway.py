"""Make each call that the gateway to Chargebee can make, once, with sensible arguments, and say how each went.

Meant for a test site or the simulator: it changes things (it collects, credits, pauses, cancels). The site's own records are used; where it
has none of a kind, an id is made up, and "there is nothing under that id" counts as an answer.
"""

from __future__ import annotations

import argparse
import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing_ai.integrations.chargebee import budget, reads, setup_check, writes
from billing_ai.integrations.chargebee.call import single_attempts
from billing_ai.kernel import clock
from billing_ai.kernel.errors import OutsideError, Terminal
from billing_ai.kernel.ids import effect_key, new_id

_ABOUT_THE_RECORD = frozenset(
    {
        "chargebee.invalid_state_for_request",
        "chargebee.status_409",
        "chargebee.unable_to_process_request",
        "chargebee.operation_not_allowed",
        "chargebee.resource_limit_exhausted",
        "chargebee.duplicate_entry",
        "chargebee.payment_method_not_present",
        "chargebee.payment_gateway_currency_incompatible",
        "chargebee.payment_intent_invalid",
    }
)
"""Refusals that speak of the state that a record happens to be in, and not of the request; every other one fails the exercise."""

_TOO_SHORT = frozenset({"chargebee.unreadable_answer", "chargebee.endless_list"})
"""Answers of a site that understood the call and says less than Chargebee would, as a stand-in for it may."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """Records that calls are made on: the site's own where it has them, made-up ids where it has none."""

    customer_id: str = "exercise-customer"
    subscription_id: str = "exercise-subscription"
    currency: str = "EUR"
    item_price_id: str = "exercise-EUR-Monthly"
    quantity: int = 1
    spare_subscription_id: str = "exercise-subscription-2"
    metered_subscription_id: str = "exercise-subscription"
    metered_price_id: str = "exercise-usage-EUR"
    open_invoice_id: str = "exercise-invoice"
    paid_invoice_id: str = "exercise-invoice-2"
    transaction_id: str = "exercise-transaction"
    payment_source_id: str = "exercise-source"
    event_id: str = "exercise-event"
    coupon_id: str = "exercise-coupon"
    credit_note_id: str = "exercise-credit-note"


class Command(BaseCommand):
    """`manage.py exercise_gateway [--reads-only] [--only NAME]`."""

    help = "Makes each Chargebee call once and prints one line each; exits non-zero when one is refused."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--reads-only", action="store_true", help="change nothing")
        parser.add_argument("--only", default="", help="only calls whose name contains this")

    def handle(self, *args: Any, reads_only: bool = False, only: str = "", **options: Any) -> None:
        run = effect_key("exercise", new_id())[:24]
        with budget.lane(budget.Lane.PEOPLE), single_attempts():
            for finding in setup_check.check_site():
                self.stdout.write(f"{finding.level.value:>8}  setup.{finding.code}: {finding.sentence}")
            sample = _find_sample()
            calls = itertools.chain(_read_calls(sample), () if reads_only else _write_calls(sample, run))
            outcomes = [self._make(name, call, sample) for name, call in calls if only in name]
        refused = outcomes.count(False)
        self.stdout.write(f"{len(outcomes)} calls made, {refused} refused.")
        if refused:
            raise CommandError(f"{refused} of {len(outcomes)} calls were refused.")

    def _make(self, name: str, call: Callable[[], Any], sample: _Sample) -> bool:
        try:
            result = call()
        except OutsideError as error:
            is_fine = _is_answer(error, sample)
            self.stdout.write(f"{'answered' if is_fine else 'REFUSED':>8}  {name}: {error.code} {error.sentence}")
            return is_fine
        self.stdout.write(f"{'ok':>8}  {name}: {_short(result)}")
        return True


def _is_answer(error: OutsideError, sample: _Sample) -> bool:
    """True when the site understood the call and says something about the record, or answers in a way that is only too short for us."""
    if error.code == "chargebee.resource_not_found":
        return "exercise-" in repr(sample)
    is_decline = isinstance(error, Terminal) and error.declined
    return is_decline or error.code in _TOO_SHORT or error.code in _ABOUT_THE_RECORD


def _short(result: Any) -> str:
    resource = getattr(result, "resource", getattr(result, "invoice", result))
    if isinstance(resource, list):
        return "1 row" if len(resource) == 1 else f"{len(resource)} rows"
    name = getattr(resource, "id", "") or (resource.get("id", "") if isinstance(resource, dict) else "")
    return str(name) or type(resource).__name__


def _find_sample() -> _Sample:
    """What the site has, looked for in a few pages; what it has not keeps its made-up id."""
    open_statuses = ["payment_due", "not_paid"]
    open_ones = _rows_of(lambda: reads.list_invoices(status_in=open_statuses, newest_first=True), 300)
    due = next((invoice for invoice in open_ones if invoice.is_collectable), next(iter(open_ones), None))
    paid = _first(lambda: reads.list_invoices(status_in=["paid"], newest_first=True))
    active = [s for s in _rows_of(lambda: reads.list_subscriptions(status_in=["active"]), 200) if s.items]
    metered = next(((s, item) for s in active for item in s.items if item.metered_quantity), None)
    flat = [s for s in active if not any(item.metered_quantity for item in s.items)] or active
    source = _first(lambda: itertools.chain.from_iterable(reads.list_payment_sources(customer_id=s.customer_id) for s in active[:20]))
    payment = _first(lambda: reads.list_transactions(type_in=["payment"]))
    event = _first(lambda: reads.list_events(occurred_after=clock.now() - timedelta(days=90)))
    credit_note = _first(reads.list_credit_notes)
    coupon = _first(reads.list_coupons)
    found: dict[str, Any] = {
        "customer_id": due.customer_id if due else None,
        "currency": due.currency if due else None,
        "open_invoice_id": due.id if due else None,
        "paid_invoice_id": paid.id if paid else None,
        "subscription_id": flat[0].id if flat else None,
        "item_price_id": flat[0].items[0].item_price_id if flat else None,
        "quantity": flat[0].items[0].quantity if flat else None,
        "spare_subscription_id": flat[1].id if len(flat) > 1 else None,
        "metered_subscription_id": metered[0].id if metered else None,
        "metered_price_id": metered[1].item_price_id if metered else None,
        "transaction_id": payment.id if payment else None,
        "payment_source_id": source.id if source else None,
        "event_id": event.id if event else None,
        "credit_note_id": credit_note.id if credit_note else None,
        "coupon_id": coupon.get("id") if coupon else None,
    }
    return _Sample(**{name: value for name, value in found.items() if value})


def _rows_of(rows: Callable[[], Iterator[Any]], at_most: int) -> list[Any]:
    """The first rows of a list, as far as the site gives it: where it does not, that call's own line will say why."""
    found: list[Any] = []
    try:
        for row in itertools.islice(rows(), at_most):
            found.append(row)
    except OutsideError:
        pass
    return found


def _first(rows: Callable[[], Iterator[Any]]) -> Any:
    return next(iter(_rows_of(rows, 1)), None)


_Call = tuple[str, Callable[[], Any]]


def _first_rows(rows: Iterator[Any]) -> list[Any]:
    """Of a list its first page: one call."""
    return list(itertools.islice(rows, 1))


def _read_calls(s: _Sample) -> Iterator[_Call]:
    now = clock.now()
    month = now - timedelta(days=31)
    items = [{"item_price_id": s.item_price_id, "quantity": 2}]
    yield "retrieve_customer", lambda: reads.retrieve_customer(s.customer_id)
    yield "retrieve_subscription", lambda: reads.retrieve_subscription(s.subscription_id)
    yield "retrieve_invoice", lambda: reads.retrieve_invoice(s.open_invoice_id)
    yield "retrieve_transaction", lambda: reads.retrieve_transaction(s.transaction_id)
    yield "retrieve_payment_source", lambda: reads.retrieve_payment_source(s.payment_source_id)
    yield "retrieve_item_price", lambda: reads.retrieve_item_price(s.item_price_id)
    yield "retrieve_event", lambda: reads.retrieve_event(s.event_id)
    yield "retrieve_credit_note", lambda: reads.retrieve_credit_note(s.credit_note_id)
    yield "retrieve_coupon", lambda: reads.retrieve_coupon(s.coupon_id)
    yield "list_customers", lambda: _first_rows(reads.list_customers(updated_after=month))
    yield "find_customers", lambda: _first_rows(reads.find_customers(last_name="S"))
    yield (
        "list_subscriptions",
        lambda: _first_rows(reads.list_subscriptions(customer_id=s.customer_id, status_in=["active", "non_renewing"])),
    )
    yield (
        "list_invoices",
        lambda: _first_rows(reads.list_invoices(customer_id=s.customer_id, status_in=["payment_due", "not_paid"], updated_after=month)),
    )
    yield (
        "list_invoices newest_first",
        lambda: _first_rows(reads.list_invoices(dunning_status_in=["in_progress"], dated_after=month, newest_first=True)),
    )
    yield (
        "list_transactions",
        lambda: _first_rows(reads.list_transactions(customer_id=s.customer_id, status_in=["failure", "success"], type_in=["payment"])),
    )
    yield "payments_for_invoice", lambda: _first_rows(reads.payments_for_invoice(s.open_invoice_id))
    yield "list_payment_sources", lambda: _first_rows(reads.list_payment_sources(customer_id=s.customer_id))
    yield "list_comments", lambda: _first_rows(reads.list_comments(entity_type="invoice", entity_id=s.open_invoice_id))
    yield "list_credit_notes", lambda: _first_rows(reads.list_credit_notes(customer_id=s.customer_id))
    yield "list_promotional_credits", lambda: _first_rows(reads.list_promotional_credits(customer_id=s.customer_id))
    yield (
        "list_usages",
        lambda: _first_rows(reads.list_usages(subscription_id=s.subscription_id, used_after=month, used_before=now)),
    )
    yield "list_items", lambda: _first_rows(reads.list_items(type_in=["plan", "addon"]))
    yield "list_item_prices", lambda: _first_rows(reads.list_item_prices(item_type_in=["plan"], currency=s.currency))
    yield "list_features", lambda: _first_rows(reads.list_features())
    yield "list_coupons", lambda: _first_rows(reads.list_coupons())
    yield "subscription_entitlements", lambda: _first_rows(reads.subscription_entitlements(s.subscription_id))
    yield "contract_terms", lambda: _first_rows(reads.contract_terms(s.subscription_id))
    yield "list_ramps", lambda: _first_rows(reads.list_ramps(subscription_ids=[s.subscription_id]))
    yield "list_events", lambda: _first_rows(reads.list_events(occurred_after=month, occurred_before=now, event_types=["payment_failed"]))
    yield "events_to_reconcile", lambda: _first_rows(reads.events_to_reconcile(month))
    yield "estimate_update", lambda: reads.estimate_update(s.subscription_id, items, prorate=True)
    yield "estimate_renewal", lambda: reads.estimate_renewal(s.subscription_id)
    yield "estimate_cancel", lambda: reads.estimate_cancel(s.subscription_id, cancel_option="end_of_term")
    yield (
        "estimate_pause",
        lambda: reads.estimate_pause(s.subscription_id, pause_option="immediately", resume_date=now + timedelta(days=30)),
    )
    yield "invoice_pdf_url", lambda: reads.invoice_pdf_url(s.paid_invoice_id)
    yield "site_configuration", lambda: list(reads.site_configuration())
    yield "list_webhook_endpoints", lambda: _first_rows(reads.list_webhook_endpoints())


def _write_calls(s: _Sample, run: str) -> Iterator[_Call]:
    def key(name: str) -> str:
        return f"{run}-{name}"

    now = clock.now()
    invoice, paid = s.open_invoice_id, s.paid_invoice_id
    page = writes.create_collect_now_page
    yield (
        "create_comment",
        lambda: writes.create_comment("invoice", invoice, "Looked at by the gateway's exercise.", idempotency_key=key("comment")),
    )
    yield "create_collect_now_page", lambda: page(s.customer_id, idempotency_key=key("collect-now"), currency=s.currency)
    yield (
        "retrieve_hosted_page",
        lambda: reads.retrieve_hosted_page(page(s.customer_id, idempotency_key=key("collect-now-2")).resource.id),
    )
    yield (
        "create_manage_payment_sources_page",
        lambda: writes.create_manage_payment_sources_page(s.customer_id, idempotency_key=key("manage")),
    )
    yield (
        "create_update_payment_method_page",
        lambda: writes.create_update_payment_method_page(s.customer_id, idempotency_key=key("update")),
    )
    yield "update_customer", lambda: writes.update_customer(s.customer_id, idempotency_key=key("customer"), meta_data={"exercise": run})
    yield (
        "pause_dunning",
        lambda: writes.pause_dunning(
            invoice, expected_payment_date=now + timedelta(days=3), idempotency_key=key("pause-dunning"), comment="Exercise"
        ),
    )
    yield "resume_dunning", lambda: writes.resume_dunning(invoice, idempotency_key=key("resume-dunning"), comment="Exercise")
    yield "stop_dunning", lambda: writes.stop_dunning(invoice, idempotency_key=key("stop-dunning"), comment="Exercise")
    yield "collect_payment", lambda: writes.collect_payment(invoice, idempotency_key=key("collect"), comment="Exercise of the gateway")
    yield (
        "create_credit_note",
        lambda: writes.create_credit_note(
            paid, idempotency_key=key("credit-note"), type="refundable", reason_code="waiver", total_minor=100, comment="Exercise"
        ),
    )
    yield (
        "refund_invoice",
        lambda: writes.refund_invoice(paid, idempotency_key=key("refund"), amount_minor=100, reason_code="waiver", comment="Exercise"),
    )
    yield (
        "add_promotional_credit",
        lambda: writes.add_promotional_credit(
            s.customer_id, idempotency_key=key("credit"), amount_minor=100, currency=s.currency, description="Exercise"
        ),
    )
    yield "close_invoice", lambda: writes.close_invoice(invoice, idempotency_key=key("close"), comment="Exercise")
    yield (
        "create_usage",
        lambda: writes.create_usage(
            s.metered_subscription_id,
            idempotency_key=key("usage"),
            item_price_id=s.metered_price_id,
            quantity="1",
            used_at=now - timedelta(minutes=5),
        ),
    )
    yield (
        "update_for_items",
        lambda: writes.update_for_items(
            s.subscription_id,
            [{"item_price_id": s.item_price_id, "quantity": s.quantity}],
            idempotency_key=key("update-items"),
            change_option="end_of_term",
        ),
    )
    yield (
        "pause_subscription",
        lambda: writes.pause_subscription(
            s.spare_subscription_id, idempotency_key=key("pause"), resume_date=now + timedelta(days=30), invoice_dunning_handling="stop"
        ),
    )
    yield "resume_subscription", lambda: writes.resume_subscription(s.spare_subscription_id, idempotency_key=key("resume"))
    yield (
        "cancel_for_items",
        lambda: writes.cancel_for_items(s.spare_subscription_id, idempotency_key=key("cancel"), cancel_option="end_of_term"),
    )
    yield (
        "remove_scheduled_cancellation",
        lambda: writes.remove_scheduled_cancellation(s.spare_subscription_id, idempotency_key=key("uncancel")),
    )
    yield from _endpoint_calls(key)


def _endpoint_calls(key: Callable[[str], str]) -> Iterator[_Call]:
    """Create an endpoint, switch it off, and take it away again."""
    made = ["exercise-endpoint"]

    def create() -> Any:
        url = "https://example.com/webhooks/exercise"
        written = writes.create_webhook_endpoint(
            "exercise", url, idempotency_key=key("endpoint"), user="exercise", password=key("password"), enabled_events=["payment_failed"]
        )
        made.append(str(written.resource.get("id") or made[0]))
        return written

    events = ["payment_failed", "payment_succeeded"]
    yield "create_webhook_endpoint", create
    yield (
        "update_webhook_endpoint",
        lambda: writes.update_webhook_endpoint(made[-1], idempotency_key=key("endpoint-off"), enabled_events=events, is_disabled=True),
    )
    yield "delete_webhook_endpoint", lambda: writes.delete_webhook_endpoint(made[-1], idempotency_key=key("endpoint-gone"))


def calls_not_exercised() -> set[str]:
    """Public calls of `reads` and `writes` that no line above makes; the contract test keeps it empty."""
    source = inspect.getsource(_read_calls) + inspect.getsource(_write_calls) + inspect.getsource(_endpoint_calls)
    names = {name for module in (reads, writes) for name in module.__all__ if inspect.isfunction(getattr(module, name))}
    return {name for name in names if f"{name}(" not in source and f".{name}\n" not in source}
