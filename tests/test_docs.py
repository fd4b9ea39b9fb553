"""The site: what it says is run, what is public stands in it, and it builds without a warning."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import xai

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(page.name for page in DOCS.glob("*.md"))
RUN = {"ours", "triple"}
"""Titles of last columns whose code is run."""


def examples(name: str, thing: Any) -> list[doctest.Example]:
    """What runs of a docstring of its own, an inherited one left out; downloads need not run."""
    doc = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    parsed = doctest.DocTestParser().get_examples(doc or "")
    return [e for e in parsed if name.startswith("fetch_") or not e.options.get(doctest.SKIP)]


def origin(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    return spec.origin


CATALOGUE = SimpleNamespace(**runpy.run_path(str(DOCS / "catalogue.py")))
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(xai.__path__, "xai.")
    if re.search(r">>> (?!.*\+SKIP)", Path(origin(module.name)).read_text("utf-8"))
)
"""Those with examples that run."""


# ---------------------------------------------------------------------------------- docstrings


@pytest.mark.parametrize("module", CATALOGUE.MODULES)
def test_every_public_name_has_an_example_that_runs(module: str) -> None:
    """Add "Examples" to the docstring of each that this lists."""
    things = CATALOGUE.public(module)
    assert things
    assert [name for name, thing in things.items() if not examples(name, thing)] == []


@pytest.mark.parametrize("module", CATALOGUE.MODULES)
def test_every_public_function_says_what_it_raises(module: str) -> None:
    """Add "Raises" to the docstring of each that this lists."""
    functions = {n: f for n, f in CATALOGUE.public(module).items() if inspect.isfunction(f)}
    raising = {n: f for n, f in functions.items() if re.search(r"^ +raise \w", of(f), re.M)}
    assert [name for name, f in raising.items() if "Raises\n" not in (f.__doc__ or "")] == []


@pytest.mark.parametrize("module", CATALOGUE.MODULES)
def test_every_public_class_says_what_it_raises(module: str) -> None:
    """By each method, or in "Raises" of the class: what `bind` and `encode` refuse, too."""
    silent = []
    for name, thing in CATALOGUE.public(module).items():
        for method, found in vars(thing).items() if inspect.isclass(thing) else ():
            f = found.fget if isinstance(found, property) else found
            if method.startswith("_") or not inspect.isfunction(f):
                continue
            told = f"{thing.__doc__} {f.__doc__}"
            if re.search(r"^ +raise \w", inspect.getsource(f), re.M) and "Error" not in told:
                silent.append(f"{name}.{method}")
    assert silent == []


@pytest.mark.parametrize("metric", [record.name for record in xai.metrics.names()])
def test_every_option_of_a_metric_is_told_by_its_help(metric: str) -> None:
    """As a parameter, or in backticks in the text above; units of `radius`, kinds of `k`."""
    public = getattr(xai.metrics, metric)
    doc = inspect.getdoc(public) or ""
    lines = re.findall(r"^([\w, ]+) : ", doc, re.M)
    told = {name for line in lines for name in line.split(", ")} | set(re.findall("`(\\w+)`", doc))
    assert [name for name in public.options if name not in told] == []
    if "radius" in public.options:
        assert "x's own units" in doc or "as for `distance_attack`" in doc


def of(function: Any) -> str:
    """The source of a function; of a metric, what its decorator took."""
    return inspect.getsource(inspect.unwrap(function))


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning:shap")  # as it is imported
@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    done = doctest.testmod(importlib.import_module(module))
    plt.close("all")
    assert done.attempted > 0 and done.failed == 0
    assert list(tmp_path.iterdir()) == []


def test_modules_of_examples_are_found() -> None:
    assert {"xai.players", "xai.metrics.faithfulness", "xai.datasets.real"} <= set(MODULES)


# --------------------------------------------------------------------------------------- pages


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.S | re.M)


def rows(page: str) -> Iterator[tuple[list[str], list[str]]]:
    """Each line of each table of a page with its head, cell by cell."""
    for table in re.findall(r"^(?:\|.*\n)+", (DOCS / page).read_text("utf-8"), re.M):
        cells = [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in table.splitlines()
        ]
        yield from ((cells[0], line) for line in cells[2:])


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("page", PAGES)
def test_code_on_the_pages_runs(page: str, monkeypatch: Any, tmp_path: Path) -> None:
    """Blocks in order, then what stands in a table's last column where that is ours."""
    for package in ("pandas", "torch", "shap", "skimage"):
        pytest.importorskip(package)
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        exec(compile(block, page, "exec"), names)
    calls = [call for head, line in rows(page) if head[-1] in RUN for call in code(line[-1])]
    for call in calls:
        try:
            eval(compile(call, page, "eval"), names)
        except Exception as error:
            raise AssertionError(f"{page}: {call}") from error
        plt.close("all")
    assert calls or page not in ("coming.md", "theory.md")


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning:shap")  # as it is imported
def test_what_is_said_of_peers_is_there() -> None:
    """Names with dots are those of installed packages, and none of theirs is left out."""
    text = (DOCS / "coming.md").read_text("utf-8")
    named = re.findall(r"`((?:shap|lime|captum)\.[\w.]+)`", text)
    assert len(named) > 90
    for name in named:
        package, *parts = name.split(".")
        if importlib.util.find_spec(package):
            thing: Any = importlib.import_module(package)
            for i, part in enumerate(parts):
                if not hasattr(thing, part) and isinstance(thing, ModuleType):
                    importlib.import_module(".".join([package, *parts[: i + 1]]))
                thing = getattr(thing, part)
    attr = pytest.importorskip("captum.attr")
    shap = pytest.importorskip("shap")
    theirs = [f"captum.attr.{n}" for n in attr.__all__ if not re.fullmatch(HELPERS, n)]
    theirs += [f"shap.{n}" for n in dir(shap) if n.endswith("Explainer")]
    theirs += [f"shap.plots.{n}" for n in shap.plots.__all__ if n not in ("colors", "initjs")]
    theirs += [f"shap.maskers.{n}" for n in shap.maskers.__all__ if n != "Masker"]
    assert [name for name in theirs if name not in named] == []


@pytest.mark.filterwarnings("ignore:Setting:UserWarning")  # captum's hooks
@pytest.mark.filterwarnings("ignore:.*required_grads:UserWarning")
def test_what_stands_beside_a_deterministic_peer_has_its_numbers() -> None:
    """The call that the page gives for each, run beside theirs."""
    attr, shap = pytest.importorskip("captum.attr"), pytest.importorskip("shap")
    torch = pytest.importorskip("torch")
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(blocks("coming.md")[0], "coming.md", "exec"), names)
    net, images = names["net"], names["images"]
    ours = {
        name: [eval(call, names) for call in code(line[-1])]
        for _, line in rows("coming.md")
        for name in code(line[0])
        if "." in name and name.rpartition(".")[2] in BESIDE
    }
    target, patches = ours["captum.attr.Saliency"][0].target, np.arange(64).reshape(8, 8)
    patches = torch.as_tensor(patches // 32 * 2 + patches % 8 // 4)[None, None]
    t = torch.as_tensor(target)
    deep = shap.DeepExplainer(net, images).shap_values(images, check_additivity=False)
    found = {
        "Saliency": (1, attr.Saliency(net).attribute(images, t)),
        "InputXGradient": (0, attr.InputXGradient(net).attribute(images, t)),
        "IntegratedGradients": (0, attr.IntegratedGradients(net).attribute(images, target=t)),
        "DeepLift": (0, attr.DeepLift(net).attribute(images, target=t)),
        "DeepLiftShap": (1, attr.DeepLiftShap(net).attribute(images, images, target=t)),
        "GuidedBackprop": (0, attr.GuidedBackprop(net).attribute(images, t)),
        "Deconvolution": (1, attr.Deconvolution(net).attribute(images, t)),
        "FeatureAblation": (0, attr.FeatureAblation(net).attribute(images, target=t)),
        "Occlusion": (0, attr.Occlusion(net).attribute(images, (1, 3, 3), (1, 2, 2), target=t)),
        "ShapleyValues": (
            0, attr.ShapleyValues(net).attribute(images, target=t, feature_mask=patches)
        ),
        "LayerActivation": (0, attr.LayerActivation(net, net[1]).attribute(images)),
        "LayerIntegratedGradients": (
            0, attr.LayerIntegratedGradients(net, net[1]).attribute(images, target=t)
        ),
        "LayerGradientXActivation": (
            0, attr.LayerGradientXActivation(net, net[1]).attribute(images, target=t)
        ),
        "NeuronIntegratedGradients": (
            0, attr.NeuronIntegratedGradients(net, net[1]).attribute(images, (1, 0, 4))
        ),
        "shap.DeepExplainer": (0, np.stack([deep[row, ..., k] for row, k in enumerate(target)])),
    }  # fmt: skip
    assert {name.rpartition(".")[2] for name in found} == BESIDE
    for name, (place, theirs) in found.items():
        mine = ours[name if "." in name else f"captum.attr.{name}"][place]
        mine = mine.values if isinstance(mine, xai.Explanation) else mine
        theirs = np.asarray(theirs.detach() if hasattr(theirs, "detach") else theirs)
        assert theirs.any() and mine.size == theirs.size, name
        error = np.abs(mine.ravel() - theirs.ravel()).max() / np.abs(theirs).max()
        assert error < 1e-4, (name, error)


BESIDE = {
    "Saliency", "InputXGradient", "IntegratedGradients", "DeepLift", "DeepLiftShap",
    "GuidedBackprop", "Deconvolution", "FeatureAblation", "Occlusion", "ShapleyValues",
    "LayerActivation", "LayerIntegratedGradients", "LayerGradientXActivation",
    "NeuronIntegratedGradients", "DeepExplainer",
}  # fmt: skip
"""Peers that sample nothing, and that ours beside them are equal to."""


HELPERS = (
    r"(|Gradient|Perturbation|Neuron|Layer)Attribution|LLMAttributionResult|.*Provider|Summarizer|"
    r"SummarizerSingleTensor|CommonStats|ClassSummarizer|Mean|StdDev|MSE|Var|Min|Max|Sum|Count|"
    r"StatValue|Interpretable.*|TokenReferenceBase|.*_interpretable_embedding_layer"
)
"""Of captum.attr: base classes, results, statistics and embeddings, which are no methods."""


def test_each_triple_runs_and_is_what_its_name_says() -> None:
    """Of the theory's table: parts as in `xai.methods()`, explained on a table or on images."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("skimage")
    (imports,) = blocks("theory.md")
    names: dict[str, Any] = {}
    exec(imports, names)
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(2 * 196, 2)
    )
    x = np.random.default_rng(0).normal(size=(12, 3))
    images = torch.rand(2, 1, 16, 16)
    found = [(code(r[1]), code(r[2])[0]) for head, r in rows("theory.md") if head[-1] == "triple"]
    assert len(found) == 16
    for name, triple in found:
        removal, behavior, summary = eval(triple, names)
        of_images = False
        if name:
            method = importlib.import_module("xai.methods").find(*name)
            assert (behavior, summary) == (method.behavior, method.summary)
            own = [method.removal, *(method.image or ())[:1]]
            assert removal in own
            of_images = "table" not in method.inputs or removal != method.removal
        mine = xai.Method(removal, behavior, summary)
        needs: dict[str, Any] = {"progress": False}
        if "Loss" in repr(behavior):
            needs["y"] = [0, 1] if of_images else (x[:, 0] > 0).astype(int)
        if of_images:
            needs |= {"players": xai.players.Patches(4), "budget": 150}
            if "SmoothGrid" in repr(summary):
                needs["players"] = None
            e = xai.explain(net, images, mine, **needs)
        else:
            e = xai.explain(two_classes, x, mine, data=x, **needs)
        assert np.isfinite(e.values).all() and np.abs(e.values).max() > 0, triple


def two_classes(x: Any) -> Any:
    p = 1 / (1 + np.exp(-x[:, 0] - x[:, 0] * x[:, 1]))
    return np.stack([1 - p, p], axis=1)


# ---------------------------------------------------------------------------------------- site


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_holds_every_public_name(tmp_path: Path) -> None:
    pytest.importorskip("furo")
    pytest.importorskip("myst_parser")
    inventory = pytest.importorskip("sphinx.util.inventory")
    strict = ["--nitpicky", "--fail-on-warning", "--keep-going", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *strict, str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    known = inventory.InventoryFile.loads((tmp_path / "objects.inv").read_bytes(), uri="").data
    there = {*known["py:function"], *known["py:class"]}
    for module in CATALOGUE.MODULES:
        assert {f"{module}.{name}" for name in CATALOGUE.public(module)} <= there
    for notebook in sorted((DOCS.parent / "notebooks").glob("*.ipynb")):
        text = (tmp_path / "generated" / f"{notebook.stem}.html").read_text("utf-8")
        drawn = notebook.read_text("utf-8").count('"image/png": "')
        assert text.count("<img alt=") == drawn > 2
        assert list((tmp_path / "_downloads").rglob(notebook.name))
    for page, records in (("methods", xai.methods()), ("metrics", xai.metrics.names())):
        text = unescape((tmp_path / f"{page}.html").read_text("utf-8"))
        assert [r.name for r in records if f">{r.name}</span>" not in text] == []
        assert [r.name for r in records if r.paper not in text] == []
