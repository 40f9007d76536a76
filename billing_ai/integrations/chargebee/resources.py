"""Chargebee's resources, narrowed to what is used here, with instants as instants and amounts in minor units beside their currency.

They live in memory only. Each `from_raw` reads what is there and takes nothing for granted but the id; a resource without one is unreadable.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing_ai.integrations.chargebee.shapes import Raw, custom_fields, minor, moment, number, part, rows, text, truth
from billing_ai.kernel.money import Money


def resource_id(raw: Raw, kind: str) -> str:
    value = text(raw, "id")
    if not value:
        raise ValueError(f"a {kind} without an id")
    return value


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer. Names and addresses are personal data: for rendering, never for storing."""

    id: str
    first_name: str
    last_name: str
    company: str
    email: str
    phone: str
    locale: str
    country: str
    """ISO 3166 alpha-2 of the billing address, or empty."""
    state: str
    city: str
    zip_code: str
    preferred_currency: str
    is_auto_collected: bool
    net_term_days: int
    primary_payment_source_id: str
    backup_payment_source_id: str
    promotional_credits_minor: int
    refundable_credits_minor: int
    excess_payments_minor: int
    unbilled_charges_minor: int
    fraud_flag: str
    is_consolidated: bool
    parent_id: str
    business_entity_id: str
    created_at: datetime | None
    updated_at: datetime | None
    version: int | None
    is_deleted: bool
    meta_data: Raw
    custom_fields: Raw

    @classmethod
    def from_raw(cls, raw: Raw) -> Customer:
        """Raises ValueError without an id."""
        address = part(raw, "billing_address")
        return cls(
            id=resource_id(raw, "customer"),
            first_name=text(raw, "first_name"),
            last_name=text(raw, "last_name"),
            company=text(raw, "company"),
            email=text(raw, "email"),
            phone=text(raw, "phone"),
            locale=text(raw, "locale"),
            country=text(address, "country"),
            state=text(address, "state_code") or text(address, "state"),
            city=text(address, "city"),
            zip_code=text(address, "zip"),
            preferred_currency=text(raw, "preferred_currency_code"),
            is_auto_collected=text(raw, "auto_collection") != "off",
            net_term_days=number(raw, "net_term_days") or 0,
            primary_payment_source_id=text(raw, "primary_payment_source_id"),
            backup_payment_source_id=text(raw, "backup_payment_source_id"),
            promotional_credits_minor=minor(raw, "promotional_credits"),
            refundable_credits_minor=minor(raw, "refundable_credits"),
            excess_payments_minor=minor(raw, "excess_payments"),
            unbilled_charges_minor=minor(raw, "unbilled_charges"),
            fraud_flag=text(raw, "fraud_flag"),
            is_consolidated=truth(raw, "consolidated_invoicing"),
            parent_id=text(part(raw, "relationship"), "parent_id"),
            business_entity_id=text(raw, "business_entity_id"),
            created_at=moment(raw, "created_at"),
            updated_at=moment(raw, "updated_at"),
            version=number(raw, "resource_version"),
            is_deleted=truth(raw, "deleted"),
            meta_data=part(raw, "meta_data"),
            custom_fields=custom_fields(raw),
        )


@dataclass(frozen=True, slots=True)
class SubscriptionItem:
    """One item price of a subscription. `amount_minor` is for the whole quantity and one period."""

    item_price_id: str
    item_type: str
    quantity: int
    quantity_in_decimal: str
    unit_price_minor: int
    amount_minor: int
    metered_quantity: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription of Product Catalog 2.0."""

    id: str
    customer_id: str
    status: str
    currency: str
    items: tuple[SubscriptionItem, ...]
    billing_period: int
    billing_period_unit: str
    mrr_minor: int
    arr_minor: int
    total_dues_minor: int
    due_invoices_count: int
    due_since: datetime | None
    current_term_start: datetime | None
    current_term_end: datetime | None
    next_billing_at: datetime | None
    trial_end: datetime | None
    created_at: datetime | None
    started_at: datetime | None
    activated_at: datetime | None
    cancelled_at: datetime | None
    cancel_reason: str
    cancel_reason_code: str
    pause_date: datetime | None
    resume_date: datetime | None
    remaining_billing_cycles: int | None
    has_scheduled_changes: bool
    is_auto_collected: bool | None
    """None when the customer's own setting holds."""
    payment_source_id: str
    coupon_ids: tuple[str, ...]
    discount_ends_at: datetime | None
    """When the first coupon with an end stops applying."""
    contract_term: Raw
    business_entity_id: str
    updated_at: datetime | None
    version: int | None
    is_deleted: bool
    meta_data: Raw
    custom_fields: Raw

    @classmethod
    def from_raw(cls, raw: Raw) -> Subscription:
        """Raises ValueError without an id."""
        collection = text(raw, "auto_collection")
        return cls(
            id=resource_id(raw, "subscription"),
            customer_id=text(raw, "customer_id"),
            status=text(raw, "status"),
            currency=text(raw, "currency_code"),
            items=tuple(
                SubscriptionItem(
                    item_price_id=text(row, "item_price_id"),
                    item_type=text(row, "item_type"),
                    quantity=number(row, "quantity") or 0,
                    quantity_in_decimal=text(row, "quantity_in_decimal"),
                    unit_price_minor=minor(row, "unit_price"),
                    amount_minor=minor(row, "amount"),
                    metered_quantity=text(row, "metered_quantity"),
                )
                for row in rows(raw, "subscription_items")
            ),
            billing_period=number(raw, "billing_period") or 0,
            billing_period_unit=text(raw, "billing_period_unit"),
            mrr_minor=minor(raw, "mrr"),
            arr_minor=minor(raw, "arr"),
            total_dues_minor=minor(raw, "total_dues"),
            due_invoices_count=number(raw, "due_invoices_count") or 0,
            due_since=moment(raw, "due_since"),
            current_term_start=moment(raw, "current_term_start"),
            current_term_end=moment(raw, "current_term_end"),
            next_billing_at=moment(raw, "next_billing_at"),
            trial_end=moment(raw, "trial_end"),
            created_at=moment(raw, "created_at"),
            started_at=moment(raw, "started_at"),
            activated_at=moment(raw, "activated_at"),
            cancelled_at=moment(raw, "cancelled_at"),
            cancel_reason=text(raw, "cancel_reason"),
            cancel_reason_code=text(raw, "cancel_reason_code"),
            pause_date=moment(raw, "pause_date"),
            resume_date=moment(raw, "resume_date"),
            remaining_billing_cycles=number(raw, "remaining_billing_cycles"),
            has_scheduled_changes=truth(raw, "has_scheduled_changes"),
            is_auto_collected=None if not collection else collection == "on",
            payment_source_id=text(raw, "payment_source_id"),
            coupon_ids=tuple(text(row, "coupon_id") for row in rows(raw, "coupons") if text(row, "coupon_id")),
            discount_ends_at=min((at for row in rows(raw, "coupons") if (at := moment(row, "apply_till"))), default=None),
            contract_term=part(raw, "contract_term"),
            business_entity_id=text(raw, "business_entity_id"),
            updated_at=moment(raw, "updated_at"),
            version=number(raw, "resource_version"),
            is_deleted=truth(raw, "deleted"),
            meta_data=part(raw, "meta_data"),
            custom_fields=custom_fields(raw),
        )


@dataclass(frozen=True, slots=True)
class LineItem:
    """One line of an invoice or credit note. `description` may hold the site's own words."""

    id: str
    description: str
    entity_type: str
    entity_id: str
    subscription_id: str
    customer_id: str
    quantity: int
    unit_amount_minor: int
    amount_minor: int
    tax_minor: int
    discount_minor: int
    date_from: datetime | None
    date_to: datetime | None


def line_items_of(raw: Raw) -> tuple[LineItem, ...]:
    return tuple(
        LineItem(
            id=text(row, "id"),
            description=text(row, "description"),
            entity_type=text(row, "entity_type"),
            entity_id=text(row, "entity_id"),
            subscription_id=text(row, "subscription_id"),
            customer_id=text(row, "customer_id"),
            quantity=number(row, "quantity") or 0,
            unit_amount_minor=minor(row, "unit_amount"),
            amount_minor=minor(row, "amount"),
            tax_minor=minor(row, "tax_amount"),
            discount_minor=minor(row, "discount_amount") + minor(row, "item_level_discount_amount"),
            date_from=moment(row, "date_from"),
            date_to=moment(row, "date_to"),
        )
        for row in rows(raw, "line_items")
    )


@dataclass(frozen=True, slots=True)
class LinkedPayment:
    """A transaction that was tried for an invoice."""

    transaction_id: str
    status: str
    amount_minor: int
    applied_minor: int
    at: datetime | None
    applied_at: datetime | None


@dataclass(frozen=True, slots=True)
class DunningAttempt:
    """One attempt of Chargebee's own dunning."""

    attempt: int
    transaction_id: str
    dunning_type: str
    status: str
    amount_minor: int
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice. `subscription_ids` also covers consolidated ones, which name their subscriptions only on the lines."""

    id: str
    customer_id: str
    subscription_ids: tuple[str, ...]
    status: str
    dunning_status: str
    currency: str
    total_minor: int
    sub_total_minor: int
    tax_minor: int
    amount_due_minor: int
    amount_paid_minor: int
    amount_adjusted_minor: int
    amount_to_collect_minor: int
    credits_applied_minor: int
    write_off_minor: int
    issued_at: datetime | None
    due_at: datetime | None
    paid_at: datetime | None
    voided_at: datetime | None
    next_retry_at: datetime | None
    expected_payment_at: datetime | None
    net_term_days: int
    is_recurring: bool
    is_first: bool
    price_type: str
    line_items: tuple[LineItem, ...]
    has_more_lines: bool
    linked_payments: tuple[LinkedPayment, ...]
    dunning_attempts: tuple[DunningAttempt, ...]
    credit_note_ids: tuple[str, ...]
    """Adjustment and refundable credit notes made from it."""
    discounts: tuple[Raw, ...]
    taxes: tuple[Raw, ...]
    business_entity_id: str
    updated_at: datetime | None
    version: int | None
    is_deleted: bool

    @property
    def amount_due(self) -> Money:
        """What is still owed. Raises UnknownCurrency."""
        return Money(self.amount_due_minor, self.currency)

    @property
    def is_collectable(self) -> bool:
        """True when `collect_payment` may be called: open, and with something to collect."""
        return self.status in ("payment_due", "posted", "not_paid") and self.amount_to_collect_minor > 0

    @classmethod
    def from_raw(cls, raw: Raw) -> Invoice:
        """Raises ValueError without an id."""
        lines = line_items_of(raw)
        named = [text(raw, "subscription_id"), *(line.subscription_id for line in lines)]
        due = minor(raw, "amount_due")
        to_collect = number(raw, "amount_to_collect")
        credit_notes = (*rows(raw, "adjustment_credit_notes"), *rows(raw, "issued_credit_notes"))
        return cls(
            id=resource_id(raw, "invoice"),
            customer_id=text(raw, "customer_id"),
            subscription_ids=tuple(dict.fromkeys(name for name in named if name)),
            status=text(raw, "status"),
            dunning_status=text(raw, "dunning_status"),
            currency=text(raw, "currency_code"),
            total_minor=minor(raw, "total"),
            sub_total_minor=minor(raw, "sub_total"),
            tax_minor=minor(raw, "tax"),
            amount_due_minor=due,
            amount_paid_minor=minor(raw, "amount_paid"),
            amount_adjusted_minor=minor(raw, "amount_adjusted"),
            amount_to_collect_minor=due if to_collect is None else to_collect,
            credits_applied_minor=minor(raw, "credits_applied"),
            write_off_minor=minor(raw, "write_off_amount"),
            issued_at=moment(raw, "date"),
            due_at=moment(raw, "due_date"),
            paid_at=moment(raw, "paid_at"),
            voided_at=moment(raw, "voided_at"),
            next_retry_at=moment(raw, "next_retry_at"),
            expected_payment_at=moment(raw, "expected_payment_date"),
            net_term_days=number(raw, "net_term_days") or 0,
            is_recurring=truth(raw, "recurring"),
            is_first=truth(raw, "first_invoice"),
            price_type=text(raw, "price_type"),
            line_items=lines,
            has_more_lines=bool(text(raw, "line_items_next_offset")),
            linked_payments=tuple(
                LinkedPayment(
                    transaction_id=text(row, "txn_id"),
                    status=text(row, "txn_status"),
                    amount_minor=minor(row, "txn_amount"),
                    applied_minor=minor(row, "applied_amount"),
                    at=moment(row, "txn_date"),
                    applied_at=moment(row, "applied_at"),
                )
                for row in rows(raw, "linked_payments")
            ),
            dunning_attempts=tuple(
                DunningAttempt(
                    attempt=number(row, "attempt") or 0,
                    transaction_id=text(row, "transaction_id"),
                    dunning_type=text(row, "dunning_type"),
                    status=text(row, "txn_status"),
                    amount_minor=minor(row, "txn_amount"),
                    at=moment(row, "created_at"),
                )
                for row in rows(raw, "dunning_attempts")
            ),
            credit_note_ids=tuple(text(row, "cn_id") for row in credit_notes if text(row, "cn_id")),
            discounts=rows(raw, "discounts"),
            taxes=rows(raw, "taxes"),
            business_entity_id=text(raw, "business_entity_id"),
            updated_at=moment(raw, "updated_at"),
            version=number(raw, "resource_version"),
            is_deleted=truth(raw, "deleted"),
        )
