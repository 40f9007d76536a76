"""Charts as figures for a template that draws them: no library, and each has its table behind it."""

from __future__ import annotations

from dataclasses import dataclass

WIDTH, LABEL, ROW = 520, 225, 30
DAY_WIDTH, DAY_HEIGHT = 520, 150


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar with its place in the drawing. `said` is the figure in words."""

    label: str
    value: float
    said: str
    x: float
    y: int | float
    width: float
    height: float

    @property
    def end(self) -> float:
        """Where the figure stands, behind a lying bar."""
        return self.x + self.width + 7


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing's size and bars."""

    width: int
    height: int
    bars: tuple[Bar, ...]


def lying_bars(rows: list[tuple[str, float, str]]) -> Chart:
    """Rows of (label, value, words) as bars from left to right."""
    most = max((value for _, value, _ in rows), default=0) or 1
    room = WIDTH - LABEL - 90
    bars = tuple(
        Bar(label, value, said, LABEL, index * ROW + 7, round(max(2.0, room * value / most), 1) if value else 0, 16)
        for index, (label, value, said) in enumerate(rows)
    )
    return Chart(WIDTH, max(1, len(rows)) * ROW, bars)


def standing_bars(rows: list[tuple[str, float, str]]) -> Chart:
    """Rows of (label, value, words) as columns side by side, the earliest first."""
    most = max((value for _, value, _ in rows), default=0) or 1
    step = DAY_WIDTH / max(1, len(rows))
    tall = DAY_HEIGHT - 34
    bars = tuple(
        Bar(
            label,
            value,
            said,
            round(index * step + step * 0.18, 1),
            round(tall - tall * value / most + 8, 1),
            round(step * 0.64, 1),
            round(tall * value / most, 1),
        )
        for index, (label, value, said) in enumerate(rows)
    )
    return Chart(DAY_WIDTH, DAY_HEIGHT, bars)
