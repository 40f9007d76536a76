"""How fast the simulator is: start, requests a second, a month with webhooks, and whether the books balance after it.

    python -m tests.simulator.simulator_bench [--customers 10000] [--days 30]

The month's webhooks go to a bare endpoint in this process, so that the figure is the simulator's own.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import tempfile
import time
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.simulator.running import API_KEY, running_simulator

DAY = 86_400
REQUESTS = 4_000
CONNECTIONS = 16
AUTH = {"Authorization": "Basic " + base64.b64encode(f"{API_KEY}:".encode()).decode()}


class Endpoint:
    """Counts the webhooks that arrive."""

    def __init__(self) -> None:
        self.count = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        app = web.Application(client_max_size=10**7)
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        await request.read()
        self.count += 1
        return web.Response()


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


async def _measure(base_url: str, days: int, state: Path) -> None:
    endpoint = Endpoint()
    hook = await endpoint.start()
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
        await session.post(f"{base_url}/control/webhooks", json={"url": hook, "user": "u", "password": "p"})
        await session.post(f"{base_url}/control/deliver", json={})
        before, began = endpoint.count, time.perf_counter()
        async with session.post(f"{base_url}/control/clock", json={"advance_seconds": days * DAY}) as answer:
            moved = await answer.json()
        await session.post(f"{base_url}/control/deliver", json={})
        took, sent = time.perf_counter() - began, endpoint.count - before
        print(
            f"{days} days: {moved['done']:,} things due, {sent:,} webhooks delivered in {took:,.1f} s: {sent / took:,.0f} webhooks a second"
        )
        async with session.get(f"{base_url}/control/books") as answer:
            books = await answer.json()
        for currency, entry in books["books"].items():
            print(f"  {currency}: " + ", ".join(f"{name} {value:,}" for name, value in entry.items()))
        print("the books balance" if books["balanced"] else "THE BOOKS DO NOT BALANCE")
        print(f"state on disk: {state.stat().st_size / 2**20:,.0f} MiB")
    await endpoint.stop()
    assert books["balanced"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "simulator.sqlite3"
        began = time.perf_counter()
        with running_simulator(customers=options.customers, state=str(state)) as simulator:
            print(f"{options.customers:,} customers: ready after {time.perf_counter() - began:,.1f} s")
            asyncio.run(_measure(simulator.base_url, options.days, state))
            memory = next(
                line for line in Path(f"/proc/{simulator.process.pid}/status").read_text().splitlines() if line.startswith("VmHWM")
            )
            print(f"memory at most: {int(memory.split()[1]) // 1024} MiB")


if __name__ == "__main__":
    main()
