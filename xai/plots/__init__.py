"""Pictures of explanations; matplotlib is imported when the first one is drawn."""

from xai.plots.choose import plot
from xai.plots.compare import compare
from xai.plots.concepts import ace_sheet, concept_sheet, concepts_of_image
from xai.plots.effects import dependence
from xai.plots.heatmap import heatmap
from xai.plots.image import image, images
from xai.plots.masks import masks, strip
from xai.plots.paths import decision, force
from xai.plots.series import curves
from xai.plots.swarm import beeswarm, scatter
from xai.plots.table import bar, global_bar, waterfall

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
    "masks",
    "plot",
    "scatter",
    "strip",
    "waterfall",
]
