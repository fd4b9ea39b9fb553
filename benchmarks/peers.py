"""The peers' Shapley estimators behind one call each, and the setting that spends a budget.

A peer of a *set function* gets ``v(coalitions) -> values``; one with a *background* gets a model,
background rows and one row to explain. Whatever a peer calls its effort (samples, evaluations,
repeats), `calibrate` finds the setting whose counted model rows come nearest to a budget.

Left out: captum's estimators where there is a background (their baseline is one row; averaged by
hand over the background they are shapiq's walks); above 64 players SVARM, kADD-SHAP and FSII,
which keep every size of coalition for each player, or every pair of players. ProxySPEX takes
part where lightgbm is installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Rows = Callable[[Any], np.ndarray]
MANY = 64
"""Most players for the peers that fit all pairs of them."""


class Counted:
    """A model or set function, (B, …) -> (B,), that counts its rows."""

    def __init__(self, f: Rows) -> None:
        self.f, self.rows = f, 0

    def __call__(self, x: Any) -> np.ndarray:
        x = np.atleast_2d(np.asarray(x))
        self.rows += len(x)
        return self.f(x)


@dataclass(frozen=True)
class Peer:
    """One estimator.

    Attributes
    ----------
    run : (v, d, setting, seed) -> (d,), or (f, background, row, setting, seed) -> (d,)
    least : players -> the smallest setting that works
    walks : whether it samples marginal contributions (a "sampling" peer)
    most_players : above, it is left out
    slow : whether fewer seeds must do
    """

    run: Callable[..., np.ndarray]
    least: Callable[[int], int] = lambda d: 1
    walks: bool = False
    most_players: int = 10_000
    slow: bool = False


def calibrate(spend: Callable[[int], int], budget: int, least: int) -> int | None:
    """The setting whose rows `spend(setting)` are nearest to the budget, at most 1.1 times it.

    Where a peer's smallest setting spends more, that one, up to 1.5 times; else None.
    """
    setting, tried = max(least, budget), {}
    for _ in range(6):
        tried[setting] = spend(setting)
        best = min(tried, key=lambda s: abs(tried[s] - budget))
        over = tried[best] > 1.1 * budget
        if not over and abs(tried[best] - budget) <= 0.002 * budget:
            break
        scaled = setting * budget / max(tried[setting], 1)
        setting = max(least, int(scaled) if over else round(scaled))
        if setting in tried:
            break
    fair = [s for s, rows in tried.items() if rows <= 1.1 * budget]
    best = min(fair or tried, key=lambda s: abs(tried[s] - budget))
    return best if tried[best] <= 1.5 * budget else None


# ---------------------------------------------------------------------------------------------
# shap


def shap_kernel(f: Rows, data: np.ndarray, row: np.ndarray, setting: int, seed: int) -> np.ndarray:
    """KernelExplainer, every coalition over the whole background, without its lasso."""
    import shap

    np.random.seed(seed)  # noqa: NPY002 -- shap draws from NumPy's global state
    explainer = shap.KernelExplainer(f, data)
    return explainer.shap_values(row[None], nsamples=setting, l1_reg=False, silent=True)[0]


def shap_permutation(
    f: Rows, data: np.ndarray, row: np.ndarray, setting: int, seed: int
) -> np.ndarray:
    """PermutationExplainer: `setting` antithetic walks, each over the whole background."""
    import shap

    masker = shap.maskers.Independent(data, max_samples=len(data))
    explainer = shap.PermutationExplainer(f, masker, seed=seed)
    evals = setting * (2 * len(row) + 1)
    return explainer(row[None], max_evals=evals, batch_size=64, silent=True).values[0]


def shap_sampling(
    f: Rows, data: np.ndarray, row: np.ndarray, setting: int, seed: int
) -> np.ndarray:
    """SamplingExplainer; it spends two model rows a sample."""
    import shap

    np.random.seed(seed)  # noqa: NPY002
    return shap.SamplingExplainer(f, data).shap_values(row[None], nsamples=setting, silent=True)[0]


def _on_masks(explainer: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """An explainer of rows as one of set functions: a row of ones, a background of zeros."""

    def run(v: Rows, d: int, setting: int, seed: int) -> np.ndarray:
        return explainer(
            lambda x: v(np.asarray(x) > 0.5), np.zeros((1, d)), np.ones(d), setting, seed
        )

    return run


# ---------------------------------------------------------------------------------------------
# shapiq


def shapiq_of(name: str, **options: Any) -> Callable[..., np.ndarray]:
    """An approximator of shapiq; those of order two give their fit's Shapley values."""

    def run(v: Rows, d: int, setting: int, seed: int) -> np.ndarray:
        import shapiq.approximator

        kind = getattr(shapiq.approximator, name)
        more = {"batch_size": 100} if name == "PermutationSamplingSV" else {}
        approximator = kind(n=d, random_state=seed, **options)
        found = approximator.approximate(budget=setting, game=lambda S: v(np.atleast_2d(S)), **more)
        values = found.get_n_order_values(1)
        if name == "RegressionFSII":  # half of each pair's term belongs to either player
            values = values + found.get_n_order_values(2).sum(axis=1) / 2
        return values

    return run


def _replayed(run: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """A peer that asks for one coalition at a time, and decides nothing by their values.

    It runs on nothing first; then all that it asked for is evaluated in one call.
    """

    def replay(v: Rows, d: int, setting: int, seed: int) -> np.ndarray:
        asked: list[np.ndarray] = []

        def record(S: np.ndarray) -> np.ndarray:
            asked.extend(S.copy())
            return np.zeros(len(S))

        run(record, d, setting, seed)
        answers = iter(v(np.array(asked)))
        return run(lambda S: np.array([next(answers) for _ in S]), d, setting, seed)

    return replay


def _averaged(run: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """A peer of set functions on shapiq's marginal imputer with the whole background."""

    def explain(f: Rows, data: np.ndarray, row: np.ndarray, setting: int, seed: int) -> np.ndarray:
        import shapiq

        imputer = shapiq.MarginalImputer(f, data, x=row[None], sample_size=len(data))
        return run(imputer, len(row), setting, seed)

    return explain


# ---------------------------------------------------------------------------------------------
# captum


def captum_of(name: str) -> Callable[..., np.ndarray]:
    """KernelShap or ShapleyValueSampling, as many perturbations in a call as it can use."""

    def run(v: Rows, d: int, setting: int, seed: int) -> np.ndarray:
        import captum.attr
        import torch

        torch.manual_seed(seed)

        def forward(masks: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(np.asarray(v(masks.numpy() > 0.5), np.float64))

        values = getattr(captum.attr, name)(forward).attribute(
            torch.ones(1, d, dtype=torch.float64),
            baselines=0,
            n_samples=setting,
            perturbations_per_eval=d if name == "ShapleyValueSampling" else min(setting, 2048),
        )
        return values[0].numpy()

    return run


def of_set_functions() -> dict[str, Peer]:
    """Peers for a game of one baseline."""
    walks = {"walks": True}
    peers = {
        "shap Kernel": Peer(_on_masks(shap_kernel), lambda d: d + 1),
        "shap Permutation": Peer(_on_masks(shap_permutation), **walks),
        "shap Sampling": Peer(_on_masks(shap_sampling), lambda d: 2 * d, **walks),
        "shapiq KernelSHAP": Peer(shapiq_of("KernelSHAP", pairing_trick=True)),
        "shapiq kADDSHAP": Peer(
            shapiq_of("kADDSHAP", max_order=2, pairing_trick=True), most_players=MANY, slow=True
        ),
        "shapiq RegressionFSII": Peer(
            shapiq_of("RegressionFSII", max_order=2, pairing_trick=True),
            most_players=MANY,
            slow=True,
        ),
        "shapiq UnbiasedKernelSHAP": Peer(shapiq_of("UnbiasedKernelSHAP", pairing_trick=True)),
        "shapiq SVARM": Peer(shapiq_of("SVARM", pairing_trick=True), most_players=MANY, slow=True),
        "shapiq PermutationSamplingSV": Peer(
            shapiq_of("PermutationSamplingSV"), lambda d: d + 1, **walks
        ),
        "shapiq OwenSamplingSV": Peer(_replayed(shapiq_of("OwenSamplingSV")), slow=True, **walks),
        "captum KernelShap": Peer(captum_of("KernelShap"), slow=True),
        "captum ShapleyValueSampling": Peer(captum_of("ShapleyValueSampling"), **walks),
    }
    if importlib.util.find_spec("lightgbm"):
        peers["shapiq ProxySPEX"] = Peer(shapiq_of("ProxySPEX", index="SV", max_order=1), slow=True)
    return peers


def of_backgrounds() -> dict[str, Peer]:
    """Peers for marginal removal."""
    kernel = _averaged(shapiq_of("KernelSHAP", pairing_trick=True))
    walk = _averaged(shapiq_of("PermutationSamplingSV"))
    return {
        "shap Kernel": Peer(shap_kernel, lambda d: d + 1),
        "shap Permutation": Peer(shap_permutation, walks=True),
        "shap Sampling": Peer(shap_sampling, lambda d: 2 * d, walks=True),
        "shapiq KernelSHAP": Peer(kernel, lambda d: d + 1),
        "shapiq PermutationSamplingSV": Peer(walk, lambda d: d + 1, walks=True),
    }
