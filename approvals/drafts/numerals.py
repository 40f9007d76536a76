"""What a written number can mean in a locale, and which currencies a symbol, code or name can mean."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from babel.core import get_global
from babel.numbers import get_currency_symbol, get_decimal_symbol, get_territory_currencies

from approvals.drafts.folding import LETTERS, NOT_AFTER_WORD, UNSPACED, fold_pattern
from approvals.drafts.locales import babel_locale

_SPACES = " \u00a0\u202f\u2009"
# A number as people write it: groups after a dot, comma, apostrophe or a space, and the ",-" of whole amounts.
NUMBER = rf"\d+(?:[.,'’٬٫]\d+(?!\d*(?:[年月]|日(?!元|圆|圓)))|[{_SPACES}]\d{{3}}(?!\d))*(?:[万萬億만억]\s?(?:\d[\d,]*)?(?:천)?)?(?:[.,][-–—](?!\d))?"
_MULTIPLIERS = {"万": 10**4, "萬": 10**4, "만": 10**4, "億": 10**8, "억": 10**8}
_BOTH_READINGS = frozenset({"en_ZA", "es_419", "es_MX", "es_CO", "es_PE", "es_EC", "pt_PT", "de_AT", "de_LI", "en_CH", "fr_CH", "it_CH"})
CODES: frozenset[str] = frozenset(code for code in get_global("all_currencies") if len(code) == 3)


@lru_cache(maxsize=256)
def _decimal_symbol(tag: str) -> str:
    symbol = get_decimal_symbol(babel_locale(tag))
    return "," if symbol in (",", "٫") else "."


def readings(number: str, tag: str) -> frozenset[Decimal]:
    """The values a written number can have in the locale; empty when it is no number. A lone separator before exactly three digits is read as
    the locale reads it."""
    text = re.sub(rf"[{_SPACES}'’٬]", "", number)
    text = re.sub(r"[.,][-–—]$", "", text).replace("٫", "," if _decimal_symbol(tag) == "," else ".")
    for unit, factor in _MULTIPLIERS.items():
        if unit in text:
            head, _, tail = text.partition(unit)
            rest = readings(tail, tag) if tail else frozenset({Decimal(0)})
            return frozenset(first * factor + second for first in readings(head, tag) for second in rest)
    kinds = {mark for mark in text if mark in ".,"}
    if not re.fullmatch(r"\d[\d.,]*", text):
        return frozenset()
    if not kinds:
        return frozenset({Decimal(text)})
    if len(kinds) == 2:
        mark = max(kinds, key=text.rindex)
        other = ({".", ","} - {mark}).pop()
        if text.count(mark) > 1:
            return frozenset()
        return frozenset({Decimal(text.replace(other, "").replace(mark, "."))})
    mark = kinds.pop()
    if text.count(mark) > 1:
        groups = text.split(mark)[1:]
        return (
            frozenset({Decimal(text.replace(mark, ""))}) if len(groups[-1]) == 3 and all(len(g) in (2, 3) for g in groups) else frozenset()
        )
    head, _, tail = text.partition(mark)
    as_decimal, as_grouped = Decimal(text.replace(mark, ".")), Decimal(head + tail)
    if len(tail) != 3 or len(head) > 3 or head == "0":
        return frozenset({as_decimal})
    if str(babel_locale(tag)) in _BOTH_READINGS:
        return frozenset({as_decimal, as_grouped})
    return frozenset({as_decimal if mark == _decimal_symbol(tag) else as_grouped})


@lru_cache(maxsize=1)
def _currency_words() -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]], tuple[str, ...], dict[str, str], tuple[str, ...]]:
    """Symbols, folded stems of names, the stems as written, stems of adjectives ("svenske"), and those as written; from `words/currencies.json`."""
    content = json.loads(Path(__file__).with_name("words").joinpath("currencies.json").read_text(encoding="utf-8"))
    symbols = {symbol: frozenset(codes.split()) for symbol, codes in content["symbols"].items()}
    words = {fold_pattern(word): frozenset(codes.split()) for word, codes in content["words"].items()}
    adjectives = {fold_pattern(stem): code for stem, code in content["adjectives"].items()}
    return (
        symbols,
        words,
        tuple(dict.fromkeys([*content["words"], *words])),
        adjectives,
        tuple(dict.fromkeys([*content["adjectives"], *adjectives])),
    )


def _visible(symbol: str) -> str:
    return symbol.replace("\u200f", "").replace("\u200e", "").replace("\u061c", "").strip()


@lru_cache(maxsize=256)
def _symbols(tag: str) -> dict[str, frozenset[str]]:
    """Every symbol a reader of that locale may meet: the shared table, and the CLDR's own for the locale."""
    symbols = dict(_currency_words()[0])
    for code, symbol in babel_locale(tag).currency_symbols.items():
        text = _visible(symbol)
        if code in CODES and text and text != code and not text.isdigit():
            symbols[text] = symbols.get(text, frozenset()) | {code}
    return symbols


@lru_cache(maxsize=256)
def currency_patterns(tag: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What may stand right before a number (to be searched in the text up to it), and right after it (to be matched from its end).

    Groups: `mark`, and `sign` before or `second` after.
    """
    symbols = _symbols(tag)
    stems = "|".join(sorted((re.escape(word) for word in _currency_words()[2]), key=len, reverse=True))
    ordered = sorted(symbols, key=len, reverse=True)
    lettered = "|".join(re.escape(symbol) for symbol in ordered if symbol[0].isalpha() and symbol[0] < "\u3000")
    signs = "|".join(re.escape(symbol) for symbol in ordered if not (symbol[0].isalpha() and symbol[0] < "\u3000"))
    edged = rf"{signs}|(?<![^\W\d_{UNSPACED}])(?:{lettered})(?![^\W\d_{UNSPACED}])"
    mark = rf"(?:{edged}|{NOT_AFTER_WORD}[A-Z]{{3}}(?![^\W\d_{UNSPACED}])|(?i:(?<!\w)(?:eur|usd|gbp|chf)(?![^\W\d_])))"
    adjectives = "|".join(sorted((re.escape(stem) for stem in _currency_words()[4]), key=len, reverse=True))
    word = rf"(?i:(?:[^\W\d_]{{2,}}[.\- ])?(?<!\w)(?:{stems})\w{{0,2}}(?!\w)(?:[ \u00a0](?:{adjectives})\w{{0,4}})?)"
    gap = rf"[{_SPACES}]?"
    before = rf"(?P<mark>{mark}|(?i:(?<!\w)euros?(?!\w)))(?:{gap}(?P<second>{mark}))?(?P<gap>{gap})(?P<sign>[-−–]?){gap}$"
    after = rf"(?:{gap}|-)(?P<mark>{word}|{mark})(?:{gap}\(?(?P<second>{mark}))?"
    return re.compile(before), re.compile(after)


@lru_cache(maxsize=2048)
def currencies_of(token: str, tag: str) -> frozenset[str] | None:
    """The currencies a symbol, code or name can mean; None when it means none."""
    text = token.strip()
    found = _symbols(tag).get(text)
    if found:
        return found
    if text.upper() in CODES and (text.isupper() or text.lower() in ("eur", "usd", "gbp", "chf")):
        return frozenset({text.upper()})
    _, words, _, adjectives, _ = _currency_words()
    result: frozenset[str] | None = None
    parts = re.findall(LETTERS, fold_pattern(text))
    if len(parts) > 1:
        said = next((code for part in parts for stem, code in adjectives.items() if part.startswith(stem)), None)
        if said is not None:
            return frozenset({said})
    for word in parts:
        for length in (len(word), len(word) - 1, len(word) - 2):
            codes = words.get(word[:length]) if length > 2 else None
            if codes:
                result = codes if result is None else result & codes or codes
                break
    return result


@lru_cache(maxsize=512)
def denoted(symbol: str, tag: str, currency: str) -> bool:
    """Whether a symbol that several currencies share denotes `currency` to a reader in that locale."""
    codes = currencies_of(symbol, tag) or frozenset()
    if currency not in codes:
        return False
    if len(codes) == 1:
        return True
    locale = babel_locale(tag)
    if get_currency_symbol(currency, locale).strip("\u200f\u200e\u061c. ") == symbol.strip(". "):
        return True
    local = next(iter(get_territory_currencies(locale.territory)), None) if locale.territory else None
    if local in codes:
        return local == currency
    primary = {"$": "USD", "£": "GBP"}.get(symbol)
    return primary is None or primary == currency
