"""Named methods: a table of triples (removal, behavior, summary). Data, not code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xai.behavior import Behavior, DatasetLoss, Margin, Prediction, PredictionLoss
from xai.players import (
    ActivationMaps,
    Channels,
    Concepts,
    Grid,
    Patches,
    Players,
    Superpixels,
    Units,
)
from xai.records import Table
from xai.removal import (
    Baseline,
    Blur,
    BlurPyramid,
    Inpaint,
    Marginal,
    Neighbourhood,
    Noise,
    Permuted,
    ProductOfMarginals,
    Removal,
    Uniform,
)
from xai.suggest import unknown
from xai.summary import (
    HSIC,
    Banzhaf,
    BetaShapley,
    Budget,
    ChannelGradient,
    ExtremalSubset,
    Gradient,
    IncludeIndividual,
    IntegratedGradient,
    LinearFit,
    MeanWhenIncluded,
    MinimalSubset,
    Owen,
    PenalizedSubset,
    Propagation,
    RemoveIndividual,
    Shapley,
    SmoothGrid,
    Sobol,
    Summary,
)


@dataclass(frozen=True)
class Method:
    """A triple with a name: how features are removed, what is explained, how it is summed up.

    Parameters
    ----------
    removal, behavior, summary : the parts; marginal removal, the prediction, Shapley values
    name : str
    budget : Budget, optional
        Default model rows per explained row; the summary's own where None. What is in
        closed form costs m + 1, whatever is told here.
    inputs : str
        The kinds of data and of model it is for.
    paper : str
    image : (removal, players), optional
        What images use instead; players None for pixels. Of given players inside a network,
        which are no pixels, features are set to 0.

    Examples
    --------
    >>> import xai
    >>> Method(summary=xai.summary.Banzhaf(), name="mine").name
    'mine'
    """

    removal: Removal = Marginal()
    behavior: Behavior = Prediction()
    summary: Summary = Shapley()
    name: str = "custom"
    budget: Budget | str | None = None
    inputs: str = "table, image, text; any model"
    paper: str = ""
    image: tuple[Removal, Players | None] | None = None

    @property
    def of_data_set(self) -> bool:
        """Whether it explains a data set as a whole."""
        return isinstance(self.behavior, DatasetLoss)


_LIME = LinearFit(kernel="exponential", regularizer="ridge")
_MEAN = (Baseline("mean"), None)
_LUNDBERG = "Lundberg & Lee 2017, A unified approach to interpreting model predictions"
_TABLE = "table; any model"
_NETWORK = "image; torch"
_TORCH = "table, image; torch"
_TABLE_IMAGE = "table, image; any model"
_IMAGE = "image; any model"
_GRID = (Baseline(0), Grid(8))

METHODS = (
    Method(Marginal(), Prediction(), RemoveIndividual(), "occlusion",
           paper="Zeiler & Fergus 2014, Visualizing and understanding convolutional networks",
           image=(Baseline(0), None)),
    Method(Marginal(), Prediction(), IncludeIndividual(), "include_one",
           paper="Guyon & Elisseeff 2003, An introduction to variable and feature selection",
           image=_MEAN),
    Method(Marginal(), Prediction(), Shapley(), "shapley",
           paper="Shapley 1953, A value for n-person games", image=_MEAN),
    Method(Marginal(), Prediction(), Shapley("exact"), "exact_shapley", budget="(2^d - 1)m + 1",
           paper="Shapley 1953, A value for n-person games", image=_MEAN),
    Method(Marginal(), Prediction(), Shapley("permutation"), "permutation_shap",
           paper="Castro, Gómez & Tejada 2009, Polynomial calculation of the Shapley value",
           image=_MEAN),
    Method(Marginal(), Prediction(), LinearFit("shapley", None), "kernel_shap", paper=_LUNDBERG,
           image=_MEAN),
    Method(Marginal(), Prediction(), Banzhaf(), "banzhaf",
           paper="Banzhaf 1965, Weighted voting doesn't work", image=_MEAN),
    Method(Marginal(), Prediction(), BetaShapley(), "beta_shapley",
           paper="Kwon & Zou 2022, Beta Shapley", image=_MEAN),
    Method(Marginal(), Prediction(), Owen(), "owen",
           paper="Owen 1977, Values of games with a priori unions", image=_MEAN),
    Method(Marginal(), Prediction(), MeanWhenIncluded(), "mean_when_included",
           paper="Petsiuk, Das & Saenko 2018, RISE", image=(Baseline(0), None)),
    Method(Neighbourhood(), Prediction(), _LIME, "lime", budget=Budget(rows=5000),
           paper="Ribeiro, Singh & Guestrin 2016, Why should I trust you?",
           image=(Baseline("mean"), Patches(16))),
    Method(Baseline(0), Prediction(), MeanWhenIncluded(masks=SmoothGrid()), "rise",
           budget=Budget(rows=4000), inputs=_IMAGE, image=(Baseline(0), None),
           paper="Petsiuk, Das & Saenko 2018, RISE"),
    Method(Marginal(), Prediction(), Sobol(), "sobol", inputs=_TABLE_IMAGE, image=_GRID,
           paper="Fel et al. 2021, Look at the variance! Efficient black-box explanations"),
    Method(Marginal(), Prediction(), HSIC(), "hsic", image=_GRID,
           paper="Novello, Fel & Vigouroux 2022, Making sense of dependence"),
    Method(Permuted(), DatasetLoss("error", average="loss"), RemoveIndividual(),
           "permutation_test",
           budget="10dn + m + n", inputs=_TABLE, paper="Breiman 2001, Random forests"),
    # walks: a dummy gets exactly 0
    Method(Marginal(), PredictionLoss(), Shapley("permutation"), "loss_shap", inputs=_TABLE_IMAGE,
           paper="Lundberg et al. 2020, From local explanations to global understanding",
           image=_MEAN),
    Method(Marginal(), DatasetLoss(), Shapley(), "sage", budget=Budget(rows=2**19),
           inputs=_TABLE_IMAGE, image=_MEAN,
           paper="Covert, Lundberg & Lee 2020, Understanding global feature contributions"),
    Method(Uniform(), Prediction(), Shapley(), "ime", inputs=_TABLE_IMAGE,
           paper="Štrumbelj & Kononenko 2010, Explanation of individual classifications"),
    Method(Noise(displacements=True), Prediction(), LinearFit("uniform", None), "c_lime",
           budget=Budget(rows=5000), inputs=_TABLE,
           paper="Agarwal et al. 2021, Towards the unification and robustness of explanations"),
    Method(Noise(0), Prediction(), Gradient(), "gradient", budget="1 + 1", inputs=_TORCH,
           paper="Simonyan, Vedaldi & Zisserman 2013, Deep inside convolutional networks"),
    Method(Noise(), Prediction(), Gradient(), "smoothgrad", inputs=_TORCH,
           paper="Smilkov et al. 2017, SmoothGrad"),
    Method(Noise(), Prediction(), Gradient(moment="square"), "squaregrad", inputs=_TORCH,
           paper="Hooker et al. 2019, A benchmark for interpretability methods"),
    Method(Noise(), Prediction(), Gradient(moment="variance"), "vargrad", inputs=_TORCH,
           paper="Adebayo et al. 2018, Sanity checks for saliency maps"),
    Method(Baseline(0), Prediction(), Gradient("kept", "mask"), "gradient_x_input",
           budget="1 + 1", inputs=_TORCH,
           paper="Shrikumar et al. 2016, Not just a black box"),
    Method(Baseline(0), Prediction(), IntegratedGradient(), "integrated_gradients", inputs=_TORCH,
           paper="Sundararajan, Taly & Yan 2017, Axiomatic attribution for deep networks"),
    Method(BlurPyramid(), Prediction(), IntegratedGradient(), "blur_integrated_gradients",
           inputs=_NETWORK, paper="Xu, Venugopalan & Sundararajan 2020, Attribution in scale"),
    Method(Marginal(), Prediction(), Gradient("path", "mask"), "expected_gradients",
           budget="64 + m + 1", inputs=_TORCH,
           paper="Erion et al. 2021, Improving performance of deep learning models"),
    Method(Baseline(0), Prediction(), IntegratedGradient(), "layer_integrated_gradients",
           budget="(16 to 528)m + m + 3", inputs=_NETWORK, image=(Baseline(0), Units()),
           paper="Dhamdhere, Sundararajan & Yan 2019, How important is a neuron?"),
    Method(Baseline(0), Prediction(), ChannelGradient(), "gradcam", inputs=_NETWORK,
           image=(Baseline(0), Channels("auto")),
           paper="Selvaraju et al. 2017, Grad-CAM"),
    Method(Baseline(0), Prediction(), ChannelGradient(plus_plus=True), "gradcam++",
           inputs=_NETWORK, image=(Baseline(0), Channels("auto")),
           paper="Chattopadhyay et al. 2018, Grad-CAM++"),
    Method(Baseline(0), Prediction(), RemoveIndividual(), "ablation_cam", inputs=_NETWORK,
           budget="dm + m + 3", image=(Baseline(0), Channels("auto")),
           paper="Desai & Ramaswamy 2020, Ablation-CAM"),
    Method(Baseline(0), Prediction(), IncludeIndividual(softmax=True), "score_cam",
           inputs=_NETWORK, image=(Baseline(0), ActivationMaps()),
           paper="Wang et al. 2020, Score-CAM"),
    Method(Baseline(0), Prediction(), Propagation("deeplift"), "deeplift", inputs=_TORCH,
           budget="2m + m + 1",
           paper="Shrikumar, Greenside & Kundaje 2017, Learning important features"),
    Method(Baseline(0), Prediction(), Propagation("lrp"), "lrp", inputs=_TORCH, budget="2 + 1",
           paper="Bach et al. 2015, On pixel-wise explanations by relevance propagation"),
    Method(Baseline(0), Prediction(), Propagation("guided_backprop"), "guided_backprop",
           inputs=_TORCH, budget="1 + 1",
           paper="Springenberg et al. 2015, Striving for simplicity: the all convolutional net"),
    Method(Baseline(0), Prediction(), Propagation("deconvnet"), "deconvnet",
           inputs=_TORCH, budget="1 + 1",
           paper="Zeiler & Fergus 2014, Visualizing and understanding convolutional networks"),
    Method(BlurPyramid(), Prediction(), ExtremalSubset(), "extremal_perturbation", inputs=_NETWORK,
           image=(BlurPyramid(), None),
           paper="Fong, Patrick & Vedaldi 2019, Understanding deep networks via extremal "
                 "perturbations and smooth masks"),
    Method(Blur(), Prediction("probability"), PenalizedSubset(), "meaningful_perturbation",
           inputs=_NETWORK, image=(Blur(), None),
           paper="Fong & Vedaldi 2017, Interpretable explanations of black boxes"),
    Method(Inpaint(), Margin(), MinimalSubset(), "mir", inputs=_IMAGE,
           image=(Inpaint(), Superpixels()),
           paper="Zhou et al. 2015, Object detectors emerge in deep scene CNNs"),
    Method(Baseline(0), Prediction(), Sobol(), "craft", inputs=_NETWORK,
           budget="(64 + 64d)m + m + 4", image=(Baseline(0), Concepts()),
           paper="Fel et al. 2023, CRAFT: Concept recursive activation factorization"),
    Method(ProductOfMarginals(), Prediction(), Shapley(), "qii", inputs=_TABLE_IMAGE,
           paper="Datta, Sen & Zick 2016, Quantitative input influence"),
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One line of the table of methods."""

    name: str
    removal: str
    behavior: str
    summary: str
    budget: str
    inputs: str
    paper: str


_COLUMNS = {
    "method": "name",
    "removal": "removal",
    "behavior": "behavior",
    "summary": "summary",
    "budget per row": "budget",
    "inputs": "inputs",
}
_NOTE = (
    "d players, m background rows (draws), n rows of a data set; where not torch: any model\n"
    "all settings of the parts: record.removal, .behavior, .summary; paper: record.paper"
)


def methods() -> Table[Record]:
    """All named methods, with their triple, default budget and paper.

    Examples
    --------
    >>> [record.name for record in methods()][:2]
    ['occlusion', 'include_one']
    """
    return Table([_record(method) for method in METHODS], _COLUMNS, _NOTE, _BRIEF)


def _record(method: Method) -> Record:
    return Record(
        name=method.name,
        removal=_removals(method, repr),
        behavior=repr(method.behavior),
        summary=_short(method.summary),
        budget=_budget(method),
        inputs=method.inputs,
        paper=method.paper,
    )


def _removals(method: Method, text: Callable[[object], str]) -> str:
    """The removal, and that of images where it is another."""
    own, image = method.removal, None if method.image is None else method.image[0]
    other = "" if image is None or repr(image) == repr(own) else f" (image: {text(image)})"
    return text(own) + other


def _briefly(part: object) -> str:
    """A part's name, with what is not the default; a word that is the first needs no name."""
    first = next(iter(vars(part)), "")
    return _short(part).replace(f"({first}='", "('").removesuffix("()")


_BRIEF: dict[str, Callable[[Record], str]] = {
    "removal": lambda record: _removals(find(record), _briefly),
    "behavior": lambda record: _briefly(find(record).behavior),
    "summary": lambda record: _briefly(find(record).summary),
    "inputs": lambda record: record.inputs.removesuffix("; any model"),
}


def _budget(method: Method) -> str:
    """The default budget in words; samples of a loss or a margin cost every draw."""
    rule = method.budget or method.summary.default_budget
    if isinstance(rule, str):
        return rule
    whole = isinstance(method.behavior, PredictionLoss | DatasetLoss) and not rule.whole
    return rule.text("dm" if whole else "d", "n" if method.of_data_set else "1")


def _short(part: object) -> str:
    """A part's repr without the arguments that have their default values."""
    cls = type(part)
    default = cls()
    changed = [
        f"{name}={value!r}" for name, value in vars(part).items() if value != getattr(default, name)
    ]
    return f"{cls.__name__}({', '.join(changed)})"


def find(method: object) -> Method:
    """A method by name or by its row of `methods()`, or as given; "auto" is Shapley values.

    Raises
    ------
    ValueError
        Unknown name, with the nearest right one.
    """
    if isinstance(method, Method):
        return method
    method = method.name if isinstance(method, Record) else method
    if not isinstance(method, str):
        rows = " (background rows: pass data=)" if hasattr(method, "shape") else ""
        raise TypeError(
            f"method must be a name or an xai.Method, not {type(method).__name__}{rows}"
        )
    for known in METHODS:
        if known.name == ("shapley" if method == "auto" else method):
            return known
    raise ValueError(unknown("method", method, ["auto", *(m.name for m in METHODS)]))
