"""A model as a whole: what many rows' explanations say together, and one feature's effect.

Drawn by `xai.plots.global_bar` (importance and cohorts) and `xai.plots.dependence`.
"""

from xai.overview.effects import Effect, accumulated_local_effects, partial_dependence
from xai.overview.rows import Importance, cohorts, importance, submodular_pick

__all__ = [
    "Effect",
    "Importance",
    "accumulated_local_effects",
    "cohorts",
    "importance",
    "partial_dependence",
    "submodular_pick",
]
