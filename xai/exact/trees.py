"""Tree ensembles, read into flat arrays, and their exact interventional semivalues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy import sparse

from xai.exact.base import Additive, Floats, Indices, Part, Terms, outputs_of
from xai.kernels.tree_shapley import NODE, moments_of, tree_shapley
from xai.model import is_a

BACKGROUND = 1024
"""Most background rows in one walk: memory is a bit for each of these at each node of a tree."""


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees as flat arrays; their sum, and a constant, are the outputs.

    Attributes
    ----------
    nodes : (nodes,) of `NODE`
    values : (nodes, outputs), or (nodes, 1) where each tree adds to one output
    firsts : (trees + 1,), where each tree begins
    outputs : (trees,), the output a tree adds to, or -1: all
    depth : most splits on a path
    constant : (outputs,)
    columns : (c,), the columns that any tree asks for; nodes count these
    dtype : what a tree casts x to before it compares
    categories : (sets, 8), the codes that go left, bit by bit
    """

    nodes: NDArray[Any]
    values: Floats
    firsts: Indices
    outputs: Indices
    depth: int
    constant: Floats
    columns: Indices
    dtype: type[np.floating[Any]]
    categories: NDArray[np.uint32]

    def cast(self, rows: Any) -> Floats:
        """The columns that trees ask for, as they see them."""
        own = rows[:, self.columns]
        own = own.toarray() if sparse.issparse(own) else np.asarray(own)
        return np.ascontiguousarray(own.astype(self.dtype).astype(np.float64))

    def terms(self, part: Part) -> Terms:
        """What the trees give a part of rows.

        Each of `n_jobs` threads takes some of the trees: rows are cheaper together.
        """
        out, m = Terms.empty(part), part.index.shape[1]
        moments = moments_of(part.masses, min(self.depth, part.n_players))
        jobs = 1 if part.n_jobs is None else effective_n_jobs(part.n_jobs)
        cuts = np.linspace(0, len(self.outputs), min(jobs, len(self.outputs)) + 1).astype(int)
        with ThreadPoolExecutor(len(cuts) - 1) as pool:
            run: Callable[..., Any] = pool.map if len(cuts) > 2 else map
            for rows, group in part.groups():
                for found in run(partial(self._walk, group, moments), cuts[:-1], cuts[1:]):
                    out.values[rows] += found.values / m
                    out.inter[rows] += (found.inter + found.inter.swapaxes(1, 2)) / m
                    out.ends[:, rows] += found.ends
        constant = (part.weights * self.constant[part.places]).sum(axis=2)
        return replace(out, ends=out.ends / np.array([m, 1])[:, None, None] + constant)

    def _walk(self, part: Part, moments: Floats, start: int, stop: int) -> Terms:
        """Sums over the trees start:stop, for rows that share replacement rows and players."""
        out = Terms.empty(part)
        x, owner = self.cast(part.x), np.ascontiguousarray(part.owner[0][self.columns])
        places, weights = np.ascontiguousarray(part.places), np.ascontiguousarray(part.weights)
        firsts, outputs = self.firsts[start : stop + 1], self.outputs[start:stop]
        for at in range(0, part.index.shape[1], BACKGROUND):
            data = self.cast(part.data[part.index[0, at : at + BACKGROUND]])
            ends = np.zeros_like(out.ends)
            tree_shapley(
                self.nodes, self.values, self.categories, firsts, outputs, self.depth,
                x, data, owner, places, weights, moments, out.values,
                out.inter if part.order == 2 else None, ends,
            )  # fmt: skip
            out.ends[0] += ends[0]
            out.ends[1] = ends[1]  # x's own outputs, once
        return out


def read_trees(estimator: Any, scale: str, asked: str, n_outputs: int) -> Additive | None:
    """A tree ensemble as an additive model; None where it is none, or not on the asked scale."""
    reader = next((read for names, read in _READERS.items() if is_a(estimator, names)), None)
    margin = reader in (_gradient_boosting, _hist_gradient_boosting)
    if reader is None or (margin and asked == "raw" and scale == "probability"):
        return None
    forest = reader(estimator)
    if forest is None:
        return None
    factor = 2.0 if getattr(estimator, "loss", None) == "exponential" else 1.0
    outputs = outputs_of(
        scale, asked, len(forest.constant), n_outputs, margin=margin, factor=factor
    )
    return None if outputs is None else Additive("trees", *outputs, forest.terms)


def _bagging(estimator: Any) -> Forest | None:
    """Trees on some of the columns each; members that never saw some class are not read."""
    members = estimator.estimators_
    classes = {getattr(e, "n_classes_", 0) for e in members}
    if not all(is_a(e, "BaseDecisionTree") for e in members) or classes != {
        getattr(estimator, "n_classes_", 0)
    }:
        return None
    trees = [e.tree_ for e in members]
    return _mean_of(trees, estimator.estimators_features_)


def _mean_of(trees: Sequence[Any], columns: Sequence[Indices] | None = None) -> Forest:
    """The mean of scikit-learn's trees, whose leaves hold probabilities or amounts."""
    values = [t.value[:, 0, :] if t.n_outputs == 1 else t.value[:, :, 0] for t in trees]
    nodes = [_nodes(t) for t in trees]
    for tree, own in zip(nodes, columns or [], strict=False):
        inner = tree["column"] >= 0
        tree["column"][inner] = own[tree["column"][inner]]
    return join_trees(
        nodes,
        [v / len(trees) for v in values],
        np.full(len(trees), -1),
        max(t.max_depth for t in trees),
        np.zeros(values[0].shape[1]),
        np.float32,
    )


def _gradient_boosting(estimator: Any) -> Forest | None:
    """Init + learning_rate · Σ trees, for each output."""
    init = estimator.init_
    constant = (
        init == "zero" if isinstance(init, str) else is_a(init, "DummyClassifier", "DummyRegressor")
    )
    raw_init = getattr(estimator, "_raw_predict_init", None)
    if not constant or raw_init is None:
        return None
    stages = estimator.estimators_
    trees = [e.tree_ for e in stages.ravel()]
    return join_trees(
        [_nodes(t) for t in trees],
        [estimator.learning_rate * t.value[:, 0, :] for t in trees],
        np.tile(np.arange(stages.shape[1]), len(stages)),
        max(t.max_depth for t in trees),
        np.ravel(raw_init(np.zeros((1, estimator.n_features_in_), np.float32))).astype(np.float64),
        np.float32,
    )


def _nodes(tree: Any) -> NDArray[Any]:
    nodes = np.zeros(tree.node_count, NODE)
    leaf = tree.children_left < 0
    nodes["threshold"], nodes["column"] = tree.threshold, np.where(leaf, -1, tree.feature)
    nodes["left"], nodes["right"], nodes["bits"] = tree.children_left, tree.children_right, -1
    nodes["missing_left"] = tree.missing_go_to_left
    return nodes


def _hist_gradient_boosting(estimator: Any) -> Forest | None:
    """Baseline + Σ trees, for each output; categorical splits are sets of codes."""
    stages = getattr(estimator, "_predictors", None)
    baseline = getattr(estimator, "_baseline_prediction", None)
    if not stages or baseline is None or estimator.loss in ("poisson", "gamma"):
        return None  # the last two predict the exponential of their trees' sum
    predictors = [p for stage in stages for p in stage]
    sets = [p.raw_left_cat_bitsets for p in predictors]
    nodes, place = [], 0
    for p, own in zip(predictors, sets, strict=True):
        nodes.append(_hist_nodes(p.nodes, place))
        place += len(own)
    return join_trees(
        nodes,
        [p.nodes["value"][:, None] for p in predictors],
        np.tile(np.arange(len(stages[0])), len(stages)),
        max(int(p.nodes["depth"].max()) for p in predictors),
        np.ravel(baseline).astype(np.float64),
        np.float64,
        np.concatenate(sets),
    )


def _hist_nodes(raw: NDArray[Any], place: int) -> NDArray[Any]:
    nodes = np.zeros(len(raw), NODE)
    leaf, by_category = raw["is_leaf"] == 1, raw["is_categorical"] == 1
    nodes["threshold"] = raw["num_threshold"]
    nodes["column"] = np.where(leaf, -1, raw["feature_idx"])
    nodes["left"], nodes["right"] = raw["left"], raw["right"]
    nodes["bits"] = np.where(by_category, raw["bitset_idx"].astype(np.int64) + place, -1)
    nodes["missing_left"] = raw["missing_go_to_left"]
    return nodes


def join_trees(
    trees: Sequence[NDArray[Any]],
    values: Sequence[Floats],
    outputs: Indices,
    depth: int,
    constant: Floats,
    dtype: type[np.floating[Any]],
    categories: NDArray[np.uint32] | None = None,
) -> Forest:
    """Put trees one after the other; their columns are numbered anew, those in use alone."""
    sizes = [len(t) for t in trees]
    firsts = np.concatenate([[0], np.cumsum(sizes)])
    nodes = np.concatenate(trees)
    shift = np.repeat(firsts[:-1], sizes)
    nodes["left"] += shift.astype(np.int32)
    nodes["right"] += shift.astype(np.int32)
    inner = nodes["column"] >= 0
    columns, places = np.unique(nodes["column"][inner], return_inverse=True)
    nodes["column"][inner] = places
    sets = np.zeros((1, 8), np.uint32) if categories is None or not len(categories) else categories
    return Forest(
        nodes, np.ascontiguousarray(np.concatenate(values), np.float64), firsts.astype(np.intp),
        outputs.astype(np.intp), depth, constant, columns.astype(np.intp), dtype,
        np.ascontiguousarray(sets, np.uint32),
    )  # fmt: skip


_READERS: dict[str, Callable[[Any], Forest | None]] = {
    "BaseDecisionTree": lambda estimator: _mean_of([estimator.tree_]),
    "BaseForest": lambda estimator: _mean_of([e.tree_ for e in estimator.estimators_]),
    "BaggingClassifier": _bagging,
    "BaggingRegressor": _bagging,
    "BaseGradientBoosting": _gradient_boosting,
    "BaseHistGradientBoosting": _hist_gradient_boosting,
}
