"""Pictures of explanations; matplotlib is imported when the first one is drawn."""

from xai.plots.choose import plot
from xai.plots.concepts import concept_sheet, concepts_of_image
from xai.plots.image import image, images
from xai.plots.table import bar, global_bar, waterfall

__all__ = [
    "bar",
    "concept_sheet",
    "concepts_of_image",
    "global_bar",
    "image",
    "images",
    "plot",
    "waterfall",
]
