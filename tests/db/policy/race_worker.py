"""Many threads that take slots and shares at once, in a process of its own against a real database. Prints what each of them got, as JSON."""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import datetime

import django


def main() -> None:
    """Arguments: what to take (`slot`, `day` or `turn`), the moment, and the ids of the executions."""
    django.setup()
    from django.db import close_old_connections, connection, transaction

    from approvals.contract import Check
    from approvals.models import Execution
    from approvals.policy import gate, limits, retry_ledger

    what, moment, ids = sys.argv[1], datetime.fromisoformat(sys.argv[2]), [int(one) for one in sys.argv[3].split(",")]
    start = threading.Barrier(len(ids))
    outcomes: list[str] = []

    def one(pk: int) -> None:
        start.wait()
        try:
            with transaction.atomic():
                execution = Execution.objects.select_related("proposal__case", "proposal__current").get(pk=pk)
                answer: object
                if what == "slot":
                    answer = retry_ledger.reserve(execution, now=moment)
                elif what == "day":
                    answer = limits.take(execution, now=moment)
                else:
                    answer = gate.take(execution, now=moment)
                    if answer is None:
                        execution.status = Execution.EXECUTING
                        execution.save()
            outcomes.append(answer.outcome if isinstance(answer, Check) else "taken")
        finally:
            connection.close()

    close_old_connections()
    threads = [threading.Thread(target=one, args=(pk,)) for pk in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    sys.stdout.write(json.dumps({name: outcomes.count(name) for name in sorted(set(outcomes))}))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ai.settings")
    main()
