"""Reports as text, Markdown and LaTeX: what they say, that it can be read back, and that names cannot break them."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import Evaluation, compare, evaluate
from rank_plugins.evaluation.reports import latex, markdown, text
from rank_plugins.evaluation.reports.outline import labels, number, p_value, printable
from rank_plugins.evaluation.reports.text import width

QUERIES = 40
NASTY = r"""a_b & c% $d$ #1 {x} ~^\ <b>|"'*`[l](u)"""


def judgments(queries: int = QUERIES) -> dict[str, dict[str, int]]:
    """Return one relevant document of ten for each query."""
    return {f"q{i}": {"d0": 1, "d1": 0} for i in range(queries)}


def ranked(places: list[int]) -> dict[str, dict[str, float]]:
    """Return a run whose relevant document stands at the given place (from 1) in each query."""
    run = {}
    for i, place in enumerate(places):
        order = [f"x{j}" for j in range(9)]
        order.insert(place - 1, "d0")
        run[f"q{i}"] = {document: float(-rank) for rank, document in enumerate(order)}
    return run


RUNS = {
    "best": ranked([1] * QUERIES),
    "worse": ranked([2] * (QUERIES - 2) + [1, 1]),
    "worst": ranked([4] * QUERIES),
}


@pytest.fixture(scope="module")
def comparison():
    """Return three runs whose order no test can doubt."""
    return compare(judgments(), RUNS, "rr ndcg@10", resamples=2000)


@pytest.fixture(scope="module")
def evaluations():
    """Return the same runs, evaluated one by one."""
    found = [evaluate(judgments(), run, "rr ndcg@10 num_rel_ret") for run in RUNS.values()]
    for name, evaluation in zip(RUNS, found, strict=True):
        evaluation.name = name
    return found


def cells(table: str) -> list[list[str]]:
    """Return the fields of aligned text, which two spaces or more separate."""
    return [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()]


def test_one_run_as_text(evaluations):
    """A run alone has a row for each metric; counts have no decimals; the notes say what was averaged."""
    table, notes = text(evaluations[1]).split("\n\n")
    mean = (QUERIES - 2) * 0.5 / QUERIES + 2 / QUERIES
    assert cells(table)[:2] == [["metric", "worse"], ["rr", f"{mean:.4f}"]]
    assert cells(table)[3] == ["num_rel_ret", str(QUERIES)]
    assert notes.startswith(f"{QUERIES} queries; 0 without relevant documents; 0 judged but absent")
    assert "relevance level 1" in notes
    assert "ties id_desc" in notes


def test_several_runs_as_text(evaluations):
    """Runs are rows, metrics columns, the best is starred; all lines of a column end at the same place."""
    table = text(evaluations).split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in table] == ["run", *RUNS]
    assert table[1].split()[1:] == ["1.0000*", "1.0000*", f"{QUERIES}*"]
    assert "*" not in table[3].split()[1]
    decimals = {tuple(match.start() for match in re.finditer(r"\.\d{4}", line)) for line in table[1:]}
    assert len(decimals) == 1


def test_left_out_queries_are_named():
    """Queries without relevant documents, absent and ignored ones are counted, and the first are named."""
    qrels = judgments(3) | {"none": {"d0": 0}}
    run = ranked([1, 1]) | {f"extra{i}": {"d0": 1.0} for i in range(7)}
    said = text(evaluate(qrels, run, "rr"))
    assert "4 queries; 1 without relevant documents (none);" in said
    assert "2 judged but absent from the run (q2, none)" in said
    assert "7 of the run without judgments, ignored (extra0, extra1, extra2, extra3, extra4, ...)" in said


def test_notes_differ_by_run(evaluations):
    """Runs that lack different queries each get their own line."""
    short = evaluate(judgments(), ranked([1] * 5), "rr ndcg@10 num_rel_ret")
    short.name = "short"
    said = text([evaluations[0], short])
    assert f"best: {QUERIES} queries; 0 without relevant documents; 0 judged but absent" in said
    assert f"short: {QUERIES} queries; 0 without relevant documents; {QUERIES - 5} judged but absent" in said


def test_intervals_are_those_of_the_evaluation(evaluations):
    """With `ci` each mean has the interval that `Evaluation.ci` gives; a sum has none."""
    low, high = evaluations[1].ci(0.9)["rr"]
    said = text(evaluations[1], ci=0.9)
    assert f"[{low:.4f}, {high:.4f}]" in said
    assert "Intervals: 90%, BCa bootstrap over queries." in said
    (counts,) = (line for line in said.splitlines() if line.startswith("num_rel_ret"))
    assert "[" not in counts


def test_every_query(evaluations):
    """`per_query` adds each query's value, for one run and for several."""
    alone = text(evaluations[1], per_query=True).split("\n\n")[1]
    assert cells(alone)[0] == ["query", "rr", "ndcg@10", "num_rel_ret"]
    assert cells(alone)[1][:2] == ["q0", "0.5000"]
    assert len(cells(alone)) == QUERIES + 1
    several = text(evaluations, per_query=True).split("\n\n")[1]
    assert cells(several)[0][:4] == ["query", "rr best", "rr worse", "rr worst"]
    assert cells(several)[1][:4] == ["q0", "1.0000", "0.5000", "0.2500"]


def test_comparison_marks_what_a_run_beats(comparison):
    """The best run beats both others, the second one the third; a difference has its effect size beside its p."""
    means, differences, notes = text(comparison).split("\n\n")
    rows = {line.split()[1]: line.split()[2:] for line in means.splitlines()[1:]}
    assert rows["best"] == ["1.0000*", "bc", "1.0000*", "bc"]
    assert rows["worse"][1] == "c"
    assert len(rows["worst"]) == 2
    header, first, *_ = cells(differences)
    assert header == [
        "metric", "run", "against", "difference", "interval", "d_z", "p", "p corrected", "win/tie/loss",
    ]  # fmt: skip
    d = comparison.differences[0]
    assert first[:4] == ["rr", "worse", "best", f"{d.mean:+.4f}"]
    assert first[5] == f"{d.effect_size:+.2f}"
    assert first[-1] == f"0/2/{QUERIES - 2}"
    assert "Test: paired randomization (2,000 resamples, seed 0); correction maxt over 6 differences" in notes


def test_baseline_is_named():
    """With a baseline, only differences from it are there, and the notes say so."""
    said = text(compare(judgments(), RUNS, "rr", baseline="worst", resamples=500))
    assert "over 2 differences, all against worst" in said


def test_more_than_26_runs():
    """Beyond the alphabet runs are numbered, and marks are separated: no label stands for two runs."""
    runs = {f"run{i}": RUNS["worst"] for i in range(29)} | {"best": RUNS["best"]}
    said = text(compare(judgments(), runs, "rr", baseline="best", resamples=500))
    assert ",".join(map(str, range(1, 30))) in said
    assert len(set(labels(26))) == 26
    assert labels(27)[-1] == "27"


def test_markdown_is_a_table(comparison):
    """A Markdown parser finds the same numbers; the best is bold, marks are superscripts."""
    parser = pytest.importorskip("markdown_it").MarkdownIt("commonmark", {"html": True}).enable("table")
    html = parser.render(markdown(comparison))
    assert html.count("<table>") == 2
    assert "<strong>1.0000</strong><sup>bc</sup>" in html
    assert html.count("<tr>") == 1 + 3 + 1 + 6


@pytest.mark.parametrize("name", [NASTY, "a|b", "__init__", "<script>", "1. x", "back\\slash", "tick`s"])
def test_markdown_shows_names_as_they_are(name):
    """Names of runs, whatever is in them, come out of a Markdown parser unchanged."""
    parser = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    evaluation = evaluate(judgments(), RUNS["best"], "rr")
    evaluation.name = name
    tokens = parser.parse(markdown(evaluation))
    cells = [token for i, token in enumerate(tokens) if i and tokens[i - 1].type == "th_open"]
    assert "".join(child.content for child in cells[1].children) == name


def test_latex_is_booktabs(comparison):
    """LaTeX has the rules of booktabs, a column for each field, bold and superscripts, and balanced braces."""
    said = latex(comparison)
    first = said.split("\n\n")[0]
    assert r"\begin{tabular}{llrr}" in first
    assert [rule for rule in ("\\toprule", "\\midrule", "\\bottomrule") if first.count(rule) == 1] == [
        "\\toprule", "\\midrule", "\\bottomrule",
    ]  # fmt: skip
    assert r"a & best & \textbf{1.0000}$^{\mathrm{bc}}$ & \textbf{1.0000}$^{\mathrm{bc}}$ \\" in first
    for table in said.split("\n\n"):
        rows = re.search(r"\\toprule\n(.*)\\bottomrule", table, re.DOTALL)[1].replace("\\midrule\n", "")
        columns = len(re.search(r"\{tabular\}\{(\w+)\}", table)[1])
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows.splitlines()} == {columns}
    assert "$-$0." in said


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12))
@example(NASTY)
@example("[0.5]")
def test_latex_names_cannot_break_out(name):
    """No character of a name is left that LaTeX obeys: read back by undoing the escapes, it is the name itself."""
    evaluation = evaluate(judgments(2), RUNS["best"], "rr")
    evaluation.name = name
    head = re.search(r"\\toprule\nmetric & (.*) \\\\\n", latex(evaluation))[1]
    known = {
        r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<",
        r"\textgreater{}": ">", r"\textbar{}": "|", "{[}": "[", "{]}": "]", **{f"\\{c}": c for c in "&%$#_{}"},
    }  # fmt: skip
    pattern = re.compile("|".join(map(re.escape, sorted(known, key=len, reverse=True))) + r"|[^\\&%$#_{}~^<>|\[\]]")
    pieces = pattern.findall(head)
    assert "".join(pieces) == head
    assert "".join(known.get(piece, piece) for piece in pieces) == printable(name)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=4, unique_by=printable))
def test_names_stay_on_their_line(names):
    """Line breaks, tabs and terminal sequences in names do nothing: as many lines, all equally wide on a terminal."""
    found = []
    for name in names:
        found.append(evaluate(judgments(2), ranked([1, 3]), "rr"))
        found[-1].name = name
    table = text(found).split("\n\n")[0]
    lines = table.split("\n")
    assert len(lines) == len(names) + 1
    assert all(line.isprintable() for line in lines)
    ends = [width(line[: line.rindex("0.6667")]) for line in lines[1:]]
    assert len(set(ends)) == 1


def test_wide_characters_take_two_columns():
    """Chinese, an accent that combines, and plain letters."""
    assert [width(word) for word in ("中文", "e\u0301", "abc")] == [4, 1, 3]


def test_numbers_as_printed():
    """Four decimals, whole counts, no negative zero, no p of zero, nothing for what is not a number."""
    assert [number(x) for x in (0.12345, 43.0, 1.0, -0.00001, 1234.5, math.nan)] == [
        "0.1235", "43", "1.0000", "0.0000", "1234.5000", "-",
    ]  # fmt: skip
    assert number(0.25, "+") == "+0.2500"
    assert [p_value(x) for x in (0.05, 0.00001, 1.0, math.nan)] == ["0.0500", "<0.0001", "1.0000", "-"]


def test_what_cannot_be_reported(evaluations):
    """Other metrics in one run than in another, nothing, and things that are no evaluations are refused."""
    other = evaluate(judgments(), RUNS["best"], "rr")
    with pytest.raises(InputError, match="expected the same metrics of every run, got rr, ndcg@10, num_rel_ret and rr"):
        text([evaluations[0], other])
    with pytest.raises(InputError, match="at least one"):
        text([])
    with pytest.raises(InputTypeError, match="expected an Evaluation, .* got dict"):
        text([{"rr": 1.0}])


def test_the_classes_report_themselves(comparison, evaluations):
    """str, to_markdown and to_latex of evaluations and comparisons are these reports."""
    for result in (comparison, evaluations[0]):
        assert str(result) == text(result)
        assert result.to_markdown() == markdown(result)
        assert result.to_latex() == latex(result)
    loaded = Evaluation.from_dict(evaluations[0].to_dict())
    assert text(loaded) == text(evaluations[0])
