"""The HTML page: self-contained, escaped, readable in light and dark, drawn to scale; and in a real browser."""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.evaluation import compare, evaluate
from rank_plugins.evaluation.reports import html, report
from rank_plugins.evaluation.reports.style import DARK, LIGHT

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
NASTY = "<img src=x onerror=alert(1)> & \"q\" 'r' </title><script>alert(2)</script>"
VOID = {"meta", "br", "img", "link", "input", "hr"}
SVG = "{http://www.w3.org/2000/svg}"


def collection(queries: int, names: list[str], seed: int = 3):
    """Return judgments, runs whose scores are probabilities, each better than the last, and ids without evidence."""
    rng = random.Random(seed)
    judged = {f"q{i}": {f"d{j}": int(rng.random() < 0.4) for j in range(10)} for i in range(queries)}
    empty = [f"none{i}" for i in range(20)]
    runs = {}
    for quality, name in enumerate(names, 1):
        chance = {query: rng.random() for query in judged}
        runs[name] = {
            query: {
                d: min(1.0, max(0.0, rng.gauss(0.3 + 0.1 * quality * grade * chance[query], 0.15)))
                for d, grade in grades.items()
            }
            for query, grades in judged.items()
        } | {query: {"d0": rng.uniform(0, 0.6)} for query in empty}
    return judged, runs, empty


@pytest.fixture(scope="module")
def page():
    """Return the page of three runs, one of which has a name that would break out of a careless one."""
    judged, runs, empty = collection(40, ["bm25", NASTY, "cross-encoder"])
    return report(judged, runs, "ndcg@10 ap", no_evidence=empty, probabilities=True, title=NASTY)


class Outline(HTMLParser):
    """Checks that every tag that opens is closed, and keeps what is in the page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)


def parsed(text: str) -> Outline:
    outline = Outline()
    outline.feed(text)
    outline.close()
    assert outline.open == []
    return outline


def drawings(text: str) -> list[ET.Element]:
    return [ET.fromstring(found) for found in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]  # noqa: S314


def test_every_tag_is_closed_and_every_section_is_there(page):
    """The page is one well-formed tree, with a section for each question."""
    outline = parsed(page)
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    data = ["Precision and recall", "Abstention", "Reliability"]
    assert titles == ["Scores", "Differences", *data, "Queries", "How this was computed"]
    assert [tag for tag, _ in outline.tags].count("h1") == 1
    assert "40 queries; 0 without relevant documents" in "".join(outline.text)


def test_nothing_is_loaded_from_elsewhere(page):
    """No source, link or style of another file; the page's own policy forbids any request."""
    outline = parsed(page)
    assert not [(tag, a) for tag, a in outline.tags if {"src", "href", "srcset", "data", "action"} & set(a)]
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|WebSocket", page)
    assert set(re.findall(r"https?://[^\"'\s<]*", page)) <= {"http://www.w3.org/2000/svg"}
    policy = [a["content"] for tag, a in outline.tags if tag == "meta" and "http-equiv" in a]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"]


def test_names_are_text(page):
    """A name with tags, quotes and the end of the title stays text everywhere."""
    outline = parsed(page)
    assert [tag for tag, _ in outline.tags].count("script") == 1
    assert "img" not in [tag for tag, _ in outline.tags]
    assert NASTY in outline.text
    assert not [a for _, a in outline.tags if any(name.startswith("on") for name in a)]


def test_every_chart_speaks_and_has_its_values_as_a_table(page):
    """Charts are images with a label for those who do not see them, and a table of values in the same figure."""
    for figure in re.findall(r"<figure>.*?</figure>", page, re.DOTALL):
        (chart,) = [found for found in drawings(figure) if found.get("role") == "img"]
        assert len(chart.get("aria-label")) > 10
        assert figure.count("<table") == 1
    for keys in re.findall(r'<ul class="key">.*?</ul>', page, re.DOTALL):
        assert all(found.get("aria-hidden") == "true" for found in drawings(keys))


def test_the_same_seed_gives_the_same_page():
    """Nothing in the page depends on the time or on chance."""
    judged, runs, empty = collection(12, ["a", "b"])
    pages = {report(judged, runs, "ndcg@10", no_evidence=empty, seed=5) for _ in range(2)}
    assert len(pages) == 1


def numbers(page: str, caption: str) -> dict[str, list[str]]:
    """Return the rows of the first table with this caption, by their first cell."""
    table = re.search(rf"<caption>{re.escape(caption)}</caption>.*?</table>", page, re.DOTALL)[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)[1:]
    cells = [[re.sub(r"<.*?>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]
    return {row[0]: row[1:] for row in cells}


def test_precision_and_recall_are_the_metric(page):
    """The curve shows IPrec of eleven recall levels."""
    judged, runs, _ = collection(40, ["bm25", NASTY, "cross-encoder"])
    mean = evaluate(judged, runs["bm25"], "IPrec@0.0 IPrec@0.5 IPrec@1.0").mean
    row = numbers(page, "Interpolated precision")["bm25"]
    assert [row[0], row[5], row[10]] == [f"{value:.4f}" for value in mean.values()]


def test_false_evidence_is_counted_by_hand(page):
    """At the coverage of all queries the rate is that of the lowest best score of a query with evidence."""
    judged, runs, empty = collection(40, ["bm25", NASTY, "cross-encoder"])
    best = {query: max(row.values()) for query, row in runs["bm25"].items()}
    caption = "False-evidence rate where this share of queries with evidence is answered"
    for share, cell in zip((0.25, 0.5, 0.75, 0.9, 1.0), numbers(page, caption)["bm25"], strict=True):
        tops = sorted((best[query] for query in judged), reverse=True)
        threshold = tops[int(np.ceil(share * len(tops))) - 1]
        assert cell == f"{sum(best[query] >= threshold for query in empty) / len(empty):.1%}"


def test_reliability_counts_all_documents(page):
    """The bins of a run hold every document of its judged queries, unjudged ones as not relevant."""
    row = numbers(page, "Calibration errors; lower is better")["bm25"]
    assert row[0] == "400"
    bins = numbers(page, "Bins of equally many documents")
    assert sum(int(cells[0]) for cells in bins.values()) == 400


def test_more_runs_than_colours():
    """Eleven runs: the eight best get curves, all get bars and rows, and the page says so."""
    judged, runs, _ = collection(10, [f"run{i}" for i in range(11)])
    page = report(judged, runs, "ndcg@10", baseline="run0")
    assert "Drawn are the 8 runs best in ndcg@10; tables have all." in page
    section = page[page.index("<h2>Precision and recall") : page.index("<h2>Abstention")]
    (chart,) = [found for found in drawings(section) if found.get("role") == "img"]
    assert len(list(chart.iter(f"{SVG}polyline"))) == 8
    assert len(numbers(section, "Interpolated precision")) == 11
    bars = drawings(page)[0]
    assert len([box for box in bars.iter(f"{SVG}rect") if box.get("class") == "other"]) == 3


def test_many_queries_are_cut_and_said_to_be():
    """Of 700 queries the 500 that tell most are in the table, those where runs differ most first."""
    judged, runs, _ = collection(700, ["a", "b"])
    page = html(compare(judged, runs, "ndcg@10", resamples=200))
    assert "The 500 of 700 queries where runs differ most" in page
    rows = list(numbers(page, "Queries").values())
    spread = [abs(float(a) - float(b)) for a, b in rows]
    assert len(rows) == 500
    assert all(before >= after - 2e-4 for before, after in itertools.pairwise(spread))  # they are rounded


def test_one_run_and_several_evaluations():
    """A page of one run has no differences; evaluations of several runs have a page too."""
    judged, runs, _ = collection(8, ["a", "b"])
    alone = report(judged, {"a": runs["a"]}, "ndcg@10")
    assert "<h2>Differences" not in alone
    assert "a, 8 queries, ndcg@10" in alone
    evaluations = [evaluate(judged, run, "ndcg@10") for run in runs.values()]
    assert "2 runs, 8 queries" in html(evaluations)
    assert evaluations[0].to_html() == html(evaluations[0])


def test_metrics_beyond_one_have_no_risk():
    """A metric that is no share has no risk-coverage curve, and without declared queries no abstention at all."""
    judged, runs, _ = collection(8, ["a", "b"])
    assert "<h2>Abstention" not in report(judged, runs, "dcg")


def test_averaged_ties_and_a_single_query():
    """With ties="average" the curve of precision says that it breaks ties; one query and an empty list are enough."""
    page = report({"q": {"a": 1}}, {"x": {"q": {"a": 1.0, "b": 1.0}}, "y": {"q": {}}}, "ap", ties="average")
    assert "Equal scores stand by id here" in page
    assert numbers(page, "Means over queries")["a"] == ["x", "0.7500"]


def test_what_a_report_refuses():
    """Runs without names, and raw scores said to be probabilities."""
    judged, runs, _ = collection(5, ["a", "b"])
    with pytest.raises(InputTypeError, match=r"expected \{name: run\}"):
        report(judged, list(runs.values()))
    with pytest.raises(InputError, match="calibrate them first"):
        report(
            judged, {"a": {q: {d: 7 * s for d, s in row.items()} for q, row in runs["a"].items()}}, probabilities=True
        )


def chromium(path, *options: str) -> str:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
    run = subprocess.run(
        [BROWSER, *flags, *options, path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return run.stdout


browser = pytest.mark.skipif(BROWSER is None, reason="needs chromium")

PROBE = """<pre id="probe"></pre><script>
const inside = (a, b) => a.left >= b.left - 1 && a.right <= b.right + 1
  && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
const cut = [], over = [], charts = document.querySelectorAll("svg[role=img]");
for (const chart of charts) {
  const texts = [...chart.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
  texts.forEach(([text, place], i) => {
    if (!inside(place, chart.getBoundingClientRect())) cut.push(text);
    texts.slice(i + 1).forEach(([other, there]) => { if (meet(place, there)) over.push([text, other]); });
  });
}
const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
document.querySelector("#probe").textContent = JSON.stringify({cut, over, wide, charts: charts.length});
</script></body>"""


@browser
@pytest.mark.parametrize("width", [380, 760, 1200])
def test_browser_cuts_nothing_off(page, tmp_path, width):
    """On a phone, a tablet and a desktop no text leaves its chart or covers another, and nothing overflows."""
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", PROBE), encoding="utf-8")
    dom = chromium(path, "--dump-dom", f"--window-size={width},900")
    found = json.loads(unescape(re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)[1]))
    assert found == {"cut": [], "over": [], "wide": False, "charts": page.count('role="img"')}


@browser
def test_browser_sorts_tables(page, tmp_path):
    """Pressing the head of a column sorts the queries by it, highest first, then lowest first."""
    press = "document.querySelectorAll('table.sorted th button')[1].click();"
    for times in (1, 2):
        path = tmp_path / f"sorted{times}.html"
        path.write_text(page.replace("</body>", f"<script>{press * times}</script></body>"), encoding="utf-8")
        rows = list(numbers(chromium(path, "--dump-dom"), "Queries").values())
        values = [float(row[0]) for row in rows]
        assert len(values) == 40
        assert values == sorted(values, reverse=times == 1)


@browser
def test_browser_shows_light_and_dark(page, tmp_path):
    """Both schemes show a drawn page, in their own colours, with the colours of the runs; nothing is blank."""
    pillow = pytest.importorskip("PIL.Image")
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    found = {}
    for scheme, setting in (("light", 1), ("dark", 0)):
        shot = tmp_path / f"{scheme}.png"
        options = (f"--blink-settings=preferredColorScheme={setting}", "--window-size=1000,1400", "--hide-scrollbars")
        chromium(path, *options, f"--screenshot={shot}")
        colours = pillow.open(shot).convert("RGB").getcolors(1 << 24)
        found[scheme] = {f"#{r:02x}{g:02x}{b:02x}": count for count, (r, g, b) in colours}
    for theme, colours in ((LIGHT, found["light"]), (DARK, found["dark"])):
        assert max(colours, key=colours.__getitem__) in (theme["page"], theme["panel"])
        assert all(colours.get(theme[name], 0) > 100 for name in ("page", "panel", "c0", "c1", "c2"))
        assert len(colours) > 50
