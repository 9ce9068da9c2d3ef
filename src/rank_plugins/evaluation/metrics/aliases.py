"""Other names of our metrics: those of trec_eval, pytrec_eval, ranx, ir_measures, BEIR, and what people type."""

from __future__ import annotations

import re
from typing import Any

from rank_plugins.evaluation.metrics.catalogue import DEFINITIONS

# Lower case, "-" written "_"; the parameters that the name stands for.
ALIASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name.lower(): (name, {}) for name in DEFINITIONS},
    **{
        alias: (name, {})
        for name, aliases in {
            "P": "precision prec",
            "R": "recall",
            "RelP": "relative_p r_cap rcap",
            "Success": "hit_rate hitrate hit",
            "F": "f1 f_score f1_score f_measure",
            "AP": "map map_cut average_precision mean_average_precision",
            "RR": "mrr recip_rank reciprocal_rank mean_reciprocal_rank",
            "Rprec": "r_prec r_precision",
            "IPrec": "iprec_at_recall",
            "nDCG": "ndcg_cut",
            "IDCG": "ideal_dcg",
            "RBP_residual": "rbp_resid",
            "Unjudged": "unj",
            "SetP": "set_p",
            "SetR": "set_r set_recall",
            "SetF": "set_f",
            "SetAP": "set_ap set_map",
            "NumQ": "num_q",
            "NumRet": "num_ret",
            "NumRel": "num_rel",
            "NumRelRet": "num_rel_ret",
            "NumNonrelJudgedRet": "num_nonrel_judged_ret",
        }.items()
        for alias in aliases.split()
    },
    "ndcg_burges": ("nDCG", {"dcg": "exp-log2"}),
    "dcg_burges": ("DCG", {"dcg": "exp-log2"}),
    "setrelp": ("SetP", {"relative": True}),
    "set_relative_p": ("SetP", {"relative": True}),
}

# Known to ir_measures and computed there: diversity, and models of the reader with costs.
DELEGATED = {
    name.lower(): name
    for name in [
        *(
            "alpha_nDCG",
            "alpha_DCG",
            "\u03b1_nDCG",
            "\u03b1_DCG",
            "ERR_IA",
            "nERR_IA",
            "NRBP",
            "nNRBP",
            "AP_IA",
            "MAP_IA",
        ),
        *("P_IA", "StRecall", "BPM", "INST", "INSQ", "SDCG", "NERR8", "NERR9", "NERR10", "NERR11"),
    ]
}

_DEPTHS = ["5", "10", "15", "20", "30", "100", "200", "500", "1000"]
# trec_eval's families: our metric, and the values that trec_eval takes when none are given.
_FAMILIES: dict[str, tuple[str, list[str]]] = {
    "P": ("P", _DEPTHS),
    "recall": ("R", _DEPTHS),
    "ndcg_cut": ("nDCG", _DEPTHS),
    "map_cut": ("AP", _DEPTHS),
    "relative_P": ("RelP", _DEPTHS),
    "success": ("Success", ["1", "5", "10"]),
    "unj": ("Unjudged", ["5", "10", "20"]),
    "iprec_at_recall": ("IPrec", [f"{tenth / 10:.2f}" for tenth in range(11)]),
    "Rprec_mult": ("Rprec_mult", [f"{fifth / 5:.2f}" for fifth in range(1, 11)]),
}
_GAIN_FAMILIES = {"ndcg": "nDCG", "dcg": "DCG", "ideal_dcg": "IDCG", "ndcg_rel": "nDCG_rel", "rndcg": "RnDCG", "g": "G"}
_FAMILY_OF = {name.lower(): name for name in _FAMILIES}
# Without a value these five mean something to everybody else too: the whole list.
_ALONE = frozenset({"p", "recall", "success", "unj"})

_COUNTS = ["num_q", "num_ret", "num_rel", "num_rel_ret"]
_OFFICIAL = [*_COUNTS, "map", "gm_map", "Rprec", "bpref", "recip_rank", "iprec_at_recall", "P"]
_SETS = ["set_P", "set_recall", "set_relative_P", "set_map", "set_F"]
NICKNAMES: dict[str, list[str]] = {
    "official": _OFFICIAL,
    "set": [*_COUNTS, "utility", *_SETS],
    "all_trec": [
        *(*_OFFICIAL, "recall", "infAP", "gm_bpref", "utility", "11pt_avg", "ideal_dcg", "dcg", "ndcg", "relative_P"),
        *("Rprec_mult", "success", "map_cut", "ndcg_cut", "ndcg_rel", "Rndcg", "binG", "G"),
        *(*_SETS, "num_nonrel_judged_ret"),
    ],
}

_NUMBERS = re.compile(r"^([a-z]\w*?)[._]((?:\d+\.?\d*|\.\d+)(?:,(?:\d+\.?\d*|\.\d+))*)$", re.IGNORECASE)
_PAIRS = re.compile(r"^([a-z]\w*)\.(\d+=[-+.\d]+(?:,\d+=[-+.\d]+)*)$", re.IGNORECASE)
_UTILITY = re.compile(r"^utility\.([-+.\d]+),([-+.\d]+),([-+.\d]+),([-+.\d]+)$", re.IGNORECASE)


def trec_eval_names(measure: str) -> list[str]:
    """Return the metrics that trec_eval's `-m measure` prints, one name each, all known to `parse`.

    A nickname ("official", "set", "all_trec") or a family without values ("P", "ndcg_cut") is spelled out with
    trec_eval's own values, a family with values ("P.5,10") gives one name for each; any other name comes back alone.
    """
    if measure.lower() in NICKNAMES:
        return [name for part in NICKNAMES[measure.lower()] for name in trec_eval_names(part)]
    if measure.lower() in _FAMILY_OF:
        family = _FAMILY_OF[measure.lower()]
        return [f"{family}_{value}" for value in _FAMILIES[family][1]]
    return [name for name, _ in translate(measure)] or [measure]


def translate(word: str) -> list[tuple[str, str]]:
    """Return what a word in the style of trec_eval, ranx or BEIR means: (its name, the same in our grammar) for each.

    The list is empty if the word is in no such style. "ndcg_cut.5,10" gives ndcg_cut_5 as nDCG@5 and ndcg_cut_10.
    """
    lower = word.lower()
    if lower in NICKNAMES or (lower in _FAMILY_OF and lower not in _ALONE):
        return [translated for name in trec_eval_names(word) for translated in translate(name) or [(name, name)]]
    if match := _UTILITY.match(word):
        return [(word, "utility(a={},b={},c={},d={})".format(*match.groups()))]
    if (match := _PAIRS.match(word)) and match[1].lower() in _GAIN_FAMILIES:
        return [(word, f"{_GAIN_FAMILIES[match[1].lower()]}(gains={{{match[2].replace('=', ':')}}})")]
    if match := _NUMBERS.match(word):
        return _numbered(word, match[1], match[2].split(","))
    return []


def _numbered(word: str, base: str, values: list[str]) -> list[tuple[str, str]]:
    lower = base.lower()
    if lower in _FAMILY_OF:
        metric = _FAMILIES[_FAMILY_OF[lower]][0]
        if len(values) == 1:
            return [(word, f"{metric}@{values[0]}")]
        exact = metric in ("IPrec", "Rprec_mult")
        return [(f"{base}_{float(v):.2f}" if exact else f"{base}_{v}", f"{metric}@{v}") for v in values]
    if len(values) > 1:
        return []
    if lower == "set_f":
        return [(word, f"SetF(beta={values[0]})")]
    if lower == "rbp" and re.fullmatch(r"\d\d", values[0]):  # ranx: two digits of p
        return [(word, f"RBP(p=0.{values[0]})")]
    if lower.endswith("_at") and lower[:-3] in ALIASES:  # BEIR, MTEB: ndcg_at_10
        return [(word, f"{base[:-3]}@{values[0]}")]
    return []
