"""The look of the page: shades that tell strength by lightness alone, and text on them that is read at 4.5:1."""

from __future__ import annotations

from collections.abc import Iterable

SIMILARITY = {  # blue, from nothing to a perfect match
    "light": ("#eef3f8", "#cbe0f3", "#a7ccec", "#82b5e2", "#5a97ce", "#3079bb", "#19609e", "#124a7e", "#0a3560"),
    "dark": ("#1d232b", "#203348", "#204467", "#245788", "#3471a9", "#448bcc", "#69a7e2", "#94c3f1", "#bfe0ff"),
}
MARK = {  # amber, from little to the largest share of the score
    "light": ("#fff1cc", "#ffdd9a", "#ffc861", "#fab141", "#f59a0c"),
    "dark": ("#40300f", "#644713", "#8a5f14", "#bd8828", "#f2b33d"),
}
EDGE = {"light": "#b06f00", "dark": "#f2b33d"}  # under every marked text: strength is not the only sign

LAYOUT = """
.lead{font-size:1rem}
.legend{display:flex;flex-wrap:wrap;gap:8px 26px;margin:16px 0 0;padding:10px 14px;background:var(--panel);
border-radius:8px;font-size:.85rem;color:var(--muted)}
.legend div{display:flex;flex-wrap:wrap;align-items:center;gap:8px}
.ramp{display:inline-flex;border-radius:3px;overflow:hidden}.ramp i{width:14px;height:14px}
.swatch{width:24px;height:18px;border-radius:3px;outline:2px solid var(--text);outline-offset:-2px;background:var(--h6)}
.own{font-style:italic}
.asked{font-size:1.3rem;line-height:1.35;font-weight:600;margin:2px 0 0;max-width:60ch;overflow-wrap:anywhere;
white-space:pre-wrap}
.over{font-size:.8rem;letter-spacing:.06em;text-transform:uppercase;color:var(--muted);margin:22px 0 0}
.ranking{list-style:none;padding:0;margin:18px 0 0}
.ranking li{max-width:none;display:grid;grid-template-columns:2ch minmax(0,1fr) 120px 7ch;gap:2px 12px;
align-items:center;padding:6px 0;border-bottom:1px solid var(--rule)}
.ranking a{color:var(--text);overflow:hidden;text-overflow:ellipsis;white-space:nowrap;text-underline-offset:3px;
text-decoration-color:var(--muted)}
.ranking a span{color:var(--muted);margin-inline-start:.8em}
.ranking b,.total b{font-variant-numeric:tabular-nums;text-align:right}
.gauge{height:8px;border-radius:4px;background:var(--band);overflow:hidden;display:flex}
.gauge i{width:calc(var(--w)*1%);background:var(--win)}.gauge i+i{background:var(--own)}
.document{scroll-margin-top:12px}
.document>h2{display:flex;flex-wrap:wrap;gap:0 14px;align-items:baseline;justify-content:space-between;margin-top:40px}
.document>h2 span{min-width:0;overflow-wrap:anywhere}
.document>h2 b{font-size:1.5rem;font-variant-numeric:tabular-nums}
.dot{display:inline-block;width:.75em;height:.75em;border-radius:2px;background:var(--win);margin-inline-end:.35em}
.dot.added{background:var(--own)}
.total{display:grid;grid-template-columns:minmax(0,1fr);gap:6px;margin:2px 0 0;color:var(--muted);font-size:.9rem}
h3{font-size:.95rem;margin:24px 0 2px}h3+.hint{margin-top:0}
.chips{display:flex;flex-wrap:wrap;gap:8px 4px;list-style:none;padding:0;margin:10px 0 0}
.chips li{border-radius:6px;padding:5px 9px 4px;min-width:0;max-width:100%;text-align:center;line-height:1.25;
cursor:default}
.chips .glued{margin-inline-start:-4px;border-start-start-radius:0;border-end-start-radius:0;
border-inline-start:1px dashed var(--page)}
.chips .joins{border-start-end-radius:0;border-end-end-radius:0}
.chips b{display:block;font-size:1.05rem;overflow-wrap:anywhere}
.chips small{display:block;font-size:.78rem;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.chips .own b,.heat .own,.map .own{font-weight:400;font-style:italic}
.text{white-space:pre-wrap;overflow-wrap:anywhere;max-width:78ch;line-height:1.75;margin:8px 0 0;unicode-bidi:isolate}
.text .gap{color:var(--muted);user-select:none}
mark{color:inherit;background:none;padding:2px 0;border-bottom:2px solid var(--edge);cursor:default;
box-decoration-break:clone;-webkit-box-decoration-break:clone}
.none{color:var(--muted)}td.where{max-width:none}
.scroll{overflow-x:auto;margin:10px 0 0;max-width:100%;padding:3px}
.scroll:focus-visible{outline:2px solid var(--win)}
.heat{border-collapse:separate;border-spacing:2px;font-size:.8rem;table-layout:fixed;width:max-content}
.heat th,.heat td{border:0;padding:0}
.heat thead th{height:calc(var(--c)*.68em + 14px);width:36px;vertical-align:bottom;font-weight:400}
.heat thead span{writing-mode:vertical-rl;text-orientation:sideways;transform:rotate(180deg);max-height:10em;
overflow:hidden;padding-top:4px;text-overflow:ellipsis;white-space:nowrap;margin:0 auto;display:block;
line-height:36px;text-align:left}
.heat thead th:first-child,.heat tbody th{position:sticky;inset-inline-start:0;background:var(--page);z-index:1;
width:auto;max-width:9em;padding:0 8px 0 2px}
.heat tbody th{text-align:right;vertical-align:middle;font-weight:600;overflow:hidden;text-overflow:ellipsis}
.heat td{width:36px;height:26px;text-align:center;border-radius:3px;font-variant-numeric:tabular-nums}
.heat .best{outline:2px solid var(--text);outline-offset:-2px;font-weight:600}
.whole{display:flex;width:max-content}
.whole ul{list-style:none;margin:0;padding:96px 8px 0 2px;position:sticky;left:0;background:var(--page);z-index:1;
text-align:right;font-size:.75rem;line-height:20px}
.whole li{height:20px;max-width:8em;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
svg.map{display:block;max-width:none;width:auto;height:auto;flex:none}
.map text{font-size:11px}.map .best{fill:none;stroke:var(--text);stroke-width:2}
.map .hit{fill:transparent}
@media(max-width:480px){.ranking li{grid-template-columns:2ch minmax(0,1fr) 7ch}.ranking .gauge{grid-column:2}
.chips{gap:6px 3px}.chips .glued{margin-inline-start:-3px}.legend{gap:8px 16px}}
@media print{.scroll{overflow:visible}.document{break-inside:auto}.chips li,.heat tr{break-inside:avoid}
.heat{zoom:.7}.heat thead th:first-child,.heat tbody th,.whole ul{position:static}.ranking a{text-decoration:none}}
"""


def css(query_tokens: int) -> str:
    """Return the style sheet behind that of the house; pointing at one of so many tokens outlines what belongs to it.

    That takes no script: tokens, texts and cells of query token i have the class q{i}.
    """
    pointed = ":is(:hover,:focus-visible)"
    linked = "".join(
        f".document:has(.q{i}{pointed}) .q{i}{{outline:2px solid var(--text);outline-offset:1px}}"
        for i in range(query_tokens)
    )
    shades = "".join(
        f".h{i}{{background:var(--h{i});color:var(--on-h{i})}}.map .f{i}{{fill:var(--h{i})}}"
        for i in range(len(SIMILARITY["light"]))
    )
    marks = "".join(f".m{i}{{background:var(--m{i});color:var(--on-m{i})}}" for i in range(len(MARK["light"])))
    dark = f"@media screen and (prefers-color-scheme:dark){{{_colours('dark')}}}"
    return _colours("light") + dark + LAYOUT.replace("\n", "") + shades + marks + linked


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours as WCAG 2 defines it, 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _colours(theme: str) -> str:
    shades = [*_named("h", SIMILARITY[theme]), *_named("m", MARK[theme])]
    own = {"light": "#8a94a0", "dark": "#78838f"}[theme]
    return f":root{{{';'.join(shades)};--edge:{EDGE[theme]};--own:{own}}}"


def _named(name: str, colours: Iterable[str]) -> Iterable[str]:
    for i, colour in enumerate(colours):
        yield f"--{name}{i}:{colour}"
        yield f"--on-{name}{i}:{max(('#000000', '#ffffff'), key=lambda ink: contrast(ink, colour))}"
