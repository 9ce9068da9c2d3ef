"""The tests of this folder import what they share from beside them, and leave the library as they found it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def ours_alone(monkeypatch):
    """Fail where sentence-transformers itself is asked to compute."""
    import rank_plugins.compat.sentence_transformers as compat

    def refuse(name):
        raise AssertionError(f"the library's own {name} computed")

    monkeypatch.setattr(compat, "_own", refuse)


@pytest.fixture
def restored():
    """Check that a test leaves nothing of ours in sentence-transformers."""
    from maxsim_reference import OWN, similarity

    import rank_plugins.compat.sentence_transformers as compat

    yield
    assert {name: getattr(similarity, name).__code__ for name in OWN} == OWN
    assert not compat._models
