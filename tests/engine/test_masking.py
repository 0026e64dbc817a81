"""Masking: what a field is, where it is found, and what stays as it is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sflab.engine.masking import MASK, mask_event, masker
from sflab.errors import DefinitionError


@pytest.mark.parametrize(
    ("fields", "value", "expected"),
    [
        (["word"], {"word": 1, "a": [{"Word": {"x": 1}, "b": 2}]}, {"word": MASK, "a": [{"Word": MASK, "b": 2}]}),
        (["card.no"], {"card": {"no": 5, "x": 1}, "no": 7}, {"card": {"no": MASK, "x": 1}, "no": 7}),
        (["$.card.number"], {"order": {"card": {"number": 5}}}, {"order": {"card": {"number": MASK}}}),
        (["*token*"], {"accessToken": "x", "tokens": [1], "tok": 1}, {"accessToken": MASK, "tokens": MASK, "tok": 1}),
        (["cards.number"], {"cards": [{"number": 5}]}, {"cards": [{"number": MASK}]}),
        (["p"], '{"a": "{\\"p\\":\\"x\\"}"}', '{"a":"{\\"p\\":\\"***\\"}"}'),
        (["p"], '{"a":  1}', '{"a":  1}'),  # untouched, spaces and all
        (["p"], "p", "p"),
        # What an error message quotes, whole or cut off.
        (["p"], "not in '{\"a\":1,\"p\":{\"b\":[1,2]},\"c\":2}'", "not in '{\"a\":1,\"p\":\"***\",\"c\":2}'"),
        (["p"], 'Oh: {"body":"{\\"p\\":\\"hid\\\\\\"den\\",\\"n\\":1}"', 'Oh: {"body":"{\\"p\\":\\"***\\",\\"n\\":1}"'),
        (["p"], '{"n":1,"p":"cut of', '{"n":1,"p":"***"'),
        (["p"], '{"n":"{\\"p\\":12,\\"q\\":1', '{"n":"{\\"p\\":\\"***\\",\\"q\\":1'),
    ],
)  # fmt: skip
def test_a_field_is_masked_wherever_it_is(fields, value, expected):
    before = json.dumps(value)
    assert masker(fields)(value) == expected
    assert json.dumps(value) == before


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcp"), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.integers(0, 2), st.integers(0, 60))
def test_a_secret_survives_nowhere(value, nested, cut):
    """However deep, in strings of JSON in strings, and in texts that break off."""
    text = json.dumps({"v": value, "p": "SECRET", "q": [value, {"p": ["SECRET"]}]})
    for _ in range(nested):
        text = json.dumps({"body": text, "z": 1})
    hide = masker(["p"])
    for given_ in (text, f"failed with {text}", text[: len(text) - cut], f"x {text[: len(text) - cut]}"):
        assert "SECRET" not in hide(given_)


def test_what_aws_calls_name_stays():
    event = {"id": 1, "type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "A", "input": '{"name":"x"}'}}
    details = {"name": "A", "input": '{"name":"***"}'}
    assert mask_event(event, masker("name")) == {**event, "stateEnteredEventDetails": details}


@pytest.mark.parametrize("field", ["", "a..b", "$.", 3])
def test_what_is_no_field_is_told(field):
    with pytest.raises(DefinitionError, match="a field to mask is named like"):
        masker([field])
