"""rank-plugins explain: the table, the page and JSON, of texts, files and standard input."""

from __future__ import annotations

import json
import subprocess

import pytest

from rank_plugins.rerankers.maxsim import MaxSimReranker

pytestmark = pytest.mark.usefixtures("encoder")

QUERY = "does coffee keep people awake"
TEXTS = ["The Alps run through eight countries.", "Caffeine delays sleep by blocking adenosine."]


def test_one_document(command):
    """Prints the explanation as it is."""
    status, out, _ = command("explain", "--query", QUERY, "--document", TEXTS[1])
    assert status == 0
    assert out.rstrip("\n") == str(MaxSimReranker().explain(QUERY, TEXTS[1]))


def test_several_documents_are_ranked(command, tmp_path):
    """The best comes first, a file under its name; the mean as the reranker gives it."""
    path = tmp_path / "sleep.txt"
    path.write_text(TEXTS[1], encoding="utf-8-sig")
    options = ("explain", "--query", QUERY, "--document", TEXTS[0], "--file", path, "--document", "", "--score", "mean")
    status, out, _ = command(*options)
    assert status == 0
    heads = [line.split(":")[0] for line in out.splitlines() if ": score " in line]
    assert heads == ["sleep.txt", "document 1", "document 2"]
    found = json.loads(command(*options, "--json")[1])
    expected = MaxSimReranker(score="mean").rerank(QUERY, [TEXTS[1], TEXTS[0]]).scores
    assert [row["name"] for row in found] == heads
    assert [row["score"] for row in found] == pytest.approx([*expected, -1e9], abs=1e-5)


def test_page(command, tmp_path):
    """Writes one page of all documents, and says so."""
    path = tmp_path / "page.html"
    status, out, err = command(
        "explain", "--query", QUERY, "--document", TEXTS[0], "--document", TEXTS[1], "--html", path
    )
    page = path.read_text(encoding="utf-8")
    assert (status, out) == (0, "")
    assert f"{path}, {path.stat().st_size:,} bytes" in err
    assert page.index("1. document 2") < page.index("2. document 1")


def test_standard_input(start):
    """A dash reads it."""
    process = start("explain", "--query", QUERY, "--file", "-", stdin=subprocess.PIPE)
    out, err = process.communicate(TEXTS[1], timeout=120)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("score ")


def test_names_tell_files_apart_and_are_shown_safely(command, tmp_path):
    """Files of one name are called by their paths; what a terminal would obey, or JSON cannot hold, is replaced."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.txt").write_text(TEXTS[0])
    odd = tmp_path / "\x1b[31m.txt"
    odd.write_text(TEXTS[1])
    files = [tmp_path / "a" / "x.txt", tmp_path / "b" / "x.txt", odd]
    options = ("explain", "--query", QUERY, *(part for path in files for part in ("--file", path)))
    names = ["\ufffd[31m.txt", str(files[0]), str(files[1])]
    assert [row["name"] for row in json.loads(command(*options, "--json")[1])] == names
    out = command(*options)[1]
    assert [line.split(": score ")[0] for line in out.splitlines() if ": score " in line] == names
    assert "\x1b" not in out


def test_what_is_wrong_is_said(command, tmp_path):
    """No document, a file that is not there or no text, a page that cannot be written, an empty query."""
    damaged = tmp_path / "image.png"
    damaged.write_bytes(b"\x89PNG\xff")
    cases = {
        "explain: expected a document with --document or --file, got none": (),
        "cannot be read: No such file": ("--file", tmp_path / "absent.txt"),
        "expected text in UTF-8, got other bytes at 0": ("--file", damaged),
        "--file: expected - once, standard input cannot be read again": ("--file", "-", "--file", "-"),
        "cannot be written": ("--document", "a", "--html", tmp_path / "no" / "page.html"),
    }
    for message, options in cases.items():
        status, out, err = command("explain", "--query", QUERY, *options)
        assert (status, out) == (1, "")
        assert message in err
    assert "an empty query ranks nothing" in command("explain", "--query", " ", "--document", "a")[2]
