"""A trained model on disk: one JSON file of plain values, named by the SHA-256 of its own bytes, checked before it is believed."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from agents.churn.learning.columns import DroppedColumn
from agents.churn.learning.features import CategoricalFeature
from agents.churn.learning.metrics import Figures
from agents.churn.learning.model import KINDS, ChurnModel
from billing_ai.kernel.ids import canonical_json

FORMAT = "billing-ai churn model 1"
LARGEST_BYTES = 64 * 1024 * 1024
_NAME = re.compile(r"churn-([0-9a-f]{64})\.json")


class UnusableModel(Exception):
    """The file is no model, was changed after it was stored, or does not hold together; the text says which."""


@dataclass(frozen=True, slots=True)
class KindFigures:
    """How one kind of model did on rows it never saw."""

    kind: str
    figures: Figures
    mean_fold_auc: float
    mean_fold_ece: float


@dataclass(frozen=True, slots=True)
class Training:
    """Where a model comes from. `score_deciles` and `score_shares` are the training scores' reference for drift."""

    rows: int
    positives: int
    table_hash: str
    split: str
    folds: int
    seed: int
    score_deciles: tuple[float, ...]
    score_shares: tuple[float, ...]
    dropped: tuple[DroppedColumn, ...]
    compared: tuple[KindFigures, ...]


@dataclass(frozen=True, slots=True)
class Artefact:
    """A model with what a reader and a later check need to know about it."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    format: str
    target: str
    positive: str
    id_column: str | None
    time_column: str | None
    model: ChurnModel
    training: Training

    @property
    def figures(self) -> Figures:
        """The chosen model's figures on rows it never saw."""
        return next(candidate.figures for candidate in self.training.compared if candidate.kind == self.model.kind)


_ADAPTER: TypeAdapter[Artefact] = TypeAdapter(Artefact)


def to_bytes(artefact: Artefact) -> bytes:
    """The artefact's one byte form."""
    return canonical_json(_ADAPTER.dump_python(artefact, mode="json"))


def store(artefact: Artefact, folder: Path) -> Path:
    """Write the artefact under its hash, whole or not at all, and return where. The same artefact stored again becomes the newest."""
    content = to_bytes(artefact)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"churn-{hashlib.sha256(content).hexdigest()}.json"
    descriptor, temporary = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def load(path: Path) -> Artefact:
    """The artefact, after its bytes were found to have the hash in its name. Raises UnusableModel."""
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise UnusableModel(
            f"{path.name} is not named churn-<sha256>.json: without its hash it cannot be checked. Keep the name it was stored under."
        )
    if not path.is_file():
        raise UnusableModel(f"There is no model file {path}.")
    if path.stat().st_size > LARGEST_BYTES:
        raise UnusableModel(f"{path.name} is larger than {LARGEST_BYTES // 1024 // 1024} MB, which no model of ours is.")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != named[1]:
        raise UnusableModel(f"{path.name} was changed after it was stored: its content no longer has the hash in its name.")
    return parse(content)


def parse(content: bytes) -> Artefact:
    """The artefact in these bytes, checked to hold together. Raises UnusableModel."""
    try:
        artefact = _ADAPTER.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise UnusableModel(
            f"The model file does not have the expected form: {'.'.join(map(str, first['loc']))}: {first['msg']}."
        ) from error
    if artefact.format != FORMAT:
        raise UnusableModel(f"The model file's format is {artefact.format!r}; this version reads {FORMAT!r}.")
    try:
        _check(artefact.model)
    except ValueError as error:
        raise UnusableModel(f"The model file does not hold together: {error}.") from error
    return artefact


def newest(folder: Path) -> Path:
    """The artefact stored last in the folder. Raises UnusableModel when there is none."""
    found = [path for path in folder.glob("churn-*.json") if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    if not found:
        raise UnusableModel(f"There is no model in {folder}. Train one first (train churn --csv … --target …), or name one with --model.")
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def _check(model: ChurnModel) -> None:
    has_additive, has_trees = model.additive is not None, model.trees is not None
    expected = {"logistic": (True, False), "boosted": (False, True), "blend": (True, True)}
    if model.kind not in KINDS or (has_additive, has_trees) != expected[model.kind]:
        raise ValueError(f"a model of kind {model.kind!r} has other members than it should")
    if not model.features or len({feature.name for feature in model.features}) != len(model.features):
        raise ValueError("features are missing or named twice")
    if model.calibration.slope <= 0:
        raise ValueError("the calibration slope is not positive")
    for feature in model.features:
        if isinstance(feature, CategoricalFeature):
            if len(feature.levels) != len(feature.shares) or not 1 <= len(set(feature.levels)) == len(feature.levels):
                raise ValueError(f"the levels of {feature.name} do not fit")
        elif len(feature.knots) < 2 or not _ascending(feature.knots) or not _ascending(feature.deciles):
            raise ValueError(f"the knots of {feature.name} do not ascend")
        elif len(feature.decile_shares) != len(feature.deciles) + 1:
            raise ValueError(f"the deciles of {feature.name} do not fit")
    if model.additive is not None:
        if len(model.additive.terms) != len(model.features):
            raise ValueError("there is not one curve a feature")
        for feature, term in zip(model.features, model.additive.terms, strict=True):
            wanted = len(feature.levels) if isinstance(feature, CategoricalFeature) else len(feature.knots)
            if len(term.steps) != wanted:
                raise ValueError(f"the curve of {feature.name} does not fit")
    for tree in model.trees or ():
        tree.check(model.features)


def _ascending(values: Sequence[float]) -> bool:
    return bool(np.all(np.diff(values) > 0))
