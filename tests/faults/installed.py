"""What a rig runs on, migrated and seeded once and then copied: PostgreSQL and Redis of our own, or one machine without any server."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from billing_ai import supervisor
from tests.faults.servers import Postgres, Redis

_PREPARE = "import django; django.setup(); from django.core.management import call_command as do; do('migrate', verbosity=0); do('seed')"


class Servers:
    """PostgreSQL with a migrated template, and Redis: made once, used by many rigs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres, self.redis = Postgres(folder / "postgres"), Redis(folder)
        self._number = 0
        self.postgres.start()
        self.redis.start()
        self.postgres.run("CREATE DATABASE template_billing")
        _prepare(self.postgres.url("template_billing"), supervisor.Broker(self.redis.url, ""), folder / "var-commands")

    def new_database(self, var_dir: Path) -> str:
        """A migrated and seeded database of its own; its name."""
        self._number += 1
        name = f"faults_{os.getpid()}_{self._number}"
        self.postgres.run(f"CREATE DATABASE {name} TEMPLATE template_billing")
        return name

    def close(self) -> None:
        """End both."""
        self.redis.kill()
        self.postgres.stop(signal.SIGQUIT)


class OneMachine:
    """SQLite and the file-system broker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._template = folder / "template"
        _prepare("", supervisor.Broker("", ""), self._template)

    def new_database(self, var_dir: Path) -> str:
        """A migrated and seeded file where the processes of this rig look for it; its path."""
        shutil.copy(self._template / "billing.sqlite3", var_dir / "billing.sqlite3")
        return str(var_dir / "billing.sqlite3")

    def close(self) -> None:
        """Nothing was started."""


def _prepare(database_url: str, broker: supervisor.Broker, var_dir: Path) -> None:
    var_dir.mkdir(parents=True, exist_ok=True)
    env = supervisor.environment(supervisor.Ports(1, 1, 1), broker, var_dir) | {"DATABASE_URL": database_url}
    done = subprocess.run([sys.executable, "-c", _PREPARE], cwd=supervisor.ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Both servers in a folder of their own, which is gone afterwards. Raises Missing."""
    with _folder() as folder:
        made = None
        try:
            made = Servers(folder)
            yield made
        finally:
            if made is not None:
                made.close()


@contextlib.contextmanager
def one_machine() -> Iterator[OneMachine]:
    """No server, in a folder of its own, which is gone afterwards."""
    with _folder() as folder:
        yield OneMachine(folder)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="billing-ai-faults-"))
    folder.chmod(0o755)  # PostgreSQL may run as another user
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
