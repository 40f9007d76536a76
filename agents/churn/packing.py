"""Reasons as one number: which signals raised a score most and which lowered it most, strongest first. Words are made when someone reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.churn.signals import SIGNALS, FloatArray

RAISED, LOWERED = 4, 3
"""How many of each are kept: seven numbers of eight bits, 0 meaning none."""
SMALLEST_EFFECT = 0.05
_NAMES = tuple(signal.name for signal in SIGNALS)
_BITS = 8


def pack(effects: FloatArray, names: tuple[str, ...]) -> NDArray[np.int64]:
    """One number a customer from `effects` (signals, customers): above 0 raised the score, below 0 lowered it, NaN is not known."""
    numbers = np.array([_NAMES.index(name) + 1 for name in names], dtype=np.int64)
    packed = np.zeros(effects.shape[1], dtype=np.int64)
    left = np.nan_to_num(effects).T.copy()  # a customer's effects side by side, so that each search stays in the cache
    rows = np.arange(len(left))
    for place in range(RAISED):
        best = left.argmax(axis=1)
        _take(packed, left, rows, best, left[rows, best] >= SMALLEST_EFFECT, numbers, place)
    for place in range(RAISED, RAISED + LOWERED):
        best = left.argmin(axis=1)
        _take(packed, left, rows, best, left[rows, best] <= -SMALLEST_EFFECT, numbers, place)
    return packed


def _take(
    packed: NDArray[np.int64],
    left: FloatArray,
    rows: NDArray[np.int64],
    best: NDArray[np.int64],
    counts: NDArray[np.bool_],
    numbers: NDArray[np.int64],
    place: int,
) -> None:
    packed |= np.where(counts, numbers[best], 0) << (_BITS * place)
    left[rows, best] = 0.0


def unpack(packed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the signals that raised the score and of those that lowered it, strongest first."""
    numbers = [(packed >> (_BITS * place)) & 0xFF for place in range(RAISED + LOWERED)]
    names = [_NAMES[number - 1] if 0 < number <= len(_NAMES) else "" for number in numbers]
    return tuple(name for name in names[:RAISED] if name), tuple(name for name in names[RAISED:] if name)
