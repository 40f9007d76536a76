"""How a simulator is started."""

from __future__ import annotations

import argparse
from dataclasses import dataclass


@dataclass
class Options:
    """Everything the command line can set; the defaults make a small demo site."""

    host: str = "127.0.0.1"
    port: int = 8100
    smtp_port: int = 8125
    seed: int = 7
    customers: int = 48
    state: str | None = None
    reset: bool = False
    webhook_url: str = ""
    webhook_user: str = ""
    webhook_password: str = ""
    live: bool = False
    api_keys: tuple[str, ...] = ("test_simulator_key",)
    read_only_keys: tuple[str, ...] = ()
    rate_limit: int = 0
    fresh_failures: int = 12
    history_months: int = 0
    scenario: str = ""
    site: str = "northwind-test"
    public_url: str = ""

    @property
    def base_url(self) -> str:
        """Where people reach the pages: links in hosted pages begin with it."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


def parse(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m billing_ai.simulator", description="A Chargebee site to run against.")
    defaults = Options()
    parser.add_argument("--host", default=defaults.host)
    parser.add_argument("--port", type=int, default=defaults.port)
    parser.add_argument("--smtp-port", type=int, default=defaults.smtp_port)
    parser.add_argument("--seed", type=int, default=defaults.seed, help="the same seed and size make the same world")
    parser.add_argument("--customers", type=int, default=defaults.customers)
    parser.add_argument("--state", default=None, help="SQLite file; without it everything is gone at the end")
    parser.add_argument("--reset", action="store_true", help="forget the state file's world and make a new one")
    parser.add_argument("--webhook-url", default="")
    parser.add_argument("--webhook-user", default="")
    parser.add_argument("--webhook-password", default="")
    parser.add_argument("--live", action="store_true", help="new failures and payments every 20 to 40 seconds")
    parser.add_argument("--api-keys", default=",".join(defaults.api_keys), help="comma-separated keys that may read and write")
    parser.add_argument("--read-only-keys", default="", help="comma-separated keys that may only read")
    parser.add_argument("--rate-limit", type=int, default=0, help="requests a minute; 0 for none")
    parser.add_argument("--fresh-failures", type=int, default=defaults.fresh_failures, help="payments that failed overnight")
    parser.add_argument("--history-months", type=int, default=0, help="months of paid invoices a customer; 0: by size of the world")
    parser.add_argument("--scenario", default="", help="name of a file in scenarios/, or a path")
    parser.add_argument("--site", default=defaults.site)
    parser.add_argument("--public-url", default="", help="address for links, when it differs from host and port")
    found = vars(parser.parse_args(arguments))
    found["api_keys"] = _keys(found["api_keys"])
    found["read_only_keys"] = _keys(found["read_only_keys"])
    return Options(**found)


def _keys(text: str) -> tuple[str, ...]:
    return tuple(key.strip() for key in text.split(",") if key.strip())
