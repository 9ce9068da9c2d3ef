"""MaxSim of torch tensors against its definition in float64, on every path, and against sentence-transformers.

The tests of TestEveryPath run three ways: plain torch here; the Triton kernel under its interpreter, in one further
process, because Triton reads TRITON_INTERPRET when it is imported; and the kernel itself where CUDA is at hand.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="torch is not installed")

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rank_plugins import InputError, InputTypeError, TokenEmbeddings
from rank_plugins import maxsim as native
from rank_plugins._torch import ragged_maxsim
from rank_plugins.quantize import quantize
from rank_plugins.torch import check_values, embeddings_maxsim, maxsim

HAS_TRITON = importlib.util.find_spec("triton") is not None
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
QUERIES, DOCUMENTS = [1, 16, 33, 70], [5, 0, 64, 1, 65, 130, 0]


def definition(queries, documents, units=1):
    """Return scores and the a-priori bound of products summed in float32, both float64 [M, N].

    `units` is the rounding of one addition in units of 2^-24: 1 if to nearest, 2 if truncated as in tensor cores.
    """
    scores = np.full((len(queries), len(documents)), -np.inf)
    bounds = np.zeros_like(scores)
    for m, query in enumerate(np.asarray(q.double().cpu()) for q in queries):
        u = units * 2.0**-24
        gamma = (query.shape[1] + 1) * u / (1 - (query.shape[1] + 1) * u)
        for n, document in enumerate(np.asarray(d.double().cpu()) for d in documents):
            if len(document):
                scores[m, n] = (query @ document.T).max(axis=1).sum()
                error = gamma * (np.abs(query) @ np.abs(document).T).max(axis=1).sum()
                bounds[m, n] = error + u * (abs(scores[m, n]) + error) + 1e-30
    return scores, bounds


def check(scores, queries, documents):
    expected, bounds = definition(queries, documents, units=2 if scores.is_cuda else 1)
    got, real = scores.detach().double().cpu().numpy(), np.isfinite(expected)
    assert np.array_equal(np.isneginf(got), ~real)
    assert np.all(np.abs(got[real] - expected[real]) <= bounds[real])


def random_rows(lengths, K, dtype=torch.float32, device="cpu", seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, K, generator=generator, dtype=torch.float64).to(device, dtype) for length in lengths]


def packed(rows):
    """Return values, starts and tokens of a list of [D, K]."""
    tokens = torch.tensor([len(row) for row in rows])
    return torch.cat(rows), tokens.cumsum(0) - tokens, tokens


def offsets_of(rows):
    return torch.tensor([0, *np.cumsum([len(row) for row in rows])])


def score(queries, documents, **options):
    return ragged_maxsim(torch.cat(queries), offsets_of(queries), *packed(documents), **options)


def naive(queries, documents):
    """Score as anyone would write it; torch differentiates it. A document without tokens gives -inf."""
    empty = torch.tensor(-torch.inf, dtype=queries[0].dtype, device=queries[0].device)
    return torch.stack(
        [torch.stack([(q @ d.T).amax(1).sum() if len(d) else empty for d in documents]) for q in queries]
    )


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    return request.param


class TestEveryPath:
    """What plain torch, the interpreted kernel and the compiled kernel must all do."""

    def test_the_path_is_the_one_meant(self, device):
        from rank_plugins._torch import _has_kernel

        modern = device == "cuda" and torch.cuda.get_device_capability() >= (8, 0)
        assert _has_kernel(torch.device(device)) == (HAS_TRITON and (INTERPRETED or modern))

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @pytest.mark.parametrize("K", [1, 17, 96, 384])
    def test_scores_agree_with_float64(self, device, dtype, K):
        """Ragged documents, some empty, and queries around the block sizes stay inside the a-priori bound."""
        queries, documents = random_rows(QUERIES, K, dtype, device), random_rows(DOCUMENTS, K, dtype, device, 1)
        scores = score(queries, documents)
        assert scores.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert scores.device == documents[0].device
        check(scores, queries, documents)

    @pytest.mark.parametrize("K", [17, 128, 1500])
    @pytest.mark.parametrize("scaled", [False, True])
    def test_int8_is_exact(self, device, K, scaled):
        """Dot products of int8 are exact, and scales are applied in float32 as in the native core."""
        rng = np.random.default_rng(K)
        offsets, tokens = np.cumsum([0, *QUERIES]), np.array(DOCUMENTS)
        query, values = (rng.integers(-127, 128, (n, K), np.int8) for n in (offsets[-1], tokens.sum()))
        query[:3], values[:3] = 127, 127  # beyond 2^24 where K is 1500
        query_scales, scales = (rng.random(len(x), np.float32) * scaled + (not scaled) for x in (query, values))
        query_scales[5] *= not scaled  # zero times -inf must not be NaN
        starts = tokens.cumsum() - tokens
        expected = np.full((len(QUERIES), len(tokens)), -np.inf, np.float32)
        for n in np.flatnonzero(tokens):
            rows = slice(starts[n], starts[n] + tokens[n])
            dots = (query.astype(np.int64) @ values[rows].astype(np.int64).T).astype(np.float32)
            terms = (dots * scales[rows].astype(np.float32)).max(axis=1).astype(np.float64) * query_scales
            expected[:, n] = np.add.reduceat(terms, offsets[:-1])
        options = {"scales": scales, "query_scales": query_scales} if scaled else {}
        got = ragged_maxsim(
            torch.tensor(query, device=device),
            torch.tensor(offsets),
            *(torch.tensor(array, device=device) for array in (values, starts, tokens)),
            **{name: torch.tensor(array, dtype=torch.float32, device=device) for name, array in options.items()},
        )
        assert np.array_equal(got.cpu().numpy(), expected)

    def test_padding_of_negative_similarity_never_wins(self, device):
        query = [torch.tensor([[1.0, 0.0]], device=device)]
        documents = [torch.tensor(rows, device=device) for rows in ([[-1.0, 0.0]], [[-0.5, 0.0], [-0.25, 0.0]])]
        assert score(query, documents).tolist() == [[-1.0, -0.25]]

    def test_documents_may_lie_anywhere(self, device):
        """Documents out of order, twice, with gaps between them or shared rows."""
        (query,), (values,) = random_rows([9], 24, device=device), random_rows([100], 24, device=device, seed=1)
        starts, tokens = torch.tensor([90, 3, 3, 40, 100]), torch.tensor([10, 30, 30, 20, 0])
        scores = ragged_maxsim(query, torch.tensor([0, 9]), values, starts, tokens)
        check(scores, [query], [values[i : i + n] for i, n in zip(starts, tokens, strict=True)])

    def test_cutting_the_work_changes_nothing(self, device, monkeypatch):
        """Small budgets and small grids give the same scores and gradients; whole numbers make every sum exact."""
        rows = [(row * 3).round() for row in random_rows([*QUERIES, *DOCUMENTS], 12, device=device)]

        def run(**options):
            queries = [row.clone().requires_grad_() for row in rows[: len(QUERIES)]]
            documents = [row.clone().requires_grad_() for row in rows[len(QUERIES) :]]
            scores = score(queries, documents, **options)
            kept = scores[:, scores[0].isfinite()]
            (kept * torch.arange(kept.numel(), device=device).view(kept.shape)).sum().backward()
            return [scores.detach(), *(row.grad for row in queries + documents)]

        expected = run()
        if HAS_TRITON:
            monkeypatch.setattr("rank_plugins._triton.LARGEST_GRID", 9)
        for budget in (1, 700, 5000):
            assert all(torch.equal(x, y) for x, y in zip(run(chunk_elements=budget), expected, strict=True))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    def test_gradients_agree_with_a_naive_expression(self, device, dtype):
        queries, documents = random_rows([3, 20], 40, dtype, device), random_rows([7, 0, 70], 40, dtype, device, 1)
        leaves = [x.requires_grad_() for x in queries + documents]
        weights = torch.tensor([[1.0, 0.5, -2.0], [0.25, 1.0, 3.0]], device=device)
        (score(queries, documents) * weights)[:, [0, 2]].sum().backward()
        wide = [x.detach().double().requires_grad_() for x in leaves]
        (naive(wide[:2], wide[2:]) * weights)[:, [0, 2]].sum().backward()
        for x, y in zip(leaves, wide, strict=True):
            assert x.grad.dtype == dtype
            exact = torch.zeros_like(y) if y.grad is None else y.grad
            assert torch.allclose(x.grad.double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-6)

    def test_the_first_of_equal_tokens_takes_the_gradient(self, device):
        document = torch.ones(140, 4, device=device).requires_grad_()
        document.data[:2] = -1
        score([torch.ones(2, 4, device=device)], [document]).sum().backward()
        assert document.grad.abs().sum(1).nonzero().tolist() == [[2]]

    def test_an_empty_document_moves_nothing(self, device):
        """Whatever gradient arrives at -inf, even NaN, none leaves."""
        queries, documents = random_rows([2], 4, device=device), random_rows([0, 0], 4, device=device)
        leaves = [x.requires_grad_() for x in queries + documents]
        scores = score(queries, documents)
        scores.backward(torch.full_like(scores, torch.nan))
        assert not leaves[0].grad.any()

    def test_no_documents(self, device):
        queries, values = random_rows([2, 3], 4, device=device), torch.empty(0, 4, device=device)
        none = torch.empty(0, dtype=torch.int64, device=device)
        assert ragged_maxsim(torch.cat(queries), offsets_of(queries), values, none, none).shape == (2, 0)


@pytest.mark.skipif(INTERPRETED, reason="this is the process that the test starts")
@pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")
def test_the_kernel_under_the_interpreter():
    """Every test of TestEveryPath passes with the Triton kernel, interpreted on the CPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-k", "TestEveryPath and not cuda", __file__]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"\d+ passed", run.stdout), run.stdout


def compile_for(capability, dtype, arg_max, K=128):
    """Compile the kernel for an NVIDIA GPU, which need not be there; return what Triton makes."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from rank_plugins import _triton

    kernel = _triton._maxsim_kernel
    scale = "*fp32" if dtype == "i8" else "constexpr"
    types = dict.fromkeys(kernel.arg_names, "constexpr") | dict.fromkeys(["queries", "values"], f"*{dtype}")
    types |= dict.fromkeys(["query_offsets", "starts", "tokens"], "*i64") | dict.fromkeys(["M", "stride"], "i32")
    types |= {"scores": "*fp32", "query_scales": scale, "scales": scale}
    types |= {"best_tokens": "*i32"} if arg_max else {}
    constants = dict.fromkeys((name for name, kind in types.items() if kind == "constexpr"), None)
    constants |= _triton.blocks(K, 32, {"fp32": torch.float32}.get(dtype))
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(kernel.arg_names) if types[name][0] == "*"}
    source = ASTSource(kernel, types, constants, aligned)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"enable_fp_fusion": True})


@pytest.mark.skipif(INTERPRETED or not HAS_TRITON, reason="needs Triton's compiler")
@pytest.mark.parametrize("arg_max", [False, True])
@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16", "i8"])
def test_the_kernel_compiles_without_a_gpu(dtype, arg_max, tmp_path, monkeypatch):
    """For A100 and H100: with matrix instructions where the dtype has them, nothing spilled, shared memory enough."""
    import triton

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for capability, instruction in ((80, "mma.sync"), (90, "wgmma.mma_async")):
        compiled = compile_for(capability, dtype, arg_max)
        assert (instruction in compiled.asm["ptx"]) == (dtype != "fp32")
        assert "cp.async" in compiled.asm["ptx"], "loads are not pipelined"
        assert compiled.metadata.shared <= 80 * 1024, "fewer than two programs fit on a multiprocessor"
        binary = tmp_path / "kernel.cubin"
        binary.write_bytes(compiled.asm["cubin"])
        dump = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", binary]
        usage = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
        assert "STACK:0 " in usage, usage
        assert "LOCAL:0 " in usage, usage


@pytest.fixture(scope="module")
def peer():
    return pytest.importorskip("sentence_transformers.util", reason="sentence-transformers is not installed").maxsim


def forms():
    """Name each form of (a, b, options) that sentence-transformers takes."""
    a, b = random_rows([3, 17, 5], 24), random_rows([1, 70, 5, 130], 24, seed=1)
    A, B = torch.stack(random_rows([6, 6], 24)), torch.stack(random_rows([8, 8, 8], 24, seed=1))
    padded = torch.nn.utils.rnn.pad_sequence(b, batch_first=True)
    holes, leading = torch.rand(3, 8, generator=torch.Generator().manual_seed(3)) > 0.4, torch.arange(8) < 5
    query_mask = torch.arange(6) < torch.tensor([[6], [2]])
    return {
        "lists": (a, b, {}),
        "lists of arrays": ([x.numpy() for x in a], [x.numpy() for x in b], {}),
        "padded": (A, B, {}),
        "arrays": (A.numpy(), B.numpy(), {}),
        "zero rows are padding": (A, padded, {}),
        "one query": (a[0], b, {}),
        "one query, one document": (a[0], b[1], {}),
        "one of each as arrays": (a[0].numpy(), b[1].numpy(), {}),
        "documents are a tensor, queries a list": (a, B, {}),
        "mask with holes": (A, B, {"b_mask": holes}),
        "mask of leading tokens": (A, B, {"b_mask": leading.expand(3, 8)}),
        "one mask for all": (A, B, {"b_mask": leading}),
        "mask of numbers": (A, B, {"b_mask": holes.float()}),
        "mask as an array": (A, B, {"b_mask": holes.numpy()}),
        "query mask": (A, B, {"a_mask": query_mask}),
        "query mask with holes": (A, B, {"a_mask": holes[:2, :6], "b_mask": holes}),
        "mask of one document": (a[0], B[0], {"b_mask": leading}),
        "masks in a list": (a, b, {"a_mask": [torch.ones(3), torch.ones(17), torch.tensor([1, 0, 1, 1, 0])]}),
        "int8": ((A * 40).to(torch.int8), (B * 40).to(torch.int8), {}),
        "int8 in lists": ([(x * 40).to(torch.int8) for x in a], [(x * 40).to(torch.int8).numpy() for x in b], {}),
        "int64": ((A * 40).long(), (B * 40).long(), {}),
        "float64": (A.double(), B.double(), {}),
        "no queries": ([], b, {}),
        "no documents": (a, [], {}),
        "on a device": (a, B, {"device": "cpu"}),
    }


@pytest.mark.parametrize("chunk_elements", [None, 900])
@pytest.mark.parametrize("length_normalize", [False, True])
@pytest.mark.parametrize("form", forms())
def test_a_drop_in_for_sentence_transformers(peer, form, length_normalize, chunk_elements):
    """Every form of input gives the scores, shape and device that sentence-transformers gives.

    And its dtype, float32, as it documents; for some float64 input it returns float64.
    """
    a, b, options = forms()[form]
    expected = peer(a, b, length_normalize=length_normalize, **options)
    got = maxsim(a, b, length_normalize=length_normalize, chunk_elements=chunk_elements, **options)
    assert (got.shape, got.dtype, got.device) == (expected.shape, torch.float32, expected.device)
    assert torch.allclose(got, expected.float(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("form", ["lists", "padded", "mask with holes", "query mask with holes"])
def test_gradients_of_the_drop_in(peer, form):
    """Training sees the gradients that sentence-transformers gives."""

    def gradients(score):
        a, b, options = forms()[form]
        leaves = [x.requires_grad_() for side in (a, b) for x in (side if isinstance(side, list) else [side])]
        torch.nn.functional.cross_entropy(score(a, b, **options), torch.tensor([1, 0, 2])[: len(a)]).backward()
        return [x.grad for x in leaves]

    for x, y in zip(gradients(maxsim), gradients(peer), strict=True):
        assert torch.allclose(x, y, rtol=1e-4, atol=1e-5)


def test_a_document_without_tokens_scores_minus_infinity():
    """As everywhere in this package; sentence-transformers writes -1e9."""
    a, (b, c) = random_rows([2], 4), random_rows([3, 0], 4, seed=1)
    assert maxsim(a, [c, b]).isneginf().tolist() == [[True, False]]
    masked = maxsim(a, torch.stack([b, b]), b_mask=torch.tensor([[0, 1, 1], [0, 0, 0]]))
    assert masked.isneginf().tolist() == [[False, True]]
    assert maxsim(a, torch.zeros(1, 3, 4), length_normalize=True).tolist() == [[-torch.inf]]


def test_half_precision_sums_in_float32(peer):
    """Where a dot product has no place in float16, ours is exact and sentence-transformers' infinite."""
    a, b = torch.full((1, 2, 64), 60.0).half(), torch.full((1, 3, 64), 60.0).half()
    assert maxsim(a, b).item() == 2 * 64 * 3600
    assert peer(a, b).isinf().all()


def test_dtypes_are_promoted():
    a, b = random_rows([4], 8, torch.float16), random_rows([5, 6], 8, torch.float32, seed=1)
    check(maxsim(a, b), a, b)
    check(maxsim([a[0].float()], [b[0].half(), b[1]]), a, [b[0].half(), b[1]])


def test_a_mask_makes_no_tokens():
    """A mask that claims tokens beyond the end of a document in a list adds none."""
    a, b = random_rows([4], 8), random_rows([2, 5], 8, seed=1)
    assert torch.equal(maxsim(a, b, b_mask=torch.ones(2, 5)), maxsim(a, b))


def test_inputs_stay_as_they_are():
    """Also read-only and strided arrays."""
    a, b = (np.stack([x.numpy() for x in random_rows([4, 4], 8, seed=seed)]) for seed in (0, 1))
    b.flags.writeable = False
    before = b.copy()
    expected = maxsim(a, before)
    assert torch.equal(maxsim(a, b), expected)
    assert torch.equal(maxsim(a, list(b)), expected)
    assert torch.equal(maxsim(a[:, ::-1], b[:, ::-1]), expected)
    assert torch.allclose(maxsim(a[..., ::2].copy(), b[..., ::2]), maxsim(a[..., ::2].copy(), b[..., ::2].copy()))
    assert np.array_equal(b, before)


@pytest.mark.parametrize("dtype", DTYPES[:3], ids=str)
def test_token_embeddings_of_tensors(dtype):
    """Documents in one tensor, in many, or a selection of either give the scores of their definition."""
    queries, documents = random_rows([4, 9], 24), random_rows([5, 0, 30, 7], 24, dtype, seed=1)
    used = [query.to(dtype) for query in queries]
    whole = TokenEmbeddings(torch.cat(documents), [0, 5, 5, 35, 42])
    for embeddings in (whole, TokenEmbeddings.from_list(documents)):
        check(embeddings_maxsim(queries, embeddings), used, documents)
        check(embeddings_maxsim([query.numpy() for query in queries], embeddings), used, documents)
        check(embeddings_maxsim(queries, embeddings[[2, 0]]), used, [documents[2], documents[0]])
        assert embeddings_maxsim([], embeddings).shape == (0, 4)
        assert embeddings_maxsim(queries, embeddings[:0]).shape == (2, 0)


def test_int8_tensors_score_as_int8_arrays():
    """The query is quantized as the native core's is, so that the scores are the same bits."""
    (query, values), offsets = random_rows([9, 60], 24), [0, 12, 12, 60]
    query[2] = 0
    arrays = quantize(TokenEmbeddings(values.numpy(), offsets), "int8")
    tensors = TokenEmbeddings(torch.tensor(arrays.contiguous()[0]), offsets, scales=torch.tensor(arrays.scales))
    assert np.array_equal(embeddings_maxsim([query], tensors)[0].numpy(), native(query.numpy(), arrays))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.lists(st.integers(0, 40), min_size=1, max_size=8),
    st.integers(1, 70),
    st.integers(0, 2**32 - 1),
    st.integers(1, 5000),
)
def test_any_shape_and_budget(queries, documents, K, seed, budget):
    rows = random_rows([*queries, *documents], K, seed=seed)
    queries, documents = rows[: len(queries)], rows[len(queries) :]
    check(maxsim(queries, documents, chunk_elements=budget), queries, documents)


@pytest.mark.parametrize("budget", [None, 40])
def test_gradcheck(budget):
    """The gradients are those of finite differences, in float64."""
    queries, documents = random_rows([2, 3], 5, torch.float64), random_rows([4, 1, 6], 5, torch.float64, seed=1)
    values, starts, tokens = packed(documents)

    def function(query, values):
        return ragged_maxsim(query, offsets_of(queries), values, starts, tokens, chunk_elements=budget)

    assert torch.autograd.gradcheck(function, (torch.cat(queries).requires_grad_(), values.requires_grad_()))


def test_only_what_needs_a_gradient_gets_one():
    (query,), (document,) = random_rows([3], 4), random_rows([5], 4, seed=1)
    query.requires_grad_()
    scores = score([query], [document])
    scores.sum().backward()
    assert query.grad is not None
    assert document.grad is None
    with torch.no_grad():
        assert not score([query], [document]).requires_grad


def test_it_trains():
    """A few steps pull a document's score above its rival's."""
    (query,), (good, bad) = random_rows([3], 8), random_rows([6, 4], 8, seed=1)
    query.requires_grad_()
    optimizer = torch.optim.SGD([query], lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(maxsim([query], [good, bad]), torch.tensor([0])).backward()
        optimizer.step()
    assert maxsim([query], [good, bad]).argmax().item() == 0


class Largest(TorchDispatchMode):
    """Remember the largest tensor that any operation makes."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        inputs = {x.untyped_storage().data_ptr() for x in args if isinstance(x, torch.Tensor)}
        for x in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(x, torch.Tensor) and x.untyped_storage().data_ptr() not in inputs:  # a view is no memory
                self.numel = max(self.numel, x.untyped_storage().nbytes() // x.element_size())
        return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("budget", [4000, 20_000])
def test_memory_stays_within_the_budget(dtype, budget):
    """However many documents and queries: no tensor exceeds the budget, forward or back."""
    queries, documents = random_rows([8] * 30, 16, dtype), random_rows([20, 3, 90] * 30, 16, dtype, seed=1)
    query, (values, starts, tokens) = torch.cat(queries), packed(documents)
    outputs = 30 * len(documents)
    with Largest() as largest:
        ragged_maxsim(query, offsets_of(queries), values, starts, tokens, chunk_elements=budget)
    assert largest.numel <= max(budget, outputs)
    kept = len(query) * len(documents)  # the arg max
    query.requires_grad_()
    with Largest() as largest:
        ragged_maxsim(query, offsets_of(queries), values, starts, tokens, chunk_elements=budget).sum().backward()
    assert largest.numel <= max(budget, kept)
    with Largest() as largest:
        maxsim([x.detach() for x in queries], documents, chunk_elements=budget)
    assert largest.numel <= max(budget, outputs, query.numel())


def test_autocast_changes_nothing():
    queries, documents = random_rows([4], 64), random_rows([9, 30], 64, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(maxsim(queries, documents), score(queries, documents))
        check(maxsim(queries, documents), queries, documents)


ROWS = torch.ones(2, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((ROWS, "text"), InputTypeError, "b: expected a tensor, an array or a list, got str"),
        ((None, ROWS), InputTypeError, "a: expected a tensor.* got NoneType"),
        ((ROWS, [ROWS, "x"]), InputTypeError, r"b\[1\]: expected an array of numbers, got str"),
        ((ROWS, [ROWS, ROWS[0]]), InputError, r"b\[1\]: expected 2 axes \[D, K\], got shape \[4\]"),
        ((ROWS, [ROWS, ROWS[:, :3]]), InputError, r"b\[1\]: expected 4 dimensions as b\[0\] has, got 3"),
        ((ROWS, ROWS[:, :3]), InputError, "b: expected 4 dimensions as a has, got 3"),
        ((ROWS[0], ROWS), InputError, r"a: expected 3 axes .* got shape \[4\]"),
        ((ROWS, ROWS.to(torch.complex64)), InputTypeError, "b: expected floats or whole numbers, got torch.complex64"),
        ((ROWS[:, :0], ROWS[:, :0]), InputError, r"queries: expected 2 axes \[Tq, K\], K at least 1"),
        (([ROWS, ROWS[:0]], ROWS), InputError, r"queries\[1\]: expected at least one token, got 0"),
        ((ROWS, ROWS, torch.zeros(2)), InputError, r"queries\[0\]: expected at least one token"),
        ((ROWS, ROWS, None, torch.ones(3)), InputError, r"b_mask: expected shape \[1, 2\].* got \[1, 3\]"),
        ((ROWS, ROWS, None, "1"), InputTypeError, "b_mask: expected a tensor.* got str"),
        ((ROWS, ROWS, None, None, 0), InputError, "chunk_elements: expected at least 1, got 0"),
        ((ROWS, ROWS, None, None, 0.5), InputTypeError, "chunk_elements: expected a whole number"),
        ((ROWS, [ROWS, ROWS.to("meta")]), InputError, r"b: expected one device, got \['cpu', 'meta'\]"),
    ],
)
def test_bad_input_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        maxsim(*arguments)


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        (ROWS[:, :3], InputError, r"queries\[0\]: expected shape \[Q, 4\] as the documents have, got \[2, 3\]"),
        (ROWS.long(), InputTypeError, r"queries\[0\]: expected floats, got torch.int64"),
        (ROWS * torch.nan, InputError, r"queries\[0\]: expected finite values"),
        (ROWS[:0], InputError, r"queries\[0\]: expected at least one token"),
    ],
)
def test_bad_queries_are_refused(query, error, message):
    with pytest.raises(error, match=message):
        embeddings_maxsim([query], TokenEmbeddings(ROWS, [0, 2]))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"queries": ROWS.half()}, InputTypeError, r"queries: expected the dtype of the documents, torch.float32, got"),
        ({"queries": ROWS.long()}, InputTypeError, "queries: expected dtype float32, .* int8.* got torch.int64"),
        ({"queries": ROWS.to("meta")}, InputError, "queries: expected the device of the documents, cpu, got meta"),
        ({"queries": ROWS[:, :2]}, InputError, "values: expected 2 dimensions as the queries have, got 4"),
        ({"values": ROWS[0]}, InputError, r"values: expected 2 axes \[T, K\]"),
        ({"query_offsets": torch.tensor([0, 1])}, InputError, "query_offsets: expected to run from 0 to 2"),
        ({"query_offsets": torch.tensor([0, 2, 2])}, InputError, r"queries\[1\]: expected at least one token"),
        ({"starts": torch.tensor([0.0])}, InputTypeError, "starts: expected int64 of 1 axis, got torch.float32"),
        ({"tokens": torch.tensor([1, 1])}, InputError, "tokens: expected one per start, 1, got 2"),
        ({"scales": torch.ones(2)}, InputTypeError, "scales: expected float32 beside int8 values, got torch.float32"),
    ],
)
def test_bad_packed_input_is_refused(changes, error, message):
    good = {"queries": ROWS, "query_offsets": torch.tensor([0, 2]), "values": ROWS}
    good |= {"starts": torch.tensor([0]), "tokens": torch.tensor([2])}
    with pytest.raises(error, match=message):
        ragged_maxsim(**(good | changes))


def test_scales_have_one_number_per_token():
    rows = ROWS.to(torch.int8)
    with pytest.raises(InputError, match=r"query_scales: expected shape \[2\] on cpu, one per token, got \[3\] on cpu"):
        score([rows], [rows], query_scales=torch.ones(3))


@pytest.mark.parametrize("dtype", [*DTYPES, torch.int8], ids=str)
def test_good_values_pass(dtype):
    check_values(ROWS.to(dtype), "values")
    check_values(ROWS[:0].to(dtype), "values")


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "nan"), (-np.inf, "-inf"), (1e16, "1e\\+16")])
def test_bad_values_are_named(value, shown):
    tensor = torch.zeros(3, 4)
    tensor[1, 2], tensor[2, 0] = value, value
    with pytest.raises(InputError, match=rf"values: expected finite .*got {shown} at \[1, 2\] \(2 such of 12\)"):
        check_values(tensor, "values")


def test_importing_the_package_loads_no_torch():
    code = "import sys, rank_plugins; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
