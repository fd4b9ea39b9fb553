"""The one table of methods that every law runs over, small models, and slow, obvious oracles."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import xai

# ------------------------------------------------------------------------------ table of methods


@dataclass(frozen=True)
class Case:
    """What a method needs, and which laws it obeys beside those that all obey."""

    name: str
    data_set: bool = False  # explains a data set: one row of values
    needs_y: bool = False
    samples: bool = True  # draws at random where `budget` is below full enumeration
    sums: bool = False  # efficiency: Shapley
    dummies: bool = False  # exactly 0 for a player that does nothing, sampled or not
    any_model: bool = False  # of networks: needs no gradients
    needs_data: bool = False  # background rows (of networks; the tables' methods all have them)
    change: bool = True  # measures change: zero on a constant model
    ranks: bool = False  # an order of players, which any rounding may change
    shares: bool = True  # of networks: all outputs use the same model rows
    default_removal: str = "Marginal"
    background: bool = True  # its draws are the background's rows
    groups: bool = True  # its players may be groups of columns
    enumerates: bool = True  # exact once all coalitions fit the budget
    least: int = 0  # model rows that one explained row of the `large` problem needs
    concepts: bool = False  # a bank of concepts
    budget: int | None = 1500  # with the `large` problem below, too few rows to enumerate


CASES = {
    case.name: case
    for case in [
        Case("occlusion", samples=False, dummies=True),
        Case("include_one", samples=False, dummies=True),
        Case("shapley", sums=True, dummies=True),
        Case("exact_shapley", samples=False, sums=True, dummies=True, budget=None),
        Case("permutation_shap", sums=True, dummies=True),
        Case("kernel_shap", sums=True),
        Case("banzhaf"),
        Case("beta_shapley", dummies=True),
        Case("owen", sums=True, dummies=True),
        Case("mean_when_included", change=False),
        Case("lime", enumerates=False, background=False),
        # four designs of eight neighbours, over 20 background rows
        Case("sobol", dummies=True, enumerates=False, least=4 * 9 * 20 + 21),
        Case("hsic"),
        Case("c_lime", enumerates=False, groups=False, background=False, default_removal="Noise"),
        Case("permutation_test", data_set=True, needs_y=True, dummies=True),
        Case("loss_shap", needs_y=True, sums=True, dummies=True),
        Case("sage", data_set=True, needs_y=True, sums=True, dummies=True),
        Case(
            "ime",
            sums=True,
            dummies=True,
            enumerates=False,
            background=False,
            default_removal="Uniform",
        ),
        Case(
            "qii", sums=True, dummies=True, enumerates=False, default_removal="ProductOfMarginals"
        ),
    ]
}

NETWORK_CASES = {
    case.name: case
    for case in [
        Case("gradient", samples=False),
        Case("gradient_x_input", samples=False),
        Case("smoothgrad", budget=33),
        Case("squaregrad", budget=33),
        Case("vargrad", budget=33),
        Case("integrated_gradients", samples=False),
        Case("blur_integrated_gradients", samples=False),
        Case("expected_gradients", budget=47, needs_data=True),
        Case("layer_integrated_gradients", samples=False),
        Case("gradcam", samples=False),
        Case("gradcam++", samples=False),
        Case("ablation_cam", samples=False),
        Case("score_cam", samples=False, change=False),
        Case("deeplift", samples=False, shares=False),
        Case("lrp", samples=False, shares=False),
        Case("guided_backprop", samples=False, shares=False),
        Case("deconvnet", samples=False, shares=False),
        Case("rise", change=False, any_model=True, budget=40),
        Case("extremal_perturbation", samples=False, change=False, shares=False, budget=90),
        Case("meaningful_perturbation", samples=False, change=False, shares=False, budget=40),
        Case("mir", samples=False, ranks=True, shares=False, any_model=True, budget=None),
        # four designs of two neighbours, both ends, three passes to find and to weigh the way on
        Case("craft", budget=60, least=4 * 3 + 2 + 3, concepts=True),
    ]
}
"""Methods for images, and for torch networks: their laws are in test_network_laws.py."""

FAMILIES: dict[str, Callable[[Case], bool]] = {
    "case": lambda case: True,
    "local_case": lambda case: not case.data_set,
    "sampling_case": lambda case: case.samples,
    "sum_case": lambda case: case.sums,
    "dummy_case": lambda case: case.dummies,
    "enumerating_case": lambda case: case.enumerates and not case.data_set,
    "grouping_case": lambda case: case.groups,
    "output_case": lambda case: not case.needs_y,
    "output_sum_case": lambda case: case.sums and not case.needs_y,
    "known_dummy_case": lambda case: (
        not case.data_set and case.change and (case.enumerates or case.dummies)
    ),
    "background_case": lambda case: case.background,
}


NETWORK_FAMILIES: dict[str, Callable[[Case], bool]] = {
    "network_case": lambda case: True,
    "sampling_network_case": lambda case: case.samples,
    "torch_case": lambda case: not case.any_model,
    "amount_network_case": lambda case: not case.ranks,
    "sharing_network_case": lambda case: case.shares,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `case`, `local_case`, … runs once for each such method."""
    for family, belongs in FAMILIES.items():
        if family in metafunc.fixturenames:
            names = [record.name for record in xai.methods()]
            cases = [CASES[name] for name in names if name in CASES and belongs(CASES[name])]
            metafunc.parametrize(family, cases, ids=[case.name for case in cases])
    for family, belongs in NETWORK_FAMILIES.items():
        if family in metafunc.fixturenames:
            cases = [case for case in NETWORK_CASES.values() if belongs(case)]
            metafunc.parametrize(family, cases, ids=[case.name for case in cases])


@pytest.fixture(scope="session")
def method_table() -> dict[str, Case]:
    return CASES | NETWORK_CASES


# -------------------------------------------------------------------------------- small problems


@dataclass(frozen=True)
class Problem:
    """A model, rows to explain, a labelled data set and a background."""

    model: Any
    x: np.ndarray  # (3, d)
    rows: np.ndarray  # (12, d), with labels y
    y: np.ndarray
    data: np.ndarray  # (m, d)


def probability(x: Any) -> np.ndarray:
    """(n, d >= 5) -> (n, 2). Columns 2 and 3 are symmetric, column 4 is a dummy.

    Only +, * and /, which round alike in every batch and memory layout.
    """
    s = 0.3 + x[:, 0] * x[:, 1] * (1 + x[:, 2] + x[:, 3]) + x[:, 2] * x[:, 3] + 0.5 * x[:, 0]
    for column in range(5, x.shape[1]):
        s = s + 0.4 * x[:, column] * x[:, column - 5]
    p = s * s / (1 + s * s)
    return np.stack([1 - p, p], axis=1)


def _problem(d: int, m: int) -> Problem:
    rng = np.random.default_rng(7)
    x, rows, data = (rng.normal(size=(count, d)) for count in (3, 12, m))
    y = (rng.random(12) < 0.5).astype(int)
    for array in (x, rows, y, data):
        array.setflags(write=False)
    return Problem(probability, x, rows, y, data)


@pytest.fixture(scope="session")
def small() -> Problem:
    """5 players, 6 background rows: 192 model rows are all there are."""
    return _problem(5, 6)


@pytest.fixture(scope="session")
def large() -> Problem:
    """8 players, 20 background rows: 5,120 model rows, above every case's budget."""
    return _problem(8, 20)


@pytest.fixture(scope="session")
def run() -> Callable[..., xai.Explanation]:
    """run(case, problem, **keywords): explain() with what the method needs."""

    def call(case: Case, problem: Problem, **keywords: Any) -> xai.Explanation:
        given: dict[str, Any] = {"data": problem.data, "budget": case.budget}
        model = keywords.pop("model", problem.model)
        x = keywords.pop("x", problem.rows if case.data_set else problem.x)
        if case.needs_y:
            given["y"] = problem.y[: len(x)]
        return xai.explain(model, x, method=case.name, **(given | keywords))

    return call


class Counting:
    """A callable around a callable that counts the rows it is given."""

    def __init__(self, model: Callable[[Any], Any]) -> None:
        self.model, self.rows, self.largest, self.calls = model, 0, 0, 0
        self.seen: list[Any] = []
        self._lock = threading.Lock()

    def __call__(self, x: Any) -> Any:
        with self._lock:
            self.rows += x.shape[0]
            self.calls += 1
            self.largest = max(self.largest, x.shape[0])
            self.seen.append(x)
        return self.model(x)


@pytest.fixture(scope="session")
def counting() -> type[Counting]:
    return Counting


# ----------------------------------------------------------------------------------- real models


@pytest.fixture(scope="session")
def cancer() -> SimpleNamespace:
    """Breast cancer, its first 8 columns, and a small forest that was trained on them."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier

    bunch = load_breast_cancer()
    x, y = bunch.data[:, :8], bunch.target
    forest = RandomForestClassifier(n_estimators=10, max_depth=4, random_state=0).fit(x, y)
    return SimpleNamespace(forest=forest, x=x, y=y, names=list(bunch.feature_names[:8]))


@pytest.fixture(scope="session")
def trees() -> SimpleNamespace:
    """Three kinds of tree, labelled by strings: one label reads "all"."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    bunch = load_iris()
    labels = np.array(["all", "birch", "cedar"])[bunch.target]
    model = LogisticRegression(max_iter=1000).fit(bunch.data, labels)
    x = bunch.data[[0, 60, 120]]
    return SimpleNamespace(
        model=model, x=x, all_x=bunch.data, y=labels[[0, 60, 120]], all_y=labels,
        data=bunch.data[::15],
    )  # fmt: skip


@pytest.fixture(scope="session")
def line() -> SimpleNamespace:
    """A linear regression with known coefficients: f(x) = x @ w + 2."""
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(30, 4)), np.array([2.0, -1.0, 0.5, 0.0])
    model = LinearRegression().fit(x, x @ w + 2)
    return SimpleNamespace(model=model, x=x, w=w, data=x[10:20])


@pytest.fixture(scope="session")
def mixed() -> SimpleNamespace:
    """A pandas table with numbers, integers, strings and a categorical, and a Pipeline for it."""
    pd = pytest.importorskip("pandas")
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rng = np.random.default_rng(5)
    n = 80
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "income": rng.normal(40.0, 9.0, n),
            "town": rng.choice(["Bonn", "Kiel", "Ulm"], n),
            "grade": pd.Categorical(rng.choice(["low", "mid", "top"], n)),
        }
    )
    y = (frame["age"] / 60 + (frame["town"] == "Ulm") + (frame["grade"] == "top") > 1.4).to_numpy()
    columns = ColumnTransformer(
        [
            ("number", StandardScaler(), ["age", "income"]),
            ("word", OneHotEncoder(handle_unknown="ignore"), ["town", "grade"]),
        ]
    )
    pipeline = make_pipeline(columns, LogisticRegression()).fit(frame, y.astype(int))
    return SimpleNamespace(
        pipeline=pipeline, frame=frame, y=y.astype(int), x=frame.iloc[:3], data=frame.iloc[20:30]
    )


# --------------------------------------------------------------------------------------- oracles


def subsets(d: int) -> np.ndarray:
    """All 2^d coalitions, (2^d, d) bool."""
    return np.array(list(itertools.product([False, True], repeat=d)), dtype=bool).reshape(-1, d)


def _with(S: tuple[int, ...], d: int) -> np.ndarray:
    row = np.zeros((1, d), dtype=bool)
    row[0, list(S)] = True
    return row


def shapley(v: Callable, d: int) -> np.ndarray:
    """phi_i = sum over S without i of |S|! (d - |S| - 1)! / d! (v(S + i) - v(S)); Shapley 1953."""
    phi = []
    for i in range(d):
        total: Any = 0.0
        others = [j for j in range(d) if j != i]
        for size in range(d):
            weight = math.factorial(size) * math.factorial(d - size - 1) / math.factorial(d)
            for S in itertools.combinations(others, size):
                total = total + weight * (v(_with((*S, i), d))[0] - v(_with(S, d))[0])
        phi.append(total)
    return np.array(phi)


def banzhaf(v: Callable, d: int) -> np.ndarray:
    """phi_i = mean over S without i of v(S + i) - v(S); Banzhaf 1965."""
    phi = []
    for i in range(d):
        others = [j for j in range(d) if j != i]
        gains = [
            v(_with((*S, i), d))[0] - v(_with(S, d))[0]
            for size in range(d)
            for S in itertools.combinations(others, size)
        ]
        phi.append(np.mean(gains, axis=0))
    return np.array(phi)


def mean_when_included(v: Callable, d: int, p: float = 0.5) -> np.ndarray:
    """phi_i = E[v(S) | i in S], each player kept with probability p; Petsiuk 2018, eq. 4."""
    phi = []
    for i in range(d):
        total: Any = 0.0
        weight = 0.0
        for S in subsets(d):
            if S[i]:
                chance = p ** S.sum() * (1 - p) ** (d - S.sum())
                total, weight = total + chance * v(S[None])[0], weight + chance
        phi.append(total / weight)
    return np.array(phi)


def kernel_fit(v: Callable, d: int) -> np.ndarray:
    """Least squares with the Shapley kernel, exact at both ends; Lundberg & Lee 2017, thm 2."""
    normal, moment = np.zeros((d, d)), 0.0
    empty, full = v(np.zeros((1, d), bool))[0], v(np.ones((1, d), bool))[0]
    for S in subsets(d):
        if 0 < S.sum() < d:
            size = int(S.sum())
            weight = (d - 1) / (math.comb(d, size) * size * (d - size))
            normal += weight * np.outer(S, S)
            moment = moment + weight * np.multiply.outer(S.astype(float), v(S[None])[0] - empty)
    if d == 1:
        return np.array([full - empty])
    ones = np.ones((d, 1))
    system = np.block([[normal, ones], [ones.T, np.zeros((1, 1))]])
    right = np.concatenate([moment, np.asarray(full - empty)[None]])
    return np.linalg.solve(system, right)[:d]


def linear_fit(v: Callable, d: int, weights: Callable) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and intercept of weighted least squares over all coalitions."""
    Z = subsets(d)
    root = np.sqrt(np.asarray(weights(Z), float))
    A = np.column_stack([np.ones(len(Z)), Z]) * root[:, None]
    y = np.asarray(v(Z))
    beta = np.linalg.lstsq(A, (y.T * root).T, rcond=None)[0]
    return beta[1:], beta[0]


def marginal_game(
    f: Callable, x: np.ndarray, background: np.ndarray, groups: list[list[int]] | None = None
) -> Callable:
    """v(S) = mean over background rows b of f(x on S, b elsewhere); one explained row x (d,)."""
    groups = groups if groups is not None else [[j] for j in range(len(x))]

    def v(coalitions: np.ndarray) -> np.ndarray:
        values = []
        for S in coalitions:
            inputs = background.copy()
            for kept, columns in zip(S, groups, strict=True):
                if kept:
                    inputs[:, columns] = x[columns]
            values.append(np.mean(f(inputs), axis=0))
        return np.array(values)

    return v


@pytest.fixture(scope="session")
def oracle() -> SimpleNamespace:
    return SimpleNamespace(
        subsets=subsets,
        shapley=shapley,
        banzhaf=banzhaf,
        mean_when_included=mean_when_included,
        kernel_fit=kernel_fit,
        linear_fit=linear_fit,
        marginal_game=marginal_game,
    )


class SetFunction:
    """A random set function on d players, a table of 2^d values (or 2^d rows of k)."""

    def __init__(self, d: int, k: int | None = None, seed: int = 0) -> None:
        shape = (2**d,) if k is None else (2**d, k)
        self.d, self.table = d, np.random.default_rng(seed).normal(size=shape)
        self.evaluations = 0

    def __call__(self, coalitions: np.ndarray) -> np.ndarray:
        assert coalitions.dtype == bool
        assert coalitions.ndim == 2 and coalitions.shape[1] == self.d
        self.evaluations += len(coalitions)
        return self.table[coalitions @ (1 << np.arange(self.d))]


@pytest.fixture(scope="session")
def set_function() -> type[SetFunction]:
    return SetFunction
