"""The customer's locale as Babel knows it, with a fall-back that always ends somewhere, and the figures and dates written in it."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import NumberPattern, format_decimal, get_currency_symbol, parse_pattern

from approvals.drafts.folding import fold
from billing_ai.kernel.money import Money, exponent

FALLBACK = "en-US"
RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})


@lru_cache(maxsize=512)
def babel_locale(tag: str) -> Locale:
    """The locale for a BCP 47 tag: the tag itself, else its language, else English. Never raises."""
    parts = tag.replace("_", "-").split("-")
    # English in a region that the CLDR does not list (en-KW) is written as in the rest of the world, day first, and not as in the United States.
    world = ["en-001"] if parts[0].lower() == "en" and len(parts) > 1 else []
    candidates = ["-".join(parts), *world, parts[0].lower(), FALLBACK]
    for candidate in candidates:
        try:
            locale = Locale.parse(candidate, sep="-")
        except (ValueError, UnknownLocaleError):
            continue
        if locale is not None:
            return locale
    return Locale("en", "US")


@lru_cache(maxsize=512)
def language_of(tag: str) -> str:
    """The ISO 639 language of a tag in lower case; `no` is read as Bokmål."""
    language = tag.replace("_", "-").split("-")[0].lower()
    return "nb" if language in ("no", "nn") else language


@lru_cache(maxsize=1024)
def _money_pattern(tag: str, currency: str) -> NumberPattern:
    """The locale's currency pattern with exactly the digits of the currency's minor unit."""
    pattern = parse_pattern(babel_locale(tag).currency_formats["standard"].pattern)
    pattern.frac_prec = (exponent(currency), exponent(currency))
    return pattern


@lru_cache(maxsize=4096)
def money_text(money: Money, tag: str) -> str:
    """The amount as the customer's locale writes it, always with all digits of the minor unit. Source: CLDR patterns, ISO 4217 digits."""
    locale = babel_locale(tag)
    text = str(_money_pattern(tag, money.currency).apply(money.amount, locale, currency=money.currency, currency_digits=False))
    symbol = get_currency_symbol(money.currency, locale)
    # Escudos have a symbol that cannot be seen: an amount without any sign of its currency is none.
    return text if symbol.strip("\u200b") else text.replace(symbol, "").strip() + f"\u00a0{money.currency}"


def number_text(number: Decimal | int, tag: str) -> str:
    """A plain number as the locale writes it."""
    return format_decimal(number, locale=babel_locale(tag))


@lru_cache(maxsize=4096)
def date_text(day: date, tag: str, length: str = "long") -> str:
    """The date in the locale's own order and words; `length` is CLDR's full, long, medium or short."""
    return format_date(day, format=length, locale=babel_locale(tag))


def is_right_to_left(tag: str) -> bool:
    """Whether the message is read from right to left."""
    return language_of(tag) in RIGHT_TO_LEFT


@lru_cache(maxsize=256)
def proper_words(tag: str) -> frozenset[str]:
    """The single words, folded, of the names of languages and countries: written with a capital in many languages, and nobody's name. Source: CLDR."""
    locale = babel_locale(tag)
    names = [*locale.languages.values(), *locale.territories.values()]
    return frozenset(word for name in names for word in re.findall(r"[^\W\d_]{2,}", fold(str(name))))
