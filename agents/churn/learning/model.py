"""A trained model as plain values: features, one or two members that add up to log odds, and a calibration line."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agents.churn.learning.additive import AdditiveModel
from agents.churn.learning.calibration import Line
from agents.churn.learning.features import Feature, FeatureColumns
from agents.churn.learning.table import FloatArray
from agents.churn.learning.trees import Tree, TreeEnsemble

KINDS = ("logistic", "boosted", "blend")


@dataclass(frozen=True)
class ChurnModel:
    """`kind` says which members count: the logistic one, the boosted one, or the mean of both log odds."""

    kind: str
    features: tuple[Feature, ...]
    additive: AdditiveModel | None
    baseline: float
    trees: tuple[Tree, ...] | None
    calibration: Line

    @cached_property
    def ensemble(self) -> TreeEnsemble | None:
        """The boosted member, ready to score."""
        return None if self.trees is None else TreeEnsemble(self.features, self.baseline, self.trees)

    def log_odds(self, rows: FeatureColumns) -> FloatArray:
        """Calibrated log odds of each row."""
        parts: list[FloatArray] = []
        if self.additive is not None:
            parts.append(self.additive.log_odds(self.features, rows))
        if self.ensemble is not None:
            parts.append(self.ensemble.log_odds(rows))
        return self.calibration.intercept + self.calibration.slope * (sum(parts[1:], parts[0]) / len(parts))

    def probabilities(self, rows: FeatureColumns) -> FloatArray:
        """The calibrated probability of each row, strictly between 0 and 1."""
        bounded = np.clip(self.log_odds(rows), -30.0, 30.0)
        return np.asarray(1.0 / (1.0 + np.exp(-bounded)))

    def contributions(self, rows: FeatureColumns) -> FloatArray:
        """Each feature's share of each row's calibrated log odds against the average row, shape (rows, features). With `average` they add up
        to `log_odds`."""
        parts: list[FloatArray] = []
        if self.additive is not None:
            parts.append(self.additive.contributions(self.features, rows))
        if self.ensemble is not None:
            parts.append(self.ensemble.contributions(rows))
        return self.calibration.slope * (sum(parts[1:], parts[0]) / len(parts))

    @property
    def average(self) -> float:
        """The calibrated log odds that contributions start from."""
        parts: list[float] = []
        if self.additive is not None:
            parts.append(self.additive.intercept)
        if self.ensemble is not None:
            parts.append(self.ensemble.average)
        return self.calibration.intercept + self.calibration.slope * sum(parts) / len(parts)
