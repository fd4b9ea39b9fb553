"""How good is an explanation? Faithfulness, robustness, complexity and localisation scores.

Every metric is a function ``metric(model, x, explanation, *, …) -> Score``; ``names()`` lists
them. Names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from xai.metrics import tasks
    from xai.metrics.evaluation import evaluate
    from xai.metrics.meta import meta_check
    from xai.metrics.registry import names
    from xai.metrics.report import Report
    from xai.metrics.score import Score

_MODULES = ("tasks",)
_HOMES = {
    "Report": "report", "Score": "score", "evaluate": "evaluation", "meta_check": "meta",
    "names": "registry",
}  # fmt: skip
"""What is no metric; metrics are the rows of `registry.RECORDS`."""


def _homes() -> dict[str, str]:
    from xai.metrics.registry import RECORDS

    return _HOMES | {record.name: record.home for record in RECORDS}


def __getattr__(name: str) -> Callable[..., Score]:  # what is not imported above is a metric
    homes = {} if name.startswith("__") else _homes()
    if name not in (*homes, *_MODULES):
        from xai.suggest import lacking

        raise AttributeError(lacking("xai.metrics", name, homes))
    home: Any = import_module(f"xai.metrics.{homes.get(name, name)}")
    value: Callable[..., Score] = home if name in _MODULES else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*_homes(), *_MODULES])


__all__ = ["Report", "Score", "evaluate", "meta_check", "names", "tasks"]
