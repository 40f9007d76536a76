"""A worker in a process of its own: several threads that carry out whatever is due, until nothing has been due for a while."""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import timedelta

import django


def main() -> None:
    """Arguments: seconds by which the clock is ahead, and how many threads."""
    django.setup()
    from django.db import connection

    from approvals import execution
    from billing_ai.kernel import clock

    clock.shift(timedelta(seconds=float(sys.argv[1])))

    def one() -> None:
        last = time.monotonic()
        try:
            while time.monotonic() - last < 3:
                if execution.execute_due(limit=1):
                    last = time.monotonic()
                else:
                    time.sleep(0.05)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(int(sys.argv[2]))]
    print("ready", flush=True)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ai.settings")
    main()
