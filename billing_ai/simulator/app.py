"""The process: one site, one web server, one SMTP server, and the passing of time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable

from aiohttp import web

import billing_ai.simulator.api  # noqa: F401 - registers the handlers
from billing_ai.simulator import actions, control, scenarios
from billing_ai.simulator.control import Control
from billing_ai.simulator.crm import Crm
from billing_ai.simulator.errors import ApiError
from billing_ai.simulator.faults import Faults
from billing_ai.simulator.helpdesk import HelpDesk
from billing_ai.simulator.http_api import ApiDoor
from billing_ai.simulator.live import Life
from billing_ai.simulator.mailbox import smtp_protocol
from billing_ai.simulator.options import Options
from billing_ai.simulator.pages import Pages
from billing_ai.simulator.phone import Phone
from billing_ai.simulator.running import TimeKeeper
from billing_ai.simulator.site import Site
from billing_ai.simulator.webhooks import Webhooks
from billing_ai.simulator.world.making import make_world

logger = logging.getLogger(__name__)
LARGEST_BODY = 20 * 1024 * 1024
NOW_AND_THEN = 0.03


class Simulator:
    """Everything wired together; `start()` and `stop()` from one event loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.site = Site(options)
        self.faults = Faults(self.site)
        self.webhooks = Webhooks(self.site)
        self.keeper = TimeKeeper(self.site, self.webhooks)
        self._tasks: list[asyncio.Task[None]] = []
        self._runner: web.AppRunner | None = None
        self._smtp: asyncio.Server | None = None
        self._failure: BaseException | None = None

    def prepare(self) -> bool:
        """Make the world if the state holds none; True when it was made now."""
        fresh = self.site.store.setting("made_at") is None
        if fresh:
            wanted = scenarios.load(self.options.scenario) if self.options.scenario else {}
            make_world(self.site, wanted.get("world", {}).get("countries"))
        self.site.store.add_indexes()
        with self.site.store.writing():
            actions.overnight_events(self.site)
            if fresh and self.options.live:
                for share in ("duplicate_share", "late_share"):
                    self.site.store.set_setting(share, NOW_AND_THEN)
            if fresh and self.options.scenario:
                scenarios.start(self.site, self.options.scenario)
            if self.options.webhook_url:
                control.set_endpoint(self.site, self.options.webhook_url, self.options.webhook_user, self.options.webhook_password)
        return fresh

    def web_app(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[_api_errors, self.faults.middleware])
        door = ApiDoor(self.site)
        app.add_routes(Control(self.site, self.faults, self.keeper, self.webhooks).routes())
        app.add_routes(Pages(self.site, self.keeper, self.webhooks).routes())
        app.add_routes(Phone(self.site).routes())
        app.add_routes(HelpDesk(self.site).routes())
        app.add_routes(Crm(self.site).routes())
        app.router.add_route("*", "/api/v2/{tail:.*}", door.handle)
        return app

    async def start(self) -> tuple[int, int]:
        """Listen; the HTTP and SMTP ports that were taken (useful with 0)."""
        self._runner = web.AppRunner(self.web_app(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        tcp = web.TCPSite(self._runner, self.options.host, self.options.port)
        await tcp.start()
        loop = asyncio.get_running_loop()
        self._smtp = await loop.create_server(lambda: smtp_protocol(self.site, self.faults), self.options.host, self.options.smtp_port)
        ports = (_port(tcp), self._smtp.sockets[0].getsockname()[1])
        self.options.port, self.options.smtp_port = ports
        self.prepare()
        self.site.webhooks_wanted.set()
        self._tasks = [loop.create_task(self.webhooks.run()), loop.create_task(self.keeper.run())]
        if self.options.live:
            self._tasks.append(loop.create_task(Life(self.site).run()))
        return ports

    def on_failure(self, tell: Callable[[], object]) -> None:
        """Call `tell` when a task that should run for ever ends: a site whose time stands still should not look alive."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                self._failure = task.exception()
                tell()

        for task in self._tasks:
            task.add_done_callback(ended)

    def raise_failure(self) -> None:
        """Raise what ended a task, if anything did."""
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.webhooks.close()
        if self._smtp is not None:
            self._smtp.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self.site.store.close()


def _port(tcp: web.TCPSite) -> int:
    server = tcp._server
    sockets = getattr(server, "sockets", None)
    return int(sockets[0].getsockname()[1]) if sockets else 0


@web.middleware
async def _api_errors(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return web.json_response(error.body, status=error.status, headers=error.headers)


async def run(options: Options) -> None:
    """Run until interrupted."""
    simulator = Simulator(options)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(name, stopping.set)
    port, smtp_port = await simulator.start()
    print(f"simulator ready on http://{options.host}:{port} (mail on port {smtp_port})", flush=True)  # noqa: T201 - the start-up line
    simulator.on_failure(stopping.set)
    await stopping.wait()
    await simulator.stop()
    simulator.raise_failure()
