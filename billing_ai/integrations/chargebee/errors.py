"""Everything that a call to Chargebee can end with, other than well, and what it means for us. A closed table: nothing falls through it.

`meaning_of` is the only way out of here: whatever the SDK, httpx or a broken answer raises becomes Away, Retryable, Terminal or Unknown, with a
sentence for the person who has to decide. Source: Chargebee's error reference and the SDK 3.29.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

import httpx
from chargebee import APIError  # type: ignore[import-untyped]  # the SDK ships no py.typed

from billing_ai.integrations.http import Answer, retry_after, status_error, transport_error
from billing_ai.kernel.errors import Away, OutsideError, Retryable, Terminal, Unknown

VENDOR = "chargebee"
LABEL = "Chargebee"


class UnreadableAnswer(Exception):
    """An answer that is not Chargebee's JSON: HTML, nothing at all, cut off, or of another shape."""

    def __init__(self, answer: Answer, what: str) -> None:
        super().__init__(f"status {answer.status}: {what}")
        self.answer = answer
        self.what = what


class Declined(Terminal):
    """A payment was tried and refused: a finished answer. `gateway_code` and `cause` are what the gateway and Chargebee call the reason."""

    def __init__(self, code: str, sentence: str, *, gateway_code: str = "", cause: str = "") -> None:
        super().__init__(code, sentence, declined=True)
        self.gateway_code = gateway_code
        self.cause = cause


class _Kind(Enum):
    RETRYABLE = "nothing happened, again later"
    AWAY = "the same, and it concerns the whole site or all of our calls"
    TERMINAL = "nothing happened, and the same call will not do better"
    DECLINED = "the payment was refused"
    LOST = "a write may have happened, a read may be repeated"


@dataclass(frozen=True, slots=True)
class _Meaning:
    kind: _Kind
    sentence: str
    after: timedelta = timedelta(seconds=60)


_TABLE: Mapping[str, _Meaning] = {
    # -- payments
    "payment_processing_failed": _Meaning(_Kind.DECLINED, "The bank or the gateway declined the payment."),
    "payment_method_verification_failed": _Meaning(_Kind.DECLINED, "The payment method could not be verified."),
    "payment_gateway_currency_incompatible": _Meaning(_Kind.TERMINAL, "No payment gateway of the site takes this currency."),
    "payment_method_not_present": _Meaning(_Kind.TERMINAL, "The customer has no payment method on file."),
    "payment_intent_invalid": _Meaning(_Kind.TERMINAL, "The customer has to confirm this payment with their bank first."),
    "payment_intent_invalid_amount": _Meaning(_Kind.TERMINAL, "The amount differs from what the customer confirmed with their bank."),
    # -- the request
    "resource_not_found": _Meaning(_Kind.TERMINAL, "Chargebee has nothing under that id; it may have been deleted."),
    "resource_limit_exhausted": _Meaning(_Kind.TERMINAL, "Chargebee holds as many of these as it allows."),
    "param_wrong_value": _Meaning(_Kind.TERMINAL, "Chargebee does not accept one of the values."),
    "param_not_allowed": _Meaning(_Kind.TERMINAL, "Chargebee does not know one of the parameters."),
    "param_should_not_be_blank": _Meaning(_Kind.TERMINAL, "Chargebee misses one of the values."),
    "duplicate_entry": _Meaning(_Kind.TERMINAL, "Chargebee has one with that id already."),
    "db_connection_failure": _Meaning(_Kind.LOST, "Chargebee's database was away."),
    "invalid_state_for_request": _Meaning(
        _Kind.TERMINAL, "The record's present state does not allow this; it changed, or it was done already."
    ),
    "http_method_not_supported": _Meaning(_Kind.TERMINAL, "Chargebee does not offer this call."),
    "invalid_request": _Meaning(_Kind.TERMINAL, "Chargebee refuses the request as it was written."),
    "unable_to_process_request": _Meaning(_Kind.TERMINAL, "Chargebee cannot carry out this request."),
    "operation_not_allowed": _Meaning(_Kind.TERMINAL, "Chargebee does not allow this for this record."),
    "idempotency_key_reused": _Meaning(_Kind.TERMINAL, "This effect's key was used before with other values. Nothing was done this time."),
    # -- who we are, where we call
    "api_authentication_failed": _Meaning(_Kind.TERMINAL, "Chargebee does not accept the API key. Somebody has to set it anew."),
    "api_authorization_failed": _Meaning(_Kind.TERMINAL, "The API key may not do this."),
    "basic_authentication_failed": _Meaning(_Kind.TERMINAL, "Chargebee does not accept the API key. Somebody has to set it anew."),
    "site_not_found": _Meaning(_Kind.TERMINAL, "There is no Chargebee site of that name."),
    "site_not_ready": _Meaning(_Kind.AWAY, "The Chargebee site is still being set up.", timedelta(minutes=5)),
    "configuration_incompatible": _Meaning(
        _Kind.TERMINAL, "The site's configuration does not allow this; it may be on another Product Catalog."
    ),
    "api_version_not_supported": _Meaning(_Kind.TERMINAL, "The site does not answer this version of the API."),
    # -- not now
    "api_request_limit_exceeded": _Meaning(_Kind.AWAY, "Chargebee's limit of calls a minute is reached."),
    "third_party_api_request_limit_exceeded": _Meaning(_Kind.RETRYABLE, "A service behind Chargebee has reached its limit of calls."),
    "lock_timeout": _Meaning(_Kind.RETRYABLE, "Another change to the same record is going on in Chargebee.", timedelta(seconds=5)),
    "site_read_only_mode": _Meaning(_Kind.AWAY, "The Chargebee site takes no changes at present (maintenance).", timedelta(minutes=5)),
    # -- its own faults: what became of a write is not known
    "internal_error": _Meaning(_Kind.LOST, "Chargebee failed while it worked on this."),
    "internal_temporary_error": _Meaning(_Kind.LOST, "Chargebee is overloaded or under maintenance."),
    "gateway_timeout": _Meaning(_Kind.LOST, "Chargebee did not get an answer in time from a service behind it."),
}

SETTLED_BY_A_LOOK = "It may have been carried out; it has to be looked up before anything is repeated."


def meaning_of(error: Exception, *, operation: str, has_effect: bool) -> OutsideError | None:
    """What an exception from a call means, or None when it is none of Chargebee's (a fault of ours, to be seen as one).

    `operation` is `resource.verb` (`invoice.collect_payment`), `has_effect` is true for a write.
    """
    if isinstance(error, OutsideError):
        return error
    if isinstance(error, APIError):
        return _api_error(error, operation=operation, has_effect=has_effect)
    if isinstance(error, UnreadableAnswer):
        return _unreadable(error, operation=operation, has_effect=has_effect)
    if isinstance(error, httpx.HTTPError | httpx.InvalidURL | httpx.StreamError):
        return transport_error(error, vendor=VENDOR, label=LABEL, has_effect=has_effect)
    return None


def _api_error(error: APIError, *, operation: str, has_effect: bool) -> OutsideError:
    status = int(error.http_status_code or 0)
    api_code = str(error.api_error_code or "")
    meaning = _TABLE.get(api_code)
    headers = error.http_headers if error.http_headers is not None else {}
    if meaning is None:
        meaning = _by_status(status, str(error.type or ""))
    code = f"{VENDOR}.{api_code}" if api_code in _TABLE else f"{VENDOR}.status_{status}"
    sentence = meaning.sentence
    if status == 403:
        sentence = f"{sentence} {_missing_scope(operation)}"
    elif error.param and meaning.kind is _Kind.TERMINAL:
        sentence = f"{sentence} It names the parameter {str(error.param)[:80]}."
    if meaning.kind is _Kind.DECLINED:
        if status >= 500:
            return Unknown(code, f"{sentence} But it also reports a fault of its own. {SETTLED_BY_A_LOOK}")
        return Declined(code, sentence, gateway_code=str(error.error_code or ""), cause=str(error.error_cause_id or ""))
    if meaning.kind is _Kind.TERMINAL:
        return Terminal(code, sentence)
    after = retry_after(headers, meaning.after)
    if meaning.kind in (_Kind.RETRYABLE, _Kind.AWAY):
        return (Away if meaning.kind is _Kind.AWAY else Retryable)(
            code, f"{sentence} Nothing was done; it will be tried again.", after=after
        )
    if has_effect:
        return Unknown(code, f"{sentence} {SETTLED_BY_A_LOOK}")
    return Retryable(code, f"{sentence} It was only a look; it will be tried again.", after=min(after, timedelta(seconds=30)))


def _by_status(status: int, error_type: str) -> _Meaning:
    """For a code that the table does not hold: the status decides, and a payment is never repeated on a guess."""
    if status == 501:
        return _TABLE["http_method_not_supported"]
    if status >= 500:
        return _Meaning(_Kind.LOST, f"Chargebee has a fault of its own (status {status}).")
    if status == 429:
        return _Meaning(_Kind.AWAY, "Chargebee asks us to slow down.")
    if status == 401:
        return _TABLE["api_authentication_failed"]
    if status == 403:
        return _TABLE["api_authorization_failed"]
    if status == 404:
        return _TABLE["resource_not_found"]
    if status == 405:
        return _TABLE["http_method_not_supported"]
    if status == 409:
        return _TABLE["invalid_state_for_request"]
    if status == 422:
        return _TABLE["idempotency_key_reused"]
    if error_type == "payment":
        return _Meaning(_Kind.TERMINAL, "Chargebee could not take the payment.")
    return _Meaning(_Kind.TERMINAL, f"Chargebee refuses the request (status {status}).")


def _missing_scope(operation: str) -> str:
    resource, _, verb = operation.partition(".")
    access = "read" if verb.startswith(("retrieve", "list", "pdf", "payments_for", "subscription_entitlements")) else "write"
    resource = resource.replace("_", " ")
    return f"It lacks the scope “{access}: {resource}” ({operation}); widen the key in Chargebee under Settings › API keys."


def _unreadable(error: UnreadableAnswer, *, operation: str, has_effect: bool) -> OutsideError:
    answer = error.answer
    if answer.status >= 300 and answer.status != 403:
        return status_error(answer, vendor=VENDOR, label=LABEL, has_effect=has_effect)
    if answer.status == 403:
        return Terminal(f"{VENDOR}.forbidden", f"Chargebee, or a firewall before it, refuses the call. {_missing_scope(operation)}")
    sentence = f"Chargebee said that it went well, but its answer cannot be read ({error.what})."
    if has_effect:
        return Unknown(f"{VENDOR}.unreadable_answer", f"{sentence} {SETTLED_BY_A_LOOK}")
    return Retryable(f"{VENDOR}.unreadable_answer", f"{sentence} It will be read again.", after=timedelta(seconds=60))
