"""What people and banks do on this site: payments fail, customers pay, cards change."""

from __future__ import annotations

from billing_ai.simulator import billing, terms
from billing_ai.simulator.calendar_steps import day_of
from billing_ai.simulator.cards import add_card, set_primary
from billing_ai.simulator.declines import decline_named, judge
from billing_ai.simulator.errors import ApiError
from billing_ai.simulator.events import emit
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

# Which hidden state a forced decline leaves the card in, so that later attempts agree with it.
_STATE_OF_CATEGORY = {
    "insufficient_funds": "insufficient_funds", "expired_card": "expired", "lost_stolen": "lost", "fraud": "fraud",
    "auth_required": "auth_required", "processor_error": "processor_error", "do_not_honor": "do_not_honor", "mandate": "mandate",
    "limit_exceeded": "limit", "closed_account": "closed",
}  # fmt: skip


def fail_payment(site: Site, *, customer_id: str | None = None, invoice_id: str | None = None, code: str | None = None) -> dict[str, str]:
    """Make a payment fail now: on the invoice named, or on a fresh one for the customer (any customer whose card works, if none
    is named). Returns invoice, customer and transaction ids. Raises ApiError when there is nothing to fail."""
    site.source = "scheduled_job"
    if invoice_id:
        invoice = site.must("invoice", invoice_id)
        if invoice["status"] not in billing.OPEN_STATUSES:
            raise ApiError(409, "invalid_state_for_request", f"The invoice {invoice_id} is {invoice['status']}")
        _spoil(site, invoice["customer_id"], code)
        before = len(invoice["linked_payments"])
        billing.charge(site, invoice, forced_code=code or "insufficient_funds")
        return _named(invoice, before)
    customer = site.must("customer", customer_id) if customer_id else _someone_paying(site)
    subscription = site.store.first("subscription", "customer_id = ? AND status = 'active'", (customer["id"],))
    if subscription is None:
        raise ApiError(409, "invalid_state_for_request", f"The customer {customer['id']} has no active subscription")
    _spoil(site, customer["id"], code)
    customer = site.must("customer", customer["id"])
    lines = terms.term_lines(site, customer, subscription)
    invoice = _issue_uncollected(site, customer, lines, subscription)
    billing.charge(site, invoice, forced_code=code or "insufficient_funds")
    return _named(invoice, 0)


def _issue_uncollected(site: Site, customer: Thing, lines: list[Thing], subscription: Thing) -> Thing:
    manual = subscription | {"auto_collection": "off", "net_term_days": 0}
    return terms.issue(site, customer, lines, manual, subscription_id=subscription["id"])


def _named(invoice: Thing, index: int) -> dict[str, str]:
    return {
        "invoice_id": invoice["id"],
        "customer_id": invoice["customer_id"],
        "transaction_id": invoice["linked_payments"][index]["txn_id"],
    }


def _spoil(site: Site, customer_id: str, code: str | None) -> None:
    customer = site.must("customer", customer_id)
    source = site.store.get("payment_source", customer.get("primary_payment_source_id") or "")
    if source is None:
        return
    category = decline_named(source["gateway"], code or "insufficient_funds").category
    truth = site.store.get("truth", source["id"]) or {"id": source["id"], "customer_id": customer_id, "paydays": [1, 15]}
    # A card told to be lost stays lost, also at a gateway whose nearest code for that is of another category.
    state = code if code in _STATE_OF_CATEGORY.values() else _STATE_OF_CATEGORY.get(code or category, _STATE_OF_CATEGORY.get(category))
    truth |= {"state": state or "do_not_honor", "until": site.now() + 6 * 3_600}
    truth.pop("funded_until", None)
    if truth["state"] == "insufficient_funds" and judge(site, source, truth, "", 0, site.now()) is None:
        truth["paydays"] = [day for day in (1, 10, 15, 20, 25) if abs(day - day_of(site.now())) > 5]
    site.store.put("truth", truth)


def _someone_paying(site: Site) -> Thing:
    """A customer with an active subscription and nothing open, at random."""
    found = site.store.rows(
        "SELECT c.id FROM customer c JOIN subscription s ON s.customer_id = c.id AND s.status = 'active'"
        " WHERE json_extract(c.body,'$.primary_payment_source_id') IS NOT NULL AND json_extract(c.body,'$.deleted') IS NOT 1"
        " AND json_extract(s.body,'$.auto_collection') = 'on'"
        " AND NOT EXISTS (SELECT 1 FROM invoice i WHERE i.customer_id = c.id AND i.status IN ('payment_due','not_paid'))"
        " LIMIT 2000"
    )
    if not found:
        raise ApiError(409, "invalid_state_for_request", "Every customer has something unpaid already")
    return site.must("customer", site.random.choice(found)[0])


def pay(site: Site, invoice_id: str, *, source: str = "hosted_page") -> Thing:
    """The customer pays the invoice in full. Returns the transaction."""
    invoice = site.must("invoice", invoice_id)
    if invoice["status"] not in billing.OPEN_STATUSES or invoice["amount_to_collect"] <= 0:
        raise ApiError(409, "invalid_state_for_request", f"The invoice {invoice_id} is {invoice['status']}")
    site.source = source
    transaction, _ = billing.charge(site, invoice, forced_success=True)
    return transaction


def change_card(
    site: Site, customer_id: str, number: str = "4242424242424242", expiry: tuple[int | None, int | None] = (None, None)
) -> Thing:
    """The customer enters a new card, which becomes the one to charge. It does not collect what is open by itself."""
    site.source = "hosted_page"
    customer = site.must("customer", customer_id)
    source = add_card(site, customer, number=number, expiry=expiry)
    set_primary(site, site.must("customer", customer_id), source)
    return source


def open_invoices(site: Site, customer_id: str, currency: str | None = None) -> list[Thing]:
    """What the customer owes, oldest first."""
    found = site.store.find("invoice", "customer_id = ? AND status IN ('payment_due','not_paid','posted')", (customer_id,), order="at, seq")
    return [invoice for invoice in found if invoice["amount_to_collect"] > 0 and (currency is None or invoice["currency_code"] == currency)]


def overnight_events(site: Site) -> int:
    """Announce the failures that the world began with, oldest first; how many."""
    if site.store.setting("overnight_told", False):
        return 0
    site.source = "scheduled_job"
    failing = site.store.find("invoice", "status = 'payment_due' AND json_extract(body,'$._overnight') = 1", order="at")
    for invoice in failing:
        transaction = site.must("transaction", invoice["linked_payments"][-1]["txn_id"])
        emit(site, "invoice_generated", at=invoice["date"], invoice=invoice)
        emit(site, "payment_failed", at=transaction["date"], transaction=transaction, invoice=invoice)
    site.source = "api"
    site.store.set_setting("overnight_told", True)
    return len(failing)
