"""MaxSim with sentence-transformers' conventions, against the library's own functions as it wrote them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed", minversion="6.2")

import torch
from maxsim_reference import OWN, REFERENCE, agree, rows, similarity

import rank_plugins.compat.sentence_transformers as compat
from rank_plugins.compat.sentence_transformers import use_kernel

FORMS = ("list", "numpy list", "padded", "numpy padded", "read-only", "transposed")
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int64)


KINDS = [
    (form, dtype)
    for form in FORMS
    for dtype in DTYPES
    if dtype != torch.bfloat16 or form in ("list", "padded", "transposed")  # NumPy has no bfloat16
]


def in_form(items, form):
    """Return a list of tensors [D, K] in another form that the library takes."""
    padded = torch.nn.utils.rnn.pad_sequence(items, batch_first=True)
    if form == "list":
        return items
    if form == "padded":
        return padded
    if form == "transposed":
        return padded.transpose(1, 2).contiguous().transpose(1, 2)
    if form == "numpy list":
        return [item.numpy() for item in items]
    array = padded.numpy().copy()
    array.flags.writeable = form != "read-only"
    return array


def close(dtype):
    """Return the difference allowed; the library rounds products of half floats to half floats, we do not."""
    return {torch.float16: 2e-2, torch.bfloat16: 1e-1}.get(dtype, 1e-4)


class TestParity:
    @pytest.mark.parametrize(("form", "dtype"), KINDS, ids=str)
    @pytest.mark.parametrize("length_normalize", [False, True])
    def test_forms_and_dtypes(self, form, dtype, length_normalize, rng, ours_alone):
        """Every form of input, and every dtype that the library takes, is computed by us with its result."""
        queries, documents = (in_form(rows(rng, lengths, 24, dtype), form) for lengths in ([3, 8, 1], [5, 17, 2, 9]))
        expected = REFERENCE["maxsim"](queries, documents, length_normalize=length_normalize)
        agree(compat.maxsim(queries, documents, length_normalize=length_normalize), expected, close(dtype))

    @pytest.mark.parametrize(("form", "dtype"), KINDS, ids=str)
    def test_pairs(self, form, dtype, rng, ours_alone):
        """Pairs likewise, in the C core."""
        queries, documents = (in_form(rows(rng, lengths, 24, dtype), form) for lengths in ([3, 8, 1], [5, 17, 2]))
        expected = REFERENCE["maxsim_pairwise"](queries, documents)
        agree(compat.maxsim_pairwise(queries, documents), expected, close(dtype))

    @pytest.mark.parametrize("name", OWN)
    @pytest.mark.parametrize("types", [(torch.float64, torch.float64), (torch.float32, torch.float16)], ids=str)
    def test_what_the_kernel_does_not_take(self, name, types, rng):
        """The library computes it, or raises what it raises."""
        queries, documents = (
            rows(rng, lengths, 8, dtype) for lengths, dtype in zip(([3, 8], [5, 2]), types, strict=True)
        )
        try:
            expected = REFERENCE[name](queries, documents)
        except RuntimeError as error:
            with pytest.raises(RuntimeError, match=str(error)):
                getattr(compat, name)(queries, documents)
        else:
            found = getattr(compat, name)(queries, documents)
            assert found.dtype == expected.dtype
            assert found.equal(expected)

    def test_a_single_query_and_document(self, rng, ours_alone):
        """Two axes are one item, with a mask of one axis too."""
        query, document = rows(rng, [4, 7], 8)
        agree(compat.maxsim(query, document), REFERENCE["maxsim"](query, document))
        agree(compat.maxsim(query.numpy(), document.numpy()), REFERENCE["maxsim"](query, document))
        masks = {"a_mask": torch.tensor([1, 0, 1, 1]), "b_mask": torch.tensor([0, 1, 1, 1, 0, 1, 0], dtype=torch.bool)}
        agree(compat.maxsim(query, document, **masks), REFERENCE["maxsim"](query, document, **masks))
        agree(compat.maxsim_pairwise(query, document, **masks), REFERENCE["maxsim_pairwise"](query, document, **masks))

    @pytest.mark.parametrize("options", [{"chunk_elements": 1}, {"chunk_elements": 10**9}, {"device": "cpu"}], ids=str)
    def test_options(self, options, rng, ours_alone):
        """chunk_elements and device change nothing in the result."""
        queries, documents = rows(rng, [3, 2], 8), rows(rng, [5, 1, 9], 8)
        agree(compat.maxsim(queries, documents, **options), REFERENCE["maxsim"](queries, documents, **options))

    @given(data=st.data())
    @settings(max_examples=150, deadline=None)
    def test_any_call(self, data):
        """Lengths of 0, rows of zeros, masks, forms and options in any combination give the library's scores."""
        lengths = st.lists(st.integers(0, 6), min_size=1, max_size=5)
        left, right = data.draw(lengths, "query lengths"), data.draw(lengths, "document lengths")
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32), "seed"))
        K = data.draw(st.sampled_from([1, 5, 16]), "K")
        sides, masks = [], {}
        for name, counts in (("a_mask", left), ("b_mask", right)):
            items = rows(rng, counts, K)
            for item in items:  # some tokens hold zeros: a token in a list, padding in a tensor
                item[rng.random(len(item)) < 0.2] = 0
            form = data.draw(st.sampled_from(FORMS), "form")
            sides.append(in_form(items, form))
            kind = data.draw(st.sampled_from([None, "tensor", "array", "list", "wide"]), name)
            grid = np.zeros((len(counts), max(counts)), np.int64)
            for row, count in zip(grid, counts, strict=True):
                row[: max(counts) if kind == "wide" else count] = 1
            grid *= rng.random(grid.shape) < 0.7
            masks[name] = {
                None: None,
                "tensor": torch.from_numpy(grid),
                "wide": torch.from_numpy(grid.astype(np.float32)),  # counts padding of a list as tokens
                "array": grid.astype(bool),
                "list": [torch.from_numpy(row) for row in grid],
            }[kind]
        options = masks | {"length_normalize": data.draw(st.booleans(), "length_normalize")}
        agree(compat.maxsim(*sides, **options), REFERENCE["maxsim"](*sides, **options))
        if len(left) == len(right):
            agree(compat.maxsim_pairwise(*sides, **options), REFERENCE["maxsim_pairwise"](*sides, **options))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("place", [("cuda", "cuda", None), ("cpu", "cuda", "cpu"), ("cuda", "cpu", "cuda")], ids=str)
def test_devices(place, rng, ours_alone):
    """Scores are computed where `device` says and come back to the documents."""
    queries, documents = (
        [item.to(where) for item in rows(rng, lengths, 24)]
        for where, lengths in zip(place, ([3, 8, 1], [5, 0, 2, 9]), strict=False)
    )
    expected = REFERENCE["maxsim"](queries, documents, device=place[2])
    agree(compat.maxsim(queries, documents, device=place[2]), expected)


class TestConventions:
    def test_a_document_without_tokens(self, rng, ours_alone, monkeypatch):
        """It scores -1e9, before length_normalize divides, and the library says so in its own words."""
        said = []
        monkeypatch.setattr(similarity.logger, "warning_once", said.append)
        queries, documents = rows(rng, [4, 2], 8), [torch.zeros(0, 8), *rows(rng, [3], 8)]
        scores = compat.maxsim(queries, documents)
        assert scores[:, 0].tolist() == [-1e9, -1e9]
        assert "without any scoreable token" in said[0]
        assert compat.maxsim(queries, documents, length_normalize=True)[:, 0].tolist() == [-1e9 / 4, -1e9 / 2]
        assert compat.maxsim_pairwise(queries, documents)[0].item() == -1e9
        padded = torch.nn.utils.rnn.pad_sequence(documents, batch_first=True)
        assert compat.maxsim(queries, padded).equal(scores)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
    def test_negative_zeros_are_padding_too(self, dtype, rng, ours_alone):
        queries = torch.stack(rows(rng, [3, 3], 8, dtype))
        documents = torch.stack([queries[0], torch.full((3, 8), -0.0, dtype=dtype)])
        documents[0, 1] = -0.0
        agree(compat.maxsim(queries, documents), REFERENCE["maxsim"](queries, documents), close(dtype))

    def test_padding_never_wins(self, ours_alone):
        """A document whose true score is -1 keeps it beside a longer one."""
        query = torch.tensor([[1.0, 0.0]])
        documents = torch.tensor([[[-1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [-1.0, 0.0]]])
        assert compat.maxsim(query, documents).tolist() == [[-1.0, 0.0]]

    @pytest.mark.parametrize(("m", "n"), [(0, 3), (2, 0), (0, 0)])
    def test_empty_sides(self, m, n, rng, ours_alone):
        """Nothing on one side gives zeros(m, n)."""
        queries, documents = rows(rng, [3] * m, 8), rows(rng, [3] * n, 8)
        assert compat.maxsim(queries, documents).shape == (m, n)
        agree(compat.maxsim(queries, documents), REFERENCE["maxsim"](queries, documents))
        agree(compat.maxsim_pairwise([], []), REFERENCE["maxsim_pairwise"]([], []))
        array = np.zeros((m, 3, 8), np.float32)
        agree(compat.maxsim(array, documents), REFERENCE["maxsim"](array, documents))

    def test_weights_as_a_mask(self, rng):
        """The library multiplies by a query mask, so weights weigh."""
        queries, documents, weights = rows(rng, [3, 3], 8), rows(rng, [5, 2], 8), torch.rand(2, 3)
        expected = REFERENCE["maxsim"](queries, documents, a_mask=weights)
        assert compat.maxsim(queries, documents, a_mask=weights).equal(expected)

    @pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
    def test_what_is_not_finite(self, bad, rng):
        """The library's result comes out, NaN and all."""
        queries, documents = rows(rng, [2], 8), rows(rng, [5, 2], 8)
        documents[1][0, 3] = bad
        found, expected = compat.maxsim(queries, documents), REFERENCE["maxsim"](queries, documents)
        torch.testing.assert_close(found, expected, equal_nan=True)

    @pytest.mark.parametrize(
        "call",
        [
            lambda f: f([torch.ones(2, 4)], [torch.ones(2, 5)]),
            lambda f: f([torch.ones(2, 4)], [torch.ones(2, 4)], b_mask=torch.ones(1, 3)),
            lambda f: f([torch.ones(2, 4)], [torch.ones(2, 4)], b_mask="all"),
            lambda f: f(torch.ones(4), torch.ones(4)),
            lambda f: f("query", "document"),
            pytest.param(
                lambda f: f(torch.quantize_per_tensor(torch.ones(1, 2, 4), 0.1, 0, torch.qint8), torch.ones(1, 2, 4)),
                marks=pytest.mark.filterwarnings("ignore"),
            ),
        ],
    )
    def test_errors_are_the_library_s_own(self, call):
        """What the library refuses, it refuses in its own words."""
        with pytest.raises(Exception) as theirs:  # noqa: PT011 - whatever it raises
            call(REFERENCE["maxsim"])
        with pytest.raises(type(theirs.value)) as found:
            call(compat.maxsim)
        assert str(found.value) == str(theirs.value)

    def test_pairs_of_different_numbers(self, rng):
        with pytest.raises(ValueError, match="same number of items to score as pairs"):
            compat.maxsim_pairwise(rows(rng, [3], 4), rows(rng, [3, 2], 4))

    def test_inputs_are_not_changed(self, rng):
        queries, documents = rows(rng, [3], 8), torch.nn.utils.rnn.pad_sequence(rows(rng, [5, 2], 8), batch_first=True)
        before = copy.deepcopy((queries, documents))
        compat.maxsim(queries, documents)[0] = 7
        assert before[0][0].equal(queries[0])
        assert before[1].equal(documents)


class TestGradient:
    @pytest.mark.parametrize("pairs", [False, True])
    @pytest.mark.parametrize("form", ["list", "padded"])
    def test_gradients_are_the_library_s(self, form, pairs, rng):
        """Both sides get the gradient that the library gives, with empty documents and masks too."""
        name = "maxsim_pairwise" if pairs else "maxsim"
        found = []
        weights = torch.rand((3,) if pairs else (3, 3), generator=torch.Generator().manual_seed(0))
        data = [rows(rng, [3, 1, 4], 8), rows(rng, [5, 0, 2], 8)]
        for function in (getattr(compat, name), REFERENCE[name]):
            leaves = [[item.clone().requires_grad_() for item in side] for side in data]
            sides = [
                torch.nn.utils.rnn.pad_sequence(side, batch_first=True) if form == "padded" else side for side in leaves
            ]
            scores = function(*sides, length_normalize=True)
            (scores * weights).sum().backward()
            found.append([scores.detach(), *(leaf.grad for side in leaves for leaf in side)])
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)

    def test_scores_of_all_pairs_are_ours(self, rng, ours_alone):
        """With a gradient rank_plugins.torch computes, not the library."""
        queries = [item.requires_grad_() for item in rows(rng, [3, 2], 8)]
        assert compat.maxsim(queries, rows(rng, [5], 8)).requires_grad

    def test_without_need_of_a_gradient_the_core_computes(self, rng, ours_alone, monkeypatch):
        """An evaluator's no_grad is enough, whatever the tensors could have."""
        monkeypatch.setattr("rank_plugins.torch.maxsim", None)
        queries, documents = [item.requires_grad_() for item in rows(rng, [3, 2], 8)], rows(rng, [5], 8)
        with torch.no_grad():
            agree(compat.maxsim(queries, documents), REFERENCE["maxsim"](queries, documents))

    def test_compiled_code_is_left_to_the_library(self, rng):
        """torch.compile traces the library's own function."""
        queries, documents = torch.stack(rows(rng, [3, 3], 8)), torch.stack(rows(rng, [4, 4], 8))
        with use_kernel():
            compiled = torch.compile(lambda a, b: similarity.maxsim(a, b) * 2, backend="eager")
            agree(compiled(queries, documents), REFERENCE["maxsim"](queries, documents) * 2)


class TestTransformed:
    """Calls that torch turns into others have the library's result: nothing of them is lost or frozen."""

    @pytest.mark.parametrize("name", OWN)
    def test_function_transforms(self, name, rng):
        a, b = torch.stack(rows(rng, [3, 3], 8)), torch.stack(rows(rng, [4, 4], 8))
        found = []
        for function in (REFERENCE[name], getattr(compat, name)):

            def total(x, function=function):
                return function(x, b).sum()

            trace = torch.jit.trace(total, (a,), check_trace=False)
            with torch.autograd.forward_ad.dual_level():
                dual = torch.autograd.forward_ad.make_dual(a, torch.ones_like(a))
                tangent = torch.autograd.forward_ad.unpack_dual(total(dual)).tangent
            vmapped = torch.func.vmap(lambda x, function=function: function(x[None], b[:1]))(a)
            found.append(
                [torch.func.grad(total)(a), *torch.func.jvp(total, (a,), (a,)), trace(2 * a), tangent, vmapped]
            )
        for ours, theirs in zip(*reversed(found), strict=True):
            torch.testing.assert_close(ours, theirs)

    @pytest.mark.parametrize("form", ["tensor", "list"])
    @pytest.mark.parametrize("name", OWN)
    def test_a_mask_that_learns(self, name, form, rng):
        """Weights that are all 1 as yet get their gradient."""
        queries, documents = rows(rng, [3, 3], 8), rows(rng, [4, 4], 8)
        gradients = []
        for function in (REFERENCE[name], getattr(compat, name)):
            weights = torch.ones(2, 3, requires_grad=True)
            function(queries, documents, a_mask=weights if form == "tensor" else list(weights)).sum().backward()
            gradients.append(weights.grad)
        torch.testing.assert_close(*gradients)

    def test_an_empty_side_under_another_default_dtype(self):
        torch.set_default_dtype(torch.float64)
        try:
            assert compat.maxsim([], [torch.ones(2, 3)]).dtype == torch.float32
            assert compat.maxsim_pairwise([], []).dtype == torch.float32
        finally:
            torch.set_default_dtype(torch.float32)
