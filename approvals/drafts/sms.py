"""How many segments a text message costs: GSM 03.38 where every character fits it, UCS-2 otherwise."""

from __future__ import annotations

from dataclasses import dataclass

GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Each of these is sent as an escape and a character, two septets.
GSM_EXTENDED = frozenset("^{}[]~\\|€\f")
_GSM_SINGLE, _GSM_PART = 160, 153
_UCS_SINGLE, _UCS_PART = 70, 67


@dataclass(frozen=True, slots=True)
class SmsSize:
    """The alphabet a text needs, its length in that alphabet's units, and the segments it is billed as."""

    encoding: str
    units: int
    segments: int


def _parts(widths: list[int], single: int, part: int) -> int:
    """Segments for units of the given widths; a wide unit (escape, surrogate pair) is never split over two."""
    if sum(widths) <= single:
        return 1
    segments, used = 1, 0
    for width in widths:
        if used + width > part:
            segments, used = segments + 1, 0
        used += width
    return segments


def size(text: str) -> SmsSize:
    """The size of `text` as a text message. An empty text is one segment."""
    if all(character in GSM_BASIC or character in GSM_EXTENDED for character in text):
        widths = [2 if character in GSM_EXTENDED else 1 for character in text]
        return SmsSize("GSM-7", sum(widths), _parts(widths, _GSM_SINGLE, _GSM_PART))
    widths = [2 if ord(character) > 0xFFFF else 1 for character in text]
    return SmsSize("UCS-2", sum(widths), _parts(widths, _UCS_SINGLE, _UCS_PART))


def to_gsm_spacing(text: str) -> str:
    """The same words with no-break and thin spaces as plain ones and typographic quotes as straight ones, so that a price or an
    apostrophe does not turn the whole message into UCS-2."""
    return text.translate(_PLAIN)


_PLAIN = str.maketrans(
    {"\u00a0": " ", "\u202f": " ", "\u2009": " ", "‘": "'", "’": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "…": "...",
     "\u200e": "", "\u200f": "", "\u061c": "", "−": "-"}
)  # fmt: skip
