"""Figures to scores, for one customer and for a million alike: arrays in, arrays out, no database."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.churn import learned as learned_models
from agents.churn.knobs import Knobs
from agents.churn.knobs import load as load_knobs
from agents.churn.learned import Learned
from agents.churn.packing import pack
from agents.churn.queries import SCORECARD
from agents.churn.scorecard import RULES, score_columns
from agents.churn.signals import FloatArray, SignalColumns

_RULE_NAMES = tuple(rule.signal.name for rule in RULES)
MOVED = 0.02
"""How much p90 has to differ from a month ago to be rising or falling, and by a fifth of what it was."""


@dataclass(frozen=True, slots=True)
class BatchScores:
    """`probabilities` (customers, 3); `health` and `rooms` 0–100 with NaN where unknown; `bands` numbers; `reason_codes` packed."""

    probabilities: FloatArray
    health: FloatArray
    rooms: FloatArray
    bands: NDArray[np.int64]
    reason_codes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scorer:
    """What scores: the settings in force and the live model, or the scorecard when none is live."""

    knobs: Knobs
    model: Learned | None

    @property
    def version(self) -> str:
        """What the scores are marked with."""
        return SCORECARD if self.model is None else self.model.version

    def score(self, columns: SignalColumns) -> BatchScores:
        """Score every customer at once."""
        by_rule = score_columns(columns, self.knobs.scorecard)
        if self.model is None:
            probabilities, codes = by_rule.probabilities, pack(by_rule.effects.T, _RULE_NAMES)
        else:
            probabilities, moved = self.model.probabilities(columns)
            codes = pack(moved, self.model.names)
        return BatchScores(probabilities, by_rule.health, by_rule.rooms, self.knobs.bands(probabilities[:, 2]), codes)

    def effects(self, columns: SignalColumns) -> dict[str, FloatArray]:
        """What each signal moved each customer's score by, in log odds or log rate: above 0 raised it. For the reasons of a few."""
        if self.model is None:
            return dict(zip(_RULE_NAMES, score_columns(columns, self.knobs.scorecard).effects.T, strict=True))
        return dict(zip(self.model.names, self.model.probabilities(columns)[1], strict=True))


def current() -> Scorer:
    """The scorer of this moment."""
    return Scorer(load_knobs(), learned_models.live())


def trends(p90: FloatArray, before: FloatArray) -> NDArray[np.int64]:
    """The number of each trend in `ChurnScore.TRENDS`: 0 rising, 1 steady, 2 falling, 3 new (nothing to compare with)."""
    far = np.maximum(MOVED, 0.2 * before)
    out = np.where(p90 > before + far, 0, np.where(p90 < before - far, 2, 1))
    return np.where(np.isnan(before), 3, out)
