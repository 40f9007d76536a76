"""What the verifier takes and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from approvals.drafts.facts import Channel

# block: never sent like this. person: may be right, but only a person can tell. note: worth showing beside the draft.
Severity = Literal["block", "person", "note"]
PartName = Literal["subject", "body"]

RULES: dict[str, str] = {
    "wrong_amount": "An amount that is no amount of this case, or not in this role",
    "wrong_currency": "A symbol, code or name of another currency",
    "wrong_invoice": "An invoice number that is not this invoice's",
    "wrong_date": "A date, weekday or number of days that does not follow from the facts",
    "unknown_link": "A link, domain, mail address or telephone number that is not ours for this case",
    "missing_payment_link": "No way to pay or to change the card",
    "threat_legal": "Legal action, collection, credit bureaus, shaming",
    "promise": "A guarantee about service, fees or refunds",
    "false_urgency": "A deadline or a consequence without ground, or shouting",
    "unauthorised_discount": "A discount, waiver, credit or instalment plan that is not offered in this case",
    "pii_leak": "A card number, security code, bank account, or somebody else's particulars",
    "placeholder": "A placeholder nobody filled in",
    "prompt_leak": "Words about the prompt, the model or the drafting",
    "injection_followed": "Something done because customer-written text asked for it",
    "wrong_language": "A passage in another language than the customer's",
    "wrong_name": "A name or form of address that is not in the facts",
    "too_long_sms": "A text message of more than two segments",
    "too_long": "A message longer than anybody reads",
    "empty": "A message without words",
    "state_claim": "A claim that something is paid, cancelled or closed",
    "header_injection": "A line break or control character in a header",
    "hidden_characters": "Characters that cannot be seen, reverse the text or pretend to be others",
    "slot_error": "A slot that is unknown or has no fact in this case",
    "fact_outside_slot": "A digit, date, link or name written out instead of named by slot",
    "language_unsupported": "A language we hold no word lists for",
    "forbidden_words": "Words this vendor does not want to use",
}


@dataclass(frozen=True, slots=True)
class DraftText:
    """A message as text, as it would be sent or as a person edited it."""

    subject: str
    body: str
    channel: Channel = "email"
    footer: str = ""
    """What of ours goes under a text message: of it only the length counts."""


@dataclass(frozen=True, slots=True)
class DraftPolicy:
    """What varies by vendor: lengths, whether a payment link must be there, and words the brand does not use."""

    max_sms_segments: int = 2
    max_body_characters: int = 4_000
    max_subject_characters: int = 150
    require_link: bool = True
    forbidden_words: tuple[str, ...] = ()
    one_strange_word: Severity = "block"
    """Of a single word that looks like a name nobody here has. A person may know whom it means; a model was told no name at all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule. `span` is (start, end) in the part's original text, or None when it is about the whole."""

    rule: str
    severity: Severity
    part: PartName
    span: tuple[int, int] | None
    found: str
    expected: str

    def as_dict(self) -> dict[str, object]:
        """A JSON-able form for logs and the review page. `found` may hold personal data: show it, do not store it."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "part": self.part,
            "span": list(self.span) if self.span else None,
            "found": self.found,
            "expected": self.expected,
        }


def is_sendable(findings: list[Finding]) -> bool:
    """Whether nothing found keeps the message from going out without a person."""
    return all(finding.severity == "note" for finding in findings)
