"""Transactions, payment sources, pages, comments and credits, narrowed like the rest of `resources`. No card number is ever taken over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing_ai.integrations.chargebee.resources import LineItem, line_items_of, resource_id
from billing_ai.integrations.chargebee.shapes import Raw, minor, moment, number, part, rows, text, truth
from billing_ai.kernel.money import Money


@dataclass(frozen=True, slots=True)
class Transaction:
    """One movement of money, tried or done. `error_code` is the gateway's own reason for a failure."""

    id: str
    customer_id: str
    subscription_id: str
    type: str
    """`payment`, `refund`, `authorization` or `payment_reversal`."""
    status: str
    amount_minor: int
    currency: str
    at: datetime | None
    payment_source_id: str
    payment_method: str
    gateway: str
    gateway_account_id: str
    initiator_type: str
    error_code: str
    error_text: str
    decline_code: str
    """The gateway's or the processor's code for the refusal, in that gateway's own numbering."""
    network_code: str
    """The card network's response code (`51`, `R0`), where the gateway passes it on. A gateway's own `12` may mean something else altogether."""
    advice_code: str
    """Mastercard's merchant advice code (`03`: never again), where the gateway passes it on."""
    error_category: str
    invoice_ids: tuple[str, ...]
    refunded_transaction_id: str
    business_entity_id: str
    updated_at: datetime | None
    version: int | None
    is_deleted: bool

    @property
    def amount(self) -> Money:
        """Raises UnknownCurrency."""
        return Money(self.amount_minor, self.currency)

    @classmethod
    def from_raw(cls, raw: Raw) -> Transaction:
        """Raises ValueError without an id."""
        detail = part(raw, "error_detail")
        return cls(
            id=resource_id(raw, "transaction"),
            customer_id=text(raw, "customer_id"),
            subscription_id=text(raw, "subscription_id"),
            type=text(raw, "type"),
            status=text(raw, "status"),
            amount_minor=minor(raw, "amount"),
            currency=text(raw, "currency_code"),
            at=moment(raw, "date"),
            payment_source_id=text(raw, "payment_source_id"),
            payment_method=text(raw, "payment_method"),
            gateway=text(raw, "gateway"),
            gateway_account_id=text(raw, "gateway_account_id"),
            initiator_type=text(raw, "initiator_type"),
            error_code=text(raw, "error_code") or text(detail, "error_code"),
            error_text=text(raw, "error_text") or text(detail, "error_message"),
            decline_code=text(detail, "decline_code") or text(detail, "processor_error_code"),
            network_code=text(detail, "network_error_code"),
            advice_code=text(detail, "processor_advice_code"),
            error_category=text(detail, "error_category"),
            invoice_ids=tuple(text(row, "invoice_id") for row in rows(raw, "linked_invoices") if text(row, "invoice_id")),
            refunded_transaction_id=text(raw, "refunded_txn_id"),
            business_entity_id=text(raw, "business_entity_id"),
            updated_at=moment(raw, "updated_at"),
            version=number(raw, "resource_version"),
            is_deleted=truth(raw, "deleted"),
        )


@dataclass(frozen=True, slots=True)
class PaymentSource:
    """A card, mandate or wallet on file. Expiry is of the card, 0 where there is none."""

    id: str
    customer_id: str
    type: str
    status: str
    gateway: str
    gateway_account_id: str
    card_brand: str
    card_funding: str
    card_last4: str
    """Shown to people only; not to be stored."""
    expiry_month: int
    expiry_year: int
    issuing_country: str
    created_at: datetime | None
    updated_at: datetime | None
    version: int | None
    is_deleted: bool

    @classmethod
    def from_raw(cls, raw: Raw) -> PaymentSource:
        """Raises ValueError without an id."""
        card = part(raw, "card")
        return cls(
            id=resource_id(raw, "payment source"),
            customer_id=text(raw, "customer_id"),
            type=text(raw, "type"),
            status=text(raw, "status"),
            gateway=text(raw, "gateway"),
            gateway_account_id=text(raw, "gateway_account_id"),
            card_brand=text(card, "brand"),
            card_funding=text(card, "funding_type"),
            card_last4=text(card, "last4"),
            expiry_month=number(card, "expiry_month") or 0,
            expiry_year=number(card, "expiry_year") or 0,
            issuing_country=text(raw, "issuing_country"),
            created_at=moment(raw, "created_at"),
            updated_at=moment(raw, "updated_at"),
            version=number(raw, "resource_version"),
            is_deleted=truth(raw, "deleted"),
        )


@dataclass(frozen=True, slots=True)
class HostedPage:
    """A page of Chargebee's where a customer pays or changes the card. The address is a secret of that customer, and it expires."""

    id: str
    type: str
    url: str
    state: str
    created_at: datetime | None
    expires_at: datetime | None

    @classmethod
    def from_raw(cls, raw: Raw) -> HostedPage:
        """Raises ValueError without an id or an address."""
        url = text(raw, "url")
        if not url:
            raise ValueError("a hosted page without an address")
        return cls(
            resource_id(raw, "hosted page"),
            text(raw, "type"),
            url,
            text(raw, "state"),
            moment(raw, "created_at"),
            moment(raw, "expires_at"),
        )


@dataclass(frozen=True, slots=True)
class Comment:
    """An internal note on a record."""

    id: str
    entity_type: str
    entity_id: str
    notes: str
    type: str
    added_by: str
    created_at: datetime | None

    @classmethod
    def from_raw(cls, raw: Raw) -> Comment:
        """Raises ValueError without an id."""
        return cls(
            id=resource_id(raw, "comment"),
            entity_type=text(raw, "entity_type"),
            entity_id=text(raw, "entity_id"),
            notes=text(raw, "notes"),
            type=text(raw, "type"),
            added_by=text(raw, "added_by"),
            created_at=moment(raw, "created_at"),
        )


@dataclass(frozen=True, slots=True)
class CreditNote:
    """A credit note: an adjustment of an open invoice, or money to give back on a paid one."""

    id: str
    customer_id: str
    subscription_id: str
    reference_invoice_id: str
    type: str
    reason_code: str
    status: str
    currency: str
    total_minor: int
    amount_allocated_minor: int
    amount_refunded_minor: int
    amount_available_minor: int
    issued_at: datetime | None
    voided_at: datetime | None
    line_items: tuple[LineItem, ...]
    business_entity_id: str
    updated_at: datetime | None
    version: int | None
    is_deleted: bool

    @classmethod
    def from_raw(cls, raw: Raw) -> CreditNote:
        """Raises ValueError without an id."""
        return cls(
            id=resource_id(raw, "credit note"),
            customer_id=text(raw, "customer_id"),
            subscription_id=text(raw, "subscription_id"),
            reference_invoice_id=text(raw, "reference_invoice_id"),
            type=text(raw, "type"),
            reason_code=text(raw, "reason_code") or text(raw, "create_reason_code"),
            status=text(raw, "status"),
            currency=text(raw, "currency_code"),
            total_minor=minor(raw, "total"),
            amount_allocated_minor=minor(raw, "amount_allocated"),
            amount_refunded_minor=minor(raw, "amount_refunded"),
            amount_available_minor=minor(raw, "amount_available"),
            issued_at=moment(raw, "date"),
            voided_at=moment(raw, "voided_at"),
            line_items=line_items_of(raw),
            business_entity_id=text(raw, "business_entity_id"),
            updated_at=moment(raw, "updated_at"),
            version=number(raw, "resource_version"),
            is_deleted=truth(raw, "deleted"),
        )


@dataclass(frozen=True, slots=True)
class PromotionalCredit:
    """Credit given to a customer, or taken back."""

    id: str
    customer_id: str
    type: str
    amount_minor: int
    currency: str
    description: str
    closing_balance_minor: int
    created_at: datetime | None

    @classmethod
    def from_raw(cls, raw: Raw) -> PromotionalCredit:
        """Raises ValueError without an id."""
        return cls(
            id=resource_id(raw, "promotional credit"),
            customer_id=text(raw, "customer_id"),
            type=text(raw, "type"),
            amount_minor=minor(raw, "amount"),
            currency=text(raw, "currency_code"),
            description=text(raw, "description"),
            closing_balance_minor=minor(raw, "closing_balance"),
            created_at=moment(raw, "created_at"),
        )
