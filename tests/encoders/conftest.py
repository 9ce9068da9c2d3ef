"""The tests of this folder import the tiny models beside them, and ask no hub."""

import os
import sys
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def library_folders(tmp_path_factory):
    """Return one folder of each kind of model that sentence-transformers loads."""
    import tiny

    return tiny.save_all(tmp_path_factory.mktemp("models"))
