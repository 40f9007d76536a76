"""The customers' mailboxes: a real SMTP server keeps what arrives."""

from __future__ import annotations

import email
import email.message
import email.policy
import email.utils
import re
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from billing_ai.simulator import seen
from billing_ai.simulator.faults import Faults
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

LARGEST_MAIL = 10 * 1024 * 1024
_LINK = re.compile(r"https?://[^\s<>\"')\]]+")


class Mailbox:
    """aiosmtpd's handler: each recipient of a message gets it in their box."""

    def __init__(self, site: Site, faults: Faults) -> None:
        self._site = site
        self._faults = faults

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        fault = self._faults.take("SMTP", "/smtp")
        if fault is not None and fault.get("status"):
            return f"{fault['status']} {fault.get('text', 'Requested action not taken')}"
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        message = email.message_from_bytes(content, policy=email.policy.default)
        with self._site.store.writing():
            for recipient in envelope.rcpt_tos:
                keep(self._site, recipient, envelope.mail_from or "", message)
        return "250 2.0.0 Message accepted for delivery"


def keep(site: Site, recipient: str, sender: str, message: email.message.EmailMessage) -> Thing:
    """Put a message into a box."""
    text, html = _part(message, "plain"), _part(message, "html")
    address = email.utils.parseaddr(recipient)[1].lower()
    mail: Thing = {
        "id": f"mail_{site.store.next_number('mail')}",
        "to": address,
        "from": str(message.get("From", sender)),
        "envelope_from": sender,
        "reply_to": str(message.get("Reply-To", "")),
        "subject": str(message.get("Subject", "")),
        "message_id": str(message.get("Message-ID", "")),
        "headers": {name: str(value) for name, value in message.items()},
        "text": text,
        "html": html,
        "links": list(dict.fromkeys(_LINK.findall(text) + _LINK.findall(html.replace("&amp;", "&")))),
        "attachments": [part.get_filename() or "attachment" for part in message.iter_attachments()],
        "customer_id": customer_at(site, address),
        "at": site.now(),
    }
    site.store.put("mail", mail)
    seen.note(site, "mail", "mail received", address, {"subject": mail["subject"], "mail_id": mail["id"]}, 250)
    return mail


def customer_at(site: Site, address: str) -> str | None:
    """Whose address it is, when it is a customer's."""
    found = site.store.first("customer", "json_extract(body,'$.email') = ?", (address,))
    return found["id"] if found else None


def _part(message: email.message.EmailMessage, kind: str) -> str:
    body = message.get_body(preferencelist=(kind,))
    if body is None:
        return ""
    found: Any = body.get_content()
    return str(found)


def _any_login(server: SMTP, session: Session, envelope: Envelope, mechanism: str, auth_data: Any) -> AuthResult:
    """Any user name and password will do: the box is a simulation."""
    return AuthResult(success=isinstance(auth_data, LoginPassword))


def smtp_protocol(site: Site, faults: Faults) -> SMTP:
    """One connection's protocol."""
    return SMTP(
        Mailbox(site, faults),
        hostname="mail.simulator.example",
        ident="billing simulator",
        data_size_limit=LARGEST_MAIL,
        enable_SMTPUTF8=True,
        authenticator=_any_login,
        auth_require_tls=False,
    )
