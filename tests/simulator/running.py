"""Start a simulator of our own for a test, in its own process and on free ports."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from chargebee import Chargebee

ROOT = Path(__file__).resolve().parents[2]
API_KEY = "test_simulator_key"
READ_ONLY_KEY = "test_read_only_key"
READY = re.compile(r"ready on (http://[\d.]+:\d+) \(mail on port (\d+)\)")


@dataclass
class RunningSimulator:
    """A simulator that listens: `base_url`, `api_url`, `smtp_port`, `api_key`, and the control levers."""

    base_url: str
    smtp_port: int
    process: subprocess.Popen[str]
    api_key: str = API_KEY
    read_only_key: str = READ_ONLY_KEY

    @property
    def api_url(self) -> str:
        """What `CHARGEBEE_API_URL` should be."""
        return f"{self.base_url}/api/v2"

    def client(self, api_key: str | None = None) -> Chargebee:
        """The real SDK, pointed here."""
        Chargebee.verify_ca_certs = False
        client = Chargebee(api_key=api_key or self.api_key, site="northwind-test", protocol="http")
        client.env.api_endpoint = self.api_url
        return client

    def get(self, path: str, /, **query: Any) -> Any:
        """A control call, as in `get("/control/mail", to="…")["mail"]`."""
        return self._call("GET", path + (f"?{urlencode(query)}" if query else ""), None)

    def post(self, path: str, /, **body: Any) -> Any:
        """A control call, as in `post("/control/fail_payment", code="expired")`."""
        return self._call("POST", path, body)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path, None)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        answer = self.http.request(method, self.base_url + path, json=body)
        if answer.is_error:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    @cached_property
    def http(self) -> httpx.Client:
        """For pages and for what is not Chargebee's."""
        return httpx.Client(verify=False, timeout=120, trust_env=False)  # noqa: S501 - plain HTTP on the loopback

    # -- the levers most tests pull ---------------------------------------------------------------------------------------

    def fail_payment(self, **what: Any) -> Any:
        return self.post("/control/fail_payment", **what)

    def advance(self, seconds: int) -> int:
        """Move the clock on; the simulated time it is then."""
        return int(self.post("/control/clock", advance_seconds=seconds)["now"])

    def now(self) -> int:
        return int(self.get("/control/clock")["now"])

    def mail(self, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/control/mail", **query)["mail"]
        return found

    def calls(self, **query: Any) -> list[dict[str, Any]]:
        """All of them: of a list that ends after the oldest thousand, one could prove that something never happened."""
        found: list[dict[str, Any]] = self.get("/control/calls", **{"limit": 1_000_000, **query})["calls"]
        return found

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running_simulator(**options: Any) -> Iterator[RunningSimulator]:
    """A simulator for the block; options are those of the command line (`customers=20`, `state="…"`, `live=True`).

    It has two keys: `simulator.api_key` and `simulator.read_only_key`. Raises RuntimeError when it does not come up.
    """
    wanted: dict[str, Any] = {"port": 0, "smtp_port": 0, "customers": 20, "read_only_keys": READ_ONLY_KEY} | options
    arguments = [sys.executable, "-m", "billing_ai.simulator"]
    for name, value in wanted.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(flag)
        elif value is not False and value is not None:
            arguments += [flag, str(value)]
    # A file, since nobody reads a pipe while the simulator runs, and a full one would hold it up for ever.
    told = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed below
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=told, text=True)
    try:
        assert process.stdout is not None
        found = READY.search(process.stdout.readline())
        if found is None:
            process.kill()
            process.wait()
            told.seek(0)
            raise RuntimeError(f"the simulator did not start: {told.read()}")
        running = RunningSimulator(found.group(1), int(found.group(2)), process)
        yield running
        running.http.close()
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        told.close()
