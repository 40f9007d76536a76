"""Boosted trees as they are kept and scored with numpy: flat arrays, no library of trees, no pickle.

Scoring does not walk the trees. Each feature is first turned into the number of the interval between cut points that it falls in. Each
(tree, feature, interval) has a bit mask of the leaves that this interval still allows; the masks of all features of a tree are put
together with AND, and what is left is the one leaf that the row ends in. That is a table look-up a feature instead of a branch a node.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agents.churn.learning.features import CategoricalFeature, Feature, FeatureColumns
from agents.churn.learning.table import FloatArray

MOST_LEAVES = 16
_BLOCK_ROWS = 8192
_ALL = np.uint16(0xFFFF)


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree by node; node 0 is the root and a child's number is above its parent's. For a leaf `feature` is -1. A row goes left when its
    number is at most `cut`, or its word is not the level `cut`; a missing number goes left where `missing_left` is 1. `value` is the log
    odds at a leaf, and at an inner node the average of its training rows."""

    feature: tuple[int, ...]
    cut: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    missing_left: tuple[int, ...]
    value: tuple[float, ...]

    def check(self, features: Sequence[Feature]) -> None:
        """Raises ValueError when the arrays are no tree over these features."""
        size = len(self.feature)
        if not size or any(len(part) != size for part in (self.cut, self.left, self.right, self.missing_left, self.value)):
            raise ValueError("the arrays of a tree have different lengths")
        if sum(feature < 0 for feature in self.feature) > MOST_LEAVES:
            raise ValueError(f"a tree has more than {MOST_LEAVES} leaves")
        children: list[int] = []
        for node, feature in enumerate(self.feature):
            if feature < 0:
                continue
            if feature >= len(features) or not (node < self.left[node] < size and node < self.right[node] < size):
                raise ValueError(f"node {node} of a tree points outside it")
            children += [self.left[node], self.right[node]]
        if sorted(children) != list(range(1, size)):
            raise ValueError("a tree has a node without a parent, or with two")


@dataclass(frozen=True)
class TreeEnsemble:
    """Log odds = `baseline` + the leaf of each tree."""

    features: tuple[Feature, ...]
    baseline: float
    trees: tuple[Tree, ...]

    def log_odds(self, rows: FeatureColumns) -> FloatArray:
        """The log odds of each row, before calibration."""
        out = np.empty(rows.row_count)
        for start, codes in self._blocks(rows):
            total = np.full(codes.shape[1], self.baseline)
            for leaf, table in zip(self._leaves(codes), self._leaf_values, strict=True):
                total += table[leaf]
            out[start : start + len(total)] = total
        return out

    def contributions(self, rows: FeatureColumns) -> FloatArray:
        """Each feature's share of each row's log odds, shape (rows, features): what the average moved by at each split on the way to the leaf
        goes to the split's feature. Together with `average` they add up to `log_odds` exactly."""
        out = np.zeros((rows.row_count, len(self.features)))
        for start, codes in self._blocks(rows):
            block = out[start : start + codes.shape[1]]
            for leaf, (used, table) in zip(self._leaves(codes), self._leaf_paths, strict=True):
                block[:, used] += table[leaf]
        return out

    @property
    def average(self) -> float:
        """The log odds that contributions start from: the training average."""
        return self.baseline + sum(tree.value[0] for tree in self.trees)

    @cached_property
    def _cuts(self) -> tuple[FloatArray, ...]:
        """Ascending cut points of each feature over all trees."""
        found: list[set[float]] = [set() for _ in self.features]
        for tree in self.trees:
            for feature, cut in zip(tree.feature, tree.cut, strict=True):
                if feature >= 0:
                    found[feature].add(cut)
        return tuple(np.array(sorted(cuts), dtype=np.float64) for cuts in found)

    @cached_property
    def _masks(self) -> tuple[tuple[tuple[int, NDArray[np.uint16]], ...], ...]:
        """For each tree, each feature it splits on with its mask by code; the last code is a missing number."""
        return tuple(self._tree_masks(tree) for tree in self.trees)

    @cached_property
    def _leaf_values(self) -> tuple[FloatArray, ...]:
        return tuple(np.array([tree.value[node] for node in leaf_nodes(tree)]) for tree in self.trees)

    @cached_property
    def _leaf_paths(self) -> tuple[tuple[NDArray[np.int64], FloatArray], ...]:
        """For each tree the features it uses, and each leaf's contributions to them."""
        paths: list[tuple[NDArray[np.int64], FloatArray]] = []
        for tree in self.trees:
            used = sorted({feature for feature in tree.feature if feature >= 0})
            leaves = {node: position for position, node in enumerate(leaf_nodes(tree))}
            table = np.zeros((len(leaves), len(used)))
            waiting = [(0, np.zeros(len(used)))]
            while waiting:
                node, so_far = waiting.pop()
                if node in leaves:
                    table[leaves[node]] = so_far
                    continue
                for child in (tree.left[node], tree.right[node]):
                    moved = so_far.copy()
                    moved[used.index(tree.feature[node])] += tree.value[child] - tree.value[node]
                    waiting.append((child, moved))
            paths.append((np.array(used, dtype=np.int64), table))
        return tuple(paths)

    def _tree_masks(self, tree: Tree) -> tuple[tuple[int, NDArray[np.uint16]], ...]:
        leaves = {node: np.uint16(1 << position) for position, node in enumerate(leaf_nodes(tree))}
        below: dict[int, np.uint16] = {}
        for node in reversed(range(len(tree.feature))):
            below[node] = leaves[node] if node in leaves else below[tree.left[node]] | below[tree.right[node]]
        masks: dict[int, NDArray[np.uint16]] = {}
        for node, feature in enumerate(tree.feature):
            if feature < 0:
                continue
            fitted = self.features[feature]
            if isinstance(fitted, CategoricalFeature):
                codes = len(fitted.levels) + 1
                goes_left = np.arange(codes) != int(tree.cut[node])
            else:
                cuts = self._cuts[feature]
                codes = len(cuts) + 2  # one interval more than cut points, and the missing one
                goes_left = np.arange(codes) <= int(np.searchsorted(cuts, tree.cut[node]))
                goes_left[-1] = bool(tree.missing_left[node])
            mask = masks.setdefault(feature, np.full(codes, _ALL))
            mask[goes_left] &= ~below[tree.right[node]]
            mask[~goes_left] &= ~below[tree.left[node]]
        return tuple(sorted(masks.items(), key=lambda item: item[0]))

    def _blocks(self, rows: FeatureColumns) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Blocks of rows small enough to stay in the processor's cache, as codes of shape (features, rows)."""
        for start in range(0, rows.row_count, _BLOCK_ROWS):
            stop = min(start + _BLOCK_ROWS, rows.row_count)
            codes = np.empty((len(self.features), stop - start), dtype=np.intp)
            for position, (feature, values) in enumerate(zip(self.features, rows.arrays, strict=True)):
                part = values[start:stop]
                if isinstance(feature, CategoricalFeature):
                    codes[position] = part
                else:
                    cuts = self._cuts[position]
                    codes[position] = np.searchsorted(cuts, part, side="left")
                    codes[position][np.isnan(part)] = len(cuts) + 1
            yield start, codes

    def _leaves(self, codes: NDArray[np.intp]) -> Iterator[NDArray[np.uint8]]:
        """For each tree the position of the leaf that each row of the block ends in."""
        allowed = np.empty(codes.shape[1], dtype=np.uint16)
        step = np.empty(codes.shape[1], dtype=np.uint16)
        for masks in self._masks:
            allowed.fill(_ALL)
            for position, (feature, mask) in enumerate(masks):
                np.take(mask, codes[feature], out=allowed if position == 0 else step, mode="clip")
                if position:
                    allowed &= step
            yield _LOWEST_BIT[allowed]


def leaf_nodes(tree: Tree) -> list[int]:
    """The numbers of the nodes that are leaves, ascending."""
    return [node for node, feature in enumerate(tree.feature) if feature < 0]


def _lowest_bits() -> NDArray[np.uint8]:
    table = np.zeros(1 << 16, dtype=np.uint8)
    for bit in reversed(range(16)):
        table[(np.arange(1 << 16) >> bit) & 1 == 1] = bit
    return table


_LOWEST_BIT = _lowest_bits()
