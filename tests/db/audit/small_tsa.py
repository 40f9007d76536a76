"""A time-stamp service of the tests' own: `openssl ts` behind HTTP, with a root certificate made for it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.serving import serving

OPENSSL = shutil.which("openssl")
_CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa]
default_tsa = service
[service]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/leaf.pem
signer_key = {folder}/leaf.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    assert OPENSSL is not None
    return subprocess.run([OPENSSL, *map(str, arguments)], capture_output=True, check=False, timeout=60)


def make_authority(folder: Path) -> Path:
    """A root and a service's certificate under it; gives the root's file."""
    folder.mkdir(parents=True)
    (folder / "serial").write_text("01\n")
    for name in ("root", "leaf"):
        (folder / f"{name}.cnf").write_text(_CONFIG.format(name=f"{name} of {folder.name}", folder=folder))
        key = ("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / f"{name}.key")
        assert openssl(*key).returncode == 0
    root = folder / "root.pem"
    steps: list[tuple[str | Path, ...]] = [
        ("req", "-x509", "-new", "-key", folder / "root.key", "-config", folder / "root.cnf", "-extensions", "root", "-days", "3650", "-out", root),
        ("req", "-new", "-key", folder / "leaf.key", "-config", folder / "leaf.cnf", "-out", folder / "leaf.csr"),
        ("x509", "-req", "-in", folder / "leaf.csr", "-CA", root, "-CAkey", folder / "root.key", "-extfile", folder / "leaf.cnf", "-extensions",
         "leaf", "-days", "3650", "-set_serial", "2", "-out", folder / "leaf.pem"),
    ]  # fmt: skip
    for step in steps:
        done = openssl(*step)
        assert done.returncode == 0, done.stderr.decode()
    return root


class SmallTsa(ThreadingHTTPServer):
    """Answers each query with a signed time stamp; `refuses` with 503."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.refuses, self.asked = folder, False, 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/tsr"


@contextmanager
def small_tsa(folder: Path) -> Iterator[SmallTsa]:
    server = SmallTsa(folder)
    with serving(server):
        yield server


class _Handler(BaseHTTPRequestHandler):
    server: SmallTsa

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        folder = self.server.folder
        self.server.asked += 1
        query, reply = folder / f"{self.server.asked}.tsq", folder / f"{self.server.asked}.tsr"
        query.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        done = openssl("ts", "-reply", "-queryfile", query, "-config", folder / "leaf.cnf", "-section", "service", "-out", reply)
        body = reply.read_bytes() if reply.exists() else done.stderr
        self.send_response(503 if self.server.refuses or not reply.exists() else 200)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
