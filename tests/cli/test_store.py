"""rank-plugins store: stats, verify, compact."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rank_plugins import TokenEmbeddings
from rank_plugins.store import EmbeddingStore


@pytest.fixture
def folder(tmp_path, rng):
    """Return a store of three documents, one of which was replaced."""
    path = tmp_path / "store"
    with EmbeddingStore.open(path, "a", codec="float16") as store:
        for ids in (["a", "b", "c"], ["b"]):
            arrays = [rng.standard_normal((4, 8), dtype=np.float32) for _ in ids]
            store.add(ids, TokenEmbeddings.from_list(arrays))
    return path


def test_stats(folder, command):
    """Lines and JSON name the same facts; zero is 0, what is not there is "none"."""
    status, out, err = command("store", "stats", folder)
    assert (status, err) == (0, "")
    lines = {line[:15].strip(): line[16:] for line in out.splitlines()}
    facts = json.loads(command("store", "stats", folder, "--json")[1])
    assert (facts["documents"], facts["tokens"], facts["dead tokens"], facts["codec"]) == (3, 12, 4, "float16")
    assert list(lines) == list(facts)
    assert (lines["documents"], lines["projection"], lines["reduction"]) == ("3", "none", "pool 1, skip none")


def test_verify(folder, command):
    """A whole store says so with status 0; a damaged document is named with status 1."""
    assert command("store", "verify", folder) == (0, "3 documents, all of them whole\n", "")
    with EmbeddingStore.open(folder) as store:
        row = store.get(["c"])[0].tobytes()
    (values,) = (folder / "segments").glob("*.values")
    data = bytearray(values.read_bytes())
    data[data.find(row)] ^= 1
    values.write_bytes(data)
    status, out, _ = command("store", "verify", folder)
    assert (status, out.count("\n")) == (1, 1)
    assert "'c'" in out
    status, out, _ = command("store", "verify", folder, "--json")
    facts = json.loads(out)
    assert (status, facts["documents"], len(facts["problems"])) == (1, 3, 1)


def test_compact(folder, command):
    """The space of a replaced document comes back once: 4 tokens of 8 dimensions, 2 bytes each."""
    assert command("store", "compact", folder) == (0, "bytes freed 64\n", "")
    assert json.loads(command("store", "compact", folder, "--json")[1]) == {"bytes freed": 0}
    with EmbeddingStore.open(folder, verify=True) as store:
        assert sorted(store) == ["a", "b", "c"]


@pytest.mark.parametrize("action", ["stats", "verify", "compact"])
def test_no_store(action, tmp_path, command):
    """A folder without a store is an error, and none is made."""
    status, out, err = command("store", action, tmp_path / "nothing")
    assert (status, out) == (1, "")
    assert err.startswith(f"rank-plugins: {tmp_path / 'nothing'}: expected an embedding store")
    assert not (tmp_path / "nothing").exists()


def test_a_store_in_use(folder, command):
    """While another writes, looking is possible and compacting is an error."""
    with EmbeddingStore.open(folder, "a"):
        assert command("store", "stats", folder)[0] == 0
        status, _, err = command("store", "compact", folder)
    assert status == 1
    assert "another store is open for writing" in err
