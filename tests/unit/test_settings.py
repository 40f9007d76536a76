"""Settings that cannot work stop the start, with their names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("number", "is_refused"), [("Northwind", True), ("+15005550006", False), ("72345", False)])
def test_text_messages_come_from_a_number_that_can_be_answered(number: str, is_refused: bool) -> None:
    environment = {**os.environ, "DATABASE_URL": "", "DEMO": "true", "SMS_FROM": number}
    done = subprocess.run(
        [sys.executable, "-c", "import billing_ai.settings"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) == is_refused, done.stderr
    assert ("SMS_FROM" in done.stderr) == is_refused
