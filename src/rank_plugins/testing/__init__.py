"""For tests of rerankers and adapters: their contract as classes to inherit, and models that need no download.

    class TestMine(RerankerContract):
        @pytest.fixture
        def reranker(self):
            return MyReranker()

An adapter to another host inherits `AdapterContract` and overrides `adapt`, `rank` and `rank_async`, to call the host
and to translate back. A test of something that the host does not have is removed by `test_name = None`.
"""

from __future__ import annotations

from rank_plugins.testing.adapters import AdapterContract
from rank_plugins.testing.contract import DOCUMENTS, ODD_TEXTS, QUERY, RerankerContract
from rank_plugins.testing.encoder import HashEncoder
from rank_plugins.testing.language_models import CAUSAL_TEMPLATE, save_tiny_causal, save_tiny_seq2seq
from rank_plugins.testing.models import save_tiny_cross_encoder, save_tiny_encoder

__all__ = [
    "CAUSAL_TEMPLATE",
    "DOCUMENTS",
    "ODD_TEXTS",
    "QUERY",
    "AdapterContract",
    "HashEncoder",
    "RerankerContract",
    "save_tiny_causal",
    "save_tiny_cross_encoder",
    "save_tiny_encoder",
    "save_tiny_seq2seq",
]
