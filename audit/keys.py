"""The master key and what hangs from it: wrapped customer keys, and the audit's own secret for marks and signatures.

The master key comes from the settings (`MASTER_KEY`, and `MASTER_KEYS_OLD` while rotating) and is never in the database.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

_NONCE = 12


class MasterKeyMissing(Exception):
    """Something is wrapped by a master key that the settings no longer hold."""


class Forged(Exception):
    """A sealed text or a wrapped key is not what was stored, or belongs to another customer."""


def fingerprint(master: bytes) -> str:
    """16 hex digits that name a master key without telling anything about it."""
    return hashlib.sha256(b"master-key-fingerprint:" + master).hexdigest()[:16]


def masters() -> dict[str, bytes]:
    """All configured master keys by fingerprint, the present one first."""
    return {fingerprint(key): key for key in (settings.MASTER_KEY, *settings.MASTER_KEYS_OLD)}


def encrypt(key: bytes, text: bytes, bound_to: bytes) -> bytes:
    """AES-256-GCM: a version byte, a fresh nonce, the ciphertext with its tag."""
    nonce = os.urandom(_NONCE)
    return b"\x01" + nonce + AESGCM(key).encrypt(nonce, text, bound_to)


def decrypt(key: bytes, blob: bytes | memoryview, bound_to: bytes) -> bytes:
    """The text that `encrypt` took. Raises Forged."""
    blob = bytes(blob)
    if blob[:1] != b"\x01" or len(blob) < 1 + _NONCE + 16:
        raise Forged("not a sealed text of version 1")
    try:
        return AESGCM(key).decrypt(blob[1 : 1 + _NONCE], blob[1 + _NONCE :], bound_to)
    except InvalidTag as error:
        raise Forged("the sealed text was changed, or belongs to someone else") from error


def wrap(key: bytes, bound_to: str) -> tuple[bytes, str]:
    """A key under the present master key, and that master key's fingerprint."""
    return encrypt(settings.MASTER_KEY, key, b"wrapped-key:" + bound_to.encode()), fingerprint(settings.MASTER_KEY)


def unwrap(wrapped: bytes | memoryview, wrapped_by: str, bound_to: str) -> bytes:
    """The key that was wrapped. Raises MasterKeyMissing, Forged."""
    master = masters().get(wrapped_by)
    if master is None:
        raise MasterKeyMissing(f"wrapped by master key {wrapped_by}, which neither MASTER_KEY nor MASTER_KEYS_OLD holds")
    return decrypt(master, wrapped, b"wrapped-key:" + bound_to.encode())


@lru_cache(maxsize=16)
def audit_secret(master: bytes) -> bytes:
    """The audit's own secret, derived from a master key."""
    return hmac.new(master, b"billing-ai audit secret v1", hashlib.sha256).digest()


@lru_cache(maxsize=16)
def mark_key(secret: bytes) -> bytes:
    """The key of the marks on ledger entries."""
    return hmac.new(secret, b"entry mark", hashlib.sha256).digest()


@lru_cache(maxsize=16)
def signing_key(secret: bytes) -> Ed25519PrivateKey:
    """The key that signs checkpoints and evidence packs."""
    return Ed25519PrivateKey.from_private_bytes(hmac.new(secret, b"signature", hashlib.sha256).digest())


def mark(content_hash: bytes) -> bytes:
    """HMAC-SHA-256 of a content hash under the present mark key."""
    return hmac.digest(mark_key(audit_secret(settings.MASTER_KEY)), content_hash, "sha256")


def public_key(secret: bytes) -> bytes:
    """32 bytes of Ed25519 public key."""
    return signing_key(secret).public_key().public_bytes_raw()


def sign(message: bytes) -> tuple[bytes, bytes]:
    """Ed25519 signature by the present key, and its public key."""
    secret = audit_secret(settings.MASTER_KEY)
    return signing_key(secret).sign(message), public_key(secret)


def known_secrets() -> list[bytes]:
    """The audit secrets that were ever in use: present, being rotated, and retired ones. Raises MasterKeyMissing, Forged."""
    from audit.models import RetiredSecret

    secrets = [audit_secret(key) for key in masters().values()]
    for row in RetiredSecret.objects.order_by("retired_at"):
        secret = unwrap(row.wrapped, row.wrapped_by, f"retired:{row.fingerprint}")
        if secret not in secrets:
            secrets.append(secret)
    return secrets
