"""rank-plugins trec-eval: trec_eval's options and lines, the values those of pytrec_eval on real runs."""

from __future__ import annotations

import sys

import pytest

from .conftest import COMMAND

OFFICIAL = [
    *("runid", "num_q", "num_ret", "num_rel", "num_rel_ret", "map", "gm_map", "Rprec", "bpref", "recip_rank"),
    *(f"iprec_at_recall_{i / 10:.2f}" for i in range(11)),
    *(f"P_{k}" for k in (5, 10, 15, 20, 30, 100, 200, 500, 1000)),
]
COUNTS = ("num_q", "num_ret", "num_rel", "num_rel_ret", "num_nonrel_judged_ret")
QRELS = """\
q1 0 d1 1
q1 0 d2 0
q1 0 d3 2
q1 0 d4 -1
q2 0 d1 1
q3 0 d9 1
"""
RUN = """\
q2 Q0 d5 1 9.0 mine
q2 Q0 d1 2 8.0 mine
q1 Q0 d2 1 3.0 mine
q1 Q0 d3 2 2.0 mine
q1 Q0 d4 3 2.0 mine
q1 Q0 x 4 1.0 mine
unjudged Q0 x 1 1.0 mine
"""


@pytest.fixture
def files(tmp_path):
    """Return the paths of a small collection."""
    (tmp_path / "qrels").write_text(QRELS)
    (tmp_path / "results").write_text(RUN)
    return tmp_path / "qrels", tmp_path / "results"


def values(out: str) -> dict[tuple[str, str], str]:
    """Return what is printed by query and measure; every line has trec_eval's layout."""
    found = {}
    for line in out.splitlines():
        name, query, value = line.split("\t")
        assert len(name) >= 22
        found[query, name.rstrip()] = value
    return found


def test_official_measures(files, command):
    """Without options the official measures of the queries that the run has, in trec_eval's order and layout."""
    status, out, err = command("trec-eval", *files)
    assert (status, err) == (0, "")
    assert [line.split("\t")[0].rstrip() for line in out.splitlines()] == OFFICIAL
    assert out.splitlines()[:6] == [
        "runid                 \tall\tmine",
        "num_q                 \tall\t2",
        "num_ret               \tall\t6",
        "num_rel               \tall\t3",
        "num_rel_ret           \tall\t2",
        # q1: d4 stands before d3, for equal scores go by id, the larger first: 1/3 of 2 relevant; q2: 1/2.
        f"map                   \tall\t{((1 / 3) / 2 + 1 / 2) / 2:.4f}",
    ]
    assert "P_5                   \tall\t0.2000" in out


def test_every_query(files, command):
    """-q prints each query first, by id, without the measures of the summary; -n leaves the summary out."""
    _, out, _ = command("trec-eval", "-q", *files)
    queries = [line.split("\t")[1] for line in out.splitlines()]
    assert queries == sorted(queries, key=["q1", "q2", "all"].index)
    assert not {("q1", "runid"), ("q1", "num_q"), ("q1", "gm_map")} & set(values(out))
    assert len(out.splitlines()) == 2 * (len(OFFICIAL) - 3) + len(OFFICIAL)
    _, short, _ = command("trec-eval", "-q", "-n", *files)
    assert out.startswith(short)
    assert "\tall\t" not in short


def test_complete(files, command):
    """-c averages over all judged queries; a query that the run lacks has no lines of its own."""
    _, out, _ = command("trec-eval", "-c", "-q", *files)
    found = values(out)
    assert found["all", "num_q"] == "3"
    assert found["all", "recip_rank"] == f"{(1 / 3 + 1 / 2) / 3:.4f}"
    assert found["all", "num_rel"] == "4"
    assert not [key for key in found if key[0] == "q3"]


def test_options_of_relevance_and_depth(files, command):
    """-l, -M, -J and -N, glued or apart, change what they should."""
    _, out, _ = command("trec-eval", "-l2", *files)
    assert values(out)["all", "num_rel"] == "1"
    _, out, _ = command("trec-eval", "-M", "2", "-q", *files)
    assert values(out)["q1", "num_ret"] == "2"
    assert values(out)["q1", "num_rel_ret"] == "0"  # d4 is the second document, d3 the third
    _, out, _ = command("trec-eval", "-J", "-q", *files)
    assert values(out)["q1", "num_ret"] == "2"  # a grade below 0 is no judgment
    _, out, _ = command("trec-eval", "-m", "utility.0,0,0,1", "-N", "100", *files)
    # Neither retrieved nor relevant: 100 + 1 - 4 - 2 for q1, 100 + 1 - 2 - 1 for q2.
    assert values(out)["all", "utility_0,0,0,1"] == f"{(95 + 98) / 2:.4f}"


def test_measures_with_parameters(files, command):
    """-m with parameters after the point, in any order, several times; cut-offs come sorted."""
    arguments = [
        "-mndcg_cut.10,2",
        "-m",
        "P.7,3",
        "-miprec_at_recall..50,.10",
        "-m",
        "map",
        "-mutility.2,-1,0,0",
        "-mndcg.1=3,2=9",
    ]
    _, out, _ = command("trec-eval", *arguments, *files)
    assert [name for _, name in values(out)] == [
        "map", "iprec_at_recall_0.10", "iprec_at_recall_0.50", "P_3", "P_7", "utility_2,-1,0,0", "ndcg_1=3,2=9",
        "ndcg_cut_2", "ndcg_cut_10",
    ]  # fmt: skip
    assert values(out)["all", "utility_2,-1,0,0"] == f"{((2 - 3) + (2 - 1)) / 2:.4f}"


def test_strings_of_grades(files, command):
    """Relstring shows the first grades of each query: unjudged "-", and judged -1 like it."""
    _, out, _ = command("trec-eval", "-q", "-m", "relstring.3", *files)
    assert out.splitlines() == ["relstring_3           \tq1\t'0-2'", "relstring_3           \tq2\t'-1'"]


def test_sets_and_all(files, command):
    """-m set and -m all_trec print whole families, strings of grades among them for single queries only."""
    _, out, _ = command("trec-eval", "-m", "set", *files)
    assert [name for _, name in values(out)][:5] == ["runid", "num_q", "num_ret", "num_rel", "num_rel_ret"]
    assert ("all", "set_F") in values(out)
    _, out, _ = command("trec-eval", "-q", "-m", "all_trec", *files)
    found = values(out)
    assert ("q1", "relstring") in found
    assert ("all", "relstring") not in found
    assert ("all", "gm_bpref") in found
    assert ("q1", "gm_bpref") not in found


def test_standard_input(files, start):
    """The results "-" are read from standard input."""
    process = start("trec-eval", "-m", "num_ret", files[0], "-", stdin=-1)
    out, err = process.communicate(RUN)
    assert (out, err, process.returncode) == ("num_ret               \tall\t6\n", "", 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-m", "mapp"], "unknown metric 'mapp' in 'mapp'; did you mean"),
        (["-m", "rr@10"], "-m: expected a measure of trec_eval, got 'rr@10'; rank-plugins eval knows it"),
        (["-m", "relstring.x"], "expected a number of documents as in relstring.10"),
        (["-M", "0"], "-M: expected at least 1, got 0"),
    ],
)
def test_wrong_values_end_with_1(files, command, arguments, said):
    """What cannot be computed is said in one line, with a suggestion where there is one."""
    status, out, err = command("trec-eval", *arguments, *files)
    assert (status, out) == (1, "")
    assert err.startswith("rank-plugins: ")
    assert said in err
    assert err.count("\n") == 1


def test_nothing_in_common(files, tmp_path, command):
    """A run without a judged query is an error, not a row of zeros."""
    (tmp_path / "other").write_text("q7 Q0 d1 1 1.0 other\n")
    status, _, err = command("trec-eval", "-c", files[0], tmp_path / "other")
    assert status == 1
    assert "expected queries that" in err


@pytest.mark.parametrize("option", ["-Z", "-D", "-o", "-R=prefs", "-T=other"])
def test_unsupported_options_end_with_2(files, start, option):
    """Options of trec_eval that are not there, and other formats, are wrong usage."""
    process = start("trec-eval", *option.split("="), *files)
    _, err = process.communicate()
    assert process.returncode == 2
    assert "trec-eval: error" in err or "rank-plugins: error" in err


NINE = ("iprec_at_recall", "11pt_avg")  # trec_eval 10 interpolates otherwise than the 9 in pytrec_eval


@pytest.mark.parametrize("options", [[], ["-c"], ["-l", "2"], ["-J"]], ids=" ".join)
@pytest.mark.parametrize(
    ("folder", "qrels", "run"),
    [
        ("trec-dl19-pool", "qrels/test.full.tsv", "bm25"),
        ("trec-dl19-pool", "qrels/test.full.tsv", "splade_pp_ed"),
        ("runs-trec-covid", "qrels.txt", "bm25"),
        ("runs-trec-covid", "qrels.txt", "splade_pp_ed"),
    ],
)
def test_real_runs_against_pytrec_eval(data, command, folder, qrels, run, options):
    """On real runs every line of -q -m all_trec that pytrec_eval knows has its value, printed the same."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    path = data / folder / "runs" / f"{run}.trec"
    status, out, _ = command("trec-eval", "-q", "-m", "all_trec", *options, data / folder / qrels, path)
    assert status == 0
    found = values(out)
    judged: dict[str, dict[str, int]] = {}
    rows = [line.split() for line in (data / folder / qrels).read_text().splitlines()]
    for row in rows[rows[0][0] == "query-id" :]:
        judged.setdefault(row[0], {})[row[-2]] = int(row[-1])
    retrieved: dict[str, dict[str, float]] = {}
    for line in path.read_text().splitlines():
        query, _, document, _, score, _ = line.split()
        retrieved.setdefault(query, {})[document] = float(score)
    measures = pytrec_eval.supported_measures - {"relstring", "runid", *NINE}
    level = 2 if options[:1] == ["-l"] else 1
    evaluator = pytrec_eval.RelevanceEvaluator(
        judged, measures, relevance_level=level, judged_docs_only_flag="-J" in options
    )
    oracle = evaluator.evaluate(retrieved)
    compared = 0
    for query, row in oracle.items():
        for name, value in row.items():
            if name in ("num_q", "gm_map", "gm_bpref"):
                continue
            assert found[query, name] == (f"{value:.0f}" if name in COUNTS else f"{value:6.4f}"), (query, name)
            compared += 1
    assert compared > 60 * len(oracle)
    for name in next(iter(oracle.values())):
        each = [row[name] for row in oracle.values()]
        mean = pytrec_eval.compute_aggregated_measure(name, each)
        assert found["all", name] == (f"{mean:.0f}" if name in COUNTS else f"{mean:6.4f}"), name


def test_the_installed_command(files, start):
    """The command in a process of its own prints the same, and nothing to standard error."""
    assert COMMAND[0] == sys.executable
    process = start("trec-eval", "-m", "map", *files)
    out, err = process.communicate()
    assert (process.returncode, out.split("\t")[1], err) == (0, "all", "")
