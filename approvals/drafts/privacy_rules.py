"""Particulars that have no place in a message: card numbers, security codes, bank accounts, another card than the one on file."""

from __future__ import annotations

import re

from approvals.drafts.case import Case, finding
from approvals.drafts.findings import Finding
from approvals.drafts.folding import Reading

_PAN = re.compile(r"(?<![\d])(?:\d[ \u00a0.\-_/·•]{0,2}){12,18}\d(?!\d)")
_MASKED_PAN = re.compile(r"(?:[*•·xX#●∗＊]{2,}[ \-]?)+(?P<last>\d{2,6})(?!\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ \-]?[A-Za-z0-9]{2,4}){3,8}(?![A-Za-z0-9])")
_CODE = re.compile(r"(?i)\b(?:cvv2?|cvc2?|cvn|cid|csc|pin|otp|security code|sicherheitscode|prufziffer|kartenprufnummer|cryptogramme|code de securite|codigo de seguridad|codigo de seguranca|codice di sicurezza"
                   r"|beveiligingscode|sakerhetskod|sikkerhedskode|sikkerhetskode|turvakoodi|guvenlik kodu|kod zabezpieczajacy|bezpecnostni kod)\b[^.\n\d]{0,24}(?P<code>\d{3,6})(?!\d)|(?:セキュリティコード|安全码|보안\s?코드|رمز الامان)[^\d\n]{0,10}(?P<code2>\d{3,4})")  # fmt: skip
_SECRET_WORDS = re.compile(
    r"(?i)\b(?:ssn|social security|passport (?:no|number)|date of birth|geburtsdatum|date de naissance|fecha de nacimiento|data di nascita|data de nascimento|geboortedatum|mother'?s maiden|password|passwort|mot de passe|contrasena|wachtwoord|parola d'ordine|losenord|adgangskode|passord|sifreniz|haslo|heslo)\b\s*(?:is|ist|est|es|e|:|=|lautet|are|number|as|on|vom|am|der|du|le|del|il|em)?\s*[:=]?\s*(?:(?:as|on|of|the|am)\s+)?(?=\S*\d|\S*[:=])"
)
_ACCOUNT = re.compile(
    r"(?i)\b(?:iban|account (?:no|number)\.?|kontonummer|kontonr\.?|numero de compte|numero de cuenta|numero di conto|rekeningnummer|rib|sort code|routing(?: number)?|swift|bic|blz|bankgiro|plusgiro)\b[^.\n]{0,12}?(?P<account>[A-Z]{0,4}\d[\dA-Z \-]{3,30})"
)
_BRANDS = re.compile(
    r"\b(visa|master ?card|maestro|amex|american express|diners(?: club)?|discover|jcb|unionpay|carte bancaire|girocard|elo)\b"
)
_EXPIRY = re.compile(r"(?<![\d/.\-])(?<!\d\.\s)(?P<month>0?[1-9]|1[0-2])\s?[/\-.]\s?(?P<year>20\d\d|\d\d)(?![\d/\-]|\.\d)")
# Two digits and a full stop, or a year in Chinese, Japanese or Korean, are a date behind a colon and no card's last digits.
_ENDING = re.compile(r"[\s:*•·.xX#(（「-]{0,8}(\d{2,6})(?!\d|\.\s?\w|[,/-]\d|\s?[年년])")
_GOOD_BIN = re.compile(r"[1-9]\d{12,18}")


def passes_luhn(digits: str) -> bool:
    """Whether a string of digits has a valid Luhn check digit. Source: ISO/IEC 7812-1."""
    total = 0
    for index, character in enumerate(reversed(digits)):
        value = int(character)
        if index % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def passes_iban(text: str) -> bool:
    """Whether an IBAN's check digits hold. Source: ISO 13616, mod 97."""
    compact = re.sub(r"[ \-]", "", text).upper()
    if not 15 <= len(compact) <= 34:
        return False
    rearranged = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in rearranged)) % 97 == 1


def check_privacy(reading: Reading, case: Case) -> list[Finding]:
    """pii_leak over card numbers, codes, accounts and card endings; what was judged is blanked out."""
    findings: list[Finding] = []

    def refuse(start: int, end: int, expected: str) -> None:
        findings.append(finding("pii_leak", reading, start, end, expected))
        reading.blank(start, end)

    for found in _PAN.finditer(reading.open):
        digits = re.sub(r"\D", "", found.group(0))
        if _GOOD_BIN.fullmatch(digits) and (
            passes_luhn(digits)
            or re.search(r"(?i)card|kart|cart|tarjet|カード|卡|카드", reading.folded[max(0, found.start() - 40) : found.start()])
        ):
            refuse(*found.span(), "no card number, ever")
    for found in _IBAN.finditer(reading.open):
        text = found.group(0)
        if sum(character.isdigit() for character in text) >= 8 and (
            passes_iban(text) or (text == text.upper() and len(re.sub(r"[ \-]", "", text)) >= 15)
        ):
            refuse(*found.span(), "no bank account")
    for pattern, expected in ((_CODE, "no security code, ever"), (_ACCOUNT, "no bank account"), (_SECRET_WORDS, "no personal particulars")):
        for found in pattern.finditer(reading.open_folded if pattern is not _ACCOUNT else reading.open):
            refuse(*found.span(), expected)
    findings += _check_card(reading, case)
    return findings


def _check_card(reading: Reading, case: Case) -> list[Finding]:
    """Endings and expiry dates of cards: those of the card on file, where there is one."""
    findings: list[Finding] = []
    card = case.facts.card
    spots: list[tuple[int, int, str]] = [
        (found.start("last"), found.end("last"), found.group("last"))
        for found in _MASKED_PAN.finditer(reading.open)
        if not _closes_bold(reading.open, found)
    ]
    for words in case.lexicons:
        ending = words.any_of("card_ending")
        if ending is None:
            continue
        for found in ending.finditer(reading.open_folded):
            digits = _ENDING.match(reading.open_folded[found.end() : found.end() + 18])
            if digits is not None:
                spots.append((found.end() + digits.start(1), found.end() + digits.end(1), digits.group(1)))
        behind = words.any_of("card_ending_after")
        if behind is not None:
            for found in behind.finditer(reading.open_folded):
                digits = re.search(r"(?<!\d)(\d{4})\W{0,3}$", reading.open_folded[max(0, found.start() - 7) : found.start()])
                if digits is not None:
                    offset = max(0, found.start() - 7)
                    spots.append((offset + digits.start(1), offset + digits.end(1), digits.group(1)))
    for start, end, ending_digits in spots:
        if card is None or ending_digits != card.last4:
            findings.append(
                finding("pii_leak", reading, start, end, f"the card on file ends in {card.last4}" if card else "no card is in the facts")
            )
        else:
            brand = _BRANDS.search(reading.open_folded[max(0, start - 40) : start])
            if brand is not None and fold_brand(brand.group(1)) != fold_brand(card.brand.lower()):
                findings.append(
                    finding("pii_leak", reading, max(0, start - 40) + brand.start(), max(0, start - 40) + brand.end(), card.brand)
                )
        reading.blank(start, end)
    if card is not None:
        for found in re.finditer(rf"(?<!\d){re.escape(card.last4)}(?!\d)", reading.open):
            reading.blank(*found.span())
        for found in _EXPIRY.finditer(reading.open):
            if _is_expiry(found.group("month"), found.group("year"), card.exp):
                reading.blank(*found.span())  # whatever word for "valid until" stands before it
    for words in case.lexicons:
        expiry = words.any_of("expiry")
        if expiry is None:
            continue
        for word in expiry.finditer(reading.open_folded):
            near = max(0, word.start() - 24)
            # Not of a slice, which would cut a date in two: 21/07/2026 has no card's 7/2026 in it.
            for found in _EXPIRY.finditer(reading.open_folded, near, min(len(reading.open_folded), word.end() + 24)):
                start, end = found.span()
                if card is None or not _is_expiry(found.group("month"), found.group("year"), card.exp):
                    findings.append(
                        finding(
                            "pii_leak", reading, start, end, f"expiry {card.exp}" if card and card.exp else "no expiry date is in the facts"
                        )
                    )
                reading.blank(start, end)
    return findings


def _closes_bold(text: str, found: re.Match[str]) -> bool:
    """Whether the two stars before a number end a bold label, "- **Due date:** 12 May", and mask nothing."""
    line = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
    return re.match(r"\*\*(?!\*)\s?\d", found.group(0)) is not None and line.count("**") % 2 == 1


def _is_expiry(month: str, year: str, known: str | None) -> bool:
    figures = re.findall(r"\d+", known or "")
    if len(figures) != 2:
        return False
    first, second = figures if len(figures[0]) != 4 else (figures[1], figures[0])
    return int(first) == int(month) and int(second) % 100 == int(year) % 100


def fold_brand(brand: str) -> str:
    """A card brand for comparison: "Master Card", "mastercard"; "Amex" and "American Express" are one."""
    text = brand.replace(" ", "").lower()
    return "americanexpress" if text == "amex" else text
