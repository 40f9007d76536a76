"""A place for checkpoints that cannot be read from its URL stops the start, not the first sweep."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error

from audit.sinks import BadPlace, sink_of


def check_places(**_: Any) -> list[CheckMessage]:
    """Every URL of `AUDIT_CHECKPOINTS` names a place, and `AUDIT_TSA_ROOTS` holds certificates."""
    found: list[CheckMessage] = []
    for url in settings.AUDIT_CHECKPOINTS:
        try:
            sink_of(url)
        except BadPlace as error:
            found.append(Error(f"AUDIT_CHECKPOINTS: {error}", id="audit.E001"))
    if settings.AUDIT_TSA_ROOTS is not None:
        from cryptography import x509  # slow to load, and without time stamps no process needs it

        try:
            x509.load_pem_x509_certificates(settings.AUDIT_TSA_ROOTS.read_bytes())
        except (OSError, ValueError) as error:
            found.append(Error(f"AUDIT_TSA_ROOTS: {settings.AUDIT_TSA_ROOTS} holds no PEM certificates ({error})", id="audit.E002"))
    return found
