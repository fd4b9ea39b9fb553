"""Error messages that name the nearest right word, also for what shap, lime or captum call it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

PEERS = {
    ours: theirs.split()
    for ours, theirs in {
        "explain": "explainer treeexplainer kernelexplainer deepexplainer explainfunc",
        "plots": "plot summaryplot",
        "shapley": "shap treeshap treeexplainer linearshap linearexplainer",
        "kernel_shap": "kernelexplainer",
        "permutation_shap": "permutationexplainer shapleyvaluesampling",
        "owen": "partition partitionexplainer",
        "expected_gradients": "gradientshap gradientexplainer",
        "deeplift": "deepshap deepliftshap deepexplainer",
        "gradient": "saliency",
        "gradient_x_input": "inputxgradient",
        "integrated_gradients": "ig",
        "smoothgrad": "noisetunnel",
        "deconvnet": "deconvolution",
        "occlusion": "ablation featureablation leaveoneout loo",
        "permutation_test": "permutationimportance featurepermutation featureimportance",
        "data": "background backgrounddata trainingdata masker",
        "removal": "baseline baselines featureperturbation perturbfunc perturbbaseline",
        "players": "featuremask slidingwindowshapes segmentationfn superpixels",
        "target": "toplabels labels",
        "output": "link modeloutput",
        "output_names": "classnames",
        "categorical": "categoricalfeatures categoricalnames",
        "samples": "numsamples nsamples nrsamples nrruns ntsamples nperturbsamples",
        "budget": "nsamples maxevals npermutations timeout maxtime timelimit",
        "steps": "nsteps",
        "width": "kernelwidth",
        "regularizer": "l1reg modelregressor featureselection",
        "discretise": "discretizecontinuous",
        "sigma": "stdevs",
        "radius": "perturbradius",
        "seed": "randomstate rng",
        "relevance_mass": "attributionlocalisation relevancemassaccuracy",
        "relevance_rank": "relevancerankaccuracy",
        "roc_auc": "auc",
        "iou": "topkintersection",
        "grid_pointing": "focus",
        "max_sensitivity": "sensitivitymax",
        "local_lipschitz": "locallipschitzestimate continuity",
        "completeness_gap": "completeness",
        "dummy_mass": "nonsensitivity",
        "parameter_randomization": "mprt modelparameterrandomisation smoothmprt",
        "efficient_parameter_randomization": "efficientmprt",
        "batch_size": "maxmemory internalbatchsize perturbationspereval maxexamplesperbatch",
        "progress": "showprogress silent",
        "beeswarm": "summary summaryplot dot violin",
        "scatter": "dependence dependenceplot",
    }.items()
}
"""Our words, and those of others for the same: small letters alone."""


def nearest(word: object, choices: Iterable[str], cutoff: float) -> str | None:
    """The choice that was probably meant: what others call by this word, or one spelled alike.

    Examples
    --------
    >>> nearest("FeatureAblation", ["gradient", "occlusion"], 0.5)
    'occlusion'
    """
    names = {name.lower(): name for name in choices}
    bare = "".join(letter for letter in str(word).lower() if letter.isalnum())
    meant = [names[ours] for ours, theirs in PEERS.items() if bare in theirs and ours in names]
    close = get_close_matches(str(word).lower(), names, n=1, cutoff=cutoff)
    return next(iter([*meant, *(names[name] for name in close)]), None)


def lacking(module: str, name: str, names: Iterable[str]) -> str:
    """Say that a module has no such name, and, where it is a person's, which one was meant.

    Examples
    --------
    >>> lacking("xai", "TreeExplainer", ["explain", "load"])
    "module 'xai' has no attribute 'TreeExplainer'; did you mean 'explain'?"
    """
    meant = None if name.startswith("_") else nearest(name, names, 0.6)  # machines ask for others
    hint = f"; did you mean {meant!r}?" if meant else ""
    return f"module {module!r} has no attribute {name!r}{hint}"


def unknown(kind: str, word: object, choices: Iterable[object]) -> str:
    """Say that `word` is no known `kind`, and which one was probably meant.

    Examples
    --------
    >>> unknown("method", "shaply", ["shapley", "lime"])
    "unknown method 'shaply'; did you mean 'shapley'? Known: lime, shapley"
    """
    names = sorted({str(choice) for choice in choices})
    meant = nearest(word, names, 0.5)
    hint = f"; did you mean {meant!r}?" if meant else ";"
    shown = names if len(names) <= 30 else [*names[:30], "…"]
    return f"unknown {kind} {word!r}{hint} Known: {', '.join(shown) or 'none'}"
