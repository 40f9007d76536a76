"""A learned model as it is released: one artefact for 90 days, and a calibration line for each shorter horizon. Stored by hash, without pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents.churn.learning.artefact import Artefact, UnusableModel, parse, to_bytes
from agents.churn.learning.calibration import Line
from agents.churn.learning.columns import NumericColumn
from agents.churn.learning.features import training_columns
from agents.churn.models import ModelFile
from agents.churn.scorecard import HORIZONS_DAYS
from agents.churn.signals import SIGNALS, FloatArray, SignalColumns
from agents.models import Release
from billing_ai.kernel.ids import canonical_json

FORMAT = "billing-ai churn release 1"
FARTHEST_DAYS = 400.0
"""A day to come that is further away, or never comes, counts as this far: a model's curves end somewhere."""
_AHEAD = frozenset({"discount_ends", "card_expires", "renewal", "cancellation"})


@dataclass(frozen=True, slots=True)
class Learned:
    """A model that can score: `version` names it on every score."""

    version: str
    artefact: Artefact
    lines: dict[int, tuple[float, float]]
    """Intercept and slope by horizon in days, on the model's own log odds for 90 days."""

    def probabilities(self, columns: SignalColumns) -> tuple[FloatArray, FloatArray]:
        """(customers, 3) chances within HORIZONS_DAYS, never falling with the horizon; and (signals, customers) what moved each, in log odds."""
        model = self.artefact.model
        table = model_columns(columns)
        rows = training_columns(model.features, [table[feature.name] for feature in model.features])
        log_odds = model.log_odds(rows)
        out = np.empty((len(log_odds), len(HORIZONS_DAYS)))
        for position, days in enumerate(HORIZONS_DAYS):
            intercept, slope = self.lines.get(days, (0.0, 1.0))
            out[:, position] = Line(intercept, slope, 0.0, 0.0).probabilities(log_odds)
        return np.maximum.accumulate(out, axis=1), model.contributions(rows).T

    @property
    def names(self) -> tuple[str, ...]:
        """The signals in the order of what moved the score."""
        return tuple(feature.name for feature in self.artefact.model.features)


def model_columns(columns: SignalColumns) -> dict[str, NumericColumn]:
    """Each signal as a column to learn from: NaN where it is not known, days to come capped."""
    found: dict[str, NumericColumn] = {}
    for signal in SIGNALS:
        values = signal.of(columns)
        found[signal.name] = NumericColumn(signal.name, np.minimum(values, FARTHEST_DAYS) if signal.name in _AHEAD else values)
    return found


def store(artefact: Artefact, lines: dict[int, tuple[float, float]]) -> str:
    """Keep the model under the hash of its own bytes, and give the hash."""
    content = canonical_json(
        {"format": FORMAT, "lines": {str(days): list(line) for days, line in lines.items()}, "model": json.loads(to_bytes(artefact))}
    )
    content_hash = hashlib.sha256(content).hexdigest()
    ModelFile.objects.get_or_create(content_hash=content_hash, defaults={"content": content})
    return content_hash


def load(content_hash: str) -> Learned:
    """The model of this hash, after its bytes were found to have it. Raises UnusableModel."""
    row = ModelFile.objects.filter(pk=content_hash).first()
    if row is None:
        raise UnusableModel(f"There is no model {content_hash[:12]} in the database.")
    content = bytes(row.content)
    if hashlib.sha256(content).hexdigest() != content_hash:
        raise UnusableModel(f"The model {content_hash[:12]} was changed after it was stored.")
    try:
        values = json.loads(content)
        lines = {int(days): (float(line[0]), float(line[1])) for days, line in values["lines"].items()}
        if values["format"] != FORMAT or not set(lines) <= set(HORIZONS_DAYS) or any(slope <= 0 for _, slope in lines.values()):
            raise ValueError("its form is not known")
        artefact = parse(canonical_json(values["model"]))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UnusableModel(f"The model {content_hash[:12]} does not hold together: {error}.") from error
    unknown = _unknown([feature.name for feature in artefact.model.features])
    if unknown:
        raise UnusableModel(f"The model {content_hash[:12]} wants signals that there are not: {', '.join(unknown)}.")
    return Learned(version_of(content_hash), artefact, lines)


def version_of(content_hash: str) -> str:
    """The name that scores carry."""
    return f"churn-{content_hash[:12]}"


def live() -> Learned | None:
    """The model that a lead has put live, or None: then the scorecard serves. Raises UnusableModel rather than score with something else."""
    release = Release.objects.filter(agent="churn", kind="model", name="churn", status=Release.LIVE).first()
    return None if release is None else load(release.content_hash)


def _unknown(names: Sequence[str]) -> list[str]:
    known = {signal.name for signal in SIGNALS}
    return [name for name in names if name not in known]
