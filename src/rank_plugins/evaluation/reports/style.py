"""The look of the page: colours for light and dark (text at least 4.5:1, marks at least 3:1), layout, print."""

from __future__ import annotations

from rank_plugins.evaluation.reports.svg import COLOURS

LIGHT = {
    "page": "#ffffff",
    "panel": "#f6f7f9",
    "text": "#1c2126",
    "muted": "#59636e",
    "rule": "#d5dae0",
    "win": "#1f6fb4",
    "loss": "#b3541e",
    "band": "#dfe5ec",
    "c0": "#1f6fb4",
    "c1": "#b3541e",
    "c2": "#2b7a4b",
    "c3": "#7b4fa3",
    "c4": "#a3323f",
    "c5": "#4d6a76",
    "c6": "#806500",
    "c7": "#00727a",
}
DARK = {
    "page": "#15181c",
    "panel": "#1d2127",
    "text": "#e4e8ec",
    "muted": "#a0aab4",
    "rule": "#3a424b",
    "win": "#6bb1f0",
    "loss": "#f0a06b",
    "band": "#2c333c",
    "c0": "#6bb1f0",
    "c1": "#f0a06b",
    "c2": "#6cc793",
    "c3": "#bb98e0",
    "c4": "#f08a94",
    "c5": "#a3bcc8",
    "c6": "#d9bc4a",
    "c7": "#4fc3ca",
}

LAYOUT = """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1040px;margin:0 auto;padding:28px 20px 48px}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:44px 0 4px;padding-top:18px;border-top:1px solid var(--rule)}
p,li{max-width:75ch}p{margin:6px 0}ul{margin:6px 0;padding-left:20px}
.lead,.hint,figcaption{color:var(--muted)}.hint,figcaption,summary{font-size:.9rem}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));gap:20px;margin:16px 0}
figure{margin:0;padding:14px;background:var(--panel);border-radius:8px;min-width:0;break-inside:avoid}
figcaption{margin-bottom:8px}figcaption b{color:var(--text);overflow-wrap:anywhere}
svg{display:block;width:100%;height:auto;max-width:440px}
"""
CHARTS = """
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--text)}
svg .tick{fill:var(--muted)}svg .over{font-size:13px}
.grid{stroke:var(--rule)}.axis{stroke:var(--muted)}.diagonal{stroke:var(--muted);stroke-dasharray:4 4}
.whisker{stroke:var(--text);stroke-width:1.5}.halo{stroke:var(--panel);stroke-width:4.5}.line{fill:none;stroke-width:2}
.win{fill:var(--win)}.loss{fill:var(--loss)}.win,.loss{shape-rendering:crispEdges}.band{fill:var(--band)}.other{fill:var(--muted)}
"""
MORE_LAYOUT = """
.key{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;padding:0;margin:10px 0 0;font-size:.9rem}
.key li{display:flex;align-items:center;gap:7px;min-width:0;overflow-wrap:anywhere}
.key svg{width:34px;height:14px;flex:none}
.table{overflow-x:auto;margin:14px 0;max-width:100%}.table:focus-visible{outline:2px solid var(--win)}
table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--muted);font-size:.9rem;padding-bottom:4px}
th,td{padding:5px 14px 5px 0;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th{font-weight:600;vertical-align:bottom}.name{text-align:left}
td.name,th.name{max-width:26ch;overflow:hidden;text-overflow:ellipsis}
tbody th{font-weight:400}sup{display:inline-block;text-align:left;color:var(--muted);font-size:.75em;margin-left:2px}
th button{all:unset;cursor:pointer}th button:hover{text-decoration:underline}
th button:focus-visible{outline:2px solid var(--win)}
th[aria-sort=ascending] button::after{content:" \\2191"}th[aria-sort=descending] button::after{content:" \\2193"}
details{margin:12px 0}summary{cursor:pointer;color:var(--muted)}
footer{margin-top:44px;padding-top:12px;border-top:1px solid var(--rule);color:var(--muted);font-size:.85rem}
@media print{main{max-width:none;padding:0}.charts{grid-template-columns:1fr 1fr}h2,.hint{break-after:avoid}
figure{background:none;border:1px solid var(--rule)}tr{break-inside:avoid}
.table{overflow:visible}table{font-size:8pt}th,td{padding-right:8px}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
@media(max-width:480px){main{padding:20px 12px}figure{padding:10px}}
"""


def css() -> str:
    """Return the page's style sheet."""
    return _themes() + (LAYOUT + CHARTS + MORE_LAYOUT).replace("\n", "") + _numbered()


def chart_css() -> str:
    """Return the style sheet of a chart that is a file of its own, on the page's colour."""
    return _themes() + CHARTS.replace("\n", "") + ".page{fill:var(--page)}" + _numbered()


def _themes() -> str:
    dark = f"@media screen and (prefers-color-scheme:dark){{{_colours(DARK)}}}"
    return _colours(LIGHT) + dark


def _numbered() -> str:
    return "".join(f".c{i}{{fill:var(--c{i})}}.s{i}{{stroke:var(--c{i})}}" for i in range(COLOURS))


def _colours(theme: dict[str, str]) -> str:
    return f":root{{{';'.join(f'--{name}:{value}' for name, value in theme.items())}}}"
