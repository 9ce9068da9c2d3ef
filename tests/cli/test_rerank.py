"""rank-plugins rerank: candidates as lists and runs, one query and many, as table, JSON and run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rank_plugins.store import EmbeddingStore
from rank_plugins.testing import DOCUMENTS, HashEncoder

from .conftest import EXAMPLES, documents


@pytest.fixture(scope="module")
def example(tmp_path_factory, encoder):
    """Return a float32 store of the first 5 candidates of 3 example claims, and these claims."""
    claims = [json.loads(line) for line in (EXAMPLES / "queries.jsonl").read_text(encoding="utf-8").splitlines()[:3]]
    rows = map(json.loads, (EXAMPLES / "documents.jsonl").read_text(encoding="utf-8").splitlines())
    texts = {row["id"]: row["text"] for row in rows}
    ids = list(dict.fromkeys(name for claim in claims for name in claim["candidates"][:5]))
    folder = tmp_path_factory.mktemp("example") / "store"
    with EmbeddingStore.open(folder, "a", codec="float32") as store:
        store.add([*ids, "empty"], texts=[*(texts[name] for name in ids), ""], encoder=encoder)
    return folder, [(claim["id"], claim["text"], claim["candidates"][:5]) for claim in claims], texts


@pytest.fixture
def run_file(tmp_path):
    """Return what writes a TREC run of candidates by query, worst first."""

    def write(candidates: dict[str, list[str]]) -> str:
        path = tmp_path / "bm25.trec"
        lines = [
            f"{query} Q0 {document} {rank} {-rank}.5 bm25\n"
            for query, ids in candidates.items()
            for rank, document in reversed(list(enumerate(ids, 1)))
        ]
        path.write_text("".join(lines))
        return str(path)

    return write


def expected(encoder, query: str, texts: dict[str, str]) -> list[tuple[str, float]]:
    """Return the documents by MaxSim in float64, best first."""
    tokens = encoder.encode_queries([query])[0].astype(np.float64)
    vectors = encoder.encode_documents(list(texts.values()))
    scores = [float((tokens @ v.astype(np.float64).T).max(axis=1).sum()) if len(v) else -np.inf for v in vectors]
    return sorted(zip(texts, scores, strict=True), key=lambda row: -row[1])


def test_a_list_as_a_table(example, tmp_path, command, encoder):
    """The ids of a file, blank lines aside, come best first with their scores; --top-k ends the table."""
    folder, [(_, query, ids), *_], texts = example
    (tmp_path / "ids").write_text("\n\n".join(ids) + "\n")
    arguments = ("rerank", "--store", folder, "--query", query, "--candidates", tmp_path / "ids")
    status, out, err = command(*arguments)
    head, *lines = [line.split() for line in out.splitlines()]
    assert (status, err, head) == (0, "", ["rank", "score", "id"])
    best = expected(encoder, query, {name: texts[name] for name in ids})
    assert [(rank, name) for rank, _, name in lines] == [(str(i), name) for i, (name, _) in enumerate(best, 1)]
    assert [float(score) for _, score, _ in lines] == pytest.approx([score for _, score in best], abs=1e-3)
    assert command(*arguments, "--top-k", "2")[1].splitlines() == out.splitlines()[:3]


def test_a_run_of_one_query(example, run_file, command, encoder):
    """Candidates come in the order of their ranks, which are shown beside the new ones."""
    folder, [(number, query, ids), *_], texts = example
    arguments = ("rerank", "--store", folder, "--query", query, "--candidates", run_file({number: [*ids, "empty"]}))
    best = expected(encoder, query, {name: texts[name] for name in ids})
    _, out, _ = command(*arguments)
    head, *lines = [line.split() for line in out.splitlines()]
    assert head == ["rank", "score", "was", "id"]
    assert [(int(was), name) for _, _, was, name in lines[:-1]] == [(ids.index(name) + 1, name) for name, _ in best]
    assert lines[-1] == ["6", "-inf", "6", "empty"]
    found = json.loads(command(*arguments, "--json")[1])
    assert found["query id"] == number
    assert found["results"][-1] == {"rank": 6, "score": -1e9, "id": "empty", "previous rank": 6}
    assert [row["id"] for row in found["results"][:-1]] == [name for name, _ in best]


@pytest.mark.parametrize("name", ["queries.jsonl", "queries.tsv"])
def test_a_run_of_many_queries(name, example, run_file, tmp_path, command, encoder):
    """--queries gives a run: six columns, ranks from 1, the best documents of each query."""
    folder, claims, texts = example
    rows = [*((number, query) for number, query, _ in claims), ("unused", "Not in the run.")]
    text = "".join(json.dumps({"_id": i, "text": t}) + "\n" if "json" in name else f"{i}\t{t}\n" for i, t in rows)
    (tmp_path / name).write_text(text, encoding="utf-8")
    candidates = run_file({number: ids for number, _, ids in claims})
    arguments = ("rerank", "--store", folder, "--queries", tmp_path / name, "--candidates", candidates)
    status, out, err = command(*arguments, "--top-k", "3")
    lines = [line.split() for line in out.splitlines()]
    assert (status, err) == (0, "")
    best = [
        [number, "Q0", document, str(rank), "rank-maxsim"]
        for number, query, ids in claims
        for rank, (document, _) in enumerate(expected(encoder, query, {i: texts[i] for i in ids})[:3], 1)
    ]
    assert [line[:4] + line[5:] for line in lines] == best
    found = json.loads(command(*arguments, "--json")[1])
    assert [(row["query id"], len(row["results"])) for row in found] == [(number, 5) for number, _, _ in claims]
    one = command(*arguments, "--top-k", "3", "--query-id", claims[1][0])[1]
    assert one.splitlines() == out.splitlines()[3:6]
    status, table, _ = command(
        "rerank", "--store", folder, "--query", claims[1][1], "--candidates", candidates, "--query-id", claims[1][0]
    )
    assert [line.split()[-1] for line in table.splitlines()[1:4]] == [line.split()[2] for line in one.splitlines()]


def test_ids_from_standard_input(example, start):
    """The name "-" reads them, and output that nobody reads is no traceback."""
    folder, [(_, query, ids), *_], _ = example
    arguments = ("rerank", "--store", folder, "--query", query, "--candidates", "-")
    process = start(*arguments, stdin=-1)
    out, err = process.communicate("\n".join(ids))
    assert (process.returncode, err, len(out.splitlines())) == (0, "", 6)
    process = start(*arguments, stdin=-1)
    process.stdout.close()
    process.stdin.write("\n".join(ids))
    process.stdin.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1


def test_candidates_that_are_not_there(example, tmp_path, command):
    """They are an error that names the first and how many; skipping them is said on stderr."""
    folder, [(_, query, ids), *_], _ = example
    (tmp_path / "ids").write_text("\n".join(["nowhere", ids[0], "lost"]))
    arguments = ("rerank", "--store", folder, "--query", query, "--candidates", tmp_path / "ids")
    status, out, err = command(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith(f"rank-plugins: 2 candidates are not in {folder}, the first 'nowhere'; ")
    status, out, err = command(*arguments, "--missing", "skip", "--json")
    assert [row["id"] for row in json.loads(out)["results"]] == [ids[0]]
    assert (status, err) == (0, f"rank-plugins: 2 candidates are not in {folder}, the first 'nowhere'; left out\n")
    (tmp_path / "ids").write_text("nowhere")
    assert json.loads(command(*arguments, "--missing", "skip", "--json")[1])["results"] == []


@pytest.mark.parametrize(
    ("candidates", "arguments", "said"),
    [
        ("", [], "expected candidates, a TREC run or an id on each line; got nothing"),
        ("d1\nd2\nd1\n", [], "line 3: 'd1' is there twice"),
        ("1 Q0 d1 1 2.5 x\n1 Q0 d2 2\n", [], "line 2: expected the six columns of a TREC run"),
        ("1 Q0 d1 1 2.5 x\n2 Q0 d1 1 2.5 x\n", [], "expected candidates of one query, got those of 2"),
        ("1 Q0 d1 1 2.5 x\n", ["--query-id", "2"], "--query-id: expected one of the 1 queries of"),
        ("d1\n", ["--query-id", "1"], "expected a TREC run"),
        ("d1\n", ["--top-k", "0"], "top_k: expected at least 1"),
        ("d1\n", ["--query", " "], "query: expected text"),
    ],
)
def test_candidates_that_cannot_be_used(candidates, arguments, said, tmp_path, command, encoder):
    """One line says what is wrong."""
    with EmbeddingStore.open(tmp_path / "store", "a") as store:
        store.add(["d1", "d2"], texts=list(documents(2).values()), encoder=encoder)
    (tmp_path / "candidates").write_text(candidates)
    common = ("rerank", "--store", tmp_path / "store", "--candidates", tmp_path / "candidates", "--query", "steel")
    status, out, err = command(*common, *arguments)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert said in err


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (
            "q.jsonl",
            b'{"_id": "1", "text": "x"}\n{"_id": "1", "text": "y"}\n',
            "line 2: expected an id not there before",
        ),
        ("q.jsonl", b"[]\n", "line 1: expected an id"),
        ("q.jsonl", b"1\tx\n", "line 1: expected an id"),
        ("q.tsv", b"1 x\n", "line 1: expected an id"),
        ("q.tsv", b"2\tx\n", "expected all queries of"),
        ("q.tsv", b"1\t\xff\n", "cannot be read"),
        ("q.txt", b"1\tx\n", "expected queries in a file named"),
        ("missing.tsv", None, "cannot be read"),
    ],
)
def test_queries_that_cannot_be_used(name, data, said, example, run_file, tmp_path, command):
    """One line says what is wrong."""
    folder, [(_, _, ids), *_], _ = example
    if data is not None:
        (tmp_path / name).write_bytes(data)
    status, out, err = command(
        "rerank", "--store", folder, "--queries", tmp_path / name, "--candidates", run_file({"1": ids})
    )
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert said in err


def test_another_encoder(tmp_path, command, encoder):
    """A store is ranked by the encoder that made it, whatever the dimensions."""
    with EmbeddingStore.open(tmp_path / "store", "a") as store:
        store.add([str(i) for i in range(len(DOCUMENTS))], texts=DOCUMENTS, encoder=HashEncoder(encoder.dim))
    (tmp_path / "ids").write_text("0\n")
    status, _, err = command("rerank", "--store", tmp_path / "store", "--query", "x", "--candidates", tmp_path / "ids")
    assert status == 1
    assert "encoder: expected the one that made" in err
