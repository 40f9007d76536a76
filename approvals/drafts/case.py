"""One case as the rules see it: facts and policy with what follows from them worked out once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property

from approvals.drafts.facts import DraftFacts
from approvals.drafts.findings import DraftPolicy, Finding, Severity
from approvals.drafts.folding import LETTERS, Reading, fold_pattern
from approvals.drafts.locales import date_text, language_of
from approvals.drafts.words import Lexicon, lexicon
from billing_ai.kernel.money import Money, total

_LEGAL_FORM = re.compile(
    r"(?i)[\s,]+(?:gmbh(?: & co\.? kg)?|ag|kg|ug|ltd\.?|limited|inc\.?|llc|llp|plc|corp\.?|co\.?|s\.?a\.?r?\.?l?\.?|s\.?r\.?l\.?|s\.?p\.?a\.?|s\.?l\.?|b\.?v\.?|n\.?v\.?"
    r"|oy|oyj|ab|a/?s|aps|as|ltda\.?|s\.?r\.?o\.?|sp\. z o\.o\.|a\.ş\.|k\.k\.|kft\.?|pty ltd)$"
)


@dataclass(frozen=True)
class Case:
    """Facts, policy, and the sets a rule compares with. Built once per message."""

    facts: DraftFacts
    policy: DraftPolicy

    @cached_property
    def locale(self) -> str:
        return self.facts.customer.locale

    @cached_property
    def language(self) -> str:
        return language_of(self.locale)

    @cached_property
    def lexicons(self) -> tuple[Lexicon, ...]:
        """The customer's language first, then English, which models fall into."""
        found = [lexicon(self.language), lexicon("en")]
        return tuple(dict.fromkeys(entry for entry in found if entry is not None))

    @cached_property
    def amounts(self) -> dict[Decimal, frozenset[str]]:
        """Every amount that may be named, with the roles it has."""
        facts, invoice = self.facts, self.facts.invoice
        if not facts.is_about_invoice:
            return {}
        roles: list[tuple[Money, str]] = [(invoice.amount_due, "due")]
        roles += [(invoice.total if invoice.total is not None else invoice.amount_due, "total")]
        if invoice.total is None and invoice.amount_paid is not None:
            roles.append((invoice.amount_due + invoice.amount_paid, "total"))
        if invoice.amount_paid is not None:
            roles.append((invoice.amount_paid, "paid"))
        roles += [(line.amount, "line") for line in invoice.line_items]
        for other in facts.other_invoices:
            roles += [(other.amount_due, "other")]
        if facts.other_invoices and all(other.amount_due.currency == facts.currency for other in facts.other_invoices):
            roles.append((total((entry.amount_due for entry in facts.open_invoices), facts.currency), "open"))
        for offer in facts.allowed_offers:
            if offer.type == "installments" and 1 <= offer.value <= 120:
                roles += [(part, "instalment") for part in invoice.amount_due.split([1] * offer.value)]
            elif offer.type == "percent" and 0 < offer.value < 100:
                off = Money.from_decimal(invoice.amount_due.amount * offer.value / 100, facts.currency)
                roles += [(off, "discount"), (invoice.amount_due - off, "discounted")]
        by_value: dict[Decimal, frozenset[str]] = {}
        for money, role in roles:
            by_value[money.amount] = by_value.get(money.amount, frozenset()) | {role}
        return by_value

    @cached_property
    def dates(self) -> dict[date, frozenset[str]]:
        """Every date that may be named, with the roles it has."""
        facts = self.facts
        roles: list[tuple[date, str]] = [(facts.today, "today")]
        if facts.is_about_invoice:
            roles += [(facts.invoice.date, "issued"), (facts.invoice.due_date, "due")]
        if facts.retry_date is not None:
            roles.append((facts.retry_date, "retry"))
        if facts.service_impact is not None:
            roles.append((facts.service_impact.date, "impact"))
        for other in facts.other_invoices:
            roles += [(other.date, "other"), (other.due_date, "other")]
        by_day: dict[date, frozenset[str]] = {}
        for day, role in roles:
            by_day[day] = by_day.get(day, frozenset()) | {role}
        return by_day

    @cached_property
    def dates_text(self) -> str:
        """The dates that may be named, as the locale writes them."""
        return ", ".join(date_text(day, self.locale) for day in sorted(self.dates))

    @cached_property
    def links(self) -> frozenset[str]:
        facts = self.facts
        return frozenset(link for link in (facts.payment_link, facts.update_card_link, facts.opt_out_link) if link)

    @cached_property
    def invoice_numbers(self) -> tuple[str, ...]:
        """This invoice's number and id, and those of the other open ones, longest first."""
        invoices = self.facts.open_invoices
        return tuple(sorted({text for invoice in invoices for text in (invoice.number, invoice.id)}, key=len, reverse=True))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names that may stand in the message and whose words mean nothing, longest first: company with and without its legal form, ours, the
        sender's, the customer's, plans, offers, the card's brand."""
        facts = self.facts
        names = [facts.customer.company or "", facts.vendor, facts.sender_name, facts.customer.first_name or ""]
        names.append(facts.signature)
        names += [_LEGAL_FORM.sub("", name) for name in (facts.customer.company or "", facts.vendor)]
        names += [line.description for line in facts.invoice.line_items if len(line.description) <= 80]
        names += [text for offer in facts.allowed_offers for text in (offer.code, offer.label)]
        if facts.card is not None:
            names.append(facts.card.brand)
        # A name of nothing but characters that cannot be seen reads as nothing, and would be found everywhere.
        return tuple(sorted({name for name in map(fold_free, names) if name}, key=len, reverse=True))

    @cached_property
    def known_words(self) -> frozenset[str]:
        """The single words of all names, folded."""
        return frozenset(word for name in self.names for word in re.findall(rf"{LETTERS}|\w+", fold_pattern(name)))


def fold_free(name: str) -> str:
    """A name as it reads in `Reading.plain`."""
    return Reading("name", name).plain.strip()


def finding(rule: str, reading: Reading, start: int, end: int, expected: str, severity: Severity = "block") -> Finding:
    """A finding about `reading.plain[start:end]`."""
    part = "subject" if reading.name == "subject" else "body"
    return Finding(rule, severity, part, reading.span(start, end), reading.text(start, end), expected)  # type: ignore[arg-type]  # narrowed above
