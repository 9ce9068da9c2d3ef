"""Torch tensors through the package's front doors; the computation itself is tested in test_torch.py."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from rank_plugins import InputError, InputTypeError, TokenEmbeddings, maxsim, maxsim_batch, maxsim_top_k, rerankers  # noqa: E402
from rank_plugins.quantize import quantize  # noqa: E402

LENGTHS = (3, 0, 7, 1)


@pytest.fixture
def query(rng):
    return torch.from_numpy(rng.standard_normal((5, 16), np.float32))


@pytest.fixture
def documents(rng):
    return [torch.from_numpy(rng.standard_normal((D, 16), np.float32)) for D in LENGTHS]


def test_every_form_of_documents(query, documents):
    """A list, TokenEmbeddings whole, selected and scattered, and queries of either kind give native's scores."""
    expected = maxsim(query.numpy(), [document.numpy() for document in documents])
    whole = TokenEmbeddings(torch.cat(documents), np.cumsum([0, *LENGTHS]))
    listed = TokenEmbeddings.from_list(documents)
    for found in (
        maxsim(query, documents),
        maxsim(query.numpy(), documents),
        maxsim(query, whole),
        maxsim(query, listed),
        maxsim(query, whole[[3, 2, 1, 0]]).flip(0),
        maxsim_batch([query[:2], query], listed)[1],
    ):
        assert isinstance(found, torch.Tensor)
        assert found.numpy() == pytest.approx(expected, rel=1e-5)
    assert maxsim(query, torch.stack([documents[0]] * 4)).shape == (4,)
    assert torch.equal(listed.contiguous()[0], whole.contiguous()[0])


def test_padding(query):
    """Lengths and masks of tensors choose the rows that count."""
    padded = torch.randn(2, 3, 16)
    rows = [padded[0, :1], padded[1]]
    assert torch.equal(
        maxsim(query, TokenEmbeddings.from_padded(padded, lengths=torch.tensor([1, 3]))), maxsim(query, rows)
    )
    mask = torch.tensor([[1, 0, 0], [1, 1, 1]])
    assert torch.equal(maxsim(query, TokenEmbeddings.from_padded(padded, mask=mask)), maxsim(query, rows))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_dtypes_agree_with_native(query, documents, dtype):
    """Tensors of a dtype score as arrays of it do."""
    arrays = quantize(TokenEmbeddings.from_list([document.numpy() for document in documents]), dtype)
    values, offsets = arrays.contiguous()
    scales = None if arrays.scales is None else torch.from_numpy(arrays.scales.copy())
    tensor = torch.from_numpy(values.copy())
    tensor = tensor.view(torch.bfloat16) if dtype == "bfloat16" else tensor
    tensors = TokenEmbeddings(tensor, offsets, scales=scales)
    assert tensors.dtype == dtype
    assert maxsim(query, tensors).numpy() == pytest.approx(maxsim(query.numpy(), arrays), rel=1e-5)


def test_gradients_reach_the_caller(query, documents):
    """Each query token's gradient is the document token that it matched, and the other way round."""
    asked = query.clone().requires_grad_()
    learned = documents[2].clone().requires_grad_()
    maxsim(asked, [learned]).sum().backward()
    best = (query @ documents[2].T).argmax(1)
    assert torch.allclose(asked.grad, documents[2][best])
    assert torch.allclose(learned.grad, torch.zeros_like(learned).index_add(0, best, query))


def test_rerankers_take_tensors(query, documents):
    """A reranker ranks documents that are tensors."""
    ranking = rerankers.load("rank-maxsim").rerank(query.numpy(), TokenEmbeddings.from_list(documents))
    assert ranking.indices.tolist() == np.argsort(-maxsim(query, documents).numpy(), kind="stable").tolist()


def test_what_tensors_cannot_do(query, documents):
    """What needs arrays, and tensors that do not fit together, are refused with what to do instead."""
    tensors = TokenEmbeddings.from_list(documents)
    with pytest.raises(InputTypeError, match="use torch.topk"):
        maxsim_top_k(query, documents, 2)
    with pytest.raises(InputTypeError, match="convert tensors with torch's own"):
        quantize(tensors, "int8")
    with pytest.raises(InputTypeError, match="candidates: expected None with tensors"):
        maxsim_batch([query], tensors, [[0]])
    with pytest.raises(InputTypeError, match=r"documents\[1\]: expected float32 tensors as documents\[0\] is"):
        maxsim(query, [documents[0], documents[2].numpy()])
    with pytest.raises(InputTypeError, match="expected a tensor of float32, .* got torch.int32"):
        maxsim(query, [documents[0].int()])
    with pytest.raises(InputError, match=r"got nan at \[0, 0\]"):
        maxsim(query, [documents[0] * float("nan")])
    with pytest.raises(InputError, match=r"scales: expected a tensor of shape \(3,\)"):
        TokenEmbeddings(documents[0].to(torch.int8), [0, 3], scales=np.ones(3))
