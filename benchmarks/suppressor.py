"""What every tabular method attributes to a suppressor, beside the closed forms.

x1 = z + noise, x2 is noise that correlates with x1's: x2 is independent of the class z, and yet
the best linear model f uses it (Wilming et al. 2023). Methods that are true to f attribute to x2;
that is no error, but whoever reads them as "what is related to the class" is misled.

    python benchmarks/suppressor.py      # some seconds; prints the table of README.md
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

import xai
from xai.datasets import Dataset, suppressor2d

EFFECT = (
    "occlusion", "include_one", "shapley", "exact_shapley", "permutation_shap", "kernel_shap",
    "banzhaf", "beta_shapley", "owen", "qii", "gradient_x_input", "integrated_gradients",
    "expected_gradients", "deeplift", "lrp",
)  # fmt: skip
"""Methods that give w_j (x_j − E x_j), where E x = 0 is what they remove to."""
SLOPE = ("gradient", "smoothgrad", "c_lime", "deconvnet")
RECTIFIED = ("guided_backprop", "deconvnet")
"""Methods that change how ReLUs hand gradients back: f = max(f, 0) − max(−f, 0), for them."""
NOT_OF_A_MODEL = ("conditional_shapley", "counterfactual", "partial_dependence",
                  "permutation_test_0_1", "shapley_effects", "net_effects", "haufe", "pattern",
                  "m_plot", "firm", "univariate")  # fmt: skip
"""Closed forms of methods that need more than a model and rows: a distribution, or new models."""


def closed_form(method: str, data: Dataset, x: np.ndarray, background: np.ndarray) -> Any:
    """Attributions (n, 2) or (2,); None where there is no closed form."""
    known, w = data.attributions, data.info["weights"]
    if method in EFFECT:
        return w * x
    if method in SLOPE:
        return w
    if method == "squaregrad":
        return w**2
    if method == "vargrad":
        return 0 * w
    if method == "guided_backprop":  # what would lower f is not handed back
        return w * ((x @ w) > 0)[:, None]
    if method == "mean_when_included":  # p = ½
        return (w * x + (w * x).sum(axis=1, keepdims=True)) / 2
    if method == "ime":  # uniform over the background's range
        return w * (x - (background.min(axis=0) + background.max(axis=0)) / 2)
    if method == "lime, continuous":
        return known["lime"]
    if method in ("loss_shap", "sage", "permutation_test"):
        return known[method]
    return None


def record_of(method: str) -> Any:
    """The line of `xai.methods()`."""
    return next(r for r in xai.methods() if r.name == method.split(",")[0])


def run(method: str, data: Dataset, background: np.ndarray, rows: int) -> tuple[Any, Any]:
    """Attributions (n, 2) of f, and their closed form."""
    record = record_of(method)
    of_data_set = "DatasetLoss" in record.behavior
    x = data.data if of_data_set else data.data[:rows]
    options: dict[str, Any] = {"progress": False}
    if "Loss" in record.behavior:
        options["y"] = (2.0 * data.target - 1)[: len(x)]
        if not of_data_set:
            options["loss"] = "squared"
    if "Permuted" not in record.removal:
        options["data"] = background
    if method == "lime, continuous":
        options["discretise"] = False
    model: Callable[[Any], Any] = data.model
    if "torch" in record.inputs:
        model = linear_module(data.info["weights"], rectified=method in RECTIFIED)
    a = xai.explain(model, x, record.name, **options).values
    closed = closed_form(method, data, x, background)
    if of_data_set or closed is None or np.ndim(closed) == 1:
        return a, closed
    return a, closed[: len(a)]


def linear_module(w: np.ndarray, *, rectified: bool) -> Any:
    """F as a torch module, as a difference of two ReLUs where methods need some."""
    import torch

    def linear(*rows: Any) -> Any:
        layer = torch.nn.Linear(len(rows[0]), len(rows), bias=False).double()
        layer.weight = torch.nn.Parameter(torch.as_tensor(np.array(rows, float)))
        return layer

    if not rectified:
        return linear(w)
    return torch.nn.Sequential(linear(w, -w), torch.nn.ReLU(), linear([1.0, -1.0]))


def line(name: str, a: Any, closed: Any) -> str:
    """One row of the table."""

    def sizes(values: Any) -> tuple[str, str, str]:
        if values is None:
            return "–", "–", "–"
        first, second = np.abs(np.atleast_2d(values)).mean(axis=0)
        mass = f"**{second / (first + second):.2f}**" if first + second > 0 else "–"
        return f"{first:.3f}", f"{second:.3f}", mass

    off = "–"
    if a is not None and closed is not None:
        size = np.mean(np.square(closed))
        off = f"{np.sqrt(np.mean((a - closed) ** 2) / size):.1%}" if size else "–"
    (a1, a2, mass), (c1, c2, closed_mass) = sizes(a), sizes(closed)
    return f"| `{name}` | {a1} | {c1} | {a2} | {c2} | {mass} | {closed_mass} | {off} |"


def main() -> None:
    """Explain, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--c", type=float, default=0.8, help="correlation of the noise")
    parser.add_argument("--rows", type=int, default=300, help="rows explained one by one")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = suppressor2d(4000, c=options.c, seed=options.seed)
    background = data.data[:1000] - data.data[:1000].mean(axis=0)  # of the population's mean, 0
    w1, w2 = data.info["weights"]
    print(f"f(x) = {w1:.3f} x1 + {w2:.3f} x2, best accuracy {data.info['best_accuracy']:.3f}\n")
    print("| method | E\\|a1\\| | closed form | E\\|a2\\| | closed form | mass on x2 | closed form "
          "| relative RMSE |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    names = [r.name for r in xai.methods() if "table" in r.inputs]
    for name in [*names, "lime, continuous"]:
        if "torch" in record_of(name).inputs and importlib.util.find_spec("torch") is None:
            print(f"| `{name}` | needs torch |")
            continue
        print(line(name, *run(name, data, background, options.rows)), flush=True)
    for name in NOT_OF_A_MODEL:
        print(line(name, None, data.attributions[name][-options.rows :]))


if __name__ == "__main__":
    main()
