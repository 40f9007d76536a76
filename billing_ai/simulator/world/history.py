"""The past of a customer: subscriptions, paid invoices, failures that came right, and what is overdue now."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from billing_ai.simulator.calendar_steps import add_period, day_of
from billing_ai.simulator.declines import decline_for
from billing_ai.simulator.dunning import RETRY, RETRY_AFTER_DAYS
from billing_ai.simulator.ids import make_id
from billing_ai.simulator.invoicing import document, item_lines
from billing_ai.simulator.payments import linked, payment
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing
from billing_ai.simulator.world import catalogue

if TYPE_CHECKING:
    from billing_ai.simulator.world.making import Plan

DAY = 86_400
HOUR = 3_600
RENEW = "renew"
FALL_DUE = "fall_due"
_RARELY_FAILED = 0.04
_OFTEN_FAILED = {"insufficient_funds": 0.4, "do_not_honor": 0.3, "limit": 0.3, "auth_required": 0.1, "processor_error": 0.1}


class Past:
    """Builds what happened before the simulation began, without emitting events for it."""

    def __init__(self, site: Site, now: int) -> None:
        self._site = site
        self._now = now
        self._prices = {price["id"]: price for price in site.store.find("item_price")}
        self._numbers = {
            kind: int(site.store.setting(f"count:{kind}", 0))
            for kind in ("invoice", "transaction", "subscription", "line_item", "usage", "contract_term")
        }
        self._due: list[tuple[int, str, str]] = []

    def save_counters(self) -> None:
        for kind, number in self._numbers.items():
            self._site.store.set_setting(f"count:{kind}", number)

    def take_due(self) -> list[tuple[int, str, str]]:
        due, self._due = self._due, []
        return due

    def _id(self, kind: str) -> str:
        self._numbers[kind] += 1
        number = self._numbers[kind]
        return str(1000 + number) if kind == "invoice" else make_id(self._site.seed, kind, number)

    def subscriptions(self, plan: Plan, customer: Thing, chance: random.Random) -> list[Thing]:
        """One subscription as a rule; customers with consolidated invoicing have two on the same day."""
        wanted = 2 if customer["consolidated_invoicing"] and not plan.fails_overnight else 1
        unit = "year" if chance.random() < 0.12 and not plan.fails_overnight and wanted == 1 else "month"
        last_renewal = self._last_renewal(plan, chance, unit)
        return [self._subscription(plan, customer, chance, unit, last_renewal) for _ in range(wanted)]

    def _last_renewal(self, plan: Plan, chance: random.Random, unit: str) -> int:
        if plan.fails_overnight:
            return self._now - HOUR - plan.number * 45 * 60 - chance.randrange(20 * 60)
        days = chance.randrange(1, 28 if unit == "month" else 300)
        return self._now - days * DAY - chance.randrange(20) * HOUR

    def _subscription(self, plan: Plan, customer: Thing, chance: random.Random, unit: str, last_renewal: int) -> Thing:
        currency = customer["preferred_currency_code"]
        name = chance.choices([p[0] for p in catalogue.PLANS], (25, 40, 25, 10))[0]
        items = [self._item(name, currency, unit, "plan", chance.choice((1, 2, 3, 5, 8, 12)) if name in ("team", "business") else 1)]
        if chance.random() < 0.3:
            items.append(self._item("extra-storage", currency, unit, "addon", chance.choice((1, 2, 4))))
        if name in ("business", "enterprise") and chance.random() < 0.5:
            metered = catalogue.price_id("api-calls", currency, unit)
            items.append(self._metered(metered))
        next_at = add_period(last_renewal, 1, unit)
        started = add_period(last_renewal, -(plan.months if unit == "month" else max(1, plan.months // 12)), unit)
        total = sum(item["amount"] for item in items)
        ident = self._id("subscription")
        self._due.append((next_at, RENEW, ident))
        offline = plan.number % 13 == 9 and not plan.fails_overnight
        return {
            "id": ident, "customer_id": customer["id"], "currency_code": currency, "billing_period": 1, "billing_period_unit": unit,
            "status": "active", "current_term_start": last_renewal, "current_term_end": next_at, "next_billing_at": next_at,
            "created_at": started, "started_at": started, "activated_at": started, "start_date": started, "updated_at": last_renewal,
            "has_scheduled_changes": False, "has_scheduled_advance_invoices": False, "channel": "web", "deleted": False,
            "due_invoices_count": 0, "total_dues": 0, "mrr": total if unit == "month" else total // 12, "exchange_rate": 1.0,
            "base_currency_code": "EUR", "auto_collection": "off" if offline else "on", "net_term_days": 30 if offline else 0,
            "subscription_items": items, "business_entity_id": customer["business_entity_id"], "object": "subscription", "_anchor_day": day_of(last_renewal),
        }  # fmt: skip

    def _item(self, name: str, currency: str, unit: str, kind: str, quantity: int) -> Thing:
        ident = catalogue.price_id(name, currency, unit)
        price = self._prices[ident]["price"]
        return {
            "item_price_id": ident,
            "item_type": kind,
            "quantity": quantity,
            "unit_price": price,
            "amount": price * quantity,
            "free_quantity": 0,
            "object": "subscription_item",
        }

    def _metered(self, ident: str) -> Thing:
        return {
            "item_price_id": ident,
            "item_type": "addon",
            "unit_price": self._prices[ident]["price"],
            "metered_quantity": "0",
            "amount": 0,
            "free_quantity": 0,
            "object": "subscription_item",
        }

    def extras(self, plan: Plan, subscription: Thing, chance: random.Random) -> Iterator[tuple[str, Thing]]:
        """Usage of metered items in the current term; a contract for those on the largest plan."""
        for item in subscription["subscription_items"]:
            if "metered_quantity" not in item:
                continue
            for days_ago in range(1, 1 + min(6, (self._now - subscription["current_term_start"]) // DAY)):
                at = self._now - days_ago * DAY
                usage = {"id": self._id("usage"), "subscription_id": subscription["id"], "item_price_id": item["item_price_id"]}
                usage |= {"quantity": str(chance.randint(1, 400)), "usage_date": at, "source": "api", "created_at": at, "updated_at": at}
                yield "usage", usage | {"object": "usage"}
        if subscription["subscription_items"][0]["item_price_id"].startswith("enterprise"):
            began = subscription["started_at"]
            term: Thing = {
                "id": self._id("contract_term"), "subscription_id": subscription["id"], "status": "active", "contract_start": began,
                "contract_end": add_period(began, 36, "month"), "billing_cycle": 36, "remaining_billing_cycles": max(0, 35 - plan.months),
                "action_at_term_end": "renew", "cancellation_cutoff_period": 30, "created_at": began, "updated_at": began,
                "total_contract_value": subscription["mrr"] * 36, "total_contract_value_before_tax": subscription["mrr"] * 36,
                "object": "contract_term",
            }  # fmt: skip
            subscription["contract_term"] = {name: value for name, value in term.items() if name != "updated_at"}
            yield "contract_term", term

    def life(
        self, plan: Plan, customer: Thing, subscription: Thing, source: Thing | None, chance: random.Random
    ) -> Iterator[tuple[str, Thing]]:
        """Invoices and transactions from the start until now; the last one may be unpaid."""
        unit = subscription["billing_period_unit"]
        terms = plan.months if unit == "month" else max(1, plan.months // 12)
        for back in range(terms, -1, -1):
            at = (
                add_period(subscription["current_term_start"], -back, unit, subscription["_anchor_day"])
                if back
                else subscription["current_term_start"]
            )
            flat = [item for item in subscription["subscription_items"] if "metered_quantity" not in item]
            lines = item_lines(
                subscription | {"subscription_items": flat},
                self._prices,
                (at, add_period(at, 1, unit)),
                customer["_tax_rate"],
                [self._id("line_item") for _ in flat],
            )
            invoice = document(
                self._id("invoice"), customer, lines, at, subscription["currency_code"], net_term_days=subscription["net_term_days"],
                subscription_id=subscription["id"], first_invoice=back == terms, updated_at=at, business_entity_id=customer["business_entity_id"],
            )  # fmt: skip
            for transaction in self._payments(plan, subscription, invoice, source, chance, is_last=back == 0):
                yield "transaction", transaction
            if invoice["status"] == "payment_due" or invoice["status"] == "not_paid":
                subscription["due_invoices_count"] += 1
                subscription["total_dues"] += invoice["amount_due"]
                subscription["due_since"] = invoice["due_date"]
            yield "invoice", invoice

    def _payments(
        self, plan: Plan, subscription: Thing, invoice: Thing, source: Thing | None, chance: random.Random, *, is_last: bool
    ) -> list[Thing]:
        if subscription["auto_collection"] == "off":
            return self._by_transfer(invoice, chance)
        fails_now = is_last and (
            plan.fails_overnight or (plan.state not in ("ok", "processor_error") and self._now - invoice["date"] < 14 * DAY)
        )
        if fails_now:
            return self._unpaid(plan, invoice, source)
        attempts: list[Thing] = []
        paid_at = invoice["date"]
        if chance.random() < _OFTEN_FAILED.get(plan.state, _RARELY_FAILED):
            reason = plan.state if plan.state in _OFTEN_FAILED else "insufficient_funds"
            attempts.append(self._attempt(invoice, source, invoice["date"], reason))
            paid_at = min(self._now - HOUR, invoice["date"] + chance.choice((1, 2, 3, 3, 6)) * DAY)
        attempts.append(self._attempt(invoice, source, paid_at, None))
        invoice |= {
            "status": "paid",
            "paid_at": paid_at,
            "amount_paid": invoice["total"],
            "amount_due": 0,
            "amount_to_collect": 0,
            "updated_at": paid_at,
        }
        if len(attempts) > 1:
            invoice["dunning_status"] = "success"
        return attempts

    def _by_transfer(self, invoice: Thing, chance: random.Random) -> list[Thing]:
        paid_at = invoice["date"] + chance.randint(10, 40) * DAY
        if paid_at >= self._now:
            if invoice["due_date"] < self._now:
                invoice["status"] = "payment_due"
            else:
                self._due.append((invoice["due_date"], FALL_DUE, invoice["id"]))
            return []
        transaction = self._attempt(invoice, None, paid_at, None)
        transaction["payment_method"] = "bank_transfer"
        invoice |= {
            "status": "paid",
            "paid_at": paid_at,
            "amount_paid": invoice["total"],
            "amount_due": 0,
            "amount_to_collect": 0,
            "updated_at": paid_at,
        }
        return [transaction]

    def _unpaid(self, plan: Plan, invoice: Thing, source: Thing | None) -> list[Thing]:
        began = invoice["date"]
        invoice |= {
            "status": "payment_due",
            "dunning_status": "in_progress",
            "_dunning_began_at": began,
            "_overnight": plan.fails_overnight,
        }
        attempts = [self._attempt(invoice, source, began, plan.state)]
        for days in RETRY_AFTER_DAYS:
            moment = began + days * DAY
            if moment > self._now:
                invoice["next_retry_at"] = moment
                self._due.append((moment, RETRY, invoice["id"]))
                break
            attempt = self._attempt(invoice, source, moment, plan.state)
            attempts.append(attempt)
            invoice["dunning_attempts"].append(
                {
                    "attempt": len(invoice["dunning_attempts"]) + 1,
                    "transaction_id": attempt["id"],
                    "dunning_type": "auto_collect",
                    "created_at": moment,
                    "txn_status": "failure",
                    "txn_amount": attempt["amount"],
                    "retry_engine": "chargebee",
                    "object": "dunning_attempt",
                }
            )
        invoice["updated_at"] = attempts[-1]["date"]
        return attempts

    def _attempt(self, invoice: Thing, source: Thing | None, at: int, reason: str | None) -> Thing:
        decline = decline_for(source["gateway"] if source else "stripe", reason) if reason else None
        transaction = payment(self._id("transaction"), invoice, source, invoice["total"], decline, at)
        invoice["linked_payments"].append(linked(transaction))
        return transaction
