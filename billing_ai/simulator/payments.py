"""A payment as a document, and its line on the invoice."""

from __future__ import annotations

from billing_ai.simulator.declines import Decline
from billing_ai.simulator.store import Thing


def payment(
    ident: str, invoice: Thing, source: Thing | None, amount: int, decline: Decline | None, at: int, initiator: str = "merchant"
) -> Thing:
    """A transaction of type payment: `success`, or `failure` with the gateway's code."""
    card = (source or {}).get("card") or {}
    bank = (source or {}).get("bank_account") or {}
    transaction: Thing = {
        "id": ident,
        "customer_id": invoice["customer_id"],
        "subscription_id": invoice.get("subscription_id"),
        "gateway_account_id": (source or {}).get("gateway_account_id"),
        "payment_source_id": (source or {}).get("id"),
        "payment_method": "direct_debit" if bank else "card",
        "gateway": (source or {}).get("gateway", "not_applicable"),
        "type": "payment",
        "date": at,
        "exchange_rate": 1.0,
        "amount": amount,
        "id_at_gateway": f"ch_{ident[4:]}",
        "status": "failure" if decline else "success",
        "initiator_type": initiator,
        "three_d_secure": False,
        "fraud_flag": "safe",
        "currency_code": invoice["currency_code"],
        "base_currency_code": "EUR",
        "amount_unused": 0,
        "masked_card_number": card.get("masked_number"),
        "iin": card.get("iin"),
        "last4": card.get("last4") or bank.get("last4"),
        "deleted": False,
        "updated_at": at,
        "resource_version": at * 1000 + 2,
        "object": "transaction",
        "linked_invoices": [
            {
                "invoice_id": invoice["id"],
                "applied_amount": 0 if decline else amount,
                "applied_at": at,
                "invoice_date": invoice["date"],
                "invoice_total": invoice["total"],
                "invoice_status": invoice["status"],
                "object": "linked_invoice",
            }
        ],
        "linked_credit_notes": [],
        "linked_refunds": [],
        "linked_payments": [],
    }
    if decline is None:
        transaction["settled_at"] = at
        return transaction
    transaction["error_code"] = decline.code
    transaction["error_text"] = decline.text
    transaction["error_detail"] = {
        "error_category": decline.category,
        "error_code": decline.code,
        "error_message": decline.text,
        "decline_code": decline.code,
        "decline_message": decline.text,
        **_network_answer(decline.category, card.get("brand", "")),
        "object": "gateway_error_detail",
    }
    return transaction


_NETWORK_CODES = {
    "insufficient_funds": "51", "expired_card": "54", "lost_stolen": "41", "fraud": "59", "auth_required": "1A", "processor_error": "91",
    "do_not_honor": "05", "limit_exceeded": "61", "closed_account": "46", "invalid_card": "14", "restricted_card": "62", "revocation": "R1",
}  # fmt: skip
_ADVICE = {"expired_card": "01", "invalid_card": "01", "closed_account": "01", "lost_stolen": "03", "fraud": "03", "revocation": "21"}


def _network_answer(category: str, brand: str) -> Thing:
    """What the card's network said, as Chargebee passes it on: ISO 8583 response code, and Mastercard's merchant advice."""
    if not brand or category not in _NETWORK_CODES:
        return {}
    answer: Thing = {"network_error_code": _NETWORK_CODES[category]}
    if brand == "mastercard" and category in _ADVICE:
        answer["processor_advice_code"] = _ADVICE[category]
    return answer


def linked(transaction: Thing) -> Thing:
    """The payment's line in `invoice.linked_payments`."""
    return {
        "txn_id": transaction["id"],
        "applied_amount": transaction["amount"] if transaction["status"] == "success" else 0,
        "applied_at": transaction["date"],
        "txn_status": transaction["status"],
        "txn_date": transaction["date"],
        "txn_amount": transaction["amount"],
        "object": "linked_payment",
    }
