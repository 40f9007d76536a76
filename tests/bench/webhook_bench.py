"""Accepting a webhook: ours, a bare Django view, and dj-stripe's, on the same application server and the same PostgreSQL.

    [DATABASE_URL=postgres://…] python -m tests.bench.webhook_bench [--rounds 5] [--seconds 3] [--no-djstripe]

All sides run under granian with the same workers and threads, take the same 6 KB over 16 kept connections, and commit one row (dj-stripe: its
own rows) before they answer. Rounds alternate in order. Only 2xx count; the rows are counted in the database. dj-stripe is the real package, put
into an environment of its own under var/, since it is no dependency of ours.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from billing_ai.supervisor import free_port
from tests.bench.measure import Meter, django, median, percentile, scratch_database, span, tree, versions
from tests.bench.report import Row, section
from tests.bench.sender import send

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS, WORKERS, THREADS = 16, 2, 8
DJSTRIPE = "dj-stripe==2.11.0"
SAMPLES = 3_000
"""Of waiting times at half load, on each side at least."""
ENDPOINT = "3a6b5a0e-2f0d-4d6e-9d56-5a0d1b9a7c11"
AUTH = {"Authorization": "Basic " + base64.b64encode(b"chargebee:demo-webhook-password").decode()}


@dataclass(frozen=True, slots=True)
class Side:
    """One application that takes webhooks, running."""

    name: str
    port: int
    pid: int
    path: str
    table: str
    kind: str
    database: str


@contextlib.contextmanager
def served(application: str, environment: Mapping[str, str], *, python: str = sys.executable) -> Iterator[tuple[int, int]]:
    """(port, process id) of granian serving an application, as the Procfile does."""
    port = free_port()
    argv = [
        str(Path(python).parent / "granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers", str(WORKERS),
        "--blocking-threads", str(THREADS), "--no-ws", "--log-level", "error", application,
    ]  # fmt: skip
    with tempfile.TemporaryFile() as log:
        # The log goes into a file, as it would in production: writing it is part of the work.
        process = subprocess.Popen(argv, cwd=ROOT, env=dict(environment), stdout=log, stderr=log)
        try:
            _wait(port, process)
            yield port, process.pid
        finally:
            ended(process)
            log.seek(max(0, log.seek(0, os.SEEK_END) - 20_000))
            errors = [
                line for line in log.read().decode(errors="replace").splitlines() if line.startswith(("ERROR", "CRITICAL", "Traceback"))
            ]
            sys.stderr.writelines(f"{application}: {line}\n" for line in errors[:5])


def ended(process: subprocess.Popen[bytes]) -> None:
    """End a server and all that descends from it; whoever stays is killed. Returns when none of them is left."""
    all_of_it = tree(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for pid in all_of_it:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        deadline = time.monotonic() + 5
        while any(Path(f"/proc/{pid}").exists() for pid in all_of_it) and time.monotonic() < deadline:
            process.poll()
            time.sleep(0.05)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
            return
        time.sleep(0.1)
    raise SystemExit("the server did not answer")


def djstripe_python() -> str:
    """The interpreter of an environment that holds dj-stripe; made on the first call. Raises CalledProcessError when it cannot be installed."""
    folder = ROOT / "var" / "bench" / DJSTRIPE.replace("==", "-")
    python = folder / "bin" / "python"
    if not python.exists() or not (folder / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        packages = [DJSTRIPE, "django>=5.2,<5.3", "psycopg[binary]>=3.3,<3.4", "granian>=2.8,<2.9"]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True)
        (folder / "done").touch()
    return str(python)


def round_of(side: Side, prefix: str, seconds: float, rate: float = 0.0) -> dict[str, Any]:
    """One round against one side. Raises SystemExit when rows and answers differ."""
    meter = Meter(side.database, [side.pid])
    before = meter.count(side.table)
    meter.start()
    headers = {} if side.kind == "stripe" else AUTH
    found = send(
        port=side.port, path=side.path, headers=headers, prefix=prefix, connections=CONNECTIONS, seconds=seconds, rate=rate, kind=side.kind
    )
    own, servers = meter.stop()
    written = meter.count(side.table) - before
    meter.close()
    if written != found["ok"]:
        raise SystemExit(f"{side.name}: {found['statuses']} answered, but {written} rows are there")
    if not found["ok"]:
        raise SystemExit(f"{side.name}: nothing was accepted: {found['statuses']}")
    return {
        "rate": found["ok"] / found["seconds"],
        "own": own / found["ok"] * 1000,
        "server": servers / found["ok"] * 1000,
        "cpu": (own + servers) / found["ok"] * 1000,
        "taken": found["taken"],
        "failed": sum(found["statuses"].values()) - found["ok"],
    }


def interleaved(sides: list[Side], rounds: int, seconds: float, rate: float = 0.0, first: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Rounds of all sides, in an order that turns around each time; the first, unmeasured one warms up."""
    found: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    for side in sides:
        round_of(side, f"ev_w{first}_{side.name[:4]}_{rate:.0f}_", 1.0)
    for number in range(first, first + rounds):
        for side in sides if number % 2 == 0 else sides[::-1]:
            found[side.name].append(round_of(side, f"ev_{number}_{rate:.0f}_", seconds, rate))
    return found


def ratios(found: Mapping[str, list[dict[str, Any]]], over: str, under: str, key: str) -> list[float]:
    """`over` / `under`, round by round."""
    return [one[key] / other[key] for one, other in zip(found[over], found[under], strict=True)]


def prepared(url: str) -> None:
    """Our tables, and the bare view's: the same columns and indexes."""
    import psycopg

    subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=django(url), check=True)
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("CREATE TABLE bench_bare (LIKE inbox_event INCLUDING ALL)")


def _said(rounds: list[dict[str, Any]]) -> str:
    parts = [median([one[key] for one in rounds]) for key in ("own", "server", "rate")]
    return f"{parts[0]:.2f} + {parts[1]:.2f} ms, {parts[2]:.0f}/s"


def throughput(found: Mapping[str, list[dict[str, Any]]]) -> list[Row]:
    """Ours against the bare view and, where it ran, dj-stripe."""
    rates, cpu = ratios(found, "ours", "bare view", "rate"), ratios(found, "ours", "bare view", "cpu")
    rows = [
        Row("accepted, CPU", _said(found["ours"]), f"bare view: {_said(found['bare view'])}", span(cpu), "≤ 1.15 of its CPU", median(cpu) <= 1.15),
        Row("accepted, requests", _said(found["ours"]), f"bare view: {_said(found['bare view'])}", span(rates), "≥ 0.9 of its rate", median(rates) >= 0.9),
    ]  # fmt: skip
    if "dj-stripe" in found:
        times, cpu = ratios(found, "ours", "dj-stripe", "rate"), ratios(found, "dj-stripe", "ours", "cpu")
        both = f"{span(times, 1)} in rate, {span(cpu, 1)} in CPU"
        rows.append(
            Row(
                "accepted",
                _said(found["ours"]),
                f"dj-stripe, accepting only: {_said(found['dj-stripe'])}",
                both,
                "≥ 5 times",
                median(cpu) >= 5,
            )
        )
    return rows


def latency(found: Mapping[str, list[dict[str, Any]]], rate: float) -> list[Row]:
    """Milliseconds from when a request was due to its answer, at half of the ceiling's load."""
    taken = {name: [one for round_ in rounds for one in round_["taken"]] for name, rounds in found.items()}
    rows = []
    for share, name, most in ((0.5, "p50", 1.3), (0.99, "p99", 3.0)):
        ours, bare = percentile(taken["ours"], share), percentile(taken["bare view"], share)
        what = f"answer at {rate:.0f}/s, half of the ceiling, {name} over {len(taken['ours'])}"
        rows.append(Row(what, f"{ours:.1f} ms", f"bare view: {bare:.1f} ms", f"{ours / bare:.2f}", f"≤ {most} times", ours / bare <= most))
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--no-djstripe", action="store_true")
    parser.add_argument("--only-throughput", action="store_true", help="for work on the view: the first two rows, and nothing is written")
    options = parser.parse_args()
    notes = []
    with scratch_database("webhook") as url, scratch_database("djstripe") as other, contextlib.ExitStack() as stack:
        prepared(url)
        dead = f"redis://127.0.0.1:{free_port()}/0"
        redis = os.environ.get("REDIS_URL", "")
        ours = stack.enter_context(served("billing_ai.wsgi:application", django(url, REDIS_URL=redis or dead, LOG_LEVEL="INFO")))
        bare = stack.enter_context(served("tests.bench.bare_view:application", django(url)))
        path = "/webhooks/chargebee/"
        sides = [Side("ours", *ours, path, "inbox_event", "chargebee", url), Side("bare view", *bare, path, "bench_bare", "chargebee", url)]
        if not options.no_djstripe:
            try:
                sides.append(djstripe(stack, other))
            except (subprocess.CalledProcessError, OSError) as error:
                notes.append(f"dj-stripe: skipped, not installed ({type(error).__name__}).")
        found = interleaved(sides, options.rounds, options.seconds)
        rows = throughput(found)
        if options.only_throughput:
            print("\n".join(row.cells() for row in rows))
            return
        half = median([one["rate"] for one in found["bare view"]]) / 2
        waits = interleaved(sides[:2], 3, max(options.seconds, 1_200 / half), half)
        while min(sum(len(one["taken"]) for one in rounds) for rounds in waits.values()) < SAMPLES:
            for side, more in interleaved(sides[:2], 1, max(options.seconds, 1_000 / half), half, len(waits["ours"])).items():
                waits[side] += more
        rows += latency(waits, half)
        without = stack.enter_context(served("billing_ai.wsgi:application", django(url, REDIS_URL=dead, LOG_LEVEL="CRITICAL")))
        lost = round_of(Side("Redis dead", *without, path, "inbox_event", "chargebee", url), "ev_dead_", 5.0, half)
        slowest = max(lost["taken"])
        said = f"slowest of {len(lost['taken'])}: {slowest:.0f} ms, {lost['failed']} refused, every answered one is a row"
        rows.append(Row("answer with Redis dead", said, "–", "–", "never above 1 s, nothing lost", slowest < 1000 and not lost["failed"]))
        sizes = f"{versions(url)}; granian, {WORKERS} workers of {THREADS} threads, {CONNECTIONS} connections, 6 KB, {options.rounds} rounds of {options.seconds:.0f} s"
    notes += [
        "CPU is that of the whole server tree plus the PostgreSQL backends, per accepted event; ratios are medians of round against round, with their range. "
        "The bare view fills a table with the columns and indexes of ours.",
        "What ours does besides: SHA-256 of the body, a bound on its depth, reading the envelope (ids and versions of each resource), constant-time "
        "comparison with each valid password, a log line with the trace, and a wake-up from a thread of its own.",
    ]
    section("webhook", "Webhook", rows, sizes=sizes, notes=notes)


def djstripe(stack: contextlib.ExitStack, url: str, accept_only: bool = True) -> Side:
    """dj-stripe's own view, served. Raises CalledProcessError or OSError when it cannot be installed or set up."""
    python = djstripe_python()
    kept = {name: value for name, value in os.environ.items() if name not in ("DJANGO_SETTINGS_MODULE", "VIRTUAL_ENV")}
    environment = {**kept, "DATABASE_URL": url, **({"DJSTRIPE_ACCEPT_ONLY": "1"} if accept_only else {})}
    subprocess.run([python, "-m", "tests.bench.djstripe_app"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    port, pid = stack.enter_context(served("tests.bench.djstripe_app:application", environment, python=python))
    return Side("dj-stripe", port, pid, f"/stripe/webhook/{ENDPOINT}/", "djstripe_webhookeventtrigger", "stripe", url)


if __name__ == "__main__":
    main()
