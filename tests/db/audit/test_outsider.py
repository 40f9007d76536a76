"""An outsider's check, by the recipe as it is printed in the guide: its SQL and its Python, run alone, with nothing of ours."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from audit import ledger
from audit.actor import system
from audit.append_only import remove_sql
from audit.checkpoints import checkpoint

pytestmark = pytest.mark.django_db
GUIDE = Path(__file__).parents[3] / "docs/guide/checking-the-ledger.md"
_SQLITE = """
    SELECT json_object('id', id, 'position', position, 'hash', lower(hex(hash)), 'content', json_array(
      replace(writer, '-', ''), serial, strftime('%Y-%m-%dT%H:%M:%S', at) || '.' || substr(at || '.000000', instr(at || '.000000', '.') + 1, 6) || 'Z',
      kind, actor_kind, actor_id, actor_label, trace_id, chargebee_event_id, chargebee_customer_id, chargebee_invoice_id,
      coalesce(replace(case_id, '-', ''), ''), subject_kind, subject_id, agent, prompt_hash, model, data))
    FROM audit_entry ORDER BY writer, position"""


def printed(language: str) -> str:
    """The code block of the guide."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


@pytest.fixture
def outside(tmp_path: Path, settings: Any) -> Path:
    settings.AUDIT_CHECKPOINTS = [(tmp_path / "checkpoints.jsonl").as_uri()]
    for number in range(6):
        with transaction.atomic():
            ledger.append(
                "case.opened",
                actor=system("test"),
                trace_id="t",
                subject=("case", f"“{number}” \\ ü"),
                data={"ü": number, "nested": {"a": [1.5, None]}},
            )
        if number in (2, 5):
            checkpoint()
    return tmp_path


def check(folder: Path) -> tuple[int, str]:
    """Export and check, as the guide says."""
    with connection.cursor() as cursor:
        cursor.execute(printed("sql") if connection.vendor == "postgresql" else _SQLITE.replace("%", "%%"), [])
        rows = [row[0] if isinstance(row[0], str) else json.dumps(row[0]) for row in cursor.fetchall()]
    (folder / "entries.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "check_ledger.py").write_text(printed("python"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "check_ledger.py", "entries.jsonl", "checkpoints.jsonl"],
        cwd=folder, env={}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


def test_a_whole_ledger_passes(outside: Path) -> None:
    assert check(outside) == (0, "whole: 6 entries")


_TAMPERING: dict[str, tuple[str, str]] = {
    "change": ("UPDATE audit_entry SET kind = 'case.closed' WHERE position = 3", "its hash does not follow"),
    "removal": ("DELETE FROM audit_entry WHERE position = 2", "position 2 was expected"),
    "reordering": (
        "UPDATE audit_entry SET position = CASE position WHEN 4 THEN 105 ELSE 104 END WHERE position IN (4, 5);"
        "UPDATE audit_entry SET position = position - 100 WHERE position > 100",
        "its hash does not follow",
    ),
    "cut tail": ("DELETE FROM audit_entry WHERE position > 4", "position 6: missing, and checkpoint 2 names it"),
}


@pytest.mark.parametrize("kind", _TAMPERING)
def test_each_kind_of_change_is_found_and_placed(outside: Path, kind: str) -> None:
    statements, says = _TAMPERING[kind]
    _as_owner(lambda execute: [execute(one) for one in statements.split(";")])

    code, said = check(outside)

    assert code == 1
    assert says in said


def test_a_change_in_the_copy_outside_is_found(outside: Path) -> None:
    copy = outside / "checkpoints.jsonl"
    copy.write_text(copy.read_text().replace('"entries":3', '"entries":4'), encoding="utf-8")

    assert check(outside) == (1, "checkpoint 1 was changed")


def _as_owner(act: Callable[[Callable[[str], Any]], Any]) -> None:
    """Whoever owns the tables can switch the triggers off."""
    with connection.cursor() as cursor:
        for statement in remove_sql(connection.vendor):
            cursor.execute(statement)
        act(cursor.execute)
