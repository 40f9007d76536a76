"""Check an evidence pack with nothing but Python 3.11 (and, for the signatures, the package `cryptography` or openssl).

    python check.py pack.zip [public key in hex]

This file needs nothing of the system that made the pack; each pack carries a copy. What it checks:
1. every file of the pack has the SHA-256 that manifest.json says, and the manifest is signed (Ed25519);
2. every ledger entry has the hash it claims: SHA-256(hash before it || its id in 8 bytes, big-endian || SHA-256(content)), where content is the
   JSON array of the columns in CONTENT, UTF-8, without spaces;
3. from every entry the chain leads, link by link, to a head that a signed checkpoint names, and the Merkle root of its heads is the signed one.
Ask the sender for the public key on another way than the pack itself.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

CONTENT = (
    "writer", "serial", "at", "kind", "actor_kind", "actor_id", "actor_label", "trace_id", "chargebee_event_id", "chargebee_customer_id",
    "chargebee_invoice_id", "case_id", "subject_kind", "subject_id", "agent", "prompt_hash", "model", "data",
)  # fmt: skip
UNLISTED = {"manifest.json", "manifest.sig"}


def content_hash(entry: dict[str, Any]) -> bytes:
    """SHA-256 of an entry's content, as ledger.jsonl shows it."""
    text = json.dumps([entry[name] for name in CONTENT], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def link(previous: bytes, entry_id: int, content: bytes) -> bytes:
    """The hash of an entry, from the one before it."""
    return hashlib.sha256(previous + entry_id.to_bytes(8, "big") + content).digest()


def merkle_root(heads: list[list[Any]]) -> bytes:
    """Root over [writer, position, hash] in order of writer."""
    level = [hashlib.sha256(b"\x00" + json.dumps(head, separators=(",", ":")).encode()).digest() for head in sorted(heads)]
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\x01" + level[n] + level[n + 1]).digest() for n in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) & ~1 :]
    return level[0] if level else bytes(32)


def signed_text(checkpoint: dict[str, Any]) -> bytes:
    """What a checkpoint's hash and signature cover."""
    return json.dumps(
        {name: checkpoint[name] for name in ("at", "entries", "number", "previous", "root")}, sort_keys=True, separators=(",", ":")
    ).encode()


def check(pack: zipfile.ZipFile, public_key: str = "") -> Iterator[str]:
    """What is wrong with the pack, one sentence each; nothing when all is well. Raises KeyError or ValueError on a foreign file."""
    manifest_text = pack.read("manifest.json")
    manifest = json.loads(manifest_text)
    key = public_key or manifest["public_key"]
    if manifest["public_key"] != key:
        yield f"the pack was signed by another key: {manifest['public_key']}"
    yield from _check_signature(key, pack.read("manifest.sig"), manifest_text, "manifest.json")
    names = pack.namelist()
    for name in sorted(set(names) - set(manifest["files"]) - UNLISTED) + sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} does not belong to the pack"
    for name, digest in manifest["files"].items():
        if name not in names:
            yield f"{name} is missing"
        elif _digest(pack, name) != digest:
            yield f"{name} was changed"
    yield from _check_ledger(pack, key)


def _check_ledger(pack: zipfile.ZipFile, key: str) -> Iterator[str]:
    heads: dict[tuple[int, str], tuple[int, str]] = {}
    for told in _lines(pack, "checkpoints.jsonl"):
        number = told["number"]
        if hashlib.sha256(signed_text(told)).hexdigest() != told["hash"] or merkle_root(told["heads"]).hex() != told["root"]:
            yield f"checkpoint {number} was changed"
        if told["public_key"] == key:
            yield from _check_signature(key, bytes.fromhex(told["signature"]), signed_text(told), f"checkpoint {number}")
        elif told["public_key"] in json.loads(pack.read("manifest.json")).get("retired_public_keys", []):
            yield from _check_signature(told["public_key"], bytes.fromhex(told["signature"]), signed_text(told), f"checkpoint {number}")
        else:
            yield f"checkpoint {number} was signed by a key that the pack does not name"
        heads.update({(number, writer): (position, entry_hash) for writer, position, entry_hash in told["heads"]})
    proofs = _lines(pack, "proof.jsonl")
    segment: dict[str, Any] | None = None
    proven: dict[int, str] = {}
    for entry in _lines(pack, "ledger.jsonl"):
        content = content_hash(entry)
        if link(bytes.fromhex(entry["prev_hash"]), entry["id"], content).hex() != entry["hash"]:
            yield f"entry {entry['id']} was changed"
        if segment is None or segment["writer"] != entry["writer"] or entry["position"] > segment["links"][-1][0]:
            segment = next(proofs, None)
            if segment is None or segment["writer"] != entry["writer"]:
                yield f"entry {entry['id']} has no proof"
                segment = None
                continue
            previous, proven = bytes.fromhex(segment["previous"]), {}
            for position, entry_id, hashed in segment["links"]:
                previous = link(previous, entry_id, bytes.fromhex(hashed))
                proven[position] = previous.hex()
            if heads.get((segment["checkpoint"], segment["writer"])) != (segment["links"][-1][0], previous.hex()):
                yield f"the proof of entry {entry['id']} does not lead to checkpoint {segment['checkpoint']}"
        if proven.get(entry["position"]) != entry["hash"]:
            yield f"entry {entry['id']} is not the one that was checkpointed"


def _check_signature(key: str, signature: bytes, text: bytes, name: str) -> Iterator[str]:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        yield (
            f"the signature of {name} was not checked, as the package `cryptography` is missing"
            " (openssl pkeyutl -verify -pubin -inkey public_key.pem -rawin -in manifest.json -sigfile manifest.sig)"
        )
        return
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, text)
    except (InvalidSignature, ValueError):
        yield f"the signature of {name} is not that of the key {key}"


def _lines(pack: zipfile.ZipFile, name: str) -> Iterator[dict[str, Any]]:
    with pack.open(name) as file:
        for line in file:
            yield json.loads(line)


def _digest(pack: zipfile.ZipFile, name: str) -> str:
    with pack.open(name) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # typeshed asks for readinto, which ZipExtFile has by its base


def main() -> None:
    """Check the pack that the command line names; exit code 1 when something is wrong."""
    with zipfile.ZipFile(sys.argv[1]) as pack:
        wrong = list(check(pack, sys.argv[2] if len(sys.argv) > 2 else ""))
        about = json.loads(pack.read("manifest.json"))
    sys.stdout.write("\n".join(wrong or [f"whole; signed by {about['public_key']}"]) + "\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
