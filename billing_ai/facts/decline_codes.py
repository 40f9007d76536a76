"""What a gateway's decline code means: its category, and whether another try makes sense.

The table is `decline_codes.csv` beside this file; its last column names the source of each row (the gateways' own lists, most of them read
through github.com/api-evangelist in July 2026). A code that is not in it is `unknown`, and nothing is guessed from its looks.
"""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

Retryable = Literal["yes", "no", "after_update", "after_auth", "after_customer_action", "fix_config", "unknown"]


@dataclass(frozen=True, slots=True)
class Decline:
    """What one code means. `min_wait_hours` is what the issuer asks to wait before another try, None: no word on it."""

    category: str
    retryable: Retryable
    min_wait_hours: int | None
    meaning: str

    @property
    def is_hard(self) -> bool:
        """Never again with this instrument as it is: the same try must not be repeated."""
        return self.retryable in ("no", "after_update")


UNKNOWN = Decline("unknown", "unknown", None, "The gateway gave a code that is not in our table.")

# Chargebee's gateway name → the tables to look in, in order. Only gateways whose codes are known to be of that table.
_TABLES: dict[str, tuple[str, ...]] = {
    "stripe": ("stripe",),
    "braintree": ("braintree",),
    "paypal_express_checkout": ("braintree",),
    "adyen": ("adyen",),
    "gocardless": ("gocardless",),
    "checkout_com": ("checkout_com",),
    "checkout": ("checkout_com",),
    "mollie": ("mollie",),
    "worldpay": ("iso8583",),
    "chargebee": ("stripe", "iso8583"),
    "chargebee_test": ("stripe", "iso8583"),
    "test": ("stripe", "iso8583"),
    "visa": ("visa",),
    "mastercard_mac": ("mastercard_mac",),
    "iso8583": ("iso8583",),
    "ach_nacha": ("ach_nacha",),
    "sepa_dd": ("sepa_dd",),
    "bacs_arudd": ("bacs_arudd",),
    "bacs_addacs": ("bacs_addacs",),
    "nach_india": ("nach_india",),
    "chargebee_api": ("chargebee_api",),
}
# Return codes that a bank scheme sets and every gateway passes on as they are.
_SCHEMES: dict[str, tuple[str, ...]] = {
    "ach_credit": ("ach_nacha",),
    "direct_debit": ("ach_nacha", "sepa_dd"),
    "ach": ("ach_nacha",),
    "sepa": ("sepa_dd",),
    "sepa_instant_transfer": ("sepa_dd",),
    "netbanking_emandates": ("nach_india",),
    "emandate": ("nach_india",),
    "nach": ("nach_india",),
}
_TWO_CHARACTERS = ("visa", "iso8583", "mastercard_mac", "nach_india")
# Other names for the refusal that Chargebee's API names `payment_method_not_present`.
_ALIASES = {"no_payment_method": "payment_method_not_present", "no_valid_payment_method": "payment_method_not_present"}
_NAME = re.compile(r"[\s\-]+")


def classify(gateway: str, code: str, payment_method: str = "") -> Decline:
    """The meaning of `code` as `gateway` (Chargebee's name for it) gave it; `UNKNOWN` when it is in no table that applies.

    `payment_method` is Chargebee's; a bank debit's scheme code (R01, AM04) means the same whichever gateway passes it on.
    """
    name, method = _name(gateway), _name(payment_method)
    for table in (*_TABLES.get(name, ()), *_SCHEMES.get(method, ()), "chargebee_api"):
        found = _look_up(table, code)
        if found is not None:
            return found
    return UNKNOWN


def network_code(gateway: str, code: str) -> str:
    """The code itself where this gateway is known to pass the card network's response codes on as they are, else an empty text.

    The same two digits mean different things: 12 is an invalid transaction to Visa, and want of funds in Adyen's own numbering.
    """
    tables = _TABLES.get(_name(gateway), ())
    found = next((table for table in tables if _look_up(table, code) is not None), "")
    return code.strip().upper() if found in ("visa", "iso8583") else ""


def advice(mac: str) -> Decline:
    """The meaning of a Mastercard merchant advice code (`03`: never again, `24`–`30`: wait so long)."""
    return _look_up("mastercard_mac", mac) or UNKNOWN


def _name(text: str) -> str:
    return _NAME.sub("_", text.strip().casefold())


def _look_up(table: str, code: str) -> Decline | None:
    key = _name(code)
    if not key:
        return None
    if table in _TWO_CHARACTERS and len(key) == 1:
        key = f"0{key}"
    exact, ranges = _rows()
    found = exact.get((table, _ALIASES.get(key, key)))
    if found is not None or not key.isdecimal():
        return found
    number = int(key)
    return next((decline for owner, first, last, decline in ranges if owner == table and first <= number <= last), None)


@functools.cache
def _rows() -> tuple[dict[tuple[str, str], Decline], list[tuple[str, int, int, Decline]]]:
    """(table, code) → meaning, and the rows that stand for a range of codes (`2109-2999`)."""
    exact: dict[tuple[str, str], Decline] = {}
    ranges: list[tuple[str, int, int, Decline]] = []
    with (Path(__file__).parent / "decline_codes.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            wait = int(row["min_wait_hours"]) if row["min_wait_hours"] else None
            decline = Decline(row["category"], cast("Retryable", row["retryable"]), wait, row["meaning"])
            span = re.fullmatch(r"(\d+)-(\d+)", row["code"])
            if span:
                ranges.append((row["gateway"], int(span[1]), int(span[2]), decline))
            else:
                exact[row["gateway"], _name(row["code"])] = decline
    return exact, ranges
