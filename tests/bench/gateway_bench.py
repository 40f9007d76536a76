"""What one call to Chargebee costs: the SDK over our pooled client, against the SDK as it comes. Run: `python -m tests.bench.gateway_bench`.

Both talk TLS to the same local server in a process of its own. Each round measures one of them in a fresh process, in the order A B B A, by
CPU time, which other load on the machine disturbs least. Ours includes everything around the call: circuit, budget, narrowing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.bench.report import Row, section

ROUNDS = 6
CALLS = 200
WARM_UP = 10
LINE = {
    "id": "li_1",
    "subscription_id": "sub_1",
    "amount": 4900,
    "description": "Pro, monthly",
    "date_from": 1_770_000_000,
    "object": "line_item",
}
INVOICE = {
    "id": "inv_1",
    "customer_id": "cus_1",
    "status": "not_paid",
    "currency_code": "EUR",
    "total": 49_000,
    "amount_due": 49_000,
    "date": 1_770_000_000,
    "resource_version": 1_770_000_000_000,
    "line_items": [LINE | {"id": f"li_{n}"} for n in range(10)],
    "linked_payments": [{"txn_id": f"txn_{n}", "txn_status": "failure", "txn_amount": 49_000} for n in range(3)],
    "dunning_attempts": [{"attempt": n, "transaction_id": f"txn_{n}", "txn_status": "failure"} for n in range(3)],
    "billing_address": {"first_name": "A", "country": "DE", "object": "billing_address"},
    "object": "invoice",
}


def make_certificate(folder: Path) -> None:
    """A certificate for 127.0.0.1, and a bundle that holds it besides the SDK's own roots, since parsing those is part of the cost."""
    import chargebee
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(private + pem)
    (folder / "bundle.pem").write_bytes(Path(chargebee.Chargebee.ca_cert_path).read_bytes() + b"\n" + pem)


class Server(ThreadingHTTPServer):
    """Counts the connections that it takes."""

    daemon_threads = True
    connections = 0

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().finish_request(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body go out in one packet; otherwise Nagle and delayed acknowledgements are what is measured.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        if self.path == "/connections":
            body, server.connections = json.dumps(server.connections).encode(), 0
        else:
            body = json.dumps({"invoice": INVOICE}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def serve(folder: Path) -> None:
    """Serve until standard input closes; print the port first."""
    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()


def measure(which: str, url: str, folder: Path) -> dict[str, float]:
    """CPU and wall milliseconds a call, of `pooled` or `sdk`, in this process."""
    call = _pooled(url, folder) if which == "pooled" else _as_it_comes(url, folder)
    for _ in range(WARM_UP):
        call()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(CALLS):
        assert call() == "inv_1"
    return {"cpu_ms": (time.process_time() - cpu) * 1000 / CALLS, "wall_ms": (time.perf_counter() - wall) * 1000 / CALLS}


def _pooled(url: str, folder: Path) -> Any:
    from django.conf import settings

    settings.configure(
        CHARGEBEE_SITE="bench",
        CHARGEBEE_API_KEY="k",
        CHARGEBEE_READ_API_KEY="k",
        CHARGEBEE_API_URL=url,
        CHARGEBEE_RATE_PER_MINUTE=3500,
        REDIS_URL=os.environ.get("REDIS_URL", ""),
        VAR_DIR=Path(tempfile.mkdtemp(dir=folder)),
        OUTSIDE_TIMEOUT_SECONDS=20.0,
    )
    os.environ["SSL_CERT_FILE"] = str(folder / "bundle.pem")  # httpx reads it when the one client is made
    from billing_ai.integrations.chargebee import reads

    return lambda: reads.retrieve_invoice("inv_1").id


def _as_it_comes(url: str, folder: Path) -> Any:
    from chargebee import Chargebee

    Chargebee.ca_cert_path = str(folder / "bundle.pem")
    site = Chargebee(api_key="k", site="bench")
    site.env.api_endpoint = url
    return lambda: site.Invoice.retrieve("inv_1").invoice.id


def _child(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.bench.gateway_bench", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _connections(url: str, folder: Path) -> int:
    """Connections since the last time this was asked, without the one that asks."""
    import httpx

    context = ssl.create_default_context(cafile=str(folder / "bundle.pem"))
    return int(httpx.get(url.replace("/api/v2", "/connections"), verify=context).json()) - 1


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificate(folder)
        server = _child("--serve", name)
        try:
            assert server.stdout is not None
            url = f"https://localhost:{server.stdout.readline().strip()}/api/v2"
            results: dict[str, list[dict[str, float]]] = {"pooled": [], "sdk": []}
            for number in range(ROUNDS):
                for which in ("pooled", "sdk") if number % 2 == 0 else ("sdk", "pooled"):
                    _connections(url, folder)
                    output, _ = _child("--measure", which, "--url", url, "--folder", name).communicate()
                    result = json.loads(output) | {"connections": _connections(url, folder) / (CALLS + WARM_UP)}
                    results[which].append(result)
                    print(f"round {number + 1} {which:>6}: {result['cpu_ms']:6.2f} ms CPU, {result['wall_ms']:7.2f} ms in all, "
                          f"{result['connections']:.3f} connections a request")  # fmt: skip
        finally:
            server.communicate()
    middle = {which: statistics.median(round_["cpu_ms"] for round_ in rounds) for which, rounds in results.items()}
    walls = {which: statistics.median(round_["wall_ms"] for round_ in rounds) for which, rounds in results.items()}
    connections = max(round_["connections"] for round_ in results["pooled"])
    ratio = middle["sdk"] / middle["pooled"]
    section(
        "gateway",
        "Chargebee gateway",
        [
            Row(
                "CPU a call, TLS", f"{middle['pooled']:.2f} ms", f"the SDK as it comes: {middle['sdk']:.1f} ms", f"{ratio:.0f} times",
                "≤ 2 ms, ≥ 15 times", middle["pooled"] <= 2 and ratio >= 15,
            ),
            Row("time a call", f"{walls['pooled']:.1f} ms", f"the SDK as it comes: {walls['sdk']:.1f} ms", f"{walls['sdk'] / walls['pooled']:.0f} times", "–"),
            Row("connections a request", f"{connections:.3f}", "1", "–", "≤ 0.1", connections <= 0.1),
        ],
        sizes=f"{ROUNDS} rounds of {CALLS} calls each",
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--measure", choices=["pooled", "sdk"])
    parser.add_argument("--url", default="")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    elif options.measure:
        sys.stdout.write(json.dumps(measure(options.measure, options.url, options.folder)))
    else:
        main()
