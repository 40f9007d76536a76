"""Minor units: exponents and splits that add up."""

from __future__ import annotations

EXPONENTS = {"JPY": 0, "KRW": 0, "CLP": 0, "VND": 0, "KWD": 3, "BHD": 3, "OMR": 3, "JOD": 3, "TND": 3}


def exponent(currency: str) -> int:
    """Digits after the decimal point (ISO 4217)."""
    return EXPONENTS.get(currency, 2)


def shown(minor: int, currency: str) -> str:
    """`1,234.50 EUR`, with as many decimals as the currency has."""
    digits = exponent(currency)
    return f"{minor / 10**digits:,.{digits}f} {currency}"


def prorated(amount: int, part: int, whole: int) -> int:
    """`amount × part ÷ whole`, rounded half up to the minor unit, for any sign."""
    if whole <= 0:
        return 0
    sign = -1 if amount * part < 0 else 1
    return sign * ((abs(amount * part) * 2 + whole) // (2 * whole))
