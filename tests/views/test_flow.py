"""The picture of a state's data flow: well-formed, escaped, every text in its place, the same bytes every time."""

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sflab as sf
from sflab.engine.teststate import Stage
from sflab.views import flow
from sflab.views.words import width

SVG = "{http://www.w3.org/2000/svg}"
TASK = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke"}
CHARGE = {
    **TASK,
    "InputPath": "$.order",
    "Parameters": {"FunctionName": "charge", "Payload": {"id.$": "$.id"}},
    "ResultSelector": {"paid.$": "$.Payload.paid"},
    "ResultPath": "$.payment",
}


def trial(state, input, **how):
    raw = {"StartAt": "A", "States": {"A": {"End": True, **state}}}
    return sf.StateMachine.load(raw).test_state("A", input, **how)


def texts(svg):
    return [e.text for e in ET.fromstring(svg).iter(f"{SVG}text")]


def test_it_shows_every_value_on_the_way_and_the_field_that_made_it():
    shown = texts(trial(CHARGE, {"order": {"id": 42}, "who": "Ann"}, task=lambda event: {"paid": True}).svg())
    fields = [
        t for t in shown if t in ("InputPath", "Parameters", "result", "ResultSelector", "ResultPath", "OutputPath")
    ]
    assert fields == ["InputPath", "Parameters", "result", "ResultSelector", "ResultPath"]
    assert shown[0] == "A: SUCCEEDED"
    assert shown.count('"payment": {"paid": true}') == 1
    assert "the state's input" in shown, "it goes round the work to ResultPath"
    whole = trial({**CHARGE, "ResultPath": "$"}, {"order": {"id": 1}}, task=lambda event: {"paid": True})
    assert "the state's input" not in texts(whole.svg())


def test_what_changed_nothing_shares_a_line():
    shown = texts(trial({"Type": "Pass", "InputPath": "$", "OutputPath": "$"}, {"a": 1}).svg())
    assert "InputPath $, OutputPath $: nothing changed" in shown


def test_an_error_and_variables_are_told_apart_from_the_flow():
    bad = trial(CHARGE, {"order": {"id": 42}}, mock=sf.mock(error="Declined", cause="no <money>")).svg()
    assert "what Retry and Catch are given" in texts(bad)
    assert 'class="l-catch"' in bad
    assert "<money>" not in bad
    sets = trial({"Type": "Pass", "Assign": {"n": 1}}, {}).svg()
    assert "sets $n" in texts(sets)
    assert len(re.findall("stroke-dasharray", sets)) == 1


def test_a_long_value_shows_its_new_members_first_and_how_many_are_left():
    shown = texts(trial({"Type": "Pass", "Result": 1, "ResultPath": "$.z"}, {f"k{n}": n for n in range(50)}).svg())
    assert '"z": 1' in shown
    assert "… 45 more" in shown


leaves = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text()
json_ = st.recursive(leaves, lambda values: st.lists(values) | st.dictionaries(st.text(), values))
names = st.sampled_from(
    ["InputPath", "Parameters", "result", "error", "ResultSelector", "ResultPath", "Items", "Output"]
)


@settings(deadline=None)
@given(st.lists(st.tuples(names, json_, json_, st.booleans()), max_size=6), json_, st.text())
def test_whatever_flows_the_picture_is_well_formed_and_nothing_leaves_it(middle, value, title):
    stages = [Stage("input", None, value, False), *(Stage(*s) for s in middle), Stage("output", None, value, False)]
    drawn = flow.svg(stages, title=title, after="<next>")
    root = ET.fromstring(drawn)
    assert drawn == flow.svg(stages, title=title, after="<next>")
    across, high = float(root.get("width")), float(root.get("height"))
    for text in root.iter(f"{SVG}text"):
        if text.get("transform") or text.get("text-anchor"):
            continue
        x, y, size = (float(text.get(k)) for k in ("x", "y", "font-size"))
        assert x + width(text.text or "", size) <= across
        assert 0 < y <= high


@pytest.mark.parametrize("type_", ["Pass", "Succeed", "Fail", "Choice", "Wait", "Map", "Parallel"])
def test_every_type_of_state_has_a_picture(type_):
    more = {
        "Fail": {"Error": "E"},
        "Choice": {"Choices": [{"Variable": "$.a", "IsPresent": True, "Next": "B"}], "Default": "B"},
        "Wait": {"Seconds": 1},
        "Map": {"ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Succeed"}}}},
        "Parallel": {"Branches": [{"StartAt": "I", "States": {"I": {"Type": "Succeed"}}}]},
    }.get(type_, {})
    end = {} if type_ in ("Succeed", "Fail", "Choice") else {"End": True}
    raw = {"StartAt": "A", "States": {"A": {"Type": type_, **end, **more}}}
    if type_ == "Choice":
        raw["States"]["B"] = {"Type": "Succeed"}
    how = {"mock": sf.mock([1])} if type_ in ("Map", "Parallel") else {}
    test = sf.StateMachine.load(raw).test_state("A", [1] if type_ == "Map" else {"a": 1}, **how)
    assert test._repr_mimebundle_()["text/html"].startswith(test.svg())
    assert "input" in texts(test.svg())
