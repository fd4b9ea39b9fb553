"""Pictures of explanations; matplotlib is imported when the first one is drawn.

Red raises the output, blue lowers it. Bars, waterfalls, beeswarms, scatters, heat maps, decision
and force lines read as shap's do (Lundberg & Lee 2017; Lundberg et al. 2018 and 2020), with 95 %
intervals where values are sampled.
"""

from xai.plots.choose import plot
from xai.plots.compare import compare
from xai.plots.concepts import ace_sheet, concept_sheet, concepts_of_image
from xai.plots.effects import dependence
from xai.plots.heatmap import heatmap
from xai.plots.image import image, images, slices
from xai.plots.interactions import interactions
from xai.plots.masks import masks, strip
from xai.plots.paths import decision, force
from xai.plots.several import curves
from xai.plots.signal import signal
from xai.plots.swarm import beeswarm, scatter
from xai.plots.table import bar, global_bar, waterfall
from xai.plots.text import text

__all__ = [
    "ace_sheet",
    "bar",
    "beeswarm",
    "compare",
    "concept_sheet",
    "concepts_of_image",
    "curves",
    "decision",
    "dependence",
    "force",
    "global_bar",
    "heatmap",
    "image",
    "images",
    "interactions",
    "masks",
    "plot",
    "scatter",
    "signal",
    "slices",
    "strip",
    "text",
    "waterfall",
]
