"""Makes ranx.json: runs fused by ranx, by every normaliser and method that has a definition in common with ours.

pip install ranx==0.3.21 && python tests/fusion/golden/make_ranx.py     # compiles for some minutes
"""

from __future__ import annotations

import json
import random
from importlib.metadata import version
from pathlib import Path
from typing import Any

Table = dict[str, dict[str, float]]

NORMS = {"minmax": "min-max", "minmax_inverted": "min-max-inverted", "max": "max", "sum": "sum", "zmuv": "zmuv",
         "rank": "rank", "borda": "borda"}  # fmt: skip
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "rrf": ("rrf", {"k": 60}),
    "mnz": ("mnz", {}),
    "gmnz": ("gmnz", {"gamma": 0.7}),
    "anz": ("anz", {}),
    "med": ("med", {}),
    "max": ("max", {}),
    "min": ("min", {}),
    "isr": ("isr", {}),
    "logisr": ("log_isr", {}),
    "logn_isr": ("logn_isr", {"sigma": 0.02}),
    "rbc": ("rbc", {"phi": 0.85}),
    "borda": ("bordafuse", {}),
    "sum": ("wsum", {"weights": [0.2, 0.5, 0.3]}),
    "wmnz": ("wmnz", {"weights": [0.2, 0.5, 0.3]}),
    "mixed": ("mixed", {"weights": [0.2, 0.5, 0.3]}),
    "weighted borda": ("w_bordafuse", {"weights": [0.2, 0.5, 0.3]}),
}
TRAINED = {"mapfuse": {}, "posfuse": {}, "probfuse": {"n_segments": 4}, "segfuse": {}, "slidefuse": {}, "bayesfuse": {}}
WINDOW = 2


def data() -> tuple[dict[str, dict[str, int]], list[Table]]:
    """Return judgments and three runs with distinct positive scores."""
    rng = random.Random(5)
    names = [f"d{i}" for i in range(30)]
    runs = [
        {
            f"q{q}": dict(
                sorted(
                    {name: rng.random() * scale + 0.01 for name in rng.sample(names, rng.randint(2, 25))}.items(),
                    key=lambda pair: -pair[1],
                )
            )
            for q in range(4)
        }
        for scale in (1, 30, 0.2)
    ]
    qrels = {f"q{q}": {name: rng.randint(0, 2) for name in rng.sample(names, 15)} | {"d0": 1} for q in range(4)}
    return qrels, runs


def main() -> None:
    made = fused(*data())
    Path(__file__).with_name("ranx.json").write_text(json.dumps(made) + "\n", encoding="utf-8")


def fused(judged: dict[str, dict[str, int]], tables: list[Table]) -> dict[str, Any]:
    """Return what ranx makes of the runs."""
    import importlib

    import ranx

    qrels = ranx.Qrels(judged)
    runs = [ranx.Run({query: dict(row) for query, row in table.items()}) for table in tables]

    def plain(run: Any) -> Table:
        return {query: dict(row) for query, row in run.to_dict().items()}

    normed = {ours: plain(ranx.fuse(runs, norm=theirs, method="sum")) for ours, theirs in NORMS.items()}
    methods = {
        ours: plain(ranx.fuse(runs, norm="min-max", method=name, params=params))
        for ours, (name, params) in METHODS.items()
    }
    trained = {}
    for name, options in TRAINED.items():
        module = importlib.import_module(f"ranx.fusion.{name}")
        learnt = getattr(module, f"{name}_train")(qrels, runs, **options)
        extra = {"w": WINDOW} if name == "slidefuse" else {}
        trained[name] = {
            "learnt": [_numbers(one) for one in learnt],
            "fused": plain(ranx.fuse(runs, norm="min-max", method=name, params={_key(name): learnt, **extra})),
        }
    return {"ranx": version("ranx"), "qrels": judged, "runs": tables,
            "norms": normed, "methods": methods, "trained": trained}  # fmt: skip


def _numbers(learnt: Any) -> list[float]:
    """Return what was learnt for one run; of BayesFuse's one number per rank, that of the last of each range."""
    if isinstance(learnt, float):
        return [learnt]
    numbers = [float(value) for value in learnt]
    return numbers if len(numbers) < 1000 else [numbers[edge - 1] for edge in (5, 10, 15, 20, 30, 100, 200, 500, 1000)]


def _key(name: str) -> str:
    return {"mapfuse": "map_scores", "bayesfuse": "log_odds"}.get(name, "probs")


if __name__ == "__main__":
    main()
