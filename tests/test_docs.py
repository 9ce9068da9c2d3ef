"""Every program in the documentation prints what stands under it, offline, where what it imports is installed.

A Python block whose lines begin with >>> is a doctest. Of other pages all Python blocks are one program, and its
output is the text of all blocks that follow one of them directly.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("adapters/*/README.md"))]
OFFLINE = {"HF_HUB_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False"}
PROGRAM = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)
IMPORTED = re.compile(r"^(?:>>> |\.\.\. |)\s*(?:from|import) ([\w.]+)", re.M)


def programs(page: Path) -> list[tuple[str, str]]:
    """Return (program, output) of every Python block."""
    return PROGRAM.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if programs(page)], ids=lambda p: str(p.relative_to(ROOT)))
def test_page(page, tmp_path, skip_without):
    blocks = programs(page)
    needed = {name for code, _ in blocks for name in IMPORTED.findall(code)}
    skip_without(needed | {"sentence_transformers" for code, _ in blocks if "save_tiny_" in code})
    if blocks[0][0].startswith(">>>"):
        run = f"doctest.testfile({str(page)!r}, module_relative=False)"
        code = f"import doctest; raise SystemExit({run}.failed)"
        expected = ""
        assert doctest.DocTestParser().get_examples(page.read_text(encoding="utf-8"))
    else:
        code, expected = "\n".join(block for block, _ in blocks), "".join(output for _, output in blocks)
        assert expected, "a program that prints nothing shows nothing"
    command, environment = [sys.executable, "-c", code], os.environ | OFFLINE
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout == expected
