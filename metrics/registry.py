"""The table of metrics: what each measures, and which way is better. Data, not code.

A metric is a function of this name in the module `home`, decorated with `xai.metrics.case.metric`,
and a row here.
"""

from __future__ import annotations

from dataclasses import dataclass

from xai.metrics.score import Better
from xai.records import Table
from xai.suggest import unknown


@dataclass(frozen=True)
class Record:
    """One line of the table of metrics.

    Attributes
    ----------
    name, home : the function, and its module in xai.metrics
    category : what of an explanation is measured
    better : "higher" or "lower"
    says : the formula or the question, in a line
    cost : model rows per explained row, or explanations ("ex")
    needs : beside model, x and explanation
    paper : str
    axes : what its curve runs over, in % of the way or step by step, and what it is of
    """

    name: str
    home: str
    category: str
    better: Better
    says: str
    cost: str
    needs: str = ""
    paper: str = ""
    axes: tuple[str, str] = ("players removed (%)", "value of the output")


_CURVES, _AGREEMENT = "faithfulness by removal", "faithfulness by agreement"
_SIMPLE, _ROBUST, _AXIOM = "simplicity", "robustness", "axioms"
_RANDOM = "randomisation"
_BACK = "players put back (%)", Record.axes[1]
_TRUTH = "ground truth"

RECORDS: tuple[Record, ...] = (
    Record("deletion", "faithfulness", _CURVES, "lower", "area under D", "Km + 1",
           paper="Petsiuk, Das & Saenko 2018"),
    Record("insertion", "faithfulness", _CURVES, "higher", "area under I", "Km + 1",
           paper="Petsiuk, Das & Saenko 2018", axes=_BACK),
    Record("comprehensiveness", "faithfulness", _CURVES, "higher", "mean_k f(x) − D_k", "Km + 1",
           paper="DeYoung et al. 2020 (ERASER)"),
    Record("sufficiency", "faithfulness", _CURVES, "lower", "mean_k f(x) − I_k", "Km + 1",
           paper="DeYoung et al. 2020 (ERASER)", axes=_BACK),
    Record("pixel_flipping", "faithfulness", _CURVES, "lower", "area under D", "Km + 1",
           paper="Bach et al. 2015"),
    Record("region_perturbation", "faithfulness", _CURVES, "higher",
           "mean_k f(x) − D_k over patches", "Km + 1", paper="Samek et al. 2017"),
    Record("irof", "faithfulness", _CURVES, "higher", "(f(x) − area under D)/|f(x)|, superpixels",
           "Km + 1", "scikit-image for images", "Rieger & Hansen 2020",
           axes=("players removed (%)", "value of the output / its size for x")),
    Record("abpc", "faithfulness", _CURVES, "higher", "mean_k R_k − D_k", "(2K − 1)m + 1",
           paper="Schulz et al. 2020",
           axes=("players removed (%)", "least minus most important first")),
    Record("road", "faithfulness", _CURVES, "higher", "mean_k (R_k − D_k)/2, imputed",
           "2(K − 1)m + 2", paper="Rong et al. 2022"),
    Record("selectivity", "faithfulness", _CURVES, "lower", "area under D over patches", "Km + 1",
           paper="Montavon, Samek & Müller 2018"),
    Record("monotonicity", "faithfulness", _CURVES, "higher",
           "1 if no player put back hurts, else 0", "Km + 1", paper="Arya et al. 2019", axes=_BACK),
    Record("pgi", "faithfulness", _CURVES, "higher", "E|f(x) − f(x′)|, top k removed", "m + 1",
           paper="Agarwal et al. 2022 (OpenXAI)"),
    Record("pgu", "faithfulness", _CURVES, "lower", "E|f(x) − f(x′)|, the k least removed", "m + 1",
           paper="Agarwal et al. 2022 (OpenXAI)"),
    Record("faithfulness_correlation", "agreement", _AGREEMENT, "higher",
           "correlation of Σ_S a and Δ_S, |S| fixed", "Nm + 1",
           paper="Bhatt, Weller & Moura 2020"),
    Record("faithfulness_estimate", "agreement", _AGREEMENT, "higher",
           "correlation of a_i and Δ_i", "dm + 1", paper="Alvarez-Melis & Jaakkola 2018"),
    Record("sensitivity_n", "agreement", _AGREEMENT, "higher",
           "correlation of Σ_S a and Δ_S, over sizes", "10 Nm + 1", paper="Ancona et al. 2018"),
    Record("infidelity", "agreement", _AGREEMENT, "lower", "E(Iᵀa − (f(x) − f(x − I)))²", "Nm + 1",
           paper="Yeh et al. 2019"),
    Record("mu_fidelity", "agreement", _AGREEMENT, "higher",
           "rank correlation of Σ_S a and Δ_S", "Nm + 1", paper="Fel et al. 2022"),
    Record("lfa_error", "agreement", _AGREEMENT, "lower",
           "error as a surrogate in a neighbourhood; R²", "Nm + 1",
           paper="Han, Srinivas & Lakkaraju 2022"),
    Record("monotonicity_correlation", "agreement", _AGREEMENT, "higher",
           "rank correlation of |a_i| and EΔ_i²", "dm + 1", paper="Nguyen & Martínez 2020"),
    Record("max_sensitivity", "robustness", _ROBUST, "lower", "max ‖Δa‖/‖a‖", "N ex", "explain",
           "Yeh et al. 2019; Bhatt, Weller & Moura 2020"),
    Record("avg_sensitivity", "robustness", _ROBUST, "lower", "mean ‖Δa‖/‖a‖", "N ex", "explain",
           "Yeh et al. 2019; Bhatt, Weller & Moura 2020"),
    Record("local_lipschitz", "robustness", _ROBUST, "lower", "max ‖Δa‖/‖Δx‖", "N ex", "explain",
           "Alvarez-Melis & Jaakkola 2018"),
    Record("relative_input_stability", "robustness", _ROBUST, "lower",
           "max (‖Δa‖/‖a‖)/(‖Δx‖/‖x‖)", "N ex + N", "explain", "Agarwal et al. 2022"),
    Record("relative_output_stability", "robustness", _ROBUST, "lower",
           "max (‖Δa‖/‖a‖)/(‖Δh‖/‖h‖), h the outputs", "N ex + N", "explain",
           "Agarwal et al. 2022"),
    Record("relative_representation_stability", "robustness", _ROBUST, "lower",
           "the same with h a layer's", "N ex + N", "explain, torch, layer",
           "Agarwal et al. 2022"),
    Record("shift_consistency", "robustness", _ROBUST, "lower",
           "‖a(½x + ½z) − ½a(x) − ½a(z)‖/‖a(x)‖", "2N ex", "explain, data", "Li et al. 2022 (DRE)"),
    Record("worst_case_bound", "robustness", _ROBUST, "lower",
           "first-order bound of ‖Δa‖ under attack", "41 passes or 2d ex", "explain",
           "Wang & Kong 2023"),
    Record("distance_attack", "attacks", _ROBUST, "lower", "largest ‖Δa‖ found, class kept",
           "20 or 10(2d + 1) ≤ 650 ex", "explain", "Madry et al. 2018; Wang & Kong 2023"),
    Record("top_k_attack", "attacks", _ROBUST, "lower", "share of the top k lost, class kept",
           "20 or 10(2d + 1) ≤ 650 ex", "explain", "Ghorbani, Abid & Zou 2019 (IFIA)"),
    Record("consistency", "robustness", _ROBUST, "higher",
           "same explanation, same class", "1", "several outputs",
           "Dasgupta, Frost & Moshkovitz 2022"),
    Record("complexity", "simplicity", _SIMPLE, "lower", "entropy of |a|'s shares", "0",
           paper="Bhatt, Weller & Moura 2020"),
    Record("sparseness", "simplicity", _SIMPLE, "higher", "Gini index of |a|", "0",
           paper="Chalasani et al. 2020"),
    Record("effective_complexity", "simplicity", _SIMPLE, "lower",
           "fewest features that hold 90 % of |a|", "0", paper="Nguyen & Martínez 2020"),
    Record("completeness_gap", "axioms", _AXIOM, "lower", "|Σa − (v(N) − v(∅))|", "m + 1",
           paper="Sundararajan, Taly & Yan 2017"),
    Record("dummy_mass", "axioms", _AXIOM, "lower", "share of |a| on players without effect",
           "dm + 1", paper="Nguyen & Martínez 2020"),
    Record("symmetry_gap", "axioms", _AXIOM, "lower",
           "|a_i − a_j| of symmetric players, relative", "9 dm + 15m", paper="Shapley 1953"),
    Record("input_invariance", "axioms", _AXIOM, "lower",
           "change of a where x and model shift together", "1 ex", "explain",
           "Kindermans et al. 2019"),
    Record("linearity_gap", "axioms", _AXIOM, "lower", "a(αf + βg) − αa(f) − βa(g), relative",
           "3 ex", "explain", "Shapley 1953"),
    Record("parameter_randomization", "randomisation", _RANDOM, "lower",
           "rank correlation with attributions of models drawn anew", "L ex + 16m",
           "explain, torch", "Adebayo et al. 2018; Binder et al. 2023",
           axes=("steps of layers drawn anew", "rank correlation")),
    Record("efficient_parameter_randomization", "randomisation", _RANDOM, "higher",
           "(H(a_random) − H(a))/H(a)", "1 ex + 16m", "explain, torch", "Hedström et al. 2023"),
    Record("random_logit", "randomisation", _RANDOM, "lower",
           "correlation with another class's attribution", "1 ex + 16m", "explain, several outputs",
           "Sixt, Granz & Landgraf 2020"),
    Record("pointing_game", "localisation", _TRUTH, "higher", "is the largest in the mask?", "0",
           "mask", "Zhang et al. 2018"),
    Record("relevance_mass", "localisation", _TRUTH, "higher", "Σ_mask a⁺ / Σ a⁺", "0", "mask",
           "Arras, Osman & Samek 2022"),
    Record("relevance_rank", "localisation", _TRUTH, "higher", "|top |mask| ∩ mask| / |mask|", "0",
           "mask", "Arras, Osman & Samek 2022"),
    Record("roc_auc", "localisation", _TRUTH, "higher", "P(a inside > a outside)", "0", "mask",
           "Clark, Wilming & Haufe 2024 (XAI-TRIS)"),
    Record("iou", "localisation", _TRUTH, "higher", "|top k ∩ mask| / |top k ∪ mask|", "0",
           "mask", "Zhou et al. 2016"),
    Record("grid_pointing", "localisation", _TRUTH, "higher", "Σ_cell a⁺ / Σ a⁺ in a mosaic", "0",
           "cell", "Böhle, Fritz & Schiele 2021"),
    Record("suppressor_mass", "localisation", _TRUTH, "lower", "Σ_outside |a| / Σ |a|", "0",
           "mask", "Wilming et al. 2023"),
    Record("feature_agreement", "reference", _TRUTH, "higher", "|T_k(a) ∩ T_k(g)| / k", "0",
           "reference", "Krishna et al. 2022"),
    Record("rank_agreement", "reference", _TRUTH, "higher", "same feature at ranks 1..k", "0",
           "reference", "Krishna et al. 2022"),
    Record("sign_agreement", "reference", _TRUTH, "higher", "|T_k(a) ∩ T_k(g), same sign| / k",
           "0", "reference", "Krishna et al. 2022"),
    Record("signed_rank_agreement", "reference", _TRUTH, "higher",
           "same feature and sign at ranks 1..k", "0", "reference", "Krishna et al. 2022"),
    Record("rank_correlation", "reference", _TRUTH, "higher", "Spearman(|a|, |g|)", "0",
           "reference", "Krishna et al. 2022"),
    Record("pairwise_rank_agreement", "reference", _TRUTH, "higher", "pairs ordered alike", "0",
           "reference", "Krishna et al. 2022"),
    Record("simulatability", "student", "tasks", "higher",
           "gain in predicting the model from seeing explanations", "1", "several outputs",
           "Hase & Bansal 2020"),
)  # fmt: skip


_COLUMNS = {
    "metric": "name",
    "category": "category",
    "better": "better",
    "cost per row": "cost",
    "needs": "needs",
    "says": "says",
}
_NOTE = "K steps, d players, N samples, m draws, L layers, ex: explanations; paper: .paper"


def names() -> Table[Record]:
    """All metrics: category, direction, cost, needs, paper.

    Examples
    --------
    >>> len({record.name for record in names()}) == len(names())
    True
    """
    return Table(RECORDS, _COLUMNS, _NOTE, under="category")


def find(name: str) -> Record:
    """The record of a metric.

    Raises
    ------
    ValueError
        Unknown name, with the nearest right one.
    """
    for record in RECORDS:
        if record.name == name:
            return record
    raise ValueError(unknown("metric", name, [record.name for record in RECORDS]))
