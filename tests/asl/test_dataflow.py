"""How data flows: templates and their order, the paths of a state, ResultPath, and sizes."""

import copy
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sflab.asl.dataflow import (
    MAX_BYTES,
    MAX_NESTING,
    effective_input,
    expression,
    growth,
    path_field,
    placer,
    size,
    template,
)
from sflab.asl.model import StatesError, compact
from sflab.asl.paths import PathSyntaxError, put
from sflab.asl.program import compile_program

INPUT = {"a": {"b": [1, {"c": 2}]}, "n": 3, "name": "Ann"}


@pytest.fixture
def build(scope):
    return lambda raw, value=INPUT: template(raw)(value, scope(context={"Id": "e"}, variables={"v": {"x": 9}}))


@pytest.mark.parametrize(
    ("raw", "built"),
    [
        ({"x": 1}, {"x": 1}),
        ({"x.$": "$.n"}, {"x": 3}),
        ({"x": {"y.$": "$.a.b[1].c", "z": [{"w.$": "$.n"}, "$.n"]}}, {"x": {"z": [{"w": 3}, "$.n"], "y": 2}}),
        ([{"x.$": "$.n"}, 1, "$.n"], [{"x": 3}, 1, "$.n"]),
        ({"x.$": "$"}, {"x": INPUT}),
        ({"x.$": "$$.Id", "y.$": "$v.x", "z.$": "States.Format('{}!', $.name)"}, {"x": "e", "y": 9, "z": "Ann!"}),
        ({"x.$": "$.no[*]"}, {"x": []}),
        ({"x": "States.UUID()"}, {"x": "States.UUID()"}),
        ({"$": "x", "x.y": 1, ".$": "$.n"}, {"$": "x", "x.y": 1, "": 3}),
        ("$.n", "$.n"),
        (None, None),
        ([], []),
        ({}, {}),
    ],
)
def test_a_template_builds(build, raw, built):
    before = copy.deepcopy(raw)
    assert build(raw) == built
    assert raw == before


@pytest.mark.parametrize(
    ("raw", "order"),
    [
        # the literal fields first, as written, those with nested templates among them …
        ({"z.$": "$.n", "b": 1, "a": {"x.$": "$.n"}}, '{"b":1,"a":{"x":3},"z":3}'),
        # … then the dynamic ones as a Java HashMap iterates over them: by hash, not as written and not by the alphabet
        ({"FunctionName.$": "$.n", "Payload.$": "$.n"}, '{"FunctionName":3,"Payload":3}'),
        ({"Payload.$": "$.n", "FunctionName.$": "$.n"}, '{"FunctionName":3,"Payload":3}'),
        ({"BB.$": "$.n", "Aa.$": "$.n"}, '{"BB":3,"Aa":3}'),
        ({"Aa.$": "$.n", "BB.$": "$.n"}, '{"Aa":3,"BB":3}'),
        ({"b.$": "$.n", "a.$": "$.n", "x": {"d.$": "$.n", "c.$": "$.n"}}, '{"x":{"c":3,"d":3},"a":3,"b":3}'),
    ],
)
def test_the_fields_of_a_template_come_in_awss_order(build, raw, order):
    assert compact(build(raw)) == order


def test_a_template_without_paths_gives_the_same_object_every_time(build):
    raw = {"x": [1, {"y": 2}]}
    made = template(raw)
    assert made({}, None) is made({}, None) is raw


def test_a_field_that_finds_nothing_says_path_field_and_input(build):
    with pytest.raises(StatesError) as caught:
        build({"x": {"y.$": "$.no"}}, {"a": "é"})
    assert (caught.value.error, caught.value.runtime) == ("States.Runtime", True)
    said = "The JSONPath '$.no' specified for the field 'y.$' could not be found in the input '{\"a\":\"é\"}'"
    assert caught.value.cause == said  # conformance §8.1


def test_an_argument_that_finds_nothing_names_the_field_and_the_input_too(build):
    with pytest.raises(StatesError) as caught:
        build({"x.$": "States.Format('{}', $.no)"}, {})
    assert caught.value.error == "States.Runtime"
    assert "the field 'x.$'" in caught.value.cause
    assert "in the input '{}'" in caught.value.cause


def test_an_expression_compiles_or_is_refused():
    assert expression("$.n", "x")(INPUT, None) == 3
    assert expression("  States.MathAdd($.n, 1)", "x")(INPUT, None) == 4
    assert expression("$", "x")(INPUT, None) is INPUT
    with pytest.raises(PathSyntaxError):
        expression("n", "x")


@pytest.mark.parametrize(
    ("field", "result"),
    [("$.a.b", [1, {"c": 2}]), ("$.a.b[*].c", [2]), (None, {}), ("$$.Id", "e"), ("$v", {"x": 9})],
)
def test_input_path_and_output_path_select(scope, field, result):
    select = path_field(field)
    assert select(INPUT, scope(context={"Id": "e"}, variables={"v": {"x": 9}})) == result


def test_the_path_that_selects_everything_is_no_stage_at_all():
    assert path_field("$") is None
    assert effective_input({}) is None
    assert effective_input({"InputPath": "$"}) is None


def test_input_path_comes_before_parameters(scope):
    assert effective_input({"InputPath": "$.a", "Parameters": {"x.$": "$.b[0]"}})(INPUT, scope()) == {"x": 1}


def test_a_missing_input_path_has_the_recorded_text(scope):
    with pytest.raises(StatesError) as caught:
        path_field("$.no")({}, scope())
    assert caught.value.cause == "Invalid path '$.no' : No results for path: $['no']"


# ── ResultPath ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "raw", "placed"),
    [
        ("$.r", {"a": 1}, {"a": 1, "r": "R"}),
        ("$.a", {"a": 1, "b": 2}, {"a": "R", "b": 2}),
        ("$.x.y.z", {"a": 1}, {"a": 1, "x": {"y": {"z": "R"}}}),
        ("$.a.b", {"a": {"c": 1}}, {"a": {"c": 1, "b": "R"}}),
        ("$['a b'].c", {}, {"a b": {"c": "R"}}),
        ("$.a[1]", {"a": [1, 2, 3]}, {"a": [1, "R", 3]}),
        ("$.a[0].b", {"a": [{"c": 1}]}, {"a": [{"c": 1, "b": "R"}]}),
        ("$[0]", [1, 2], ["R", 2]),
        (None, {"a": 1}, {"a": 1}),
        (None, [1], [1]),
    ],
)
def test_result_path_puts_the_result_into_the_raw_input(path, raw, placed):
    before = copy.deepcopy(raw)
    out = placer(path)(raw, "R")
    assert out == placed
    assert list(out) == list(placed)
    assert raw == before, "copied along the path, never changed in place"


def test_result_path_shares_what_it_does_not_touch():
    raw = {"keep": {"x": 1}, "a": {"b": {}, "other": [1]}}
    out = placer("$.a.b.c")(raw, 1)
    assert out["keep"] is raw["keep"]
    assert out["a"]["other"] is raw["a"]["other"]
    assert placer(None)(raw, 1) is raw


def test_the_path_that_replaces_everything_is_no_stage():
    assert placer("$") is None
    assert put((), {"a": 1}, "R") == "R"


@pytest.mark.parametrize(
    ("path", "raw"),
    [("$.a", 5), ("$.a", "text"), ("$.a", [1]), ("$.a", None), ("$.a.b", {"a": 5}), ("$.a.b", {"a": None}),
     ("$.a.b.c", {"a": {"b": []}}), ("$.a[0]", {"a": {}}), ("$.a[0]", {}), ("$.a[2]", {"a": [1]}), ("$[0]", {})],
)  # fmt: skip
def test_result_path_into_what_is_no_object_is_result_path_match_failure(path, raw):
    with pytest.raises(StatesError) as caught:
        placer(path)(raw, 1)
    assert caught.value.error == "States.ResultPathMatchFailure"
    assert path in caught.value.cause
    assert compact(raw) in caught.value.cause or "." in path


# ── sizes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "bytes_"),
    [(None, 4), ({}, 2), ({"a": [1, 2]}, 11), ("x" * 10, 12), ("é", 4), ("😀", 6), ("\ud800", 5), ("\n", 4), (1.5, 3)],
)
def test_size_is_the_bytes_of_the_json_text_in_utf_8(value, bytes_):
    assert size(value) == bytes_


def nested(levels):
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_what_is_nested_beyond_reading_counts_as_too_large():
    assert size(nested(MAX_NESTING)) == 2 * MAX_NESTING
    assert size(nested(MAX_NESTING + 1)) > MAX_BYTES
    assert size({"a": nested(MAX_NESTING)}) > MAX_BYTES
    assert size(nested(100_000)) > MAX_BYTES
    assert size([[]] * 5_000) == 15_001, "many are not deep"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_compact_text_is_what_the_standard_library_writes(value):
    assert compact(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(st.lists(st.sampled_from([1, 150, 300, MAX_NESTING - 1, MAX_NESTING, 600]), max_size=3), st.booleans())
def test_a_value_counts_as_too_large_exactly_where_a_part_of_it_is_nested_too_deeply(parts, flat):
    value = [nested(levels) for levels in parts] + [{}] * (1000 if flat else 0)
    deep = any(levels + 1 > MAX_NESTING for levels in parts)
    assert (size(value) > MAX_BYTES) is deep


FIELDS = ["$.n", "$.a", "$.a.b[0]", "States.MathAdd($.n, 1)", "States.UUID()", "States.Hash($.name, 'SHA-512')"]
UNBOUNDED = ["$", "$..a", "$.a.*", "$$.Id", "$v.x", "States.Format('{}{}', $.name, $.name)", "States.Array($.a)"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the scope is a class
@given(JSON, st.lists(st.sampled_from(FIELDS), max_size=4), JSON)
def test_what_a_template_makes_is_no_larger_than_it_is_said_to_be(scope, a, fields, literal):
    value = {"a": {"b": [a]}, "n": 2**63 - 1, "name": "é"}
    raw = {"literal": literal, **{f"f{i}.$": text for i, text in enumerate(fields)}}
    said = growth(raw)
    if said is None:
        assert ".$" in json.dumps(literal), "all the rest can be told"
        return
    made = template(raw)(value, scope())
    assert size(made) <= size(value) * said[0] + said[1]


@pytest.mark.parametrize("raw", [*({"x.$": text} for text in UNBOUNDED), {"x": {"y.$": "$.a"}}, [{"y.$": "$.n"}]])
def test_a_template_that_could_make_anything_is_measured(raw):
    assert growth(raw) is None


def depth(value):
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inside), default=0) if isinstance(value, (dict, list)) else 0


PASSED = [
    {"Result": {"a": [1, 2], "n": 0}},
    {"Result": "é"},
    {"Parameters": {"n.$": "States.MathAdd($.n, 1)", "a": [1]}},
]
PASSED += [{"Parameters": {"a.$": "$.a", "n.$": "$.n"}}, {"Parameters": {"a.$": "$"}}, {}]
PLACED = [{}, {"ResultPath": "$"}, {"ResultPath": "$.a"}, {"ResultPath": "$.a.b"}, {"ResultPath": None}]
PLACED += [{"OutputPath": "$.a"}, {"OutputPath": "$"}, {"InputPath": "$.a"}, {"InputPath": None}]


@pytest.mark.parametrize("around", PLACED, ids=str)
@pytest.mark.parametrize("work", PASSED, ids=str)
def test_a_loop_through_a_state_grows_no_more_than_it_says_and_never_deeper_unseen(scope, work, around):
    state = {"Type": "Pass", **work, **around, "End": True}
    state = compile_program({"StartAt": "A", "States": {"A": state}}).states["A"]
    value = {"a": {"b": ["x" * 50]}, "n": 1}
    said, most = size(value), 5
    for _ in range(8):
        try:
            value = state.run(value, scope())[0]
        except StatesError:
            return
        if state.growth is None:
            return
        said = said * state.copies + state.growth
        assert size(value) <= said
        assert depth(value) <= most


def test_measuring_a_large_value_takes_no_time():
    value = [{"n": n, "text": "x" * 20} for n in range(6_000)]
    begun = time.perf_counter()
    assert 200_000 < size(value) < MAX_BYTES
    assert time.perf_counter() - begun < 30
