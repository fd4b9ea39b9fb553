"""Explain any classifier by removing features: removal, behavior, summary.

>>> import xai
>>> explanation = xai.explain(model, x, method="kernel_shap", data=background)  # doctest: +SKIP

Names load on first use, so that ``import xai`` stays light.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from xai._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from xai import (
        behavior,
        concepts,
        datasets,
        metrics,
        overview,
        players,
        plots,
        removal,
        report,
        summary,
    )
    from xai.aggregate import aggregate
    from xai.explain import explain
    from xai.explanation import Explanation, load
    from xai.game import Game
    from xai.methods import Method, methods
    from xai.metrics.choosing import choose
    from xai.metrics.evaluation import compare
    from xai.targets import Label, Top
    from xai.torch_model import TorchModel

_HOMES = {
    "aggregate": "xai.aggregate",
    "explain": "xai.explain",
    "Explanation": "xai.explanation",
    "load": "xai.explanation",
    "Game": "xai.game",
    "Method": "xai.methods",
    "methods": "xai.methods",
    "Label": "xai.targets",
    "Top": "xai.targets",
    "TorchModel": "xai.torch_model",
    "choose": "xai.metrics.choosing",
    "compare": "xai.metrics.evaluation",
}
_MODULES = (
    "behavior", "concepts", "datasets", "metrics", "overview", "players", "plots", "removal",
    "report", "summary",
)  # fmt: skip

__all__ = [
    "Explanation",
    "Game",
    "Label",
    "Method",
    "Top",
    "TorchModel",
    "__version__",
    "aggregate",
    "behavior",
    "choose",
    "compare",
    "concepts",
    "datasets",
    "explain",
    "load",
    "methods",
    "metrics",
    "overview",
    "players",
    "plots",
    "removal",
    "report",
    "summary",
]


class _Package(ModuleType):
    """Keeps functions from being hidden by the modules of the same name.

    Importing ``xai.explain`` anywhere sets the package's attribute to the module; users mean the
    function.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        """By name, as any module: joblib, dask and ray send functions together with it."""
        return import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> object:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = import_module(f"xai.{name}")
    else:
        from xai.suggest import lacking

        raise AttributeError(lacking("xai", name, __all__))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
