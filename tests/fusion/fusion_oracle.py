"""The definitions of fusion once more: plain Python, one document at a time; and lists at random, with ties."""

from __future__ import annotations

import math
import statistics

from hypothesis import strategies as st

IDS = [f"d{i}" for i in range(12)]
SCORES = st.integers(-20, 20).map(lambda n: n / 8)

RRF = {
    "paper": lambda r, w, k, total: w / (k + r),
    "zero_based": lambda r, w, k, total: w / (k + r - 1),
    "qdrant": lambda r, w, k, total: 1 / (r / w + k - 1) if w else 0.0,
    "haystack": lambda r, w, k, total: (w / total) * k / (k + r - 1),
}
DEFAULT_NORM = ["sum", "mnz", "gmnz", "anz", "med", "max", "min", "wmnz", "mixed", "gmean", "hmean"]
OVER_J = [
    "mnz",
    "gmnz",
    "anz",
    "med",
    "max",
    "min",
    "wmnz",
    "mixed",
    "gmean",
    "hmean",
    "isr",
    "logisr",
    "logn_isr",
    "rbc",
]


def ordered(row):
    """Return the documents of {document: score} by score, then by id, descending."""
    return sorted(row, key=lambda d: (row[d], d), reverse=True)


def ranks(row):
    return {document: place for place, document in enumerate(ordered(row), start=1)}


def normalised(name, row, union, constant=None, ddof=1):
    """Return {document: value} of a list."""
    if not row and name != "borda":
        return {}
    values = list(row.values())
    low, high, n = min(values, default=0.0), max(values, default=0.0), len(values)
    equal = low == high
    if name in ("minmax", "minmax_inverted"):
        if equal:
            return dict.fromkeys(row, 1.0 if constant is None else constant)
        return {d: (high - s if name == "minmax_inverted" else s - low) / (high - low) for d, s in row.items()}
    if name == "sum":
        if equal:
            return dict.fromkeys(row, 1 / n if constant is None else constant)
        return {d: (s - low) / (sum(values) - n * low) for d, s in row.items()}
    if name == "zmuv":
        if equal:
            return dict.fromkeys(row, 0.0 if constant is None else constant)
        return {d: (s - statistics.fmean(values)) / statistics.pstdev(values) for d, s in row.items()}
    if name == "dbsf":
        if equal:
            return dict.fromkeys(row, 0.5 if constant is None else constant)
        mu, sd = statistics.fmean(values), (statistics.stdev if ddof else statistics.pstdev)(values)
        return {d: (s - mu + 3 * sd) / (6 * sd) for d, s in row.items()}
    if name == "l2":
        length = math.sqrt(sum(s * s for s in values))
        return {d: s / length if length else 0.0 for d, s in row.items()}
    place = ranks(row)
    return {
        "none": lambda: dict(row),
        "max": lambda: {d: s / high if high else 1.0 for d, s in row.items()},
        "rank": lambda: {d: 1 - (place[d] - 1) / n for d in row},
        "borda": lambda: {
            d: 1 - (place[d] - 1) / len(union) if d in row else 0.5 - (n - 1) / (2 * len(union)) for d in union
        },
        "atan": lambda: {d: 0.5 + math.atan(s) / math.pi for d, s in row.items()},
        "sigmoid": lambda: {d: 1 / (1 + math.exp(-s)) for d, s in row.items()},
    }[name]()


def fused(method, lists, weights=None, norm=None, missing=None, convention="paper", **p):
    """Return {document: score} of lists, each {document: score}."""
    weights = [1.0] * len(lists) if weights is None else weights
    used = [(row, w) for row, w in zip(lists, weights, strict=True) if w]
    union = {d for row, _ in used for d in row}
    places = [ranks(row) for row, _ in used]
    norm = norm or ("dbsf" if method == "dbsf" else "minmax" if method in DEFAULT_NORM else None)
    values = [
        normalised(norm, row, union, **{k: p[k] for k in ("constant", "ddof") if k in p}) if norm else {}
        for row, _ in used
    ]
    rule = missing or ("skip" if method in OVER_J else "min" if norm in ("zmuv", "none") else "zero")
    result = {}
    for document in union:
        own = [j for j, (row, _) in enumerate(used) if document in row]
        h, r = len(own), {j: places[j][document] for j in own}
        ws = [w for _, w in used]
        if method == "rrf":
            k = p.get("k", {"paper": 60, "zero_based": 60, "qdrant": 2, "haystack": 61}[convention])
            result[document] = sum(RRF[convention](r[j], ws[j], k, sum(weights)) for j in own)
        elif method in ("isr", "logisr", "logn_isr"):
            factor = {"isr": h, "logisr": math.log(h), "logn_isr": math.log(h + p.get("sigma", 0.01))}[method]
            result[document] = factor * sum(ws[j] / r[j] ** 2 for j in own)
        elif method == "rbc":
            phi = p.get("phi", 0.8)
            result[document] = sum(ws[j] * (1 - phi) * phi ** (r[j] - 1) for j in own)
        elif method == "borda":
            result[document] = sum(
                w * (len(union) - r[j] + 1 if j in r else (len(union) - len(row) + 1) / 2)
                for j, (row, w) in enumerate(used)
            )
        elif method == "condorcet":
            result[document] = copeland(document, union, places, ws)
        else:
            said = {j: v[document] for j, v in enumerate(values) if document in v}
            for j, v in enumerate(values):
                if j not in said and rule != "skip":
                    said[j] = (
                        {"zero": 0.0, "min": min(v.values(), default=0.0)}[rule] if isinstance(rule, str) else rule
                    )
            result[document] = combined(method, said, ws, own, p)
    return result


def combined(method, said, ws, own, p):
    weighted = [ws[j] * s for j, s in sorted(said.items())]
    h = len(own)
    if method in ("sum", "dbsf", "mnz", "gmnz", "mixed"):
        return sum(weighted) * {"mnz": h, "gmnz": h ** p.get("gamma", 1), "mixed": math.sqrt(h)}.get(method, 1)
    if method == "wmnz":
        return sum(said.values()) * sum(ws[j] for j in own)
    if method in ("gmean", "hmean"):
        positive = [(ws[j], s) for j, s in said.items() if s > 0]
        total = sum(w for w, _ in positive)
        if not positive:
            return 0.0
        if method == "hmean":
            return total / sum(w / s for w, s in positive)
        return math.exp(sum(w * math.log(s) for w, s in positive) / total)
    return {"anz": statistics.fmean, "med": statistics.median, "max": max, "min": min}[method](weighted)


def copeland(document, union, places, ws):
    score = 0.0
    for other in union - {document}:
        votes = 0.0
        for place, w in zip(places, ws, strict=True):
            here, there = place.get(document, math.inf), place.get(other, math.inf)
            votes += w * ((here < there) - (there < here))
        score += 1.0 if votes > 1e-9 else 0.5 if votes > -1e-9 else 0.0
    return score


def rows(scores=SCORES, least=0):
    """Return a strategy of {document: score}."""
    return st.dictionaries(st.sampled_from(IDS), scores, min_size=least, max_size=9)


def columns(scores=SCORES, least=0, most=4):
    """Return a strategy of the lists of one query, at least one with a document."""
    return st.lists(rows(scores, least), min_size=1, max_size=most).filter(any)
