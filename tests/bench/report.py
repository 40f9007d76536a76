"""The page docs/benchmarks.md: each bench writes its own section of it, between two marks, and leaves the others as they are."""

from __future__ import annotations

import datetime
import fcntl
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure against another. `reached` is None where there is no goal."""

    what: str
    ours: str
    against: str
    ratio: str
    goal: str
    reached: bool | None = None

    def cells(self) -> str:
        """As a line of a table."""
        said = "–" if self.reached is None else "reached" if self.reached else "**not reached**"
        return f"| {self.what} | {self.ours} | {self.against} | {self.ratio} | {self.goal} | {said} |"


def section(name: str, title: str, rows: Sequence[Row], *, sizes: str, notes: Sequence[str] = (), page: Path = PAGE) -> str:
    """Print a section and put it into the page in the place of the one that has this name. Returns its text."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    lines = [f"## {title}", "", f"{today}, {machine()}. {sizes}", ""]
    lines += ["| what | ours | against | ratio | goal | |", "| --- | --- | --- | --- | --- | --- |", *(row.cells() for row in rows)]
    for note in notes:
        lines += ["", note]
    text = "\n".join(lines)
    print(text, flush=True)
    write(name, text, page)
    return text


def write(name: str, text: str, page: Path = PAGE) -> None:
    """Replace the section, or add it at the end. Several benches may write at once."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    with page.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        whole = file.read()
        block = f"{begin}\n{text}\n{end}"
        pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
        whole = pattern.sub(lambda _: block, whole) if pattern.search(whole) else f"{whole.rstrip()}\n\n{block}\n"
        file.seek(0)
        file.write(whole)
        file.truncate()


def machine() -> str:
    """Cores, processor kind and Python, in words."""
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
