"""What several methods and metrics cost together, beside each of them alone.

``python benchmarks/compare.py [--rows 20]``: breast cancer, 30 features, a random forest
or an MLP, 50 background rows. Model rows for each explained row, and seconds.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import xai

METHODS = ("shapley", "kernel_shap", "lime", "occlusion", "banzhaf")
METRICS = (
    "deletion", "insertion", "abpc", "pixel_flipping", "monotonicity", "faithfulness_correlation",
    "faithfulness_estimate", "sensitivity_n", "infidelity", "complexity",
)  # fmt: skip


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and how long it takes."""
    start = time.perf_counter()
    made = run()
    return made, time.perf_counter() - start


def measure(name: str, model: Any, x: Any, common: dict[str, Any]) -> None:
    """Print what methods and metrics cost one by one, and what `compare` does."""
    print(f"\n{name:33}{'rows':>9}{'seconds':>9}")
    explanations, rows, seconds = {}, {}, {}
    for method in METHODS:
        run = partial(xai.explain, model, x, method, **common)
        run()
        e, seconds[method] = timed(run)
        explanations[method], rows[method] = e, e.evaluations
        print(f"{method:33}{rows[method]:9}{seconds[method]:9.3f}")
    for metric in METRICS:
        score = getattr(xai.metrics, metric)
        runs = [partial(score, model, x, e, **common) for e in explanations.values()]
        scores, each = zip(*map(timed, runs), strict=True)
        rows[metric], seconds[metric] = sum(s.evaluations for s in scores), sum(each)
        print(f"{metric + ', of each':33}{rows[metric]:9}{seconds[metric]:9.3f}")
    of_methods = sum(rows[m] for m in METHODS)
    print(f"{'all, one by one':33}{sum(rows.values()):9}{sum(seconds.values()):9.3f}")
    spent = {}
    dear = max(METRICS, key=lambda m: rows[m])
    for told, asked in ((f"compare, {dear} alone", [dear]), ("compare", METRICS)):
        compare = partial(xai.compare, model, x, METHODS, asked, controls=False, **common)
        report, together = timed(compare)
        spent[told] = report.evaluations + of_methods
        print(f"{told:33}{spent[told]:9}{together:9.3f}")
    alone, all_of_them = spent.values()
    dearest = max(rows[m] for m in METHODS) + rows[dear] // len(METHODS)
    print(f"one by one over compare: {sum(rows.values()) / all_of_them:.1f} of the rows, "
          f"{sum(seconds.values()) / together:.1f} of the seconds")  # fmt: skip
    print(f"compare over itself with {dear} alone: {all_of_them / alone:.2f}")
    print(f"compare over the dearest method and metric of one explanation: "
          f"{all_of_them / dearest:.1f}")  # fmt: skip


def main() -> None:
    """Fit the models, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20)
    n = parser.parse_args().rows
    warnings.simplefilter("ignore")
    X, y = load_breast_cancer(return_X_y=True)
    forest = RandomForestClassifier(100, random_state=0).fit(X, y)
    mlp = make_pipeline(StandardScaler(), MLPClassifier((64, 64), random_state=0)).fit(X, y)
    common = {"data": X[-50:], "target": 1}
    for name, model in (("forest", forest), ("MLP", mlp)):
        measure(name, model, X[:n], common)


if __name__ == "__main__":
    main()
