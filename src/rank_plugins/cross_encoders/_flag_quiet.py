"""A reranker of FlagEmbedding, run by its own method without what that does beside computing scores."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rank_plugins._extras import require
from rank_plugins.errors import RankPluginsError


class Quiet:
    """Stands for a reranker inside a copy of its `compute_score_single_gpu`; what it lacks, the reranker has.

    The method runs its first batch twice, to find a batch size that memory allows; takes any RuntimeError for a lack
    of memory; draws progress bars; and turns off half precision on its object for good where a device is the CPU.
    """

    def __init__(self, reranker: Any) -> None:
        """Take the reranker, which stays as it is."""
        self._reranker = reranker
        self.model = Network(reranker.model)
        self.use_fp16 = reranker.use_fp16
        function: Any = inspect.unwrap(type(reranker).compute_score_single_gpu)
        names = {**function.__globals__, "trange": _trange, "tqdm": _tqdm}
        self._compute: Callable[..., Any] = types.FunctionType(
            function.__code__, names, function.__name__, function.__defaults__, function.__closure__
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reranker, name)

    def scores(self, pairs: Sequence[Sequence[str]], max_length: int) -> list[float]:
        """Return the logit of each pair, with instructions in place.

        Raises:
            RankPluginsError: the network fails, or memory does not suffice for one pair.

        """
        self.model.renew()
        try:
            with require("torch").no_grad():
                found: list[float] = self._compute(
                    self, list(pairs), batch_size=len(pairs), max_length=max_length, normalize=False,
                    device=self._reranker.target_devices[0],
                )  # fmt: skip
        except Exception as error:  # whatever a batch of none leads to, when all smaller ones were tried
            if self.model.memory is None:
                raise
            raise RankPluginsError(f"FlagEmbedding: no memory for one pair ({self.model.memory})") from error
        finally:
            self.model.renew()
        return found


class Network:
    """Stands for a reranker's network: the first call's result serves a second call with the same inputs."""

    def __init__(self, network: Any) -> None:
        """Take the network."""
        self.network = network
        self.tokens = 0
        """How many the first call had, without padding."""
        self.renew()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)

    def renew(self) -> None:
        """Forget what was computed."""
        self.memory: Exception | None = None
        self._first: tuple[dict[str, Any], Any] | None = None
        self._calls = 0

    def __call__(self, **inputs: Any) -> Any:
        """Run the network.

        Raises:
            RankPluginsError: it fails for want of something else than memory; the library would try smaller batches.

        """
        torch = require("torch")
        first, self._first = self._first, None
        if first is not None and _same(torch, first[0], inputs):
            return first[1]
        try:
            found = self.network(**inputs)
        except torch.cuda.OutOfMemoryError as error:
            self.memory = error
            raise
        except RuntimeError as error:
            raise RankPluginsError(f"FlagEmbedding: the model fails on a batch ({error})") from error
        self._calls += 1
        if self._calls == 1:
            self._first = inputs, found
            self.tokens = int(inputs["attention_mask"].sum())
        return found


def _same(torch: Any, one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) if torch.is_tensor(value) else value == other[name]
        for name, value in one.items()
    )


def _trange(*args: int, **_: Any) -> range:
    return range(*args)


def _tqdm(iterable: Iterable[Any], **_: Any) -> Iterable[Any]:
    return iterable
