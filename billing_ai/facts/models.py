"""What is kept of Chargebee's objects. `sync.py` is the only writer; a field that is not here is fetched when it is needed.

No names, addresses, e-mails, phone numbers or card digits: an instrument is known by a keyed hash.
"""

from __future__ import annotations

from django.db import models


class Fact(models.Model):
    """A Chargebee object as we last fetched it. Older news never overwrites newer (`resource_version`, ms)."""

    resource_version = models.BigIntegerField(default=0)
    fetched_at = models.DateTimeField()
    is_deleted = models.BooleanField(default=False)

    class Meta:
        abstract = True


class Customer(Fact):
    """Source: Chargebee customer. `has_*` say that a contact exists, never which."""

    chargebee_customer_id = models.CharField(max_length=100, primary_key=True)
    locale = models.CharField(max_length=35, blank=True, default="")
    country = models.CharField(max_length=2, blank=True, default="", help_text="ISO 3166 of the billing address")
    time_zone = models.CharField(max_length=64, blank=True, default="", help_text="IANA zone; empty: unknown")
    has_email = models.BooleanField(default=False)
    has_phone = models.BooleanField(default=False)
    phone_country = models.CharField(max_length=2, blank=True, default="")
    is_company = models.BooleanField(default=False)
    auto_collection = models.BooleanField(default=True)
    net_term_days = models.IntegerField(default=0)
    tier = models.CharField(max_length=40, blank=True, default="", help_text="custom field cf_tier")
    tags = models.JSONField(default=list)
    email_consent = models.CharField(max_length=20, blank=True, default="", help_text="custom field cf_email_consent: yes, no or empty")
    sms_consent = models.CharField(max_length=20, blank=True, default="", help_text="custom field cf_sms_consent: yes, no or empty")
    business_entity_id = models.CharField(max_length=100, blank=True, default="")
    customer_since = models.DateTimeField(null=True)
    primary_payment_source_id = models.CharField(max_length=100, blank=True, default="")

    def __str__(self) -> str:
        return self.chargebee_customer_id


class Subscription(Fact):
    """Source: Chargebee subscription (Product Catalog 2.0)."""

    chargebee_subscription_id = models.CharField(max_length=100, primary_key=True)
    chargebee_customer_id = models.CharField(max_length=100, db_index=True)
    status = models.CharField(max_length=30)
    item_price_ids = models.JSONField(default=list)
    currency = models.CharField(max_length=3)
    mrr_minor = models.BigIntegerField(default=0)
    seats = models.BigIntegerField(null=True, help_text="quantity of the plan item; empty: not known")
    has_discount = models.BooleanField(null=True, help_text="holds a coupon; empty: not known")
    discount_ends_at = models.DateTimeField(null=True, help_text="when the first coupon that has an end stops applying")
    started_at = models.DateTimeField(null=True)
    current_term_end_at = models.DateTimeField(null=True)
    cancel_scheduled_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    pause_at = models.DateTimeField(null=True)
    resume_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.chargebee_subscription_id


class Invoice(Fact):
    """Source: Chargebee invoice. `*_minor` in the currency's minor units."""

    chargebee_invoice_id = models.CharField(max_length=100, primary_key=True)
    chargebee_customer_id = models.CharField(max_length=100)
    subscription_ids = models.JSONField(default=list, help_text="from the invoice or, when consolidated, from its lines")
    status = models.CharField(max_length=30)
    currency = models.CharField(max_length=3)
    total_minor = models.BigIntegerField()
    amount_due_minor = models.BigIntegerField()
    amount_paid_minor = models.BigIntegerField(default=0)
    issued_on = models.DateField()
    due_on = models.DateField(null=True)
    paid_at = models.DateTimeField(null=True)
    dunning_status = models.CharField(max_length=30, blank=True, default="")
    dunning_attempts = models.IntegerField(default=0)
    next_native_retry_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["chargebee_customer_id", "status"], name="invoice_by_customer")]

    def __str__(self) -> str:
        return self.chargebee_invoice_id


class Transaction(Fact):
    """Source: Chargebee transaction. `decline_category` comes from the table of decline codes; free text is not kept."""

    chargebee_transaction_id = models.CharField(max_length=100, primary_key=True)
    chargebee_customer_id = models.CharField(max_length=100)
    invoice_ids = models.JSONField(default=list)
    kind = models.CharField(max_length=30, help_text="payment, refund, authorization …")
    status = models.CharField(max_length=30)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    happened_at = models.DateTimeField()
    gateway = models.CharField(max_length=60, blank=True, default="")
    gateway_account_id = models.CharField(max_length=100, blank=True, default="")
    payment_method = models.CharField(max_length=40, blank=True, default="")
    initiator = models.CharField(max_length=20, blank=True, default="", help_text="customer or merchant")
    decline_code = models.CharField(max_length=100, blank=True, default="", help_text="in the gateway's own numbering")
    network_code = models.CharField(
        max_length=10, blank=True, default="", help_text="the card network's response code; empty: not passed on"
    )
    advice_code = models.CharField(
        max_length=10, blank=True, default="", help_text="Mastercard's merchant advice code; empty: not passed on"
    )
    decline_category = models.CharField(max_length=40, blank=True, default="")
    payment_source_id = models.CharField(max_length=100, blank=True, default="")
    instrument_hash = models.CharField(max_length=64, blank=True, default="", help_text="keyed hash of the payment instrument")
    network = models.CharField(max_length=20, blank=True, default="", help_text="visa, mastercard, amex, ach, sepa …; empty: unknown")

    class Meta:
        indexes = [
            models.Index(fields=["chargebee_customer_id", "-happened_at"], name="transaction_by_customer"),
            models.Index(fields=["instrument_hash", "-happened_at"], name="transaction_by_instrument"),
        ]

    def __str__(self) -> str:
        return self.chargebee_transaction_id


class PaymentSource(Fact):
    """Source: Chargebee payment source."""

    chargebee_payment_source_id = models.CharField(max_length=100, primary_key=True)
    chargebee_customer_id = models.CharField(max_length=100, db_index=True)
    kind = models.CharField(max_length=40)
    status = models.CharField(max_length=30)
    network = models.CharField(max_length=20, blank=True, default="")
    funding = models.CharField(max_length=20, blank=True, default="", help_text="credit, debit, prepaid …")
    expires_on = models.DateField(null=True, help_text="the last day of the month on the card")
    issuing_country = models.CharField(max_length=2, blank=True, default="")
    instrument_hash = models.CharField(max_length=64, blank=True, default="")

    def __str__(self) -> str:
        return self.chargebee_payment_source_id
