"""RFC 3161: someone else signs that a checkpoint was there at a time. The token is kept beside the checkpoint; `openssl ts -verify` checks it without us.

A checkpoint's hash covers the one before it, so that one token an hour proves the age of everything up to there. The time-stamp service sees a
hash and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

import httpx
from cryptography import x509
from django.conf import settings
from django.db import transaction
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)
from rfc3161_client.tsp import PKIStatus

from audit.models import Checkpoint, CheckpointStamp
from audit.statement import text_of
from billing_ai.kernel import clock

EVERY = timedelta(hours=1)
TIMEOUT_SECONDS = 10.0
_LONGEST_ANSWER = 64 * 1024


class BadStamp(ValueError):
    """A time stamp that is none, is about something else, or that nobody whom we trust has signed."""


class TimeStampSink:
    """A time-stamp service, as a place outside: it holds no lines, but what it has signed cannot be made later."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = f"tsa+{httpx.URL(url).copy_with(username=None, password=None, query=None)}"

    def last_number(self) -> int:
        """The newest checkpoint that it has stamped; while that is younger than an hour, it needs no newer one."""
        newest = Checkpoint.objects.order_by("-number").values_list("number", flat=True).first() or 0
        last = CheckpointStamp.objects.filter(place=self.name).order_by("-checkpoint_id").first()
        if last is None:
            return 0
        return newest if clock.now() - last.at < EVERY else last.checkpoint_id

    def write(self, lines: Iterable[tuple[int, str]]) -> None:
        """Have the last of them stamped; it covers the others."""
        numbers = [number for number, _ in lines]
        if not numbers:
            return
        found = Checkpoint.objects.get(pk=max(numbers))
        token = self._ask(text_of(found))
        try:
            check(token, bytes(found.hash))
        except BadStamp as error:
            raise OSError(f"{self.name}: {error}") from error
        with transaction.atomic():
            CheckpointStamp.objects.get_or_create(checkpoint=found, place=self.name, defaults={"token": token, "at": clock.now()})

    def lines(self, after: int = 0) -> Iterator[str]:
        return iter(())

    def _ask(self, text: bytes) -> bytes:
        request = (
            TimestampRequestBuilder().data(text).hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=True).cert_request(cert_request=True)
        )
        headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
        try:
            answer = httpx.post(self.url, content=request.build().as_bytes(), headers=headers, timeout=TIMEOUT_SECONDS)
        except httpx.HTTPError as error:
            raise OSError(f"{self.name}: no answer ({type(error).__name__})") from error
        if answer.status_code != 200 or len(answer.content) > _LONGEST_ANSWER:
            raise OSError(f"{self.name}: answered {answer.status_code}")
        return answer.content


def check(token: bytes, digest: bytes) -> TimeStampResponse:
    """That the token is about this SHA-256, and, with `AUDIT_TSA_ROOTS` set, that a service under these roots has signed it. Raises BadStamp."""
    try:
        answer = decode_timestamp_response(token)
        if PKIStatus(answer.status) not in (PKIStatus.GRANTED, PKIStatus.GRANTED_WITH_MODS):
            raise BadStamp(f"the service did not grant it (status {answer.status})")
        about = bytes(answer.tst_info.message_imprint.message)
    except BadStamp:
        raise
    except ValueError as error:
        raise BadStamp("this is no time stamp") from error
    if about != digest:
        raise BadStamp("the time stamp is about something else")
    if settings.AUDIT_TSA_ROOTS:
        builder = VerifierBuilder(roots=x509.load_pem_x509_certificates(settings.AUDIT_TSA_ROOTS.read_bytes()), intermediates=[])
        try:
            builder.build().verify(answer, digest)
        except (VerificationError, ValueError) as error:
            raise BadStamp(f"the time stamp was not signed by whom AUDIT_TSA_ROOTS names: {error}") from error
    return answer
