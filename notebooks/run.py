"""Run the notebooks in clean kernels, and store their outputs: `make notebooks`.

Or only some: ``python notebooks/run.py 2_images``.
"""

from __future__ import annotations

import base64
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""Nothing of the machine that ran it."""

SHOWN = {"row.png": ("1_credit_decision", 0), "methods.png": ("2_images", 1)}
"""Pictures of the README, in docs/static: which notebook's, and its how many-th."""


def run(path: Path, seconds: int = 180) -> Any:
    """Execute a copy of a notebook from a clean kernel, and return it with its outputs.

    The kernel is of this interpreter and sees this environment, with one thread, without progress
    bars, which slow machines alone would show, and without the user's own settings; it works in
    an empty folder.

    Raises
    ------
    CellExecutionError
        A cell fails.
    CellTimeoutError
        A cell takes longer than `seconds`.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        own = {"IPYTHONDIR": folder, "JUPYTER_CONFIG_DIR": folder}
        same = {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1", "TQDM_DISABLE": "1"}
        client = NotebookClient(
            notebook, timeout=seconds, kernel_name="python3",
            record_timing=False, coalesce_streams=True,  # nothing of how fast it went
            extra_arguments=["--IPKernelApp.log_level=ERROR"],  # its own machine reads along
            resources={"metadata": {"path": folder}},
        )  # fmt: skip
        client.execute(env=os.environ | own | same)
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def pictures(notebook: Any) -> list[bytes]:
    """The pictures that a notebook stores, in order."""
    data = [out.get("data", {}) for cell in notebook.cells for out in cell.get("outputs", [])]
    return [base64.b64decode(one["image/png"]) for one in data if "image/png" in one]


def main(names: Sequence[str]) -> None:
    """Run all notebooks, or these, and write them back."""
    found = sorted(FOLDER.glob("*.ipynb"))
    for path in [path for path in found if not names or path.stem in names]:
        start = time.perf_counter()
        notebook = run(path)
        nbformat.write(notebook, path)
        for name, (stem, place) in SHOWN.items():
            if stem == path.stem:
                (FOLDER.parent / "docs/static" / name).write_bytes(pictures(notebook)[place])
        seconds, size = time.perf_counter() - start, path.stat().st_size
        print(f"{path.name}: {seconds:.0f} s, {size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
