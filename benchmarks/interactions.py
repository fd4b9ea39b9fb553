"""Exact interactions of tree ensembles beside sampled ones, and beside shap's time.

``python benchmarks/interactions.py [--rows 100]``: breast cancer (30 columns), 100 background rows,
a forest's probability and boosting's log odds, all 435 pairs of columns. Time for a row, the least
of three runs; errors of what is sampled, over the root mean square of the interactions. shap's are
those of trees without a background (path-dependent: another question, of 10 rows).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import shap
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

import xai


def least(run: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and the least of the times of three."""
    found, taken = run(), []
    for _ in range(3):
        start = time.perf_counter()
        found = run()
        taken.append(time.perf_counter() - start)
    return found, min(taken)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100)
    n = parser.parse_args().rows
    X, y = load_breast_cancer(return_X_y=True)
    x, data, apart = X[:n], X[-100:], ~np.eye(X.shape[1], dtype=bool)
    for name, model, output in (
        ("forest", RandomForestClassifier(100, random_state=0), "probability"),
        ("boosting", HistGradientBoostingClassifier(), "log_odds"),
    ):
        model.fit(X, y)
        raw = model.predict_proba if name == "forest" else model.decision_function
        target = 1 if name == "forest" else 0

        def pairs(f: Any, **how: Any) -> Any:
            return xai.explain(f, x, "shapley", data=data, order=2, progress=False, **how)

        exact, taken = least(lambda: pairs(model, output=output, target=1))  # noqa: B023
        assert exact.std_error is None
        rms = np.sqrt((exact.interactions[:, apart] ** 2).mean())
        print(f"{name}: {exact.ran}, {1e3 * taken / n:.2f} ms a row")
        for budget in (None, 20_000):
            found, taken = least(lambda: pairs(raw, target=target, budget=budget))  # noqa: B023
            rmse = np.sqrt(((found.interactions - exact.interactions)[:, apart] ** 2).mean())
            rows = f"{found.evaluations:,} model rows a row"
            print(f"  {found.ran}, {rows}: {1e3 * taken / n:.2f} ms, error {rmse / rms:.2f}")
        how = {"data": data, "progress": False}
        exact = xai.explain(model, x, "banzhaf", output=output, target=1, **how)
        found = xai.explain(raw, x, "banzhaf", target=target, **how)
        rmse = np.sqrt(((found.values - exact.values) ** 2).mean() / (exact.values**2).mean())
        print(f"  Banzhaf values, {found.ran}, {found.evaluations:,} model rows: error {rmse:.3f}")
        peer = shap.TreeExplainer(model)
        _, taken = least(lambda: peer.shap_interaction_values(x[:10]))  # noqa: B023
        print(f"  shap, path-dependent: {1e3 * taken / min(n, 10):.2f} ms")


if __name__ == "__main__":
    main()
