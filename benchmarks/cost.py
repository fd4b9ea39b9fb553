"""What an explanation costs beside the bare model, and beside shap and lime.

Breast cancer data (30 features), 100 background rows, 20 explained rows. Everything runs in one
process, the contestants taking turns, so that a drifting machine slows all of them alike; what
is reported are medians and ratios.

    python benchmarks/cost.py            # about a minute on 2 cores; writes cost.json
    python benchmarks/cost.py --quick    # one turn each, small budgets
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from joblib import cpu_count
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import xai

HERE = Path(__file__).resolve().parent
BATCHES = (1_000, 4_000, 16_000, 64_000, 256_000)


class Counted:
    """A model's `predict_proba`, counting rows and the time spent inside it."""

    def __init__(self, model: Any) -> None:
        self.model, self.rows, self.seconds = model, 0, 0.0

    def __call__(self, x: Any) -> np.ndarray:
        start = time.perf_counter()
        out = self.model.predict_proba(np.asarray(x))
        self.seconds += time.perf_counter() - start
        self.rows += len(x)
        return out


def models(X: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Four kinds of model: dear, boosted, cheap, and in between."""
    return {
        "forest": RandomForestClassifier(100, random_state=0).fit(X, y),
        "boosting": HistGradientBoostingClassifier(random_state=0).fit(X, y),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y),
        "MLP": make_pipeline(
            StandardScaler(), MLPClassifier((64, 64), max_iter=500, random_state=0)
        ).fit(X, y),
    }


def inputs_of(model: Any, x: np.ndarray, background: np.ndarray, budget: int | None) -> np.ndarray:
    """Every model row of one explanation."""
    seen: list[np.ndarray] = []

    def record(rows: np.ndarray) -> np.ndarray:
        seen.append(rows.copy())
        return model.predict_proba(rows)

    xai.explain(record, x, "permutation_shap", data=background, budget=budget)
    return np.concatenate(seen)


def bare(model: Any, pool: np.ndarray, batch: int) -> float:
    """Seconds of the bare model on the very rows of the explanation, `batch` at a time."""
    start = time.perf_counter()
    for at in range(0, len(pool), batch):
        model.predict_proba(pool[at : at + batch])
    return time.perf_counter() - start


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what the call returned."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def against_the_model(
    fitted: dict[str, Any], x: np.ndarray, background: np.ndarray, turns: int, budget: int | None
) -> list[dict[str, Any]]:
    """Permutation Shapley over the bare model on the same number of rows at its best batch."""
    report = []
    for name, model in fitted.items():

        def explain(seed: int = 0, model: Any = model) -> Any:
            return xai.explain(
                model, x, "permutation_shap", data=background, budget=budget, seed=seed
            )

        pool = inputs_of(model, x, background, budget)  # compiles, too
        rows = len(pool)
        batches = [b for b in BATCHES if b <= rows] or [rows]
        best = min(batches, key=lambda b: min(bare(model, pool, b) for _ in range(2)))
        ours, base = [], []
        for turn in range(turns):
            base.append(bare(model, pool, best))
            ours.append(timed(lambda turn=turn: explain(turn))[0])
        ratios = [a / b for a, b in zip(ours, base, strict=True)]
        report.append(
            {
                "model": name,
                "model_rows": rows,
                "best_batch": best,
                "bare_s": statistics.median(base),
                "explain_s": statistics.median(ours),
                "ratio": statistics.median(ratios),
                "ratios": ratios,
                "overhead_ns_per_row": 1e9
                * (statistics.median(ours) - statistics.median(base))
                / rows,
            }
        )
        show(report[-1], "model", "model_rows", "best_batch", "bare_s", "explain_s", "ratio")
    return report


def against_a_network(turns: int) -> dict[str, Any]:
    """Shapley values of 196 patches over the bare convolutional network on the same inputs."""
    import torch

    torch.manual_seed(0)
    layers: list[Any] = []
    for channels in ((3, 64), (64, 128), (128, 256)):
        layers += [torch.nn.Conv2d(*channels, 3, stride=2, padding=1), torch.nn.ReLU()]
    pooled = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(256, 10)]
    network = torch.nn.Sequential(*layers, *pooled).eval()
    x = torch.rand(1, 3, 112, 112)
    seen: list[Any] = []

    def explain(seed: int = 0) -> Any:
        return xai.explain(
            network, x, "shapley", players=xai.players.Patches(8), budget=4_000, seed=seed
        )

    handle = network.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    explain()
    handle.remove()
    pool = torch.cat(seen)

    def bare_network(batch: int) -> float:
        with torch.no_grad():
            return timed(lambda: [network(part) for part in pool.split(batch)])[0]

    best = min((8, 16, 32, 128), key=lambda b: min(bare_network(b) for _ in range(2)))
    base, ours = [], []
    for turn in range(turns):
        base.append(bare_network(best))
        ours.append(timed(lambda turn=turn: explain(turn))[0])
    line = {
        "model": "CNN, 112 x 112, 196 patches",
        "model_rows": len(pool),
        "best_batch": best,
        "bare_s": statistics.median(base),
        "explain_s": statistics.median(ours),
        "ratio": statistics.median(a / b for a, b in zip(ours, base, strict=True)),
    }
    show(line, "model", "model_rows", "best_batch", "bare_s", "explain_s", "ratio")
    return line


def contestants(
    model: Counted, background: np.ndarray, train: np.ndarray, budget: int
) -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    """Explainers (x, seed) -> (n, d), each about `budget` model rows per explained row."""
    import shap
    from lime.lime_tabular import LimeTabularExplainer

    d, m = background.shape[1], len(background)
    masker = shap.maskers.Independent(background, max_samples=m)
    lime_rows = min(budget, 5_000)

    def ours(method: str, **options: Any) -> Callable[[np.ndarray, int], np.ndarray]:
        return lambda x, seed: (
            xai.explain(model, x, method, target=1, seed=seed, progress=False, **options).values
        )

    def kernel(x: np.ndarray, seed: int) -> np.ndarray:
        np.random.seed(seed)  # noqa: NPY002 -- shap draws from NumPy's global state
        explainer = shap.KernelExplainer(model, background)
        return explainer.shap_values(
            x, nsamples=max(2 * d, budget // m), l1_reg=False, silent=True
        )[..., 1]

    def permutation(x: np.ndarray, seed: int) -> np.ndarray:
        explainer = shap.PermutationExplainer(model, masker, seed=seed)
        repeats = max(1, budget // (m * (2 * d + 1)))
        return explainer(x, max_evals=repeats * (2 * d + 1), silent=True).values[..., 1]

    def lime(x: np.ndarray, seed: int) -> np.ndarray:
        explainer = LimeTabularExplainer(train, random_state=seed)
        lines = [
            explainer.explain_instance(
                row, model, labels=(1,), num_features=d, num_samples=lime_rows
            ).as_map()[1]
            for row in x
        ]
        return np.array([[dict(line)[j] for j in range(d)] for line in lines])

    return {
        "xai permutation_shap": ours("permutation_shap", data=background, budget=budget),
        "xai kernel_shap": ours("kernel_shap", data=background, budget=budget),
        "shap KernelExplainer": kernel,
        "shap PermutationExplainer": permutation,
        "xai lime": ours("lime", data=train, budget=lime_rows),
        "lime tabular": lime,
    }


def beside_peers(
    forest: Any,
    x: np.ndarray,
    background: np.ndarray,
    train: np.ndarray,
    budgets: list[int],
    turns: int,
) -> list[dict[str, Any]]:
    """Time and error of every explainer at equal model rows, against interventional TreeSHAP."""
    import shap

    tree = shap.TreeExplainer(forest, shap.maskers.Independent(background, max_samples=1_000))
    exact = tree.shap_values(x)[..., 1]
    scale = np.sqrt(np.mean(exact**2))
    report = []
    for budget in budgets:
        counter = Counted(forest)
        entrants = contestants(counter, background, train, budget)
        for entrant in entrants.values():
            entrant(x[:1], 0)  # compile and import before the clock starts
        seconds: dict[str, list[float]] = {name: [] for name in entrants}
        inside: dict[str, list[float]] = {name: [] for name in entrants}
        squared: dict[str, list[float]] = {name: [] for name in entrants}
        rows: dict[str, float] = {}
        for turn in range(turns):
            for name, entrant in entrants.items():
                counter.rows, counter.seconds = 0, 0.0
                spent, values = timed(lambda e=entrant, t=turn: e(x, t))
                seconds[name].append(spent)
                inside[name].append(spent / counter.seconds)
                squared[name].append(float(np.mean((values - exact) ** 2)))
                rows[name] = counter.rows / len(x)
        for name in entrants:
            is_lime = "lime" in name
            report.append(
                {
                    "explainer": name,
                    "budget": budget,
                    "model_rows": rows[name],
                    "seconds": statistics.median(seconds[name]),
                    "over_model": statistics.median(inside[name]),
                    "relative_rmse": None
                    if is_lime
                    else float(np.sqrt(np.mean(squared[name])) / scale),
                }
            )
            show(report[-1], "explainer", "model_rows", "seconds", "over_model", "relative_rmse")
    return report


def show(line: dict[str, Any], *keys: str) -> None:
    """One line of a report."""
    parts = [
        f"{key} {value:.4g}" if isinstance(value := line[key], float) else f"{key} {value}"
        for key in keys
    ]
    print("   ".join(parts), flush=True)


def main() -> None:
    """Measure, print, and write `cost.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one turn each, small budgets")
    quick = parser.parse_args().quick
    X, y = load_breast_cancer(return_X_y=True)
    train, test, y_train, _ = train_test_split(X, y, random_state=0)
    background, x = train[:100], test[:20]
    fitted = models(train, y_train)
    warnings.filterwarnings("ignore", module="shap|lime")
    print(
        "permutation Shapley beside the bare model, 20 rows: at the default budget, and at 25,600"
    )
    budgets: list[int | None] = [None] if quick else [None, 25_600]
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, {cpu_count()} cores, Python {platform.python_version()}",
        "against_the_model": [
            line
            for budget in budgets
            for line in against_the_model(fitted, x, background, 1 if quick else 7, budget)
        ],
    }
    result["against_the_model"].append(against_a_network(1 if quick else 5))
    print("\nbeside peers: the forest, equal model rows per explained row")
    result["beside_peers"] = beside_peers(
        fitted["forest"],
        x[:5],
        background,
        train,
        *(([6_200], 1) if quick else ([6_200, 25_600], 5)),
    )
    if not quick:
        (HERE / "cost.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
