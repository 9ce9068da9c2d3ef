"""rank-plugins index: formats, lines that cannot be used, resuming, changed texts, codecs that are fitted."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import signal
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rank_plugins import StoreError
from rank_plugins.cli import index as index_module
from rank_plugins.cli._corpus import Document
from rank_plugins.cli.index import _batches
from rank_plugins.quantize import quantize
from rank_plugins.store import EmbeddingStore
from rank_plugins.testing import HashEncoder

from .conftest import EXAMPLES, documents

ROWS = [
    {"_id": "a", "title": "Paris", "text": 'The capital of France, "the city of light".'},
    {"_id": "b", "title": "", "text": "Two lines,\nand an ümlaut."},
    {"_id": "c", "title": "Steel", "text": "Iron and carbon."},
]
TEXTS = {
    "a": 'Paris The capital of France, "the city of light".',
    "b": "Two lines,\nand an ümlaut.",
    "c": "Steel Iron and carbon.",
}


def written(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows in the format that the name says."""
    if path.suffix == ".parquet":
        arrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
        pytest.importorskip("pyarrow.parquet").write_table(arrow.Table.from_pylist(rows), path)
        return path
    text = io.StringIO(newline="")
    if ".csv" in path.suffixes:
        table = csv.DictWriter(text, ["_id", "title", "text"])
        table.writeheader()
        table.writerows(rows)
    else:
        text.writelines(json.dumps(row) + "\n" for row in rows)
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def check_holds(folder: Path, texts: dict[str, str], encoder) -> None:
    """See that a store of int8 holds these documents as the encoder makes them, to the last bit."""
    with EmbeddingStore.open(folder, verify=True) as store:
        assert set(store) == set(texts)
        expected = quantize(encoder.encode_documents(list(texts.values())), "int8")
        for name, document, found in zip(texts, expected, store.get(list(texts)), strict=True):
            np.testing.assert_array_equal(found, document, err_msg=name)


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz", "c.csv", "c.csv.gz", "c.parquet"])
def test_formats(name, tmp_path, command, encoder):
    """Every format gives the same documents: title and text, joined; they stay in order."""
    status, out, err = command("index", written(tmp_path / name, ROWS), "--store", tmp_path / "store", "--json")
    assert (status, err) == (0, "")
    facts = json.loads(out)
    assert (facts["added"], facts["documents"], facts["skipped"]) == (3, 3, [])
    with EmbeddingStore.open(tmp_path / "store") as store:
        assert list(store) == ["a", "b", "c"]
        assert facts["bytes"] >= store.stats()["bytes"] > 0
    check_holds(tmp_path / "store", TEXTS, encoder)


def test_standard_input(tmp_path, start, encoder):
    """The name "-" reads JSON Lines; the example documents come out as they went in."""
    lines = (EXAMPLES / "documents.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:12]
    process = start("index", "-", "--store", tmp_path / "store", stdin=-1)
    out, err = process.communicate("".join(lines))
    assert (process.returncode, err) == (0, "")
    assert dict(line.split(maxsplit=1) for line in out.splitlines())["added"] == "12"
    check_holds(tmp_path / "store", {row["id"]: row["text"] for row in map(json.loads, lines)}, encoder)


def test_lines_that_cannot_be_used(tmp_path, command, encoder):
    """Each is counted by its reason and number; the others are indexed; a byte order mark is none of the text."""
    lines = [
        b'\xef\xbb\xbf{"_id": "a", "text": "first"}',
        b"{ broken",
        b"",
        b'["a", "list"]',
        b'{"text": "whose?"}',
        b'{"_id": null, "id": "b", "text": "second", "title": null}',
        b'{"_id": "c"}',
        b'{"_id": "c", "text": ["words"]}',
        b'{"_id": "", "text": "nameless"}',
        b'{"_id": "a", "text": "again"}',
        b'{"_id": "d", "text": "\xff"}',
        b'{"_id": "\\u0000", "text": "x"}',
        b'{"_id": 7, "text": "  ", "title": ""}',
        b'{"_id": true, "text": "x"}',
        b"[" * 100_000,
        b'{"_id": "\\ud800", "text": "x"}',
        b'{"_id": "e", "text": "half \\ud800 a pair"}',
        b'{"_id": "f", "text": "no line end"}',
    ]
    (tmp_path / "c.jsonl").write_bytes(b"\n".join(lines))
    status, out, _ = command("index", tmp_path / "c.jsonl", "--store", tmp_path / "store", "--json")
    facts = json.loads(out)
    assert (status, facts["added"], facts["documents"]) == (0, 5, 5)
    assert {remark["reason"]: remark["lines"] for remark in facts["skipped"]} == {
        "not a JSON object": [2, 4, 15],
        "no id": [5, 9, 14],
        "no text": [7, 8],
        "an id that was there before": [10],
        "not UTF-8": [11],
        "the id is no text that a store can keep": [12, 16],
    }
    assert facts["empty"] == [{"reason": "without a token", "count": 1, "lines": [13]}]
    texts = {"a": "first", "b": "second", "7": "", "e": "half \ufffd a pair", "f": "no line end"}
    check_holds(tmp_path / "store", texts, encoder)
    status, out, _ = command("index", tmp_path / "c.jsonl", "--store", tmp_path / "store")
    shown = {line[:20].strip(): line[21:] for line in out.splitlines()}
    assert shown["skipped"].startswith("12 (not a JSON object: line 2, 4, 15; no id: line 5, 9, 14; ")
    assert [shown[name] for name in ("added", "unchanged")] == ["0", "5"]


def test_rows_of_csv_that_cannot_be_used(tmp_path, command, encoder):
    """A row's number is that of its first line; fields may be long and hold line ends."""
    long = "one" + " " * 200_000 + "two"
    (tmp_path / "c.csv").write_bytes(
        b'text,id,more\r\n"one\r\ntwo",a,\r\nx,b,c,d\r\n\r\nx\r\n\xff,e,\r\n"three",f\r\n' + f"{long},g,\r\n".encode()
    )
    status, out, _ = command("index", tmp_path / "c.csv", "--store", tmp_path / "store", "--json")
    facts = json.loads(out)
    assert {remark["reason"]: remark["lines"] for remark in facts["skipped"]} == {
        "not a row of CSV": [4],
        "no id": [6],
        "not UTF-8": [7],
    }
    assert status == 0
    check_holds(tmp_path / "store", {"a": "one\r\ntwo", "f": "three", "g": long.strip()}, encoder)


def test_rows_of_parquet_have_numbers(tmp_path, command, encoder):
    """What cannot be used is named by its row; ids may be whole numbers."""
    rows = [{"id": 1, "text": "one"}, {"id": None, "text": "two"}, {"id": 3, "text": None}]
    command("index", written(tmp_path / "c.parquet", rows), "--store", tmp_path / "store")
    status, out, _ = command("index", tmp_path / "c.parquet", "--store", tmp_path / "store", "--json")
    assert status == 0
    assert [(remark["reason"], remark["rows"]) for remark in json.loads(out)["skipped"]] == [
        ("no id", [2]),
        ("no text", [3]),
    ]
    check_holds(tmp_path / "store", {"1": "one"}, encoder)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (
            "c.jsonl",
            b"broken\n\n{}\n",
            r"expected documents with an id .* skipped 2 \(not a JSON object: line 1; no id",
        ),
        ("c.jsonl", b"", "expected documents with an id and a text, got none; skipped 0"),
        ("c.txt", b"x", r"expected a corpus named .* got '.txt'"),
        ("c.parquet.gz", b"x", r"expected a corpus named .* got '.parquet'"),
        ("c.csv", b"name,text\na,b\n", r"expected columns id \(or _id\) and text, got name, text"),
        ("c.csv", b"", r"expected columns id \(or _id\) and text, got none"),
        ("c.jsonl.gz", b"not packed", "cannot be read after line 0"),
        ("c.jsonl.gz", gzip.compress(b'{"text": "no id"}\n' * 9)[:-9], r"cannot be read after line \d: "),
        ("c.parquet", b"no such file", "expected a Parquet file"),
        ("missing.jsonl", None, "expected a file, found none"),
    ],
)
def test_files_that_cannot_be_used(name, data, said, tmp_path, command, encoder):
    """One line says what is wrong, the status is 1, and no store is made."""
    if ".parquet" in name:
        pytest.importorskip("pyarrow", reason="needs the extra parquet")
    if data is not None:
        (tmp_path / name).write_bytes(data)
    status, out, err = command("index", tmp_path / name, "--store", tmp_path / "store")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert re.match(rf"rank-plugins: .*{name}: {said}", err)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--projection", "384"], "--projection: expected less than the encoder's 384"),
        (["--projection", "0"], "projection: expected at least 1"),
        (["--pool", "0"], "pool: expected at least 1"),
        (["--skip", "punctuation,verbs"], "skip: expected among punctuation, stop_words, got 'verbs'"),
        (["--workers", "0"], "threads: expected at least 1"),
        (["--encoder", "no-such-model/here"], "rank-plugins: "),
    ],
)
def test_settings_that_cannot_be(arguments, said, corpus, tmp_path, command, encoder):
    """They are refused before anything is made."""
    status, _, err = command("index", corpus(documents(2)), "--store", tmp_path / "store", *arguments)
    assert (status, err.count("\n")) == (1, 1)
    assert said in err
    assert not (tmp_path / "store").exists()


def test_settings_are_the_stores(corpus, tmp_path, command, encoder):
    """What a store was made with is kept; another setting is refused, none is needed."""
    settings = ["--codec", "float16", "--projection", "8", "--skip", "stop_words,punctuation"]
    first, more = documents(30), documents(40)
    assert command("index", corpus(first), "--store", tmp_path / "store", *settings)[0] == 0
    assert command("index", corpus(more), "--store", tmp_path / "store")[0] == 0
    with EmbeddingStore.open(tmp_path / "store") as store:
        stats = store.stats()
        assert (len(store), stats["codec"], stats["projection"]) == (40, "float16", 8)
        assert stats["reduction"] == {"pool": 1, "skip": ["punctuation", "stop_words"]}
        assert store.get(["d39"]).tokens[0] < encoder.encode_documents([more["d39"]]).tokens[0]
    status, _, err = command("index", corpus(more), "--store", tmp_path / "store", "--codec", "int8")
    assert status == 1
    assert "expected 'float16', the setting of" in err


def test_pooled_tokens(corpus, tmp_path, command, encoder):
    """--pool 2 keeps the first token and half of the others."""
    pytest.importorskip("scipy", reason="needs the extra pooling")
    texts = documents(3)
    assert command("index", corpus(texts), "--store", tmp_path / "store", "--pool", "2")[0] == 0
    with EmbeddingStore.open(tmp_path / "store") as store:
        whole = encoder.encode_documents(list(texts.values())).tokens
        assert store.get(list(texts)).tokens.tolist() == (1 + (whole - 1) // 2).tolist()


def test_another_encoder(corpus, tmp_path, command, encoder):
    """It is refused, even where all documents are there with the same texts."""
    with EmbeddingStore.open(tmp_path / "store", "a") as store:
        store.add(list(documents(2)), texts=list(documents(2).values()), encoder=HashEncoder(encoder.dim))
    status, _, err = command("index", corpus(documents(2)), "--store", tmp_path / "store")
    assert status == 1
    assert "encoder: expected the one that made" in err


def test_changed_texts_are_encoded_again(corpus, tmp_path, command, encoder):
    """The same id with another text is replaced; nothing else is touched, and what left the corpus stays."""
    texts = documents(8)
    command("index", corpus(texts), "--store", tmp_path / "store")
    changed = texts | {"d3": "Something else.", "new": "One more."}
    del changed["d0"]
    status, out, _ = command("index", corpus(changed), "--store", tmp_path / "store", "--json")
    facts = json.loads(out)
    assert status == 0
    assert [facts[name] for name in ("added", "replaced", "unchanged", "documents")] == [1, 1, 6, 9]
    check_holds(tmp_path / "store", {"d0": texts["d0"], **changed}, encoder)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_and_resumed(how, corpus, tmp_path, start, command, encoder):
    """What was committed is there, and the same command again does the rest, and only the rest."""
    texts, folder = documents(1500), tmp_path / "store"
    arguments = ("index", corpus(texts), "--store", folder, "--json")
    process = start(*arguments)
    while process.poll() is None and not _count(folder):
        time.sleep(0.01)
    process.send_signal(how)
    _, err = process.communicate()
    count = _count(folder)
    assert 0 < count < len(texts), "the process was not interrupted in the middle"
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert err == (
            f"rank-plugins: interrupted; {count} documents are in {folder}, and the same command again goes on from"
            " there\n"
        )
    status, out, _ = command(*arguments)
    facts = json.loads(out)
    assert status == 0
    assert [facts[name] for name in ("added", "replaced", "unchanged")] == [len(texts) - count, 0, count]
    check_holds(folder, texts, encoder)


def _count(folder: Path) -> int:
    """Return how many documents others see."""
    try:
        with EmbeddingStore.open(folder) as store:
            return len(store)
    except StoreError:  # not there yet
        return 0


def test_a_sample_of_the_whole_corpus_decides_what_is_fitted(corpus, tmp_path, command, encoder, monkeypatch):
    """Documents from everywhere come first, the same in each run; each document is read and added once."""
    monkeypatch.setattr(index_module, "SAMPLE", 60)
    monkeypatch.setattr(index_module, "DOCUMENTS_AT_ONCE", 16)
    texts = documents(300)
    kept = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        arguments = ("index", corpus(texts), "--store", folder, "--codec", "residual2", "--projection", "64", "--json")
        facts = json.loads(command(*arguments)[1])
        assert [facts[name] for name in ("added", "replaced", "unchanged")] == [300, 0, 0]
        with EmbeddingStore.open(folder, verify=True) as store:
            kept.append((list(store), [document.tobytes() for document in store.get(list(texts))]))
    assert kept[0] == kept[1]
    order = kept[0][0]
    assert sorted(order) == sorted(texts)
    sample = [int(name[1:]) for name in order[:60]]
    assert min(sample) < 60 < 240 < max(sample)
    assert order[60:] == [name for name in texts if name not in order[:60]]


def test_standard_input_is_fitted_to_its_first_documents(tmp_path, start, encoder):
    """What can be read only once needs no second pass."""
    lines = "".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in documents(40).items())
    process = start("index", "-", "--store", tmp_path / "store", "--projection", "16", stdin=-1)
    _, err = process.communicate(lines)
    assert (process.returncode, err) == (0, "")
    with EmbeddingStore.open(tmp_path / "store", verify=True) as store:
        assert list(store) == list(documents(40))
        assert store.get(["d0"]).dim == 16


def test_a_bar_on_a_terminal(corpus, tmp_path, start, encoder):
    """It counts the documents of the whole corpus, on stderr; the summary is on stdout alone."""
    pytest.importorskip("tqdm")
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    process = start("index", corpus(documents(20)), "--store", tmp_path / "store", "--projection", "4", stderr=theirs)
    os.close(theirs)
    seen = b""
    while b"20/20" not in seen:
        seen += os.read(ours, 4096)  # raises once the process has ended
    assert b"documents/s" in seen
    assert process.communicate()[0].startswith("added")
    os.close(ours)


@given(st.lists(st.text(max_size=40), max_size=30), st.integers(1, 8), st.integers(1, 60))
def test_batches_are_bounded(texts, count, size):
    """They are the documents in order, none has more than `count`, nor text beyond the bound before its last one."""
    documents = [Document(i, str(i), text) for i, text in enumerate(texts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "BYTES_AT_ONCE", size)
        batches = list(_batches(iter(documents), count))
    assert [document for batch in batches for document in batch] == documents
    for batch in batches:
        assert 1 <= len(batch) <= count
        assert sum(len(document.text.encode()) for document in batch[:-1]) < size
