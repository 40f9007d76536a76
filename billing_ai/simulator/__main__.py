"""`python -m billing_ai.simulator`."""

from __future__ import annotations

import asyncio
import logging
import sys

from billing_ai.simulator.app import run
from billing_ai.simulator.options import parse


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    options = parse(sys.argv[1:])
    try:
        asyncio.run(run(options))
    except OSError as error:
        print(f"The simulator could not start: {error}. Is port {options.port} or {options.smtp_port} taken?", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
