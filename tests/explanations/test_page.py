"""The explanation page: complete, escaped, readable on every shade; and what a real browser makes of it."""

from __future__ import annotations

import functools
import itertools
import json
import re
import shutil
import subprocess
from html import escape, unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rank_plugins import InputError
from rank_plugins.evaluation.reports import style as house
from rank_plugins.explanations import html
from rank_plugins.explanations.style import EDGE, MARK, SIMILARITY, contrast
from rank_plugins.rerankers.maxsim import MaxSimReranker
from rank_plugins.testing import HashEncoder

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
THEMES = {"light": house.LIGHT, "dark": house.DARK}
NASTY = "<img src=x onerror=alert(1)> & \"q\" 'r' </p></title><script>alert(2)</script>"
SCRIPTS = "\u0645\u0631\u0636 \u0627\u0644\u0633\u0643 \u6771\u4eac \U0001f600 \U0001f469\u200d\U0001f467 na\u00efve"
VOID = {"meta", "br", "img", "link", "input", "hr"}
QUERY = "does caffeine delay sleep in people"
DOCUMENTS = [
    "Caffeine delays sleep in most people.\n\nIt does so by blocking adenosine; sleep returns after hours.",
    "Wind tunnels measure the drag of a wing in air.",
    "",
]


@functools.cache
def reranker(kind: str = "sum") -> MaxSimReranker:
    """Return one over words, whose similarities are 1 for equal ones."""
    return MaxSimReranker(HashEncoder(64), score=kind)


def explain(query: str, *documents: str, kind: str = "sum"):
    return [reranker(kind).explain(query, document) for document in documents]


@functools.cache
def sample() -> str:
    """Return the page of three documents, one without a word."""
    return html(explain(QUERY, *DOCUMENTS), ["sleep", "wings", "nothing"])


class Page(HTMLParser):
    """Checks that every tag that opens is closed, and keeps tags, texts, and the texts of documents."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict]] = []
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.documents: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(self.tags[-1])
            if dict(attributes).get("class") == "text":
                self.documents.append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][0] != "style":
            self.texts.append(data)
            if any(attributes.get("class") == "text" for _, attributes in self.open):
                self.documents[-1] += data

    def of_class(self, name: str) -> list[dict]:
        return [a for _, a in self.tags if name in (a.get("class") or "").split()]


def test_nothing_runs_and_nothing_is_loaded():
    """No script, no handler, no address but those of the page itself; the page's own policy forbids all else."""
    page = Page(sample())
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    assert not [a for _, a in page.tags if {"src", "srcset", "data", "action"} & set(a)]
    assert [a["href"] for _, a in page.tags if "href" in a] == ["#d1", "#d2", "#d3"]
    assert not re.search(r"url\(|@import|fetch\(", sample())
    assert set(re.findall(r"https?://[^\"'\s<]*", sample())) <= {"http://www.w3.org/2000/svg"}
    policy = [a["content"] for tag, a in page.tags if "http-equiv" in a]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


@pytest.mark.parametrize("text", [NASTY, SCRIPTS, "\u202eevil \u2066x", "a\x00\x07\x1b[31m b", "\ud800 x", "x" * 3000])
def test_texts_are_shown_as_they_are(text):
    """Tags and quotes, other scripts and long words stay text; what a page would obey is replaced."""
    page = Page(html(explain(f"{text} word", f"other {text} word"), [text]))
    assert {tag for tag, _ in page.tags} & {"script", "img", "title"} == {"title"}
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    shown = re.sub("[\u202a-\u202e\u2066-\u2069\ud800-\udfff\x00-\x08\x0b-\x1f]", "\ufffd", text)
    assert page.documents == [f"other {shown} word"]
    assert f"{shown} word" in page.texts


CHARACTERS = st.characters(exclude_categories=["Cs"])


@settings(max_examples=60, deadline=None)
@given(query=st.text(CHARACTERS, min_size=1).filter(str.strip), document=st.text(CHARACTERS))
def test_the_document_is_there_letter_by_letter(query, document):
    """Marks change nothing of a text, and every matched token has one."""
    (one,) = explain(query, document + " " + query)
    page = Page(one.html())
    parsed = "".join(c if ord(c) > 31 or c in "\n\t\r" else "\ufffd" for c in one.document)
    parsed = re.sub("[\x7f-\x9f\u202a-\u202e\u2066-\u2069\r]", "\ufffd", parsed)
    assert page.documents == [parsed]
    linked = {name for mark in page.tags if mark[0] == "mark" for name in mark[1]["class"].split()[1:]}
    assert linked == {f"q{i}" for i in range(len(one.query_tokens))}


def test_documents_are_ranked_and_named():
    """The best is first whatever the order that they come in, and one without tokens is last and says so."""
    explanations = explain(QUERY, *DOCUMENTS)
    names = ["sleep", "wings", "nothing"]
    backwards = html(explanations[::-1], names[::-1])
    assert backwards == sample()
    heads = re.findall(r"<section.*?<h2><span>(.*?)</span><b>(.*?)</b>", sample())
    scores = [f"{one.score:.2f}" for one in explanations[:2]]
    assert heads == [("1. sleep", scores[0]), ("2. wings", scores[1]), ("3. nothing", "\u2212\u221e")]
    assert "This document is empty." in sample()
    assert "<h2><span>Document</span>" in explanations[0].html()
    many = html(explain(QUERY, *(f"sleep {i}" for i in range(5))))
    assert many.count('<table class="heat"') == 5
    assert many.count("<details><summary>Heat map") == 2  # of the last ones, to keep the page short


def test_numbers_are_those_of_the_explanation():
    """A chip for every query token with its contribution; in the heat map one best match a row, where it is."""
    (one,) = explain(QUERY, DOCUMENTS[0])
    page = one.html()
    chips = re.findall(r'<li class="h(\d) q(\d+).*?<b dir="auto">(.*?)</b>.*?<small>([\d.]+)</small>', page)
    assert [int(shade) for shade, *_ in chips] == [round(max(value, 0) * 8) for value in one.similarities.max(axis=1)]
    assert [(int(i), text) for _, i, text, _ in chips] == list(enumerate(QUERY.split()))
    assert [float(value) for *_, value in chips] == pytest.approx(one.contributions, abs=0.005)
    rows = re.search(r'<table class="heat".*?</table>', page, re.DOTALL)[0].split("<tr>")[2:]
    kept = sorted(set(one.matches.tolist()))
    for i, row in enumerate(rows):
        cells = re.findall(r'<td class="h(\d)( best)?.*?title="(.*?)"', row)
        assert [bool(best) for _, best, _ in cells] == [j == one.matches[i] for j in kept]
        assert [float(title.split(": ")[1]) for *_, title in cells] == pytest.approx(
            one.similarities[i, kept], abs=0.005
        )


def test_all_columns_are_drawn():
    """The cells of the drawing cover every query token and document token once, in its shade."""
    (one,) = explain(QUERY, DOCUMENTS[0])
    drawing = re.search(r'<svg class="map".*?</svg>', one.html(), re.DOTALL)[0]
    found = np.full(one.similarities.shape, -1)
    for shade, path in re.findall(r'<path class="f(\d)" d="(.*?)"/>', drawing):
        for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", path):
            cells = found[int(y), int(x) : int(x) + int(width)]
            assert (cells == -1).all()
            cells[:] = int(shade)
    assert np.array_equal(found, np.clip(np.rint(one.similarities * 8), 0, 8))


def test_a_long_document_is_shown_in_passages():
    """Its matches with what stands around them; the whole text, closed; a page that stays small."""
    filler = " ".join(f"line{i} tells nothing" for i in range(3000))
    document = f"{filler} Caffeine delays sleep. {filler} In people it does."
    (one,) = explain(QUERY, document)
    text = one.html()
    page = Page(text)
    passages, whole = page.documents
    assert whole == document
    assert "Caffeine delays sleep." in passages
    assert "In people it does." in passages
    assert len(passages) < 4000
    assert text.index("<summary>Whole text") < text.index(whole[:40], text.index("<summary>Whole text"))
    assert "Around the matches, of 18,007 document tokens" in text
    assert len(text) < 3 * len(document)


def test_what_cannot_be_one_page_is_refused():
    """No explanation, two queries, names of another number."""
    one, other = explain(QUERY, "a", "b")
    with pytest.raises(InputError, match="expected at least one explanation, got none"):
        html([])
    with pytest.raises(InputError, match="expected explanations of one query"):
        html([one, *explain("another", "a")])
    with pytest.raises(InputError, match="expected explanations of one query by one reranker"):
        html([one, *explain(QUERY, "a", kind="mean")])
    with pytest.raises(InputError, match=r"names: expected 2 of them \(one per explanation\), got 1"):
        html([one, other], ["a"])


def test_expansion_is_one_chip_and_the_mean_is_said():
    """Equal tokens that a model adds in a row stand together, with the sum of what they bring."""

    class Expanding(HashEncoder):
        def encode_queries(self, texts):
            return super().encode_queries([f"{text} [MASK] [MASK] [MASK] [MASK]" for text in texts])

        def tokens(self, texts, role):
            if role == "document":
                return super().tokens(texts, role)
            padded = super().tokens([f"{text} [MASK] [MASK] [MASK] [MASK]" for text in texts], role)
            return [[t if t.text != "[MASK]" else t._replace(start=0, stop=0) for t in row] for row in padded]

    one = MaxSimReranker(Expanding(64), score="mean").explain("caffeine sleep", "sleep and caffeine")
    page = one.html()
    assert page.count('<li class="h') == 3
    (chip,) = re.findall(r"<b dir=\"auto\">\[MASK\] \u00d7 4</b>.*?<small>(\u2212?[\d.]+)</small>", page)
    assert float(chip.replace("\u2212", "-")) == pytest.approx(one.contributions[2:].sum(), abs=0.005)
    assert "The score is the mean of these similarities" in page
    assert "of at most 1: " in page


@pytest.mark.parametrize("theme", THEMES)
def test_every_shade_can_be_read(theme):
    """Text on any shade has 4.5:1, the line under a mark 3:1 on the page, and lightness alone tells strength."""
    css = re.findall(r":root\{(.*?)\}", sample())
    variables = [dict(part.split(":") for part in block.lstrip("-").split(";--")) for block in css]
    assert len(variables) == 4  # the house's and the page's, light and dark
    own = variables[2] if theme == "light" else variables[3]
    for name, colours in (("h", SIMILARITY[theme]), ("m", MARK[theme])):
        for i, colour in enumerate(colours):
            assert own[f"{name}{i}"] == colour
            assert contrast(own[f"on-{name}{i}"], colour) >= 4.5
        away = [contrast(colour, THEMES[theme]["page"]) for colour in colours]
        assert all(after / before > 1.1 for before, after in itertools.pairwise(away))
    assert contrast(EDGE[theme], THEMES[theme]["page"]) >= 3
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


browser = pytest.mark.skipif(BROWSER is None, reason="needs chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND"]
ITS_OWN = ("google.com", "googleapis.com", "gvt1.com")  # what the browser asks by itself


def chromium(path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [BROWSER, *FLAGS, *options, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def probed(page: str, path, script: str, width: int = 1000):
    """Return what a script finds in the page, shown in a frame of some width; a window has at least 500."""
    frame = f'<iframe style="border:0;width:{width}px;height:3200px" srcdoc="{escape(page)}"></iframe><pre></pre>'
    run = f"""<script>const frame = document.querySelector("iframe");
      frame.onload = () => document.querySelector("pre").textContent = JSON.stringify(
        ((document, getComputedStyle) => {script})(frame.contentDocument, frame.contentWindow.getComputedStyle));
    </script>"""
    path.write_text(f'<!DOCTYPE html><meta charset="utf-8">{frame}{run}', encoding="utf-8")
    dom = chromium(path, "--dump-dom", "--window-size=1400,3300").stdout
    return json.loads(unescape(re.search(r"<pre>(.*?)</pre>", dom, re.DOTALL)[1]))


@browser
@pytest.mark.parametrize("width", [360, 400, 1200])
def test_browser_needs_no_scrolling_sideways(tmp_path, width):
    """On a phone and a desktop, with every part open, and words longer than a line."""
    explanations = explain(f"{QUERY} {SCRIPTS} {'w' * 90}", *DOCUMENTS[:2], f"{NASTY} {'w' * 90} {SCRIPTS}" * 3)
    page = html(explanations, ["n" * 200, NASTY, SCRIPTS]).replace("<details>", "<details open>")
    script = """(() => {
      const root = document.documentElement, out = [];
      for (const one of document.querySelectorAll(".chips li, mark, h1, h2, .asked, .ranking li, .legend div")) {
        const place = one.getBoundingClientRect();
        if (place.right > root.clientWidth + 1 || place.left < -1) out.push(one.textContent);
      }
      return [root.scrollWidth <= root.clientWidth, root.clientWidth, out];
    })()"""
    assert probed(page, tmp_path / "page.html", script, width) == [True, width, []]


@browser
def test_browser_asks_for_nothing_and_complains_of_nothing(tmp_path):
    """No request leaves the page and its console is empty; a page that does both is seen to do so."""
    page = html(explain(f"{NASTY} {QUERY}", NASTY, *DOCUMENTS), None)
    control = '<img src="http://elsewhere.test/x.png"><script>console.error("heard")</script>'
    found = {}
    for name, text in (("page", page), ("control", control)):
        path, log = tmp_path / f"{name}.html", tmp_path / f"{name}.json"
        path.write_text(text, encoding="utf-8")
        options = ("--dump-dom", "--enable-logging=stderr", "--v=0", f"--log-net-log={log}")
        said = chromium(path, *options).stderr
        hosts = set(re.findall(r'"url":"(?:https?|wss?|ftp)://([^/":]+)', log.read_text(encoding="utf-8")))
        found[name] = {host for host in hosts if not host.endswith(ITS_OWN)}, re.findall("CONSOLE.*", said)
    assert found["page"] == (set(), [])
    assert found["control"][0] == {"elsewhere.test"}
    assert len(found["control"][1]) == 1


@browser
def test_browser_links_tokens_without_a_script(tmp_path):
    """A query token that has the focus outlines its match in the text and in the heat map, and nothing else."""
    (one,) = explain(QUERY, DOCUMENTS[0])
    script = """(() => {
      const chips = [...document.querySelectorAll(".chips li")], found = [];
      for (const chip of chips) {
        chip.focus({focusVisible: true});
        const lit = [...document.querySelectorAll(".chips li, mark, .heat td")].filter(
          one => getComputedStyle(one).outlineOffset === "1px");
        found.push(lit.map(one => [one.tagName, one.textContent]));
      }
      return found;
    })()"""
    found = probed(one.html(), tmp_path / "page.html", script)
    for i, lit in enumerate(found):
        tags = [tag for tag, _ in lit]
        assert (tags.count("LI"), tags.count("MARK"), tags.count("TD")) == (1, 1, 1)
        assert one.document_tokens[one.matches[i]].text in [text for tag, text in lit if tag == "MARK"]


@browser
def test_browser_shows_the_shades_in_light_and_dark(tmp_path):
    """In the picture every token has the colour of its similarity, and every mark that of what it carries."""
    pillow = pytest.importorskip("PIL.Image")
    one, other = explain(f"{QUERY} late", DOCUMENTS[0], "People in wind tunnels do not sleep, caffeine or not.")
    page = html([one, other])
    script = """[".chips li", "mark", "body"].map(name => [...document.querySelectorAll(name)].map(one => {
      const place = one.getClientRects()[0];
      return [one.className, one.closest("section") ? one.closest("section").id : "", place.left, place.top];
    }))"""
    chips, marks, _ = probed(page, tmp_path / "probe.html", script)
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    ranked = {"d1": one, "d2": other} if one.score > other.score else {"d1": other, "d2": one}
    shades = [round(max(float(value), 0) * 8) for two in ranked.values() for value in two.similarities.max(axis=1)]
    assert len(set(shades)) >= 4
    most = max(np.bincount(two.matches, two.contributions).max() for two in ranked.values())
    for theme, setting in (("light", 1), ("dark", 0)):
        shot = tmp_path / f"{theme}.png"
        chromium(
            path, f"--blink-settings=preferredColorScheme={setting}", "--window-size=1000,3200", f"--screenshot={shot}"
        )
        image = pillow.open(shot).convert("RGB")
        at = lambda left, top, image=image: "#{:02x}{:02x}{:02x}".format(*image.getpixel((round(left), round(top))))  # noqa: E731
        assert at(4, 4) == at(996, 3190) == THEMES[theme]["page"]
        seen = [at(left + 8, top + 3) for _, _, left, top in chips]
        assert seen == [SIMILARITY[theme][shade] for shade in shades]
        strengths = []
        for kinds, section, left, top in marks:
            two, rows = ranked[section], [int(name[1:]) for name in kinds.split()[1:]]
            mass = float(two.contributions[rows].sum())
            strengths.append((mass, MARK[theme].index(at(left + 1, top + 1))))
            assert abs(strengths[-1][1] - (mass / most * 5 - 0.5)) <= 0.51
        strengths.sort()
        assert [level for _, level in strengths] == sorted(level for _, level in strengths)
        assert len({level for _, level in strengths}) >= 2
        colours = image.getcolors(1 << 24)
        assert len(colours) > 100
        mean = np.asarray(image.convert("L")).mean()
        assert mean > 200 if theme == "light" else mean < 60
