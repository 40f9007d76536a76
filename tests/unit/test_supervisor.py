"""Starting parts: what they say is kept whole, and only trouble is passed on."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from billing_ai.supervisor import Group, Says, last_words

_SAYS = """
print("a banner")
print("INFO one")
print("ERROR two")
print("Traceback (most recent call last):")
print("INFO three")
print("WARNING four")
raise SystemExit(3)
"""
_TROUBLE = ["part      | ERROR two", "part      | Traceback (most recent call last):", "part      | WARNING four"]


@pytest.mark.parametrize(("says", "passed_on"), [("nothing", 0), ("trouble", 3), ("all", 6)])
def test_what_a_part_says_is_kept_and_trouble_is_passed_on(tmp_path: Path, says: Says, passed_on: int) -> None:
    heard: list[str] = []
    group = Group(heard.append, tmp_path / "logs", says)
    child = group.start("part", [sys.executable, "-c", _SAYS], dict(os.environ))
    child.process.wait(30)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (len(heard) < passed_on or "WARNING four" not in group.log_of("part").read_text()):
        time.sleep(0.05)
    assert len(heard) == passed_on
    assert len(group.log_of("part").read_text().splitlines()) == 6
    if says == "trouble":
        assert heard == _TROUBLE
    assert last_words(group, child).splitlines()[:2] == ["part ended with code 3. It said last:", "a banner"]
    group.stop()
