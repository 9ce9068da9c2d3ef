"""The tests of this folder import the checks beside them, ask no hub, and share small models."""

import os
import sys
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    """Return the folder of a BERT cross-encoder with a window of 64 tokens."""
    pytest.importorskip("transformers", reason="needs transformers")
    from rank_plugins.testing import save_tiny_cross_encoder

    return save_tiny_cross_encoder(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def bert_encoder(tmp_path_factory):
    """Return the folder of an encoder, which has no head that ranks."""
    pytest.importorskip("transformers", reason="needs transformers")
    from rank_plugins.testing import save_tiny_encoder

    return save_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def three_labels(bert, tmp_path_factory):
    """Return the folder of a classifier with three numbers for a pair."""
    import shutil

    import transformers

    folder = tmp_path_factory.mktemp("labels") / "three"
    shutil.copytree(bert, folder)
    config = transformers.BertConfig.from_pretrained(folder, num_labels=3)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)
