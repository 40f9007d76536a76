"""`make test`: every check in turn, each with its time; the parts that could not run are said at the end, and fail where CI=true."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests import services
from tests.faults import servers as faults_servers

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
IS_CI = os.environ.get("CI", "").lower() == "true"

Part = tuple[str, list[str], Mapping[str, str]]


@dataclass
class Gate:
    """What ran, what failed, what could not run."""

    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    times: list[tuple[str, float]] = field(default_factory=list)

    def run(self, name: str, argv: list[str], env: Mapping[str, str] | None = None) -> None:
        """One part. It goes on after a failure, so that one run shows everything that is wrong."""
        print(f"\n── {name}", flush=True)
        self._note(name, *_timed(argv, env, None))

    def together(self, *lanes: Sequence[Part]) -> None:
        """Parts that keep one core busy or mostly wait, side by side: those of a lane one after the other, and what each says in one piece when it has ended."""
        lock = threading.Lock()

        def go(lane: Sequence[Part]) -> None:
            for name, argv, env in lane:
                with tempfile.TemporaryFile("w+") as said:
                    code, seconds = _timed(argv, env, said)
                    said.seek(0)
                    with lock:
                        print(f"\n── {name}\n{said.read()}", flush=True)
                        self._note(name, code, seconds)

        threads = [threading.Thread(target=go, args=(lane,)) for lane in lanes if lane]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ended = {name for name, _ in self.times}
        self.failed += [f"{name} (did not run to its end)" for lane in lanes for name, _, _ in lane if name not in ended]

    def _note(self, name: str, code: int, seconds: float) -> None:
        self.times.append((name, seconds))
        if code:
            self.failed.append(f"{name} (exit {code})")

    def missing(self, name: str, why: str) -> None:
        """A part that cannot run here."""
        (self.failed if IS_CI else self.skipped).append(f"{name}: could not run: {why}")

    def close(self) -> int:
        """The summary, and the exit code."""
        print("\n── summary")
        for name, seconds in self.times:
            print(f"{seconds:7.1f} s  {name}")
        for line in self.skipped:
            print(f"SKIPPED  {line}")
        for line in self.failed:
            print(f"FAILED   {line}")
        print("everything passed" if not self.failed else f"{len(self.failed)} part(s) failed")
        return 1 if self.failed else 0


def _timed(argv: list[str], env: Mapping[str, str] | None, output: IO[str] | None) -> tuple[int, float]:
    began = time.monotonic()
    done = subprocess.run(
        argv, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=output, stderr=output and subprocess.STDOUT, check=False
    )
    return done.returncode, time.monotonic() - began


def main() -> int:
    """Cheap checks first."""
    gate = Gate()
    templates = subprocess.run(
        ["git", "ls-files", "templates/*.html"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    checks: list[Part] = [
        ("ruff", [str(BIN / "ruff"), "check", "."], {}),
        ("ruff format", [str(BIN / "ruff"), "format", "--check", "."], {}),
        ("import rules", [str(BIN / "lint-imports"), "--no-cache"], {}),
        ("templates", [str(BIN / "djade"), "--check", "--target-version", "5.2", *templates], {}),
        ("migrations", [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"], {}),
        ("django check", [sys.executable, "manage.py", "check"], {}),
    ]
    gate.together(checks, [("types", [str(BIN / "mypy")], {})])
    pytest = [sys.executable, "-m", "pytest"]
    # Half the cores a worker each would starve the servers that the tests start.
    several = ["-n", "2", "--dist", "loadfile"]
    with services.postgresql() as database, services.redis() as broker:
        on_sqlite = {"DATABASE_URL": "", "REDIS_URL": broker.value}
        chromium = services.chromium()
        print(f"\n{database.said}; {broker.said}; {chromium.said}", flush=True)
        gate.run(
            "tests on SQLite",
            [
                *pytest,
                *several,
                "tests",
                "--ignore=tests/browser",
                "--ignore=tests/bench",
                "--ignore=tests/faults",
                "--ignore=tests/evals/models",
                "--ignore=tests/evals/churn",
            ],
            on_sqlite,
        )
        if database.value:
            on_postgresql = {"DATABASE_URL": database.value, "REDIS_URL": broker.value}
            gate.run("database tests on PostgreSQL", [*pytest, *several, "tests/db", "tests/flows"], on_postgresql)
        else:
            gate.missing("database tests on PostgreSQL", database.said)
        # These kill and restart servers, so that they start their own; one process, since they share them. Mostly they wait for what they started.
        faults: list[Part] = []
        try:
            faults_servers.look_for()
        except faults_servers.Missing as missing:
            gate.missing("faults on real servers", str(missing))
        else:
            faults.append(("faults on real servers", [*pytest, "tests/faults"], on_sqlite))
        others: list[Part] = [
            # The larger public table takes minutes: `make evals` has both.
            ("churn on public data", [*pytest, "tests/evals/churn", "-k", "telco"], on_sqlite),
            ("a real small model", [*pytest, "tests/evals/models"], on_sqlite),
        ]
        if chromium.value:
            others.append(("browser", [*pytest, "tests/browser"], {**on_sqlite, "CHROMIUM": chromium.value}))
        else:
            gate.missing("browser", chromium.said)
        # A tour waits for its web, worker and beat just so, and the faults are over long before the browser.
        tour = [sys.executable, "manage.py", "tour"]
        tours: list[Part] = [("tour on SQLite, file-system broker", tour, {"DATABASE_URL": "", "REDIS_URL": ""})]
        if database.value and broker.value:
            tours.append(("tour on PostgreSQL, Redis", tour, {"DATABASE_URL": database.value, "REDIS_URL": broker.value}))
        gate.together([*faults, *tours], others)
    return gate.close()


if __name__ == "__main__":
    sys.exit(main())
