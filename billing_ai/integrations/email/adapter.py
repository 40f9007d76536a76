"""One mail to one person through Django's mail framework: SMTP, or any provider that django-anymail knows."""

from __future__ import annotations

import logging
import smtplib
from email.utils import parseaddr
from typing import Any

from anymail.exceptions import AnymailError
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import BadHeaderError, EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.validators import validate_email

from billing_ai.integrations.email.errors import anymail_meaning, smtp_meaning
from billing_ai.integrations.ports import LookUp, OutgoingMail, SentReceipt
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Terminal, Unknown
from billing_ai.kernel.ids import effect_key

logger = logging.getLogger(__name__)


class DjangoMail:
    """MailPort over the configured mail backend."""

    def send(self, mail: OutgoingMail, *, key: str) -> SentReceipt:
        """Hand over one mail under a Message-ID that the same key always gives. Raises Retryable, Terminal, Unknown."""
        message = _message(mail, key)
        connection = get_connection(fail_silently=False)
        sending = _Sending()
        try:
            connection.open()
            sending.watch(connection)
            count = connection.send_messages([message])
        except AnymailError as error:
            raise anymail_meaning(error) from error
        except (BadHeaderError, UnicodeError) as error:
            raise Terminal("mail.bad_header", "The message's subject or an address cannot be written as mail. Nothing was sent.") from error
        except (smtplib.SMTPException, OSError) as error:
            raise smtp_meaning(error, was_connected=sending.is_connected, words_were_sent=sending.has_begun) from error
        finally:
            _close(connection)
        if not count:
            raise Terminal("mail.not_sent", "The mail backend took nothing.")
        return SentReceipt(reference=message_id(key), accepted_at=clock.now())

    def look_up(self, key: str) -> LookUp:
        """Always raises Unknown: mail that was handed over cannot be asked for. The sentence names what to look for."""
        raise Unknown(
            "mail.no_look_up",
            f"Mail cannot be asked whether it arrived. Look for the Message-ID {message_id(key)} at the mail server, then decide.",
        )


def message_id(key: str) -> str:
    """The Message-ID that a key always gives: `<…@the sender's domain>`."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{effect_key('mail', key)[:40]}@{domain}>"


class _Sending:
    """Knows whether the words themselves have begun to go out: from then on a lost answer leaves it open whether they arrived."""

    def __init__(self) -> None:
        self.is_connected = False
        self.has_begun = False

    def watch(self, backend: BaseEmailBackend) -> None:
        self.is_connected = True
        connection: Any = getattr(backend, "connection", None)
        if not isinstance(connection, smtplib.SMTP):
            return
        transmit = connection.data

        def data(words: Any) -> Any:
            self.has_begun = True
            return transmit(words)

        # Shadows the method on this one connection; smtplib calls it between RCPT and the last answer.
        vars(connection)["data"] = data


def _close(connection: BaseEmailBackend) -> None:
    try:
        connection.close()
    except (smtplib.SMTPException, OSError) as error:
        # The mail is out by now; a broken farewell does not change that.
        logger.info("mail.close_failed", extra={"error": type(error).__name__})


def _message(mail: OutgoingMail, key: str) -> EmailMultiAlternatives:
    """Raises Terminal on anything that could put words of the message into its headers."""
    one_line = {
        "subject": mail.subject,
        "address": mail.to_address,
        "name": mail.to_name,
        "sender": mail.from_address,
        "reply address": mail.reply_to,
        "unsubscribe address": mail.unsubscribe_address,
        "unsubscribe link": mail.unsubscribe_url,
        "language": mail.language,
    }
    for what, value in one_line.items():
        if any(not character.isprintable() for character in value):
            raise Terminal(
                "mail.header_injection", f"The {what} of the message holds a line break or a control character. Nothing was sent."
            )
    for what in ("address", "reply address", "unsubscribe address"):
        if one_line[what] or what == "address":
            _check_address(one_line[what], what)
    if not key:
        raise Terminal("mail.no_key", "A mail needs an idempotency key. Nothing was sent.")
    headers = {"Message-ID": message_id(key), "Auto-Submitted": "auto-generated", "Content-Language": mail.language}
    headers.update(_unsubscribe_headers(mail))
    message = EmailMultiAlternatives(
        subject=mail.subject,
        body=mail.text,
        from_email=mail.from_address or settings.DEFAULT_FROM_EMAIL,
        to=[_named(mail.to_name, mail.to_address)],
        reply_to=[mail.reply_to] if mail.reply_to else None,
        headers=headers,
    )
    if mail.html:
        message.attach_alternative(mail.html, "text/html")
    return message


def _named(name: str, address: str) -> str:
    if not name:
        return address
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{address}>'


def _check_address(address: str, what: str) -> None:
    try:
        validate_email(address)
    except ValidationError as error:
        raise Terminal("mail.bad_address", f"The {what} is no e-mail address. Nothing was sent.") from error


def _unsubscribe_headers(mail: OutgoingMail) -> dict[str, str]:
    """RFC 2369 and, with an https link, RFC 8058 one-click."""
    ways = []
    headers: dict[str, str] = {}
    if mail.unsubscribe_url:
        if not mail.unsubscribe_url.startswith(("https://", "http://")) or any(sign in mail.unsubscribe_url for sign in "<>, "):
            raise Terminal("mail.bad_unsubscribe_link", "The unsubscribe link is no web address. Nothing was sent.")
        ways.append(f"<{mail.unsubscribe_url}>")
        if mail.unsubscribe_url.startswith("https://"):
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if mail.unsubscribe_address:
        ways.append(f"<mailto:{mail.unsubscribe_address}?subject=unsubscribe>")
    if ways:
        headers["List-Unsubscribe"] = ", ".join(ways)
    return headers
