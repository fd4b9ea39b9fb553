"""Pictures of explanations; matplotlib is imported when the first one is drawn."""

from xai.plots.choose import plot
from xai.plots.compare import compare
from xai.plots.image import image, images
from xai.plots.masks import masks, strip
from xai.plots.table import bar, global_bar, waterfall

__all__ = [
    "bar",
    "compare",
    "global_bar",
    "image",
    "images",
    "masks",
    "plot",
    "strip",
    "waterfall",
]
