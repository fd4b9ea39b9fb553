"""How is each player's influence summed up? Each summary is one small frozen object."""

from __future__ import annotations

from xai.summary.base import Attribution, Budget, Plan, Summary
from xai.summary.cam import ChannelGradient
from xai.summary.extremal import ExtremalSubset
from xai.summary.gradient import Gradient
from xai.summary.hsic import HSIC
from xai.summary.included import MeanWhenIncluded
from xai.summary.individual import IncludeIndividual, RemoveIndividual
from xai.summary.integrated import IntegratedGradient
from xai.summary.interactions import Interactions
from xai.summary.linear import LinearFit
from xai.summary.masks import SmoothGrid
from xai.summary.minimal import MinimalSubset
from xai.summary.owen import Owen
from xai.summary.penalized import PenalizedSubset
from xai.summary.propagation import Propagation
from xai.summary.semivalue import Banzhaf, BetaShapley, Semivalue
from xai.summary.shapley import Shapley
from xai.summary.sobol import Sobol

NAMES = {
    "remove_individual": RemoveIndividual,
    "include_individual": IncludeIndividual,
    "shapley": Shapley,
    "banzhaf": Banzhaf,
    "mean_when_included": MeanWhenIncluded,
    "linear_fit": LinearFit,
    "interactions": Interactions,
    "owen": Owen,
    "beta_shapley": BetaShapley,
    "propagation": Propagation,
    "channel_gradient": ChannelGradient,
    "extremal_subset": ExtremalSubset,
    "gradient": Gradient,
    "integrated_gradient": IntegratedGradient,
    "sobol": Sobol,
    "hsic": HSIC,
    "minimal_subset": MinimalSubset,
    "penalized_subset": PenalizedSubset,
}
"""Summaries that `explain(summary="…")` accepts by name."""

__all__ = [
    "HSIC",
    "NAMES",
    "Attribution",
    "Banzhaf",
    "BetaShapley",
    "Budget",
    "ChannelGradient",
    "ExtremalSubset",
    "Gradient",
    "IncludeIndividual",
    "IntegratedGradient",
    "Interactions",
    "LinearFit",
    "MeanWhenIncluded",
    "MinimalSubset",
    "Owen",
    "PenalizedSubset",
    "Plan",
    "Propagation",
    "RemoveIndividual",
    "Semivalue",
    "Shapley",
    "SmoothGrid",
    "Sobol",
    "Summary",
]
