"""What setup.cfg says against what lies on disk, and the wheel in an environment of its own."""

import ast
import configparser
import importlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import xai

ROOT = Path(__file__).parents[1]

# Import package -> folder, for what is not under xai/ itself.
MAPPED = {"xai": "xai", "xai.metrics": "metrics", "xai.datasets": "datasets"}

# Installed only by an extra.
OPTIONAL = {"torch", "captum", "shap", "skimage", "pandas", "polars", "lime", "shapiq"}

# Too slow to import for somebody who only wants `import xai`.
LAZY = {"torch", "shap", "captum", "matplotlib", "pandas", "numba", "polars", "skimage"}


def setup_cfg() -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def listed(value: str) -> list[str]:
    return [line.strip() for line in value.splitlines() if line.strip()]


def modules_on_disk() -> set[str]:
    """The names of all modules and packages, from the folders and not from the links."""
    names = set()
    for package, folder in MAPPED.items():
        # os.walk does not follow links: each file is found once.
        for parent, _, files in os.walk(ROOT / folder):
            parts = Path(parent).relative_to(ROOT / folder).parts
            for file in files:
                if file.endswith(".py"):
                    stem = () if file == "__init__.py" else (file.removesuffix(".py"),)
                    names.add(".".join((package, *parts, *stem)))
    return names


def packages_on_disk() -> set[str]:
    return {name for name in modules_on_disk() if (folder_of(name) / "__init__.py").exists()}


def folder_of(package: str) -> Path:
    return ROOT.joinpath(*package.split("."))


def requirements() -> list[Requirement]:
    config = setup_cfg()
    lines = listed(config["options"]["install_requires"])
    for extra in config["options.extras_require"].values():
        lines += listed(extra)
    return [Requirement(line) for line in lines]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonical(name): number for name, number in pairs}


def canonical(name: str) -> str:
    return name.lower().replace("_", "-")


# ---------------------------------------------------------------------------------- setup.cfg


def test_every_package_is_listed_once() -> None:
    packages = listed(setup_cfg()["options"]["packages"])
    assert sorted(packages) == sorted(packages_on_disk())


def test_every_folder_of_modules_is_a_package() -> None:
    parents = {name.rpartition(".")[0] for name in modules_on_disk() - {"xai"}}
    assert parents <= packages_on_disk()


def test_package_dir_maps_the_top_level_folders() -> None:
    lines = listed(setup_cfg()["options"]["package_dir"])
    assert dict(line.split(" = ") for line in lines) == MAPPED


def test_no_parent_imports_in_the_linked_folders() -> None:
    for folder in ("metrics", "datasets"):
        for path in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
            assert all(node.level < 2 for node in imports), path


def test_typed_marker_is_shipped() -> None:
    assert (ROOT / "xai" / "py.typed").exists()
    assert setup_cfg()["options.package_data"]["xai"] == "py.typed"


def test_version_is_said_once_and_without_imports() -> None:
    assert setup_cfg()["metadata"]["version"] == "attr: xai._version.__version__"
    tree = ast.parse((ROOT / "xai" / "_version.py").read_text(encoding="utf-8"))
    assert [type(node) for node in tree.body] == [ast.Expr, ast.Assign]
    assert xai.__version__ == version("xai-removal")


def test_every_requirement_is_pinned_inside_its_range() -> None:
    pinned = pins()
    for requirement in requirements():
        if requirement.name != "xai-removal":
            assert requirement.specifier.contains(pinned[canonical(requirement.name)]), requirement


def test_pictures_know_the_oldest_matplotlib_that_is_allowed() -> None:
    # 3.9's `get_figure` takes no `root`; `ax.figure.figure` is the root in all of them.
    assert next(r for r in requirements() if r.name == "matplotlib").specifier.contains("3.9.0")
    for path in (ROOT / "xai").rglob("*.py"):
        assert "get_figure(root" not in path.read_text(encoding="utf-8"), path


def test_a_polars_that_crashes_is_not_allowed() -> None:
    # 1.0.0 ends the process where columns of dates become arrays of today's NumPy.
    assert not any(r.specifier.contains("1.0.0") for r in requirements() if r.name == "polars")


def test_a_numba_without_numpys_that_we_allow_is_not_allowed() -> None:
    # 0.60 ends before NumPy 2.1, which is the oldest here.
    assert next(r for r in requirements() if r.name == "numpy").specifier.contains("2.1.0")
    assert not next(r for r in requirements() if r.name == "numba").specifier.contains("0.60.0")


def test_pins_name_versions_only() -> None:
    # No local versions, no places to download from: each user's pip knows its own.
    assert all(Version(number).local is None for number in pins().values())


def test_all_is_every_extra_for_users() -> None:
    extras = setup_cfg()["options.extras_require"]
    [everything] = [r for r in map(Requirement, listed(extras["all"])) if r.name == "xai-removal"]
    assert everything.extras == set(extras) - {"all", "docs", "test", "bench"}


# ------------------------------------------------------------------------------------- import


def test_import_is_light() -> None:
    code = "import sys, xai; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert "xai" in done.stdout.split()
    assert not LAZY & set(done.stdout.split())


def test_a_function_is_explained_without_what_it_does_not_need() -> None:
    code = (
        "import sys, numpy as np, xai; xai.explain(lambda x: x, np.eye(3), data=np.zeros((1, 3)));"
        "print({'sklearn', 'pandas', 'torch', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_every_public_name_resolves() -> None:
    assert len(set(xai.__all__)) == len(xai.__all__)
    assert set(xai.__all__) <= set(dir(xai))
    for name in dir(xai):
        getattr(xai, name)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = xai.no_such_name


def test_the_package_is_pickled_by_name() -> None:
    """So that joblib's processes take a function of a notebook that calls it."""
    assert pickle.loads(pickle.dumps(xai)) is xai


@pytest.mark.parametrize("name", sorted(packages_on_disk()))
def test_every_name_of_every_package_resolves(name: str) -> None:
    package = importlib.import_module(name)
    for public in getattr(package, "__all__", ()):
        getattr(package, public)


# -------------------------------------------------------------------------------------- wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the tree, so that nothing is left in the tree."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in ("setup.cfg", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tree)
    for name in ("xai", "metrics", "datasets"):
        shutil.copytree(
            ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    subprocess.run([*command, str(tree)], check=True, capture_output=True)
    [path] = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """An environment with the wheel and the core dependencies alone; its folder of commands."""
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    install = [str(binaries / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
    subprocess.run(
        [*install, "--constraint", str(ROOT / "constraints.txt"), str(wheel)], check=True
    )
    return binaries


def run(binaries: Path, code: str, folder: Path) -> str:
    """Run `code` in the environment, isolated and in another folder; its standard output."""
    done = subprocess.run(
        [str(binaries / "python"), "-I", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules_in(wheel: Path) -> set[str]:
    names = [Path(name) for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")]
    return {".".join(name.with_suffix("").parts).removesuffix(".__init__") for name in names}


@pytest.mark.slow
def test_wheel_holds_every_module_and_the_marker(wheel: Path) -> None:
    assert modules_in(wheel) == modules_on_disk()
    names = zipfile.ZipFile(wheel).namelist()
    assert "xai/py.typed" in names
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"xai"}


IMPORT_EVERY_MODULE = """
import importlib, json
missing = {}
for name in NAMES:
    try:
        importlib.import_module(name)
    except ImportError as error:
        missing[name] = error.name
print(json.dumps(missing))
"""

EXPLAIN = """
import numpy as np, xai
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

X, y = make_classification(n_samples=60, n_features=5, random_state=0)
model = LogisticRegression().fit(X, y)
explanation = xai.explain(model, X[:3], data=X, method="shapley")
assert explanation.values.shape == (3, 5)
gap = explanation.values.sum(1) + explanation.base_values - explanation.predictions
np.testing.assert_allclose(gap, 0, atol=1e-12)
np.testing.assert_allclose(explanation.predictions, model.predict_proba(X[:3]).max(1))
for without in (explanation.to_shap, explanation.to_frame, lambda: xai.TorchModel(model)):
    try:
        without()
    except ImportError as error:
        print(error)
    else:
        raise AssertionError("an extra that is not there")
"""


# One test, since each worker that ran a part of it would make the environment anew.
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_wheel_works_with_the_core_dependencies_alone(
    wheel: Path, empty: Path, tmp_path: Path
) -> None:
    names = sorted(modules_in(wheel))
    missing = json.loads(run(empty, f"NAMES = {names}\n{IMPORT_EVERY_MODULE}", tmp_path))
    # A module may need an extra as a whole; a package must not.
    assert set(missing.values()) <= OPTIONAL
    assert not packages_on_disk() & set(missing)

    told = run(empty, EXPLAIN, tmp_path)
    for name in ("xai-removal[shap]", "pandas", "torch"):
        assert f'pip install "{name}"' in told

    demo = subprocess.run(
        [str(empty / "xai"), "demo"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert demo.returncode == 0, demo.stderr
    assert demo.stdout
