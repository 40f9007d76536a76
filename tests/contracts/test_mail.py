"""Mail, against an SMTP server that does exactly what the test says, phase by phase."""

from __future__ import annotations

import email
import email.policy
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anymail.exceptions import AnymailAPIError, AnymailRecipientsRefused, AnymailRequestsAPIError
from django.core import mail as django_mail

from billing_ai.integrations import registry
from billing_ai.integrations.email.adapter import DjangoMail, message_id
from billing_ai.integrations.email.errors import anymail_meaning
from billing_ai.integrations.ports import OutgoingMail
from billing_ai.kernel.errors import Away, OutsideError, Retryable, Terminal, Unknown

MAIL = OutgoingMail(
    to_address="ada@example.com",
    to_name='Ada "the first" Löwe',
    subject="Ihre Zahlung über 49,00 €",
    text="Guten Tag",
    html="<p>Guten Tag</p>",
    language="de",
    reply_to="hilfe@northwind.example",
    unsubscribe_url="https://northwind.example/u/1",
    unsubscribe_address="u@northwind.example",
)
HANG_UP = "hang up"


class ScriptedSmtp:
    """Answers each verb with what the script says, or with success; `HANG_UP` closes the connection instead."""

    def __init__(self, script: dict[str, str]) -> None:
        self.script = script
        self.received: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for a connection
        self._listener.close()
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._listener.accept()
                with connection, connection.makefile("rwb") as lines:
                    self._talk(lines)
        except OSError:
            return  # the listener was closed: the test is over

    def _talk(self, lines: Any) -> None:
        if not self._answer(lines, "CONNECT", "220 ready"):
            return
        for line in lines:
            verb = line.split()[0].upper().decode()
            if verb == "DATA":
                if not self._answer(lines, "DATA", "354 go on"):
                    return
                words = b"".join(iter(lambda: lines.readline(), b".\r\n")) if self.script.get("DATA", "354")[:3] == "354" else b""
                if words:
                    self.received.append(words)
                    if not self._answer(lines, "WORDS", "250 taken"):
                        return
            elif not self._answer(lines, verb, "221 bye" if verb == "QUIT" else "250 ok") or verb == "QUIT":
                return

    def _answer(self, lines: Any, phase: str, otherwise: str) -> bool:
        answer = self.script.get(phase, otherwise)
        if answer == HANG_UP:
            return False
        lines.write(answer.encode() + b"\r\n")
        lines.flush()
        return True


@pytest.fixture
def smtp(settings: Any) -> Iterator[Callable[..., ScriptedSmtp]]:
    servers: list[ScriptedSmtp] = []

    def start(**script: str) -> ScriptedSmtp:
        server = ScriptedSmtp(script)
        servers.append(server)
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", server.port, 5
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        return server

    yield start
    for server in servers:
        server.close()


def failure(server: ScriptedSmtp) -> OutsideError:
    with pytest.raises(OutsideError) as caught:
        registry.mail().send(MAIL, key="k")
    return caught.value


def test_the_mail_that_goes_out(smtp: Callable[..., ScriptedSmtp]) -> None:
    server = smtp()
    receipt = registry.mail().send(MAIL, key="k")
    [words] = server.received
    message = email.message_from_bytes(words, policy=email.policy.default)
    assert message["Message-ID"] == receipt.reference == message_id("k")
    assert message["Subject"] == MAIL.subject
    assert message["To"].addresses[0].display_name == MAIL.to_name
    assert message["To"].addresses[0].addr_spec == "ada@example.com"
    assert message["Reply-To"] == "hilfe@northwind.example"
    assert message["Content-Language"] == "de"
    assert message["List-Unsubscribe"] == "<https://northwind.example/u/1>, <mailto:u@northwind.example?subject=unsubscribe>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert [part.get_content_type() for part in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]


def test_the_same_key_gives_the_same_message_id_and_another_another() -> None:
    assert message_id("k") == message_id("k") != message_id("other")
    assert message_id("k").endswith("@northwind.example>")


@pytest.mark.parametrize(
    ("phase", "kind", "sentence"),
    [
        ("CONNECT", Away, "The mail server could not be reached. Nothing was sent."),
        # it may be this sender or this recipient that it does not like
        ("MAIL", Retryable, "The mail server ended the connection. Nothing was sent."),
        ("RCPT", Retryable, "The mail server ended the connection. Nothing was sent."),
    ],
)
def test_a_connection_that_breaks_before_the_words_sent_nothing(
    phase: str, kind: type, sentence: str, smtp: Callable[..., ScriptedSmtp]
) -> None:
    server = smtp(**{phase: HANG_UP})
    error = failure(server)
    assert type(error) is kind
    assert error.sentence == sentence
    assert server.received == []


def test_a_server_that_is_not_there(smtp: Callable[..., ScriptedSmtp]) -> None:
    server = smtp()
    server.close()
    assert isinstance(failure(server), Away)


def test_an_answer_lost_after_the_words_leaves_it_open(smtp: Callable[..., ScriptedSmtp]) -> None:
    server = smtp(WORDS=HANG_UP)
    error = failure(server)
    assert isinstance(error, Unknown)
    assert error.code == "mail.answer_lost"
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        ({"RCPT": "550 no such user"}, Terminal, "mail.recipient_refused"),
        ({"RCPT": "450 greylisted"}, Retryable, "mail.recipient_refused"),
        ({"MAIL": "553 not yours"}, Terminal, "mail.sender_refused"),
        ({"MAIL": "451 later"}, Retryable, "mail.sender_refused"),
        ({"DATA": "554 no"}, Terminal, "mail.refused"),
        ({"WORDS": "554 spam"}, Terminal, "mail.refused"),
        ({"WORDS": "452 full"}, Retryable, "mail.refused"),
        ({"CONNECT": "554 go away"}, Terminal, "mail.unreachable"),
        ({"CONNECT": "421 busy"}, Away, "mail.unreachable"),
        ({"RCPT": "421 closing down"}, Away, "mail.recipient_refused"),
    ],
)
def test_a_refusal_is_certain(script: dict[str, str], kind: type, code: str, smtp: Callable[..., ScriptedSmtp]) -> None:
    error = failure(smtp(**script))
    assert type(error) is kind
    assert error.code == code


def test_a_farewell_that_fails_changes_nothing(smtp: Callable[..., ScriptedSmtp]) -> None:
    server = smtp(QUIT=HANG_UP)
    assert registry.mail().send(MAIL, key="k").reference == message_id("k")
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("subject", "Hi\nBcc: everyone@example.com", "mail.header_injection"),
        ("subject", "Hi\r\n\r\n<script>", "mail.header_injection"),
        ("to_name", "Ada\nBcc: x@example.com", "mail.header_injection"),
        ("to_address", "ada@example.com\nBcc: x@example.com", "mail.header_injection"),
        ("reply_to", "a@example.com\x00", "mail.header_injection"),
        ("unsubscribe_url", "https://x.test/\nX: y", "mail.header_injection"),
        ("language", "de\nX: y", "mail.header_injection"),
        ("to_address", "ada@example.com, eve@example.com", "mail.bad_address"),
        ("to_address", "", "mail.bad_address"),
        ("to_address", "Ada <ada@example.com>", "mail.bad_address"),
        ("unsubscribe_url", "javascript:alert(1)", "mail.bad_unsubscribe_link"),
        ("unsubscribe_url", "https://x.test/>, <mailto:x@example.com", "mail.bad_unsubscribe_link"),
    ],
)
def test_nothing_can_be_put_into_the_headers(field: str, value: str, code: str) -> None:
    from dataclasses import replace

    with pytest.raises(Terminal) as caught:
        DjangoMail().send(replace(MAIL, **{field: value}), key="k")
    assert caught.value.code == code
    assert django_mail.outbox == []


def test_mail_cannot_be_asked_and_says_what_to_look_for() -> None:
    with pytest.raises(Unknown) as caught:
        registry.mail().look_up("k")
    assert message_id("k") in caught.value.sentence


class _Answer:
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code
        self.reason = self.text = ""
        self.request = None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AnymailRequestsAPIError("x", response=_Answer(429)), Away),
        (AnymailRequestsAPIError("x", response=_Answer(401)), Terminal),
        (AnymailRequestsAPIError("x", response=_Answer(422)), Terminal),
        (AnymailRequestsAPIError("x", response=_Answer(500)), Unknown),
        (AnymailAPIError("connection lost"), Unknown),
        (AnymailRecipientsRefused("x"), Terminal),
    ],
)
def test_a_mail_providers_errors(error: Any, kind: type) -> None:
    assert type(anymail_meaning(error)) is kind
