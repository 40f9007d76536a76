#!/usr/bin/env python
"""Django's command line."""

import os
import sys


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ai.settings")
    if sys.argv[1:2] in (["demo"], ["tour"]):
        # Both bring their own simulator: a DATABASE_URL beside them does not make this a production start.
        os.environ.setdefault("DEMO", "true")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
