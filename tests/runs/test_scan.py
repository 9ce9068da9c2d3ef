"""The byte scanner: numbers equal Python's, any bytes are rows, comments or an error, in C, Python and in parts."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rank_plugins import _columns
from rank_plugins.runs import scan
from rank_plugins.runs.scan import Layout, LineError

QRELS = Layout((0, 1), 2, -1, 3, 3, tabs=False)
RANKED = Layout((0, 2), 4, 3, 6, 16, tabs=False)
TABBED = Layout((0, 1), 2, 3, 4, 4, tabs=True)


@pytest.fixture(params=["c", "python"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read by the C core and without it."""
    if request.param == "c" and not _columns.NATIVE:
        pytest.skip("built without the C core")
    monkeypatch.setattr(_columns, "NATIVE", request.param == "c")
    return str(request.param)


def number(text: str) -> float:
    return float(scanned(f"q d {text}\n".encode(), QRELS).numbers[0])


def scanned(data: bytes, layout: Layout) -> scan.Rows:
    return scan.scan(np.frombuffer(data, np.uint8), 0, layout)


def same(a: float, b: float) -> bool:
    return struct.pack("d", a) == struct.pack("d", b) or (math.isnan(a) and math.isnan(b))


NUMBERS = st.one_of(
    st.floats().map(repr),
    st.floats().map("{:.25e}".format),
    st.floats(-1e6, 1e6).map("{:.20f}".format),
    st.floats(width=32).map(repr),
    st.integers(-(10**40), 10**40).map(str),
    st.from_regex(r"[+-]?[0-9]{0,25}\.?[0-9]{1,25}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    # half-way between two doubles, and beside it
    st.tuples(st.integers(2**52, 2**53), st.integers(-5, 12), st.sampled_from(["", "1", "0001"])).map(
        lambda t: f"{t[0] * 2 + 1}{t[2]}e{t[1] - len(t[2])}"
    ),
)


@settings(deadline=None)
@given(NUMBERS)
@example("9007199254740993")
@example("9007199254740992.99999999999999999999999999999")
@example("0.1e1")
@example("-0")
@example("00000000000000000000000000000000000001.5")
@example("1e-400")
@example("1e400")
@example("5e-324")
@example("Infinity")
@example("1.7976931348623158e308")
def test_numbers_are_those_of_python(text: str) -> None:
    assert same(number(text), float(text))


@pytest.mark.parametrize(
    "text", ["-", "e5", "1e", ".", "+", "1_000", "0x1p3", "1,5", "infin", "nan1", "--1", "1.2.3", "٣"]
)
def test_what_is_no_number_is_refused(reader: str, text: str) -> None:
    with pytest.raises(LineError) as raised:
        scanned(f"q d {text}\n".encode(), QRELS)
    assert raised.value.reason == scan.NO_NUMBER


def rows(data: bytes, layout: Layout) -> object:
    """Return all that the scanner tells, so that two readers can be compared."""
    try:
        found = scanned(data, layout)
    except LineError as error:
        return error.start, error.reason
    texts = [
        [bytes(found.text[start : start + length]) for start, length in zip(starts, lengths, strict=True)]
        for starts, lengths in zip(found.starts.tolist(), found.lengths.tolist(), strict=True)
    ]
    ranks = [rank if math.isfinite(rank) and abs(rank) < 1e15 else None for rank in found.ranks.tolist()]
    return texts, [struct.pack("d", value) for value in found.numbers.tolist()], ranks


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"q", b"#", b"##", b"#d", b"1", b"-2.5", b"nan", b"\t", b" ", b"  ", b"\n", b"\r\n", b"\r", b"\v"]
        ),
        st.binary(max_size=3),
    ),
    max_size=40,
).map(b"".join)


@pytest.mark.skipif(not _columns.NATIVE, reason="built without the C core")
@pytest.mark.parametrize("layout", [QRELS, RANKED, TABBED])
@settings(deadline=None)
@given(data=LINES)
def test_readers_agree_on_any_bytes(layout: Layout, data: bytes) -> None:
    native = rows(data, layout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_columns, "NATIVE", False)
        assert rows(data, layout) == native
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "PART", 4)
        patch.setenv("RANK_PLUGINS_THREADS", "3")
        assert rows(data, layout) == native


def test_lines_end_in_lf_cr_or_both(reader: str) -> None:
    found = scanned(b"a b 1\r\nc d 2\re f 3\n\n\r\n  \ng h 4", QRELS)
    assert found.numbers.tolist() == [1, 2, 3, 4]
    assert np.isnan(found.ranks).all()


def test_comments_have_nothing_but_hashes_in_their_first_column(reader: str) -> None:
    data = b"# a comment\n#1 d 1\n# d 1\n## d 2\nq #d 3\n"
    for row in (b"#2 d x\n", b"#3 too many columns 1\n"):
        with pytest.raises(LineError):
            scanned(data + row, QRELS)
    texts, numbers, _ = rows(data, QRELS)  # type: ignore[misc]
    assert texts == [[b"#1", b"q"], [b"d", b"#d"]]
    assert numbers == [struct.pack("d", 1), struct.pack("d", 3)]


def test_only_tabs_separate_where_they_do(reader: str) -> None:
    texts, _, ranks = rows(b"q 1\t a doc \t0.5\t 3\nq\td\t 1 \tx\n", TABBED)  # type: ignore[misc]
    assert texts == [[b"q 1", b"q"], [b"a doc", b"d"]]
    assert ranks == [3, None]


@pytest.mark.parametrize(
    ("data", "start", "reason"),
    [
        (b"q d 1\nq d\n", 6, scan.COLUMNS),
        (b"q d 1 2\n", 0, scan.COLUMNS),
        (b"q d 1\n\nq d x\n", 7, scan.NO_NUMBER),
    ],
)
def test_a_bad_line_is_named(reader: str, data: bytes, start: int, reason: int) -> None:
    with pytest.raises(LineError) as raised:
        scanned(data, QRELS)
    assert (raised.value.start, raised.value.reason) == (start, reason)


def test_an_empty_column_is_no_id(reader: str) -> None:
    with pytest.raises(LineError) as raised:
        scanned(b"q\td\t1\t1\nq\t \t1\t1\n", TABBED)
    assert (raised.value.start, raised.value.reason) == (8, scan.EMPTY)
