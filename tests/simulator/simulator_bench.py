"""How fast the simulator is: start, requests a second, a month with webhooks, and whether the books balance after it.

    python -m tests.simulator.simulator_bench [--customers 10000] [--days 30] [--our-webhook]

The month's webhooks go to a bare endpoint in this process, so that the figure is the simulator's own. With `--our-webhook` they go to our own
web process, on the database that DATABASE_URL names (empty, and migrated here) or an SQLite file, and each event must be one row afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web

from billing_ai import supervisor
from tests.simulator.running import API_KEY, running_simulator

DAY = 86_400
REQUESTS = 4_000
CONNECTIONS = 16
USER, PASSWORD = "u", "p"
AUTH = {"Authorization": "Basic " + base64.b64encode(f"{API_KEY}:".encode()).decode()}


class Endpoint:
    """Takes the webhooks: `url` is where, `count()` how many there are."""

    url = ""

    async def count(self) -> int:
        raise NotImplementedError


@contextlib.asynccontextmanager
async def bare() -> AsyncIterator[Endpoint]:
    """An endpoint in this process that only counts."""

    class Bare(Endpoint):
        taken = 0

        async def count(self) -> int:
            return self.taken

    endpoint = Bare()

    async def take(request: web.Request) -> web.Response:
        await request.read()
        endpoint.taken += 1
        return web.Response()

    app = web.Application(client_max_size=10**7)
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield endpoint
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def ours(folder: Path) -> AsyncIterator[Endpoint]:
    """Our own web process, as the Procfile starts it, with its database."""
    port = supervisor.free_port()
    env = os.environ | supervisor.environment(supervisor.Ports(port, port, port), supervisor.Broker("", ""), folder)
    env |= {"DATABASE_URL": os.environ.get("DATABASE_URL", ""), "CHARGEBEE_WEBHOOK_USER": USER, "CHARGEBEE_WEBHOOK_PASSWORD": PASSWORD}

    def manage(code: str) -> str:
        command = [sys.executable, "-c", f"import django; django.setup(); {code}"]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip()

    class Ours(Endpoint):
        url = f"http://127.0.0.1:{port}/webhooks/chargebee/"

        async def count(self) -> int:
            # The whole number of rows: an event that came twice is one of them.
            return int(manage("from billing_ai.inbox.models import Event; print(Event.objects.count())"))

    manage("from django.core.management import call_command as do; do('migrate', verbosity=0)")
    process = subprocess.Popen(supervisor.web_argv(port), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                        if answer.status == 200:
                            break
                await asyncio.sleep(0.2)
        yield Ours()
    finally:
        process.terminate()
        process.wait(20)


async def _requests_a_second(session: aiohttp.ClientSession, urls: list[str]) -> float:
    waiting = iter(urls)

    async def work() -> None:
        for url in waiting:
            async with session.get(url) as answer:
                assert answer.status == 200
                await answer.read()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return len(urls) / (time.perf_counter() - began)


async def _measure(base_url: str, days: int, state: Path, our_webhook: bool) -> None:
    async with ours(state.parent) if our_webhook else bare() as endpoint:
        await _month(base_url, days, state, endpoint, our_webhook)


async def _month(base_url: str, days: int, state: Path, endpoint: Endpoint, our_webhook: bool) -> None:
    async with aiohttp.ClientSession(headers=AUTH, timeout=aiohttp.ClientTimeout(total=3_600)) as session:
        invoice_ids: list[str] = []
        offset = ""
        began, pages = time.perf_counter(), 0
        while len(invoice_ids) < 5_000:
            params = {"limit": "100"} | ({"offset": offset} if offset else {})
            async with session.get(f"{base_url}/api/v2/invoices", params=params) as answer:
                page = await answer.json()
            pages += 1
            invoice_ids += [entry["invoice"]["id"] for entry in page["list"]]
            offset = page.get("next_offset", "")
            if not offset:
                break
        print(f"pages of 100 invoices, one after the other: {pages / (time.perf_counter() - began):,.0f} a second")
        urls = [f"{base_url}/api/v2/invoices/{invoice_ids[number % len(invoice_ids)]}" for number in range(REQUESTS)]
        print(f"single invoices, {CONNECTIONS} connections: {await _requests_a_second(session, urls):,.0f} a second")
        await session.post(f"{base_url}/control/webhooks", json={"url": endpoint.url, "user": USER, "password": PASSWORD})
        await session.post(f"{base_url}/control/deliver", json={})
        before, began = await endpoint.count(), time.perf_counter()
        async with session.post(f"{base_url}/control/clock", json={"advance_seconds": days * DAY}) as answer:
            moved = await answer.json()
        await session.post(f"{base_url}/control/deliver", json={})
        took = time.perf_counter() - began
        sent = await endpoint.count() - before
        print(
            f"{days} days: {moved['done']:,} things due, {sent:,} webhooks delivered in {took:,.1f} s: {sent / took:,.0f} webhooks a second"
        )
        async with session.get(f"{base_url}/control/books") as answer:
            books = await answer.json()
        async with session.get(f"{base_url}/control/ready") as answer:
            ready = await answer.json()
        if our_webhook:
            stored = await endpoint.count()
            print(
                f"our webhook: {stored:,} events stored, {ready['counts']['event']:,} made by the site, {ready['deliveries_open']} on their way"
            )
            assert (stored, ready["deliveries_open"]) == (ready["counts"]["event"], 0)
        for currency, entry in books["books"].items():
            print(f"  {currency}: " + ", ".join(f"{name} {value:,}" for name, value in entry.items()))
        print("the books balance" if books["balanced"] else "THE BOOKS DO NOT BALANCE")
        print(f"state on disk: {state.stat().st_size / 2**20:,.0f} MiB")
    assert books["balanced"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--our-webhook", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "simulator.sqlite3"
        began = time.perf_counter()
        with running_simulator(customers=options.customers, state=str(state)) as simulator:
            print(f"{options.customers:,} customers: ready after {time.perf_counter() - began:,.1f} s")
            asyncio.run(_measure(simulator.base_url, options.days, state, options.our_webhook))
            memory = next(
                line for line in Path(f"/proc/{simulator.process.pid}/status").read_text().splitlines() if line.startswith("VmHWM")
            )
            print(f"memory at most: {int(memory.split()[1]) // 1024} MiB")


if __name__ == "__main__":
    main()
