"""How are features taken away? Each removal is one small frozen object."""

from __future__ import annotations

from xai.removal.base import Context, Draws, Removal
from xai.removal.baseline import Baseline
from xai.removal.blur import Blur, BlurPyramid
from xai.removal.function import Function
from xai.removal.inpaint import Inpaint
from xai.removal.neighbourhood import Neighbourhood
from xai.removal.noise import Noise
from xai.removal.sampled import Marginal, Permuted, ProductOfMarginals, Uniform

NAMES = {
    "baseline": Baseline,
    "marginal": Marginal,
    "permuted": Permuted,
    "product_of_marginals": ProductOfMarginals,
    "uniform": Uniform,
    "neighbourhood": Neighbourhood,
    "blur": Blur,
    "blur_pyramid": BlurPyramid,
    "inpaint": Inpaint,
    "noise": Noise,
}
"""Removals that `explain(removal="…")` accepts by name."""

__all__ = [
    "NAMES",
    "Baseline",
    "Blur",
    "BlurPyramid",
    "Context",
    "Draws",
    "Function",
    "Inpaint",
    "Marginal",
    "Neighbourhood",
    "Noise",
    "Permuted",
    "ProductOfMarginals",
    "Removal",
    "Uniform",
]
