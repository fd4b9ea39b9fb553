"""The links that show metrics/ and datasets/ under xai/, and what must not pass for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["metrics", "datasets"])
def test_link_is_relative_and_points_to_its_folder(name: str) -> None:
    link = ROOT / "xai" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../{name}"
    assert (link / "__init__.py").samefile(ROOT / name / "__init__.py")


def test_no_other_links() -> None:
    links = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "xai").rglob("*") if path.is_symlink()
    }
    assert links == {"xai/metrics", "xai/datasets"}


def test_bare_datasets_is_refused() -> None:
    # What happens to somebody who starts Python in the root folder and wants Hugging Face's.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, "-c", "import datasets"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "ImportError" in done.stderr
    assert "xai.datasets" in done.stderr


def test_safe_path_never_finds_the_root_folders() -> None:
    # PYTHONSAFEPATH=1, as the Makefile sets it: `metrics` and `datasets` are not the root's.
    code = (
        "import importlib.util as u, pathlib\n"
        "for name in ('metrics', 'datasets'):\n"
        "    spec = u.find_spec(name)\n"
        "    print(spec and pathlib.Path(spec.origin).resolve().parent)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {str(ROOT / "metrics"), str(ROOT / "datasets")} & set(done.stdout.split("\n"))
