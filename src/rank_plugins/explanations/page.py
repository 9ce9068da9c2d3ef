"""The page that shows explanations: what was asked, the ranking, and each document's score taken apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rank_plugins.encoders.encoder import Token
from rank_plugins.errors import InputError
from rank_plugins.evaluation.reports.page import details, page
from rank_plugins.explanations.explanation import Explanation, around, label
from rank_plugins.explanations.glyphs import cut, direction, escaped
from rank_plugins.explanations.heat import ALL, LEVELS, all_columns, levels, matched_columns
from rank_plugins.explanations.segments import Segment, own, passages, segments
from rank_plugins.explanations.style import MARK, css

LEAD = (
    "Every token of the query, a word or a piece of one, takes the document token that is most similar to it."
    " The score is the sum of these similarities (MaxSim)."
)
MEAN = LEAD.replace("the sum of", "the mean of")
MANY = 3  # equal tokens of the model in a row that become one chip
OPEN = 3  # documents whose heat map is open
SHOWN = 90  # characters of a document in the list
CONTEXT = 32  # characters beside a match in the table
GAP = '<span class="gap">\N{HORIZONTAL ELLIPSIS}</span>'  # stands for text that is not shown
LONGEST = 24  # characters of a match below a query token
EMPTY = "This document is empty."
NOTHING = "No token of this document is known to the model."
UNIT = 1.001  # similarities of vectors of length 1 are at most this, rounded


def html(explanations: Sequence[Explanation], names: Sequence[str] | None = None) -> str:
    """Return a page of one or several documents' explanations, best first; it needs no other file and no script.

    Args:
        explanations: of one query.
        names: what the documents are called, parallel to `explanations`; None numbers them.

    Raises:
        InputError: no explanation, those of several queries, or names of another number.

    """
    if not explanations:
        raise InputError("html: expected at least one explanation, got none")
    if len({(one.query, one.query_tokens, one.mean) for one in explanations}) > 1:
        raise InputError("html: expected explanations of one query by one reranker, got others; write a page for each")
    if names is None:
        names = [f"Document {i}" for i in range(1, len(explanations) + 1)]
    if len(names) != len(explanations):
        raise InputError(f"names: expected {len(explanations)} of them (one per explanation), got {len(names)}")
    order = sorted(range(len(explanations)), key=lambda i: -explanations[i].score)
    ranked = [(names[i], explanations[i]) for i in order]
    first = explanations[0]
    top = max(float(np.abs(one.similarities).max(initial=0)) for one in explanations)
    top = 1.0 if top <= UNIT else top
    many = len(ranked) > 1
    asked = f'<p class="over">Query</p><p class="asked" dir="auto">{escaped(first.query)}</p>'
    parts = [asked, _ranking(ranked, top) if many else "", _legend(top)]
    most = max(piece.mass for one in explanations for piece in [*segments(one), Segment(0, 0, (), 0.0)])
    parts += [_document(f"{i}. " * many, i, name, one, top, most) for i, (name, one) in enumerate(ranked, 1)]
    title = f"Why these {len(ranked)} documents match" if many else "Why this document matches"
    return page(title, MEAN if first.mean else LEAD, parts, style=css(len(first.query_tokens)), script="")


def _legend(top: float) -> str:
    similar = "".join(f'<i class="h{i}"></i>' for i in range(LEVELS))
    carried = "".join(f'<i class="m{i}"></i>' for i in range(len(MARK["light"])))
    return (
        f'<div class="legend"><div>similarity 0 <span class="ramp">{similar}</span> {top:.3g}</div>'
        f'<div>share of the score: little <span class="ramp">{carried}</span> most</div>'
        '<div><span class="swatch"></span> best match of its row</div>'
        '<div><span class="own">italic</span> added by the model</div></div>'
    )


def _ranking(ranked: Sequence[tuple[str, Explanation]], top: float) -> str:
    rows = [
        f'<li>{i} <a href="#d{i}">{escaped(name)}<span dir="auto">{escaped(cut(one.document, SHOWN))}</span></a>'
        f"{_gauge(one, top)}<b>{_number(one.score)}</b></li>"
        for i, (name, one) in enumerate(ranked, 1)
    ]
    return f'<ol class="ranking">{"".join(rows)}</ol>'


def _document(number: str, rank: int, name: str, one: Explanation, top: float, most: float) -> str:
    head = f"<span>{number}{escaped(name)}</span><b>{_number(one.score)}</b>"
    shades = levels(one.similarities, top)
    parts = [_total(one, top)]
    if one.document_tokens:
        pieces, count = segments(one), f" {len(one.document_tokens):,} document tokens"
        shown = passages(one, pieces)
        cut_down = shown != [pieces]
        parts += [
            _heading("What each query token finds", "below it its best match, and what that brings to the score"),
            _chips(one, shades),
            _heading(
                "Where it is found" + ", in passages" * cut_down,
                "the stronger the mark, the more of the score its text carries; a token may be found by several",
            ),
            _text(one, shown, most),
            details("Whole text", _text(one, [pieces], most)) if cut_down else "",
            _heading("Heat map", "query tokens down, the document tokens that they match across")
            + matched_columns(one, shades)
            if rank <= OPEN
            else details("Heat map", matched_columns(one, shades)),
            details(
                ("All" if len(one.document_tokens) <= ALL else "Around the matches, of") + count,
                all_columns(one, shades),
            ),
            details("Matches as a table", _table(one)),
        ]
    else:
        parts.append(f'<p class="none">{NOTHING if one.document.strip() else EMPTY}</p>')
    return f'<section class="document" id="d{rank}"><h2>{head}</h2>{"".join(parts)}</section>'


def _total(one: Explanation, top: float) -> str:
    """Return the score's split between the words of the query and what the model adds to it, as a bar and in words."""
    if not one.document_tokens:
        return '<div class="total">no token, no score: it stands last</div>'
    special = np.array([token.special for token in one.query_tokens])
    words, added = (float(one.contributions[kind].sum()) for kind in (~special, special))
    limit = 1.0 if one.mean else float(len(one.query_tokens))
    of = f" of at most {limit:g}" if top == 1.0 else ""
    names = ", ".join(dict.fromkeys(token.text for token in one.query_tokens if token.special))
    said = f'<span class="dot"></span>{_number(words)} from words'
    if names:
        said += f', <span class="dot added"></span>{_number(added)} from what the model adds ({escaped(names)})'
    return f'<div class="total">{_gauge(one, top)}<span>{_number(one.score)}{of}: {said}</span></div>'


def _gauge(one: Explanation, top: float) -> str:
    """Return a bar of the highest score there can be, filled by words and by what the model adds."""
    highest = top * (1 if one.mean else len(one.query_tokens))
    special = np.array([token.special for token in one.query_tokens])
    shares = [max(float(one.contributions[kind].sum()), 0.0) / highest * 100 for kind in (~special, special)]
    return f'<div class="gauge">{"".join(f"""<i style="--w:{share:.1f}"></i>""" for share in shares)}</div>'


def _heading(title: str, hint: str) -> str:
    return f'<h3>{title}</h3><p class="hint">{hint}</p>'


def _chips(one: Explanation, shades: NDArray[np.int64]) -> str:
    chips = []
    for group in _groups(one):
        i = group[0]
        token, matched = one.query_tokens[i], one.document_tokens[one.matches[i]]
        brought = float(one.contributions[group].sum())
        shade = round(float(shades[group, one.matches[group]].mean()))
        many = f" \N{MULTIPLICATION SIGN} {len(group)}" if len(group) > 1 else ""
        found = cut(label(matched), LONGEST) if not many else f"{len(set(one.matches[group].tolist()))} tokens"
        kinds = [f"h{shade}", *(f"q{row}" for row in group), *_place(one, i, group[-1]), *["own"] * token.special]
        said = (
            f"{escaped(label(token))}{_read_as(token)}{many} finds {escaped(found)}{'' if many else _read_as(matched)}:"
            f" {_number(brought)} of {_number(one.score)}"
        )
        chips.append(
            f'<li class="{" ".join(kinds)}" tabindex="0" title="{said}"><b dir="auto">{escaped(label(token))}{many}</b>'
            f'<small dir="auto">{escaped(found)}</small><small>{_number(brought)}</small></li>'
        )
    return f'<ul class="chips" dir="{direction(one.query)}">{"".join(chips)}</ul>'


def _read_as(token: Token) -> str:
    """Return how the vocabulary spells a token, where that is not what is written."""
    return "" if token.piece.lower() == token.text.lower() else f" (read as {escaped(token.piece)})"


def _groups(one: Explanation) -> list[list[int]]:
    """Return the query tokens, each alone, but those that expand a query together."""
    groups: list[list[int]] = []
    for i, token in enumerate(one.query_tokens):
        if groups and token.special and one.query_tokens[groups[-1][0]] == token:
            groups[-1].append(i)
        else:
            groups.append([i])
    return [part for group in groups for part in ([group] if len(group) >= MANY else [[i] for i in group])]


def _place(one: Explanation, first: int, last: int) -> list[str]:
    """Return whether a chip goes on without a space from the one before, and into the next."""
    before, token = one.query_tokens[max(first - 1, 0)], one.query_tokens[first]
    after = one.query_tokens[min(last + 1, len(one.query_tokens) - 1)]
    glued = not token.special and not before.special and token.start == before.stop
    joins = not token.special and not after.special and after.start == token.stop
    return ["glued"] * glued + ["joins"] * joins


def _text(one: Explanation, runs: Sequence[Sequence[Segment]], most: float) -> str:
    parts = []
    for run in runs:
        before = f"{GAP} " if run[0].start else ""
        behind = f" {GAP}" if run[-1].stop < len(one.document) else ""
        parts.append(before + "".join(_marked(one, piece, most) for piece in run) + behind)
    shown = "\n\n".join(parts)
    added = ", ".join(
        _mark(one, name, rows, float(one.contributions[list(rows)].sum()), most) for name, rows in own(one).items()
    )
    return f'<p class="text" dir="auto">{shown}</p>' + (
        f'<p class="hint">Matched among what the model adds to the document: <span class="own">{added}</span></p>'
        if added
        else ""
    )


def _marked(one: Explanation, piece: Segment, most: float) -> str:
    text = one.document[piece.start : piece.stop]
    return _mark(one, text, piece.rows, piece.mass, most) if piece.rows else escaped(text)


def _mark(one: Explanation, text: str, rows: Sequence[int], mass: float, most: float) -> str:
    shade = min(max(round(mass / most * len(MARK["light"]) - 0.5), 0), len(MARK["light"]) - 1) if most > 0 else 0
    found = ", ".join(f"{label(one.query_tokens[i])} {_number(float(one.contributions[i]))}" for i in rows)
    kinds = " ".join([f"m{shade}", *(f"q{row}" for row in rows)])
    return (
        f'<mark class="{kinds}" tabindex="0" title="{escaped(found)}: {_number(mass)} of {_number(one.score)}">'
        f"{escaped(text)}</mark>"
    )


def _table(one: Explanation) -> str:
    rows = []
    for i in one.order:
        token, matched = one.query_tokens[i], one.document_tokens[one.matches[i]]
        if matched.special:
            where = f'<span class="own">{escaped(matched.text)}, added by the model</span>'
        else:
            start, before, _, behind, stop = around(one.document, matched, CONTEXT)
            where = f"{start}{escaped(before)}<b>{escaped(matched.text)}</b>{escaped(behind)}{stop}"
        similarity = float(one.similarities[i, one.matches[i]])
        rows.append(
            f'<tr><td>{_number(float(one.contributions[i]), 4)}</td><td>{_number(similarity, 4)}</td><td class="name">'
            f'{escaped(label(token))}</td><td class="name where" dir="auto">{where}</td></tr>'
        )
    caption = "Matches, those first that bring most"
    heads = '<th>contribution</th><th>similarity</th><th class="name">query token</th><th class="name">document</th>'
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{caption}"><table><caption>{caption}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _number(value: float, digits: int = 2) -> str:
    if value == -np.inf:
        return "\N{MINUS SIGN}\N{INFINITY}"
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")
