"""What the README and the page show runs, and prints what they say; so does the example."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("page", ["adapters/haystack/README.md", "docs/haystack.md"])
def test_blocks_print_what_stands_below_them(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    names: dict[str, object] = {}
    said = 0
    for code, _, output in re.findall(r"```python\n(.*?)```(\n\n```text\n(.*?)```)?", text, re.DOTALL):
        exec(code, names)  # noqa: S102 - our own page
        assert capsys.readouterr().out == output
        said += bool(output)
    assert said


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Fusion beats both first stages on these claims, and reranking beats fusion."""
    runpy.run_path(str(ROOT / "examples/09_haystack.py"), run_name="__main__")
    printed = capsys.readouterr().out
    words, letters, joiner, ranker = (float(score) for score in re.findall(r"nDCG@10 (\S+)", printed))
    assert "Claim: " in printed
    assert max(words, letters) < joiner < ranker
