"""`make soak MINUTES=10 SEED=7 BACKEND=postgresql|sqlite`: ends with a table, and with 1 when anything in it is not as it must be."""

from __future__ import annotations

import argparse
import os
import sys


def main() -> int:
    """Read the command line, set Django up for one machine, play."""
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", default="7")
    parser.add_argument("--backend", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--customers", type=int, default=200)
    wanted = parser.parse_args()
    # Only the rig's own servers are touched, whatever this machine's environment names.
    os.environ |= {"DJANGO_SETTINGS_MODULE": "billing_ai.settings", "DATABASE_URL": "", "REDIS_URL": "", "CHARGEBEE_SITE": "", "DEMO": ""}
    import django

    django.setup()
    from tests.faults.soak.play import soak

    return soak(wanted.minutes, wanted.seed, wanted.backend, wanted.customers)


if __name__ == "__main__":
    sys.exit(main())
