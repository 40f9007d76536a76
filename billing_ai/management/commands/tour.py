"""`manage.py tour`: the main job once, without a screen, hop by hop, on real parts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing_ai import supervisor
from billing_ai.tour import Failed, Tour


class Command(BaseCommand):
    """Starts everything on free ports, lets one payment fail, and follows it to the end."""

    help = "Runs the main job once against the simulator and prints each hop with its ids. Exits 1 when a hop fails."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The inner half runs in a process of its own, with the settings of this run."""
        parser.add_argument("--hops", default="", help="(set by the tour itself) the simulator's address")

    def handle(self, *args: Any, **options: Any) -> None:
        """Outer half: start, run the hops, stop. Inner half: the hops."""
        if options["hops"]:
            try:
                Tour(options["hops"], self.stdout.write).run()
            except Failed as error:
                raise CommandError(f"FAILED at {error}") from error
            return
        self._run_whole()

    def _run_whole(self) -> None:
        uses_sqlite = "sqlite" in settings.DATABASES["default"]["ENGINE"]
        var_dir = (Path(settings.VAR_DIR) / f"tour-{os.getpid()}").resolve()
        var_dir.mkdir(parents=True)
        ports = supervisor.Ports(supervisor.free_port(), supervisor.free_port(), supervisor.free_port(), supervisor.free_port())
        group = supervisor.Group(self.stdout.write, var_dir / "logs", says="nothing")
        # Ended from outside, it still ends what it started.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        began = time.monotonic()
        succeeded = False
        try:
            # Without REDIS_URL the tour shows that the file system is enough.
            broker = supervisor.Broker(
                os.environ.get("REDIS_URL", ""), "Redis (REDIS_URL)" if os.environ.get("REDIS_URL") else "the file system"
            )
            env = supervisor.environment(ports, broker, var_dir)
            if uses_sqlite:
                env.pop("DATABASE_URL", None)
            self.stdout.write(f"database: {'SQLite' if uses_sqlite else 'PostgreSQL'}; broker: {broker.said}; model: {settings.LLM_MODEL}")
            world = ["--customers", "48", "--fresh-failures", "0"]
            supervisor.start_all(group, ports, broker, env, simulator=world)
            with supervisor.clock_following(ports.simulator_url, var_dir / "clock-offset"):
                hops = [sys.executable, "manage.py", "tour", "--hops", ports.simulator_url]
                done = subprocess.run(hops, cwd=supervisor.ROOT, env={**env, "LOG_LEVEL": "ERROR"}, check=False)
            succeeded = done.returncode == 0
        except supervisor.CannotStart as error:
            raise CommandError(str(error)) from error
        finally:
            group.stop()
            if succeeded:
                shutil.rmtree(var_dir)
        if not succeeded:
            raise CommandError(f"The tour did not reach its end. The logs of each part are in {var_dir / 'logs'}.")
        self.stdout.write(self.style.SUCCESS(f"The tour reached its end in {time.monotonic() - began:.0f} s."))
