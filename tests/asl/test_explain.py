"""Explaining a state: each expression with what it reads, its value or AWS's error, and the decisions on the way."""

import json

import pytest

import sflab as sf
from sflab.errors import DefinitionError


def machine(state, **top):
    state = {"Type": "Pass", "End": True} | state
    if state["Type"] in ("Choice", "Fail", "Succeed"):
        state.pop("End")
    states = {"A": state} | ({"B": {"Type": "Succeed"}} if state["Type"] == "Choice" else {})
    return sf.StateMachine.load(json.dumps({"StartAt": "A", "States": states, **top}))


def table(explanation):
    return [(row.field, row.expression, row.value if row.error is None else row.error) for row in explanation.rows]


LAMBDA = "arn:aws:states:::lambda:invoke"


def test_jsonpath_fields_in_the_order_they_work():
    m = machine(
        {
            "Type": "Task",
            "Resource": LAMBDA,
            "InputPath": "$.order",
            "TimeoutSecondsPath": "$.wait",
            "Parameters": {"a.$": "$.id", "b": {"c.$": "States.Format('{}/{}', $.id, $$.State.Name)"}, "d": "$.no"},
            "ResultSelector": {"got.$": "$.Payload.x"},
            "ResultPath": "$.out",
            "OutputPath": "$.out.got",
            "Assign": {"v.$": "$rate"},
        }
    )
    e = m.explain("A", {"order": {"id": 7, "wait": 9}}, variables={"rate": 2}, result={"Payload": {"x": "y"}})
    assert table(e) == [
        ("InputPath", "$.order", {"id": 7, "wait": 9}),
        ("TimeoutSecondsPath", "$.wait", 9),
        ("Parameters/a.$", "$.id", 7),
        ("Parameters/b/c.$", "States.Format('{}/{}', $.id, $$.State.Name)", "7/A"),
        ("ResultSelector/got.$", "$.Payload.x", "y"),
        ("Assign/v.$", "$rate", 2),
        ("OutputPath", "$.out.got", "y"),
    ]
    assert e["Parameters/b/c.$"].reads == ("$.id", "$$.State.Name")
    unknown = m.explain("A", {"order": {"id": 7, "wait": 9}})
    assert unknown["ResultSelector/got.$"].error == "not evaluated: it reads the result; give result=…"


def test_a_field_that_fails_says_so_in_awss_words_and_stops_what_depends_on_it():
    m = machine({"InputPath": "$.order", "Parameters": {"a.$": "$.id", "b.$": "$.none"}, "OutputPath": "$.a"})
    e = m.explain("A", {"order": {"id": 1}})
    said = "The JSONPath '$.none' specified for the field 'b.$' could not be found in the input '{\"id\":1}'"
    assert e["Parameters/b.$"].error == f"States.Runtime: {said}"
    assert e["Parameters/a.$"].value == 1
    assert e["OutputPath"].error == "not evaluated: Parameters/b.$ fails before it"
    e = m.explain("A", {})
    assert e["InputPath"].error == "States.Runtime: Invalid path '$.order' : No results for path: $['order']"
    assert e["Parameters/a.$"].error == "not evaluated: InputPath fails before it"


def test_choice_rules():
    rules = [
        {"Variable": "$.n", "NumericGreaterThan": 5, "Next": "B"},
        {
            "And": [{"Variable": "$.n", "NumericEqualsPath": "$.m"}, {"Not": {"Variable": "$.z", "IsPresent": True}}],
            "Next": "B",
            "Assign": {"x.$": "$.n"},
        },
    ]
    e = machine({"Type": "Choice", "Choices": rules}).explain("A", {"n": 3, "m": 3})
    assert table(e) == [
        ("Choices[0]/Variable", "$.n", 3),
        ("Choices[0]", "$.n NumericGreaterThan 5", False),
        ("Choices[1]/And[0]/Variable", "$.n", 3),
        ("Choices[1]/And[0]/NumericEqualsPath", "$.m", 3),
        ("Choices[1]", "($.n NumericEqualsPath '$.m') and (not ($.z IsPresent True))", True),
        ("Choices[1]/Assign/x.$", "$.n", 3),
    ]


def test_a_map_is_explained_for_its_first_item():
    inner = {"StartAt": "I", "States": {"I": {"Type": "Succeed"}}}
    state = {"Type": "Map", "ItemProcessor": inner, "ItemsPath": "$.xs", "ItemSelector": {"x.$": "$$.Map.Item.Value"}}
    e = machine(state).explain("A", {"xs": ["p", "q"]})
    assert table(e) == [("ItemsPath", "$.xs", ["p", "q"]), ("ItemSelector/x.$", "$$.Map.Item.Value", "p")]
    state = {
        "Type": "Map",
        "ItemProcessor": inner,
        "Items": "{% $states.input.xs %}",
        "ItemSelector": {"x": "{% $states.context.Map.Item.Value & '!' %}"},
    }
    e = machine(state, QueryLanguage="JSONata").explain("A", {"xs": ["p", "q"]})
    assert e["ItemSelector/x"].value == "p!"


def test_jsonata_says_what_it_reads_and_how_it_decided():
    output = {
        "big": "{% $states.input.total > $limit ? 'big' : 'small' %}",
        "dear": "{% $states.input.items[price > 3].name %}",
        "r": ["{% $states.result.x %}"],
        "none": "{% $states.input.none %}",
        "id": "{% $states.context.State.Name %}",
    }
    m = machine({"Type": "Task", "Resource": LAMBDA, "Output": output}, QueryLanguage="JSONata")
    given = {"total": 3, "items": [{"price": 1, "name": "p"}, {"price": 5, "name": "q"}]}
    e = m.explain("A", given, variables={"limit": 5})
    big = e["Output/big"]
    assert big.value == "small"
    assert big.reads == ("$states.input.total", "$limit")
    assert "✘ $states.input.total > $limit → false (3 > 5)" in big.decisions
    dear = e["Output/dear"]
    assert dear.value == "q"
    assert set(dear.reads) == {"$states.input.items.price", "$states.input.items.name"}
    assert dear.decisions == ('[price > 3]: 1 of 2 items passed; rejected: {"price":1,"name":"p"}',)
    assert e["Output/r[0]"].error == "not evaluated: it reads the result; give result=…"
    assert e["Output/none"].error.endswith("specified for the field 'Output/none' returned nothing (undefined).")
    assert e["Output/id"].value == "A"
    assert m.explain("A", given, variables={"limit": 5}, result={"x": None})["Output/r[0]"].value is None


def test_a_jsonata_choice():
    rules = [{"Condition": "{% $states.input.a = 'x' %}", "Next": "B", "Output": "{% $v %}"}]
    e = machine({"Type": "Choice", "Choices": rules}, QueryLanguage="JSONata").explain("A", {"a": "y"})
    assert e["Choices[0]/Condition"].value is False
    assert e["Choices[0]/Condition"].decisions == ('✘ $states.input.a = \'x\' → false ("y" = "x")',)
    assert "undefined" in e["Choices[0]/Output"].error


def test_it_shows_itself_escaped_and_as_a_frame():
    m = machine({"Output": {"<b>": "{% '<script>' & $states.input.x %}"}}, QueryLanguage="JSONata")
    e = m.explain("A", {"x": "&"})
    assert repr(e) == "Explanation('A': 1 expression)"
    shown = e._repr_mimebundle_()
    assert "Output/<b>" in shown["text/plain"]
    assert "reads $states.input.x" in shown["text/plain"]
    assert "<script>" not in shown["text/html"]
    assert "&lt;script&gt;" in shown["text/html"]
    assert e.df.to_dict("records") == [e["Output/<b>"]._asdict()]
    nothing = machine({}).explain("A")
    assert len(nothing) == 0
    assert nothing.df.empty
    with pytest.raises(KeyError, match="Output/<b>"):
        e["Output"]


def test_what_cannot_be_explained():
    m = machine({})
    with pytest.raises(DefinitionError, match=r"there is no state 'a'; there are A$"):
        m.explain("a")
    with pytest.raises(DefinitionError, match="did you mean 'Charge'"):
        sf.StateMachine.load({"StartAt": "Charge", "States": {"Charge": {"Type": "Succeed"}}}).explain("Chrge")


def test_every_state_of_the_corpus(shared):
    for path in sorted((shared / "corpus" / "asl").rglob("*.json"))[:150]:
        m = sf.StateMachine.load(path)
        try:
            m.check()
        except DefinitionError:
            continue
        for name in m.states:
            e = m.explain(name, {"a": [1]}, result={"b": 2})
            assert e._repr_mimebundle_()["text/html"]
