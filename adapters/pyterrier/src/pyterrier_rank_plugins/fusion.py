"""RankPluginsFusion: the results of several transformers fused, as a PyTerrier transformer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyterrier as pt

from pyterrier_rank_plugins.frames import RANKED, cells, groups, ranked
from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.fusion.keyed import fuse_keyed
from rank_plugins.fusion.plan import plan
from rank_plugins.fusion.trained import Trained

SOURCES = "source_ranks"


class RankPluginsFusion(pt.Transformer):
    """Runs several transformers on the same input and fuses their results, query by query; see `rank_plugins.fuse`.

    A docno that a transformer returns twice for a query counts once, where it stands best. `% k` keeps the best.
    """

    def __init__(
        self,
        transformers: Sequence[pt.Transformer],
        method: str | Trained | Callable[..., Any] = "rrf",
        *,
        weights: Sequence[float] | None = None,
        norm: Any = None,
        missing: str | float | None = None,
        **parameters: Any,
    ) -> None:
        """Choose what is fused and how.

        Args:
            transformers: retrievers, rerankers, whole pipelines.
            method: as in `rank_plugins.fuse`: a name of `rank_plugins.fusion.names()`, what `train` returned, ...
            weights: one per transformer, 0 or more; 1 each by default.
            norm: as in `rank_plugins.fuse`, such as "minmax" for methods that read scores.
            missing: as in `rank_plugins.fuse`.
            parameters: those of the method and the norm, such as k=60.

        Raises:
            InputError: no transformer, an unknown method, weights of another number, a value out of range.
            InputTypeError: another type, or an unknown parameter.

        """
        if isinstance(transformers, (str, bytes, pd.DataFrame)) or not isinstance(transformers, Sequence):
            raise InputTypeError(f"transformers: expected a list of them, got {type(transformers).__name__}")
        for i, one in enumerate(transformers):
            if not isinstance(one, pt.Transformer):
                raise InputTypeError(f"transformers[{i}]: expected a pyterrier Transformer, got {type(one).__name__}")
        if not transformers:
            raise InputError("transformers: expected at least one, got none")
        plan(len(transformers), method, weights=weights, norm=norm, missing=missing, parameters=parameters)
        self.transformers, self.method, self.weights = list(transformers), method, weights
        self.norm, self.missing, self.parameters = norm, missing, parameters

    def __repr__(self) -> str:
        return f"RankPluginsFusion({self.transformers!r}, {self.method!r})"

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """Return the fused documents by query, best first.

        A row is that of the first transformer that has the document, with the columns that all of them return. What
        `inp` says of a query is kept, whatever a transformer made of it. `score` and `rank` are the fusion's;
        `source_ranks` is the list of the ranks that the transformers gave the document, None where one does not have
        it.

        Args:
            inp: what the transformers take.

        Raises:
            pyterrier.validate.InputValidationError: a column is missing, here or in a result.
            InputError: the method needs scores that a result does not have, or refuses them.
            InputTypeError: a docno that is no str.

        """
        frames = [one.transform(inp.copy()) for one in self.transformers]  # a transformer may write to its input
        for frame in frames:
            pt.validate.result_frame(frame)
        pt.validate.columns(inp, includes=["qid"])
        starts = np.cumsum([0, *map(len, frames)])
        lists = [_lists(frame) for frame in frames]
        places: list[int] = []
        scores: list[float] = []
        ranks: list[list[int | None]] = []
        for qid in dict.fromkeys(qid for one in lists for qid in one):
            rows = [one.get(qid, ([], [])) for one in lists]
            for fused in self._fuse([found for _, found in rows]):
                places.append(int(starts[fused.source]) + rows[fused.source][0][fused.position])
                scores.append(fused.score)
                ranks.append([None if rank is None else rank - 1 + pt.model.FIRST_RANK for rank in fused.ranks])
        result = ranked(_together(frames), places, scores)
        result[SOURCES] = pd.Series(ranks, dtype=object)  # by label: the host may have sorted the rows
        return _with_queries(result, inp)

    def _fuse(self, lists: list[list[tuple[str, float | None]]]) -> Any:
        options = {"weights": self.weights, "norm": self.norm, "missing": self.missing, **self.parameters}
        return fuse_keyed(lists, self.method, **options)


def _lists(frame: pd.DataFrame) -> dict[Any, tuple[list[int], list[tuple[str, float | None]]]]:
    """Return for each qid the places of its rows, best first, and their (docno, score)."""
    names = cells(frame, "docno")
    scores: list[Any] = cells(frame, "score") if "score" in frame.columns else [None] * len(frame)
    ranks = cells(frame, "rank") if "rank" in frame.columns else None
    lists = {}
    qids = cells(frame, "qid")
    for places in groups(qids):
        if None not in [scores[i] for i in places]:
            places.sort(key=scores.__getitem__, reverse=True)
        elif ranks is not None and None not in [ranks[i] for i in places]:
            places.sort(key=ranks.__getitem__)
        lists[qids[places[0]]] = (places, [(names[i], scores[i]) for i in places])
    return lists


def _together(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all frames, one after another, in the columns that all have."""
    columns = [name for name in frames[0].columns if name not in RANKED]
    columns = [name for name in columns if all(name in frame.columns for frame in frames)]
    filled = [frame for frame in frames if len(frame)] or frames[:1]  # an empty one would change the columns' types
    return pd.concat([frame[columns] for frame in filled], ignore_index=True)


def _with_queries(result: pd.DataFrame, inp: pd.DataFrame) -> pd.DataFrame:
    """Write what `inp` says of a query into the result: a transformer may have rewritten it for itself."""
    of_query = set(pt.model.query_columns(inp, qid=False))
    known = inp.drop_duplicates("qid").set_index("qid")
    for name in inp.columns:
        if name in of_query:
            said = result["qid"].map(known[name])
            result[name] = said.where(result["qid"].isin(known.index), result[name]) if name in result else said
    return result
