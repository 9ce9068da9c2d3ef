"""Queries and documents in the files of BEIR, MS MARCO and TREC."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rank_plugins.datasets import read_corpus, read_queries
from rank_plugins.errors import InputError

SGML = """
<top>
<num> Number: 301
<title> International   Organized Crime

<desc> Description:
Identify organizations
that participate.

<narr> Narrative:
A relevant document &amp; more.
</top>
<top><num>302</num><title>Polio</title><desc>d</desc><narr>n</narr></top>
"""
XML = """<?xml version="1.0"?><topics>
<topic number="1"><query>coronavirus origin</query><question>what is it</question><narrative>n</narrative></topic>
<topic number='2'><title>x &lt; y</title></topic></topics>"""


def test_trec_topics(tmp_path: Path) -> None:
    path = tmp_path / "topics.txt"
    path.write_text(SGML)
    assert read_queries(path) == {"301": "International Organized Crime", "302": "Polio"}
    assert read_queries(path, field="desc")["301"] == "Identify organizations that participate."
    assert read_queries(path, field="narr")["301"] == "A relevant document & more."
    path.write_text(XML)
    assert read_queries(path) == {"1": "coronavirus origin", "2": "x < y"}
    with pytest.raises(InputError, match=r"line 3: expected a topic with a number and <desc>"):
        read_queries(path, field="desc")
    with pytest.raises(InputError, match=r"field: expected one of title, desc, narr, got 'body'"):
        read_queries(path, field="body")
    path.write_text("1 what\n")
    with pytest.raises(InputError, match="expected TREC topics"):
        read_queries(path)


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "queries.tsv.gz"
    path.write_bytes(gzip.compress("\ufeff1\twhat\r\n2\tan é\n".encode()))
    assert read_queries(path) == {"1": "what", "2": "an é"}
    path = tmp_path / "queries.jsonl"
    path.write_text('{"query_id": 7, "title": "t", "metadata": 1}\n\n{"query_id": "8", "title": "u"}\n')
    assert read_queries(path) == {"7": "t", "8": "u"}


def test_documents(tmp_path: Path) -> None:
    path = tmp_path / "collection.tsv"
    path.write_text("0\ta passage\n1\tanother\n")
    assert read_corpus(path) == {"0": {"title": "", "text": "a passage"}, "1": {"title": "", "text": "another"}}
    path.write_text("D1\thttps://x\tTitle\tbody\twith a tab\n")
    assert read_corpus(path) == {"D1": {"title": "Title", "text": "body\twith a tab"}}
    path = tmp_path / "docs.jsonl"
    path.write_text('{"docid": "a", "title": "T", "body": "b"}\n')
    assert read_corpus(path) == {"a": {"title": "T", "text": "b"}}
    path.write_text('{"pid": "p", "passage": "b", "docid": "d"}\n')
    with pytest.raises(InputError, match=r"\*\.jsonl or \*\.tsv"):
        read_corpus(tmp_path / "docs.txt")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.tsv", b"1\twhat\n2 what\n", "line 2: expected 2 columns between tabs, got '2 what'"),
        ("q.tsv", b"1\twhat\n1\twhat\n", "line 2: expected every id once, got '1' again"),
        ("q.tsv", b"1\t\xff\n", "line 1: expected UTF-8"),
        ("q.jsonl", b"{}\n", "line 1: expected an object with an id"),
        ("q.jsonl", b'{"_id": true, "text": "a"}\n', "line 1: expected an object with an id"),
        ("q.jsonl", b"[" * 100000 + b"\n", "line 1: expected an object"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}, {message}"):
        read_queries(tmp_path / name)


@pytest.mark.parametrize("name", ["q.tsv", "q.jsonl", "q.txt", "q.tsv.gz"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(content=st.binary(max_size=40) | st.text("<>/topnum123 \n\t{}\":_id'", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for reader in (read_queries, read_corpus):
        found = refused = None
        try:
            found = reader(path)
        except InputError as error:
            refused = str(error)
        assert isinstance(found, dict) or str(path) in str(refused)
