"""Money in minor units. No floats, no mixing of currencies, and splits that add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from babel.core import get_global

# ISO 4217 exponents that are not 2, from the CLDR's own table, which Babel ships.
_FRACTIONS: Mapping[str, tuple[int, int, int, int]] = get_global("currency_fractions")
# The CLDR gives the digits people write; ISO 4217 gives the digits banks count. Where they differ, billing follows ISO.
_ISO_DIFFERS = {
    "AFN": 2, "ALL": 2, "COP": 2, "CRC": 2, "HUF": 2, "IDR": 2, "IQD": 3, "IRR": 2, "KPW": 2, "LAK": 2, "LBP": 2, "MGA": 2,
    "MMK": 2, "MUR": 2, "NOK": 2, "PKR": 2, "RSD": 2, "SEK": 2, "SLE": 2, "SOS": 2, "SYP": 2, "TWD": 2, "TZS": 2, "UZS": 2,
    "YER": 2, "CZK": 2, "GYD": 2, "MNT": 2, "AMD": 2, "STN": 2, "UYI": 0, "UYW": 4, "CLF": 4, "ISK": 0, "UGX": 0,
}  # fmt: skip
_KNOWN: frozenset[str] = frozenset(get_global("all_currencies"))


class UnknownCurrency(ValueError):
    """The text is no ISO 4217 currency code."""


class CurrencyMismatch(ValueError):
    """Two amounts of different currencies were put together."""


def exponent(currency: str) -> int:
    """How many decimal digits the currency's minor unit has (JPY 0, EUR 2, KWD 3). Raises UnknownCurrency."""
    if currency not in _KNOWN:
        raise UnknownCurrency(f"{currency!r} is no ISO 4217 currency")
    if currency in _ISO_DIFFERS:
        return _ISO_DIFFERS[currency]
    return _FRACTIONS[currency][0] if currency in _FRACTIONS else 2


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount of minor units in one currency."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if isinstance(self.minor, bool) or not isinstance(self.minor, int):
            raise TypeError(f"minor units are whole numbers, not {self.minor!r}")
        exponent(self.currency)

    @classmethod
    def from_decimal(cls, amount: Decimal, currency: str) -> Money:
        """Round half to even at the currency's own digits. Raises UnknownCurrency."""
        scaled = amount.scaleb(exponent(currency)).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
        return cls(int(scaled), currency)

    @property
    def amount(self) -> Decimal:
        """The amount in major units, exact."""
        return Decimal(self.minor).scaleb(-exponent(self.currency))

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency}")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __lt__(self, other: Money) -> bool:
        self._same(other)
        return self.minor < other.minor

    def __le__(self, other: Money) -> bool:
        self._same(other)
        return self.minor <= other.minor

    def __bool__(self) -> bool:
        return self.minor != 0

    def split(self, weights: Sequence[int]) -> list[Money]:
        """Parts in proportion to `weights` that sum exactly to the whole (largest remainder). Raises ValueError on no weight."""
        total = sum(weights)
        if total <= 0 or any(weight < 0 for weight in weights):
            raise ValueError("weights must be non-negative and not all zero")
        sign = -1 if self.minor < 0 else 1
        whole = abs(self.minor)
        floors = [whole * weight // total for weight in weights]
        remainders = [whole * weight % total for weight in weights]
        for index in sorted(range(len(weights)), key=lambda i: (-remainders[i], i))[: whole - sum(floors)]:
            floors[index] += 1
        return [Money(sign * part, self.currency) for part in floors]


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum of amounts that are all in `currency`. Raises CurrencyMismatch."""
    result = Money(0, currency)
    for amount in amounts:
        result = result + amount
    return result
