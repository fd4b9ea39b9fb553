"""What the site says of the code, taken from the code: pages of the reference, and the tables.

And the notebooks as they are stored.

`write` puts them into docs/generated before Sphinx reads its sources.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from importlib import import_module
from inspect import getdoc, isclass, isroutine
from pathlib import Path
from typing import Any

import xai

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"

MODULES = (
    "xai", "xai.removal", "xai.behavior", "xai.summary", "xai.players", "xai.plots", "xai.report",
    "xai.overview", "xai.concepts", "xai.metrics", "xai.metrics.tasks", "xai.datasets",
)  # fmt: skip
"""The public modules, in the order of the reference."""


METHODS = {
    "method": "`{0.name}`<br>{0.paper}",
    "removal, behavior, summary": "`{0.removal}`<br>`{0.behavior}`<br>`{0.summary}`",
    "budget per row, inputs": "{0.budget}<br>{0.inputs}",
}
METRICS = {
    "metric": "{{py:func}}`{0.name} <xai.metrics.{0.name}>`",
    "says": "{0.says}<br>{0.paper}",
    "better": "{0.better}",
    "cost per row": "{0.cost}",
    "needs": "{0.needs}",
}
"""Columns of the two tables: a title, and how it is made of a record."""


def public(module: str) -> dict[str, Any]:
    """A public module's functions and classes by name; the registry's metrics are among them."""
    home = import_module(module)
    names = list(home.__all__)
    if module == "xai.metrics":
        names += [record.name for record in home.names()]
    things = {name: getattr(home, name) for name in names}
    return {n: thing for n, thing in things.items() if isclass(thing) or isroutine(thing)}


def places() -> dict[str, str]:
    """Where `name`, `module.name` and the like of a docstring lead: to a name of the reference."""
    found: dict[str, str] = {}
    for module in reversed(MODULES):
        for name in public(module):
            full = f"{module}.{name}"
            parts = full.split(".")
            found |= {".".join(parts[i:]): full for i in range(len(parts))}
    return found


def write(folder: Path) -> None:
    """Write all pages, leaving those alone that are as they should be."""
    folder.mkdir(exist_ok=True)
    pages = {module: "\n".join(_reference(module)) for module in MODULES}
    pages["methods"] = table(METHODS, xai.methods())
    metrics = xai.metrics.names()
    pages["metrics"] = "\n\n".join(
        f"## {category.capitalize()}\n\n{table(METRICS, part)}"
        for category in dict.fromkeys(record.category for record in metrics)
        if (part := [record for record in metrics if record.category == category])
    )
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        pages[path.stem] = "\n\n".join(_notebook(path, folder))
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def table(columns: dict[str, str], records: Any) -> str:
    """Records as a Markdown table; each column a format of them."""
    lines = [list(columns), ["---"] * len(columns)]
    lines += [[cell.format(r).replace("|", "\\|") for cell in columns.values()] for r in records]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return re.sub(r" \(image: (.*?)\)`<br>", r"`, images: `\1`<br>", text)


def _notebook(path: Path, folder: Path) -> Iterator[str]:
    """A stored notebook as a page: its words, code, printed results; pictures into `folder`."""
    count = 0
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"
        for out in cell.get("outputs", []):
            data = out.get("data", {})
            if "image/png" in data:
                count += 1
                picture = folder / f"{path.stem}-{count}.png"
                picture.write_bytes(b64decode(data["image/png"]))
                yield f"![What the cell above draws]({picture.name})"
            elif text := "".join(out.get("text", data.get("text/plain", ""))).rstrip():
                yield f"```text\n{text}\n```"
    yield f"{{download}}`This notebook <../../notebooks/{path.name}>`, to run it yourself."


def _reference(module: str) -> Iterator[str]:
    """The page of a module: what it is for, and every public name."""
    yield f"# {module}\n"
    yield f"```{{eval-rst}}\n{getdoc(import_module(module))}\n\n.. py:module:: {module}\n```\n"
    for name, thing in public(module).items():
        kind = "autoclass" if isclass(thing) else "autofunction"
        yield f"## {name}\n\n```{{eval-rst}}\n.. {kind}:: {module}.{name}\n```\n"
