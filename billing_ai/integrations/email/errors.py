"""What a failure to hand over a mail means. Refused before the words were sent: nothing happened. Lost after: nobody knows."""

from __future__ import annotations

import smtplib
from datetime import timedelta

from anymail.exceptions import AnymailConfigurationError, AnymailError, AnymailRecipientsRefused, AnymailRequestsAPIError

from billing_ai.kernel.errors import Away, OutsideError, Retryable, Terminal, Unknown

_AFTER = timedelta(minutes=5)
_NOT_AVAILABLE = 421
"""RFC 5321: the server is closing down, whatever it was asked."""
_LOST = Unknown("mail.answer_lost", "The mail server took the words, and its answer was lost. The customer may have the message already.")


def smtp_meaning(error: smtplib.SMTPException | OSError, *, was_connected: bool, words_were_sent: bool) -> OutsideError:
    """The meaning of an SMTP failure; `was_connected` is true once the server has let us in, `words_were_sent` from the DATA command on."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return Terminal("mail.bad_credentials", "The mail server does not accept our credentials. Somebody has to set them anew.")
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _text in error.recipients.values()]
        return _refused(min(codes, default=550), "mail.recipient_refused", "The mail server does not take mail for the customer's address")
    if isinstance(error, smtplib.SMTPSenderRefused):
        return _refused(error.smtp_code, "mail.sender_refused", "The mail server does not let us send under our address")
    if isinstance(error, smtplib.SMTPDataError):
        return _refused(error.smtp_code, "mail.refused", "The mail server refuses the message")
    if isinstance(error, smtplib.SMTPConnectError | smtplib.SMTPHeloError):
        return _refused(error.smtp_code, "mail.unreachable", "The mail server does not take our connection", kind=Away)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Terminal("mail.not_supported", "The mail server cannot do what this message or our settings ask for.")
    if words_were_sent:
        return _LOST
    if was_connected:
        # It may be this sender or recipient that it hangs up on.
        return Retryable("mail.connection_lost", "The mail server ended the connection. Nothing was sent.", after=_AFTER)
    return Away("mail.unreachable", "The mail server could not be reached. Nothing was sent.")


def _refused(smtp_code: int, code: str, sentence: str, kind: type[Retryable] = Retryable) -> OutsideError:
    if 400 <= smtp_code < 500:
        kind = Away if smtp_code == _NOT_AVAILABLE else kind
        return kind(code, f"{sentence} at the moment (code {smtp_code}). Nothing was sent; it will be tried again.", after=_AFTER)
    return Terminal(code, f"{sentence} (code {smtp_code}). Nothing was sent.")


def anymail_meaning(error: AnymailError) -> OutsideError:
    """The meaning of a failure of a mail provider's API."""
    if isinstance(error, AnymailRecipientsRefused):
        return Terminal("mail.recipient_refused", "The mail provider does not take mail for the customer's address. Nothing was sent.")
    if isinstance(error, AnymailConfigurationError):
        return Terminal("mail.bad_settings", "The mail provider's settings are incomplete. Nothing was sent.")
    status = error.status_code if isinstance(error, AnymailRequestsAPIError) else None
    if status == 429:
        return Away("mail.rate_limited", "The mail provider asks us to slow down. Nothing was sent.", after=_AFTER)
    if status in (401, 403):
        return Terminal("mail.bad_credentials", "The mail provider does not accept our credentials. Somebody has to set them anew.")
    if status is not None and 400 <= status < 500:
        return Terminal("mail.refused", f"The mail provider refuses the message (status {status}). Nothing was sent.")
    return _LOST
