"""Reports: evaluations and comparisons as text, Markdown, LaTeX and one self-contained HTML page."""

from __future__ import annotations

from rank_plugins.evaluation.reports.diagram import reliability_svg
from rank_plugins.evaluation.reports.html import html
from rank_plugins.evaluation.reports.latex import latex
from rank_plugins.evaluation.reports.markdown import markdown
from rank_plugins.evaluation.reports.report import report
from rank_plugins.evaluation.reports.text import text

__all__ = ["html", "latex", "markdown", "reliability_svg", "report", "text"]
