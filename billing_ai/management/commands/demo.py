"""`manage.py demo`: everything on this machine, under one supervisor."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing_ai import supervisor
from billing_ai.management.commands.seed import PASSWORD, PEOPLE


class Command(BaseCommand):
    """Starts simulator, web, worker and beat; Ctrl-C ends all of it."""

    help = "Runs the whole system against a simulated Chargebee site. Data stays in var/ until `make demo-reset`."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Ports."""
        parser.add_argument("--web-port", type=int, default=int(os.environ.get("WEB_PORT") or 8000))
        parser.add_argument("--simulator-port", type=int, default=int(os.environ.get("SIMULATOR_PORT") or 8100))
        parser.add_argument("--smtp-port", type=int, default=int(os.environ.get("SMTP_PORT") or 8125))
        parser.add_argument("--customers", type=int, default=48)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until Ctrl-C, or until a part ends by itself."""
        var_dir = Path(settings.VAR_DIR).resolve()
        var_dir.mkdir(parents=True, exist_ok=True)
        ports = supervisor.Ports(options["web_port"], options["simulator_port"], options["smtp_port"], supervisor.free_port())
        lock = threading.Lock()

        def say(line: str) -> None:
            with lock:
                sys.stdout.write(line + "\n")
                sys.stdout.flush()

        says: supervisor.Says = "all" if options["verbosity"] > 1 else "trouble"
        group = supervisor.Group(say, var_dir / "logs", says)
        stopping = threading.Event()

        def stop(number: int, frame: FrameType | None) -> None:
            stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        try:
            supervisor.require_free({"WEB_PORT": ports.web, "SIMULATOR_PORT": ports.simulator, "SMTP_PORT": ports.smtp})
            broker = supervisor.find_broker(var_dir, ports.redis)
            env = supervisor.environment(ports, broker, var_dir)
            say(f"demo      | database: {_database()}")
            say(f"demo      | broker: {broker.said}")
            say(f"demo      | model: {settings.LLM_MODEL}{' (built in, offline)' if settings.LLM_MODEL.startswith('offline/') else ''}")
            say(f"demo      | what each part says: {group.logs}/ (with -v 2 here too)")
            say("demo      | preparing the database, starting simulator, web, worker and beat …")
            world = ["--customers", str(options["customers"]), "--state", str(var_dir / "simulator.sqlite3"), "--live"]
            supervisor.start_all(group, ports, broker, env, simulator=world)
            with supervisor.clock_following(ports.simulator_url, var_dir / "clock-offset"):
                moved = supervisor.move_to_office_hours(ports.simulator_url)
                say(_welcome(ports, moved))
                while not stopping.is_set():
                    ended = group.ended()
                    if ended is not None:
                        raise CommandError(f"{supervisor.last_words(group, ended)}\nEverything is stopped.")
                    time.sleep(0.3)
        except supervisor.CannotStart as error:
            raise CommandError(str(error)) from error
        finally:
            say("demo      | stopping …")
            group.stop()
            say("demo      | stopped; `make demo` goes on where this left off, `make demo-reset` starts afresh")


def _database() -> str:
    engine = settings.DATABASES["default"]["ENGINE"]
    if "sqlite" in engine:
        return f"SQLite at {settings.DATABASES['default']['NAME']} (one machine only)"
    return f"PostgreSQL at {settings.DATABASES['default'].get('HOST') or 'localhost'} (DATABASE_URL)"


def _welcome(ports: supervisor.Ports, moved: datetime | None) -> str:
    people = "\n".join(f"             {name:<11} {PASSWORD}   {full}" for name, full in PEOPLE.items())
    return f"""
  Ready.

  Console      {ports.web_url}/
  Log in as    (name, password)
{people}

  Outside      {ports.simulator_url}/          the simulated Chargebee site and everything around it
               {ports.simulator_url}/mailbox/  what the customers' mailboxes hold
               {ports.simulator_url}/phone/    their text messages
               {ports.simulator_url}/helpdesk/ the help desk
               {ports.simulator_url}/clock/    see and move the clock
               {ports.simulator_url}/seen/     everything the outside world has seen of us

{_clock_words(moved)}  The first drafts are in the queue within a minute; new events keep coming. Ctrl-C stops everything.
"""


def _clock_words(moved: datetime | None) -> str:
    if moved is None:
        return ""
    return (
        f"  It is outside the hours in which customers may be contacted, so the demo's clock was moved to {moved:%A %d %B, %H:%M} UTC:\n"
        "  what you approve goes out within a minute, and to other continents when it is day there.\n\n"
    )
