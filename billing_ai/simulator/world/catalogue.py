"""What Northwind Cloud sells: plans, add-ons, a charge; a price for each currency and period; features."""

from __future__ import annotations

from billing_ai.simulator.money import exponent
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

FAMILY = "northwind-cloud"
CURRENCIES = {"EUR": 1.0, "USD": 1.1, "GBP": 0.88, "JPY": 165.0, "BRL": 6.0, "CHF": 0.95, "SEK": 11.4, "KWD": 0.335}
# id, name, kind, EUR a month and unit, who takes it
PLANS = (("starter", "Starter", 19), ("team", "Team", 49), ("business", "Business", 129), ("enterprise", "Enterprise", 690))
ADDONS = (("extra-storage", "Extra storage 100 GB", 12), ("priority-support", "Priority support", 79))
CHARGES = (("onboarding", "Onboarding workshop", 490),)
METERED = (("api-calls", "API calls, per 1,000", 0.4),)
FEATURES = (
    ("seats", "Seats", "quantity"),
    ("storage-gb", "Storage in GB", "quantity"),
    ("sso", "Single sign-on", "switch"),
    ("api-access", "API access", "switch"),
)
GRANTS = {
    "starter": {"seats": "3", "storage-gb": "50", "sso": "false", "api-access": "false"},
    "team": {"seats": "15", "storage-gb": "250", "sso": "false", "api-access": "true"},
    "business": {"seats": "60", "storage-gb": "1000", "sso": "true", "api-access": "true"},
    "enterprise": {"seats": "500", "storage-gb": "10000", "sso": "true", "api-access": "true"},
}


def price_id(item: str, currency: str, period_unit: str) -> str:
    return f"{item}-{currency}-{'monthly' if period_unit == 'month' else 'yearly'}"


def unit_price(euros: float, currency: str, period_unit: str) -> int:
    """Minor units; a year costs ten months."""
    amount = euros * CURRENCIES[currency] * (10 if period_unit == "year" else 1)
    step = 10 if exponent(currency) == 0 else 1
    return round(amount * float(10 ** exponent(currency)) / step) * step


def build(site: Site, now: int) -> None:
    """Write the whole catalogue."""
    site.save("item_family", {"id": FAMILY, "name": "Northwind Cloud", "status": "active", "object": "item_family"})
    for kind, rows in (("plan", PLANS), ("addon", ADDONS), ("charge", CHARGES), ("addon", METERED)):
        for ident, name, euros in rows:
            metered = rows is METERED
            site.save("item", _item(ident, name, kind, metered, now))
            for currency in CURRENCIES:
                for unit in ("month", "year") if kind != "charge" else ("month",):
                    site.save("item_price", _price(ident, name, kind, currency, unit, unit_price(euros, currency, unit), metered, now))
    for ident, name, kind in FEATURES:
        feature: Thing = {"id": ident, "name": name, "status": "active", "type": kind, "created_at": now, "object": "feature"}
        if kind == "quantity":
            feature["unit"] = "unit"
        site.save("feature", feature)
    for plan, grants in GRANTS.items():
        for feature_id, value in grants.items():
            ident = f"{plan}:{feature_id}"
            site.store.put(
                "entitlement",
                {
                    "id": ident,
                    "entity_id": plan,
                    "entity_type": "plan",
                    "feature_id": feature_id,
                    "feature_name": feature_id,
                    "value": value,
                    "name": value,
                    "object": "entitlement",
                },
            )
    site.save(
        "coupon",
        {
            "id": "WELCOME10", "name": "Welcome 10 %", "discount_type": "percentage", "discount_percentage": 10.0, "duration_type": "limited_period",
            "period": 3, "period_unit": "month", "status": "active", "apply_on": "invoice_amount", "created_at": now, "redemptions": 0, "object": "coupon",
        },
    )  # fmt: skip


def _item(ident: str, name: str, kind: str, metered: bool, now: int) -> Thing:
    return {
        "id": ident, "name": name, "external_name": name, "status": "active", "type": kind, "item_family_id": FAMILY, "is_shippable": False,
        "is_giftable": False, "enabled_for_checkout": True, "enabled_in_portal": True, "metered": metered, "unit": "unit",
        "item_applicability": "all", "channel": "web", "deleted": False, "created_at": now, "object": "item",
    }  # fmt: skip


def _price(item: str, name: str, kind: str, currency: str, unit: str, price: int, metered: bool, now: int) -> Thing:
    thing: Thing = {
        "id": price_id(item, currency, unit), "name": f"{name} {currency} {'monthly' if unit == 'month' else 'yearly'}", "external_name": name,
        "item_family_id": FAMILY, "item_id": item, "item_type": kind, "status": "active", "pricing_model": "per_unit", "price": price,
        "currency_code": currency, "is_taxable": True, "free_quantity": 0, "channel": "web", "deleted": False, "created_at": now,
        "object": "item_price", "_metered": metered,
    }  # fmt: skip
    if kind != "charge":
        thing |= {"period": 1, "period_unit": unit}
    return thing
