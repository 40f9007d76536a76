"""The table of decline codes, as the facts and the retry rules read it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from billing_ai.facts import decline_codes
from billing_ai.facts.decline_codes import UNKNOWN, advice, classify


@pytest.mark.parametrize(
    ("gateway", "code", "method", "category", "retryable", "wait"),
    [
        ("stripe", "insufficient_funds", "card", "insufficient_funds", "yes", None),
        ("stripe", " Insufficient-Funds ", "", "insufficient_funds", "yes", None),
        ("Stripe", "lost_card", "", "lost_stolen", "no", None),
        ("stripe", "authentication_required", "", "auth_required", "after_auth", None),
        ("stripe", "expired_card", "", "expired_card", "after_update", None),
        ("braintree", "2001", "", "insufficient_funds", "yes", None),
        ("braintree", "2108", "", "closed_account", "after_update", None),
        ("braintree", "2109", "", "do_not_honor", "yes", None),
        ("braintree", "2999", "", "do_not_honor", "yes", None),
        ("adyen", "12", "", "insufficient_funds", "yes", None),
        ("adyen", "46", "", "network_limit", "no", None),
        ("gocardless", "mandate_cancelled", "direct_debit", "revocation", "after_update", None),
        ("checkout_com", "200R1", "", "revocation", "no", None),
        ("chargebee", "insufficient_funds", "", "insufficient_funds", "yes", None),
        ("chargebee", "51", "", "insufficient_funds", "yes", None),
        ("test", "5", "", "do_not_honor", "yes", None),
        ("adyen", "R01", "direct_debit", "insufficient_funds", "yes", None),
        ("stripe", "am04", "direct_debit", "insufficient_funds", "yes", None),
        ("adyen", "payment_method_not_present", "", "no_payment_method", "after_update", None),
        ("stripe", "no_payment_method", "", "no_payment_method", "after_update", None),
    ],
)
def test_a_code_that_is_in_the_table(gateway: str, code: str, method: str, category: str, retryable: str, wait: int | None) -> None:
    found = classify(gateway, code, method)

    assert (found.category, found.retryable, found.min_wait_hours) == (category, retryable, wait)


@pytest.mark.parametrize(
    ("gateway", "code", "method"),
    [
        ("stripe", "a_code_of_tomorrow", ""),
        ("stripe", "", ""),
        ("", "insufficient_funds", ""),
        ("a_gateway_of_tomorrow", "51", ""),
        ("braintree", "3001", ""),
        ("stripe", "R01", "card"),
        ("adyen", "012", ""),
    ],
)
def test_a_code_that_is_not_in_the_table_is_never_guessed(gateway: str, code: str, method: str) -> None:
    assert classify(gateway, code, method) == UNKNOWN


@pytest.mark.parametrize(
    ("mac", "hours", "retryable"),
    [("24", 1, "yes"), ("25", 24, "yes"), ("26", 48, "yes"), ("27", 96, "yes"), ("28", 144, "yes"), ("29", 192, "yes"), ("30", 240, "yes"),
     ("02", 72, "yes"), ("2", 72, "yes"), ("03", None, "no"), ("21", None, "no"), ("01", None, "after_update")],
)  # fmt: skip
def test_mastercard_advice(mac: str, hours: int | None, retryable: str) -> None:
    assert (advice(mac).min_wait_hours, advice(mac).retryable) == (hours, retryable)


def test_every_row_of_the_table_is_found_under_its_own_gateway() -> None:
    with (Path(decline_codes.__file__).parent / "decline_codes.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))

    missed = [
        (row["gateway"], row["code"]) for row in rows if classify(row["gateway"], row["code"].split("-")[0]).category != row["category"]
    ]

    assert len(rows) == 403
    assert missed == []
    assert all(row["source"] for row in rows)
