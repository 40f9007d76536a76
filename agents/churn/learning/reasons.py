"""Why a row scored as it did, in words: what raised it and what lowered it against the average row, and how usual the value is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents.churn.learning.columns import MISSING_LEVEL
from agents.churn.learning.features import CategoricalFeature, Feature, FeatureColumns, NumericFeature
from agents.churn.learning.model import ChurnModel

MOST_REASONS = 3
SMALLEST_EFFECT = 0.05  # log odds; a smaller share is not worth a reader's time


@dataclass(frozen=True, slots=True)
class Reason:
    """One feature's share in one row's score: `effect` in log odds (above 0 raises), and the sentence."""

    feature: str
    effect: float
    words: str


@dataclass(frozen=True, slots=True)
class Reasons:
    """The strongest reasons each way, strongest first."""

    raised: tuple[Reason, ...]
    lowered: tuple[Reason, ...]


def explain(model: ChurnModel, rows: FeatureColumns, most: int = MOST_REASONS) -> list[Reasons]:
    """The reasons of each row, at most `most` each way."""
    shares = model.contributions(rows)
    order = np.argsort(shares, axis=1)
    explained: list[Reasons] = []
    for row in range(rows.row_count):
        up = [int(f) for f in order[row, ::-1][:most] if shares[row, f] >= SMALLEST_EFFECT]
        down = [int(f) for f in order[row][:most] if shares[row, f] <= -SMALLEST_EFFECT]
        explained.append(
            Reasons(_reasons(model.features, rows, row, up, shares[row]), _reasons(model.features, rows, row, down, shares[row]))
        )
    return explained


def _reasons(features: Sequence[Feature], rows: FeatureColumns, row: int, chosen: Sequence[int], shares: np.ndarray) -> tuple[Reason, ...]:
    return tuple(
        Reason(
            features[f].name,
            float(shares[f]),
            f"{_value_words(features[f], float(rows.arrays[f][row]))} ({_effect_words(float(shares[f]))})",
        )
        for f in chosen
    )


def _effect_words(effect: float) -> str:
    return f"odds ×{np.exp(effect):.2f}" if effect > -2 else f"odds ×{np.exp(effect):.3f}"


def _value_words(feature: Feature, value: float) -> str:
    if isinstance(feature, CategoricalFeature):
        return _level_words(feature, int(value))
    if np.isnan(value):
        return f"{feature.name} is missing" + (
            f", as for {_percent(feature.missing_share)}" if feature.missing_share else ", which is unusual"
        )
    return f"{feature.name} is {value:.10g}, {_place_words(feature, value)}"


def _level_words(feature: CategoricalFeature, code: int) -> str:
    if code >= len(feature.levels):
        return f"{feature.name} is a value never seen in training"
    level = feature.levels[code]
    said = "missing" if level == MISSING_LEVEL else "a rare value" if code == feature.unseen_code else f"'{level}'"
    return f"{feature.name} is {said}, as for {_percent(feature.shares[code])}"


def _place_words(feature: NumericFeature, value: float) -> str:
    place = int(np.searchsorted(feature.deciles, value, side="left"))
    below = sum(feature.decile_shares[:place])
    own = feature.decile_shares[place]
    if own > 0.5:
        return f"as usual ({_percent(own)} are near it)"
    middle = below + own / 2
    if middle >= 0.85:
        return f"higher than {_percent(below)}"
    if middle <= 0.15:
        return f"lower than {_percent(1.0 - below - own)}"
    return "above the middle" if middle > 0.6 else "below the middle" if middle < 0.4 else "near the middle"


def _percent(share: float) -> str:
    return "fewer than 1% of rows" if share < 0.01 else f"{share:.0%} of rows"
