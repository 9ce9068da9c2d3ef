"""Parts of rerankers that are no parts are refused by what is wrong with them."""

from __future__ import annotations

import pytest

from rank_plugins.errors import InputError, InputTypeError
from rank_plugins.rerankers.parts import part


@pytest.mark.parametrize(
    ("one", "error", "message"),
    [
        (7, InputTypeError, "stage 1: expected a name, a dict or a Reranker, got int"),
        ({"model": "x"}, InputError, 'stage 1: expected a dict with "name", got one with model'),
        ({"name": "rank-maxsim", 3: "x"}, InputTypeError, "stage 1: expected names of options as text, got int 3"),
        ({"name": 3}, InputTypeError, "expected a name, got int"),
        ({"name": "rank-maxsim", "colour": 3}, InputTypeError, "colour"),
        ("rank-maxsin", InputError, "did you mean 'rank-maxsim'"),
    ],
)
def test_what_is_no_part_is_refused(one, error, message):
    with pytest.raises(error, match=message):
        part(one, "stage 1")
