"""The eighteen intrinsic functions: results, failures, escapes and limits, from the developer guide's own examples."""

import json
import time
import uuid

import pytest

from sflab.asl.intrinsics import FUNCTIONS, IntrinsicSyntaxError, compile_call, java_hash, java_order, java_text
from sflab.asl.model import StatesError
from sflab.asl.paths import PathNotFoundError

DATA = {
    "n": 7,
    "f": 1.5,
    "big": 10**30,
    "text": "héllo",
    "name": "Ann",
    "list": [1, 2, 3, 3, 4],
    "mixed": [1, 1.0, True, "1", None, [1], [1], {"a": 1}, {"a": 1}],
    "object": {"a": 1, "b": [2, "x"]},
    "a": {"a1": 1, "a2": 2},
    "json": '{"x": [1, 2.50, null, "é"]}',
    "null": None,
    "true": True,
    "empty": "",
    "half": "\ud800",
    "braces": "{}-{}",
}


@pytest.fixture
def call(scope):
    return lambda text, value=DATA, seed=0: compile_call(text)(value, scope(seed=seed, context={"Id": "e"}))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        # arrays
        ("States.Array()", []),
        ("States.Array($.n)", [7]),
        ("States.Array('Foo', 2020, $.object, null)", ["Foo", 2020, DATA["object"], None]),
        ("States.Array(true, false, -1.5, 1e2)", [True, False, -1.5, 100.0]),
        ("States.ArrayPartition($.list, 2)", [[1, 2], [3, 3], [4]]),
        ("States.ArrayPartition($.list, 4)", [[1, 2, 3, 3], [4]]),
        ("States.ArrayPartition($.list, 99)", [[1, 2, 3, 3, 4]]),
        ("States.ArrayPartition(States.Array(), 4)", []),
        ("States.ArrayContains($.list, 3)", True),
        ("States.ArrayContains($.list, 9)", False),
        ("States.ArrayContains($.list, '3')", False),
        ("States.ArrayContains($.mixed, $.object)", False),
        ("States.ArrayContains(States.Array(true), 1)", False),
        ("States.ArrayContains(States.Array(States.Array(1)), States.Array(1))", True),
        ("States.ArrayContains($.mixed, null)", True),
        ("States.ArrayRange(1, 9, 2)", [1, 3, 5, 7, 9]),
        ("States.ArrayRange(1, 10, 2)", [1, 3, 5, 7, 9]),
        ("States.ArrayRange(5, 1, -2)", [5, 3, 1]),
        ("States.ArrayRange(1, 1, 1)", [1]),
        ("States.ArrayRange(2, 1, 1)", []),
        ("States.ArrayRange(-1, 1, 1)", [-1, 0, 1]),
        ("States.ArrayLength(States.ArrayRange(1, 1000, 1))", 1000),
        ("States.ArrayGetItem($.list, 0)", 1),
        ("States.ArrayGetItem($.list, 4)", 4),
        ("States.ArrayLength($.list)", 5),
        ("States.ArrayLength(States.Array())", 0),
        ("States.ArrayUnique($.list)", [1, 2, 3, 4]),
        ("States.ArrayUnique(States.Array('b', 'a', 'b'))", ["b", "a"]),
        # encoding and hashing
        ("States.Base64Encode('Data to encode')", "RGF0YSB0byBlbmNvZGU="),
        ("States.Base64Decode('RGF0YSB0byBlbmNvZGU=')", "Data to encode"),
        ("States.Base64Decode(States.Base64Encode($.text))", "héllo"),
        ("States.Base64Encode($.half)", "Pw=="),
        ("States.Hash('input data', 'SHA-1')", "aaff4a450a104cd177d28d18d74485e8cae074b7"),
        ("States.Hash('input data', 'MD5')", "812f45842bc6d66ee14572ce20db8e86"),
        ("States.Hash('', 'SHA-256')", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("States.ArrayLength(States.StringSplit(States.Hash('x', 'SHA-384'), ''))", 1),
        # JSON
        ("States.JsonMerge($.a, $.object, false)", {"a": 1, "a1": 1, "a2": 2, "b": [2, "x"]}),
        ("States.StringToJson($.json)", {"x": [1, 2.5, None, "é"]}),
        ("States.StringToJson('[1, true]')", [1, True]),
        ("States.StringToJson('\"a\"')", "a"),
        ("States.StringToJson('0')", 0),
        ("States.JsonToString($.object)", '{"a":1,"b":[2,"x"]}'),
        ("States.JsonToString($.text)", '"héllo"'),
        ("States.JsonToString($.null)", "null"),
        ("States.StringToJson(States.JsonToString($.object))", DATA["object"]),
        # numbers
        ("States.MathAdd(111, -1)", 110),
        ("States.MathAdd(1.49, 1.5)", 3),  # each operand is rounded half up first (recorded)
        ("States.MathAdd(-1.5, 0)", -1),
        ("States.MathAdd(-2.5, 0)", -2),
        ("States.MathAdd($.f, $.n)", 9),
        ("States.MathAdd(9223372036854775806, 1)", 9223372036854775807),
        # texts
        ("States.StringSplit('1,2,3,4,5', ',')", ["1", "2", "3", "4", "5"]),
        ("States.StringSplit('This.is+a,test=string', '.+,=')", ["This", "is", "a", "test", "string"]),
        ("States.StringSplit(',a,,b,', ',')", ["a", "b"]),
        ("States.StringSplit('a]b^c-d', ']^-')", ["a", "b", "c", "d"]),
        ("States.StringSplit('abc', '')", ["abc"]),
        ("States.StringSplit('', ',')", []),
        ("States.Format('Hello, my name is {}.', $.name)", "Hello, my name is Ann."),
        ("States.Format('{}{}', 1, 'a')", "1a"),
        ("States.Format('no place')", "no place"),
        ("States.Format('{} {} {} {}', null, true, 1.5, $.text)", "null true 1.5 héllo"),
        ("States.Format('{}', $.object)", "{a=1, b=[2, x]}"),
        ("States.Format($.braces, 1, 2)", "1-2"),
        ("States.Format('{}', $$.Id)", "e"),
        ("States.Format('{}', $$['Id'])", "e"),
        ("States.Format('{}', $.object['b'][1])", "x"),
        # nesting
        ("States.Format('{}', States.Format('<{}>', States.ArrayGetItem($.list, States.MathAdd(1, 1))))", "<3>"),
        ("States.Array(States.Array(1), States.Array())", [[1], []]),
        # space is free
        ("  States.Array ( 1 ,  'a' ,$.n )  ", [1, "a", 7]),
        # what a path finds many of is an array
        ("States.ArrayLength($.list[?(@ > 2)])", 3),
        ("States.Array($.list[0:2], $.nothing[*])", [[1, 2], []]),
    ],
)  # fmt: skip
def test_a_function_gives(call, text, result):
    assert call(text) == result
    assert type(call(text)) is type(result)


def test_all_eighteen_functions_are_tried_above():
    with open(__file__, encoding="utf-8") as source:  # noqa: PTH123
        text = source.read()
    assert len(FUNCTIONS) == 18
    assert [name for name in FUNCTIONS if f"{name}(" not in text] == []


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        (r"'it\'s'", "it's"),
        (r"'\{\}'", "{}"),
        (r"'a\{b'", "a{b"),
        (r"'a\\b'", "a\\b"),
        (r"'\\\''", "\\'"),
        ("'{}'", "{}"),
        ('\'{"a": "b"}\'', '{"a": "b"}'),
        ("'a(b),c'", "a(b),c"),
        ("'$.n'", "$.n"),
        ("'two\nlines'", "two\nlines"),
        ("''", ""),
    ],
)
def test_escapes_in_a_literal(call, literal, text):
    assert call(f"States.Array({literal})") == [text]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (r"'\{\}{}'", "{}1"),
        (r"'\{{}\}'", "{1}"),
        (r"'\\{}'", "\\1"),
        (r"'\'{}\''", "'1'"),
        (r"'{\}{}'", "{}1"),
        ("'{ }{}'", "{ }1"),
    ],
)
def test_escapes_in_a_format_template(call, template, text):
    assert call(f"States.Format({template}, 1)") == text


@pytest.mark.parametrize("call_text", ["States.Array('a\\nb')", "States.Array('a\\tb')", r"States.Format('\x{}', 1)"])
def test_any_other_escape_is_refused(call_text):
    with pytest.raises(IntrinsicSyntaxError):
        compile_call(call_text)


@pytest.mark.parametrize(
    "text",
    [
        "States.ArrayPartition($.list, 0)",
        "States.ArrayPartition($.list, -1)",
        "States.ArrayPartition($.text, 2)",
        "States.ArrayContains($.text, 'h')",
        "States.ArrayRange(1, 2, 0)",
        "States.ArrayRange(1, 1001, 1)",
        "States.ArrayRange(0, $.big, 1)",
        "States.ArrayRange(-9000000000000000000, 9000000000000000000, 1)",
        "States.ArrayRange('1', 2, 1)",
        "States.ArrayGetItem($.list, 5)",
        "States.ArrayGetItem($.list, -1)",
        "States.ArrayGetItem($.object, 0)",
        "States.ArrayLength($.object)",
        "States.ArrayLength($.null)",
        "States.ArrayUnique('a')",
        "States.Base64Encode(1)",
        "States.Base64Encode($.object)",
        "States.Base64Decode('not base64!')",
        "States.Base64Decode($.text)",
        "States.Base64Decode('/w==')",
        "States.Hash('a', 'SHA-3')",
        "States.Hash('a', $.list)",
        "States.Hash('a', $.null)",
        "States.JsonMerge($.a, $.object, true)",
        "States.JsonMerge($.a, $.list, false)",
        "States.JsonMerge($.null, $.a, false)",
        "States.StringToJson('{')",
        "States.StringToJson('NaN')",
        "States.StringToJson('1e999')",
        "States.StringToJson('')",
        "States.StringToJson($.n)",
        "States.MathAdd('1', 2)",
        "States.MathAdd(true, 2)",
        "States.MathAdd($.null, 2)",
        "States.MathAdd($.big, 1)",
        "States.MathRandom(3, 3)",
        "States.MathRandom(3, 1)",
        "States.MathRandom('a', 1)",
        "States.StringSplit($.n, ',')",
        "States.StringSplit($.null, '')",
        "States.StringSplit('a', 1)",
        "States.Format('{}')",
        "States.Format('{}', 1, 2)",
        "States.Format('x', 1)",
        "States.Format($.n, 1)",
    ],
)
def test_arguments_that_do_not_fit_fail_with_intrinsic_failure_naming_the_function(call, text):
    with pytest.raises(StatesError) as caught:
        call(text)
    assert caught.value.error == "States.IntrinsicFailure"
    assert text.partition("(")[0] in caught.value.cause


def test_texts_over_ten_thousand_characters_are_refused_by_hash_and_base64(call):
    for text in ("States.Hash($, 'MD5')", "States.Base64Encode($)", "States.Base64Decode($)"):
        call(text, "YWFh" * 2_500)
        with pytest.raises(StatesError, match="10000"):
            call(text, "aaaa" * 2_500 + "a")


def test_nested_json_that_would_exhaust_the_stack_is_refused(call):
    with pytest.raises(StatesError, match="not JSON"):
        call("States.StringToJson($)", "[" * 100_000)


@pytest.mark.parametrize("path", ["$.missing", "$.object.c.d", "$$.No", "$novariable", "$.list[9]"])
def test_a_path_that_leads_nowhere_is_not_found_whatever_the_function(call, path):
    with pytest.raises(PathNotFoundError):
        call(f"States.Array({path})")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("States.Nothing(1)", "there is no intrinsic function States.Nothing"),
        ("States.array(1)", "there is no intrinsic function States.array"),
        ("States.Array(1", r", or \) is missing"),
        ("States.Array(1,)", "an argument is missing"),
        ("States.Array(,1)", "an argument is missing"),
        ("States.Array(1 2)", r", or \) is missing|an argument"),
        ("States.Array('a)", "an argument is missing"),
        ('States.Array("a")', "an argument is missing"),
        ("States.Array(a)", "an argument is missing"),
        ("States.Array(1) 2", "unexpected text after the call"),
        ("States.Array", "is missing"),
        ("Array(1)", "is missing"),
        ("States.ArrayLength()", "takes 1 arguments, not 0"),
        ("States.ArrayLength(1, 2)", "takes 1 arguments, not 2"),
        ("States.MathRandom(1)", "takes 2 to 3 arguments, not 1"),
        ("States.UUID(1)", "takes 0 arguments, not 1"),
        ("States.Array(007)", "007 is no number"),
        ("States.Array(" + "1" * 5000 + ")", "is no number"),
        ("States.Array($.a b)", "unexpected text"),
        ("States.Array($[)", "is missing"),
        ("", "is missing"),
    ],
)
def test_what_is_no_call_says_what_is_wrong(text, says):
    with pytest.raises(IntrinsicSyntaxError, match=says):
        compile_call(text)


def test_ten_functions_can_be_nested_and_not_more():
    ten = "States.Array(" * 10 + "1" + ")" * 10
    assert json.dumps(compile_call(ten)(None, None)) == "[" * 10 + "1" + "]" * 10
    with pytest.raises(IntrinsicSyntaxError, match="more than 10"):
        compile_call(f"States.Array({ten})")


def test_chance_comes_from_the_scope_alone(call):
    assert call("States.UUID()", seed=1) == call("States.UUID()", seed=1) != call("States.UUID()", seed=2)
    assert uuid.UUID(call("States.UUID()")).version == 4
    drawn = [call("States.MathRandom(1, 4)", seed=n) for n in range(200)]
    assert set(drawn) == {1, 2, 3}, "the start is drawn, the end is not"
    assert call("States.MathRandom(1, 1000000, 7)", seed=1) == call("States.MathRandom(1, 1000000, 7)", seed=2)
    assert call("States.MathRandom(1, 1000000, 7)") != call("States.MathRandom(1, 1000000, 8)")


def test_unique_tells_types_apart_and_keeps_the_first(call):
    assert call("States.ArrayUnique($.mixed)") == [1, 1.0, True, "1", None, [1], {"a": 1}]
    assert [type(x) for x in call("States.ArrayUnique($.mixed)")][:3] == [int, float, bool]


@pytest.mark.parametrize(
    ("text", "hashed"),
    [("", 0), ("a", 97), ("ab", 3105), ("hello", 99162322), ("é", 233), ("😀", 1772899), ("polygenelubricants", 2**31)],
)
def test_java_hash_is_string_hash_code(text, hashed):
    assert java_hash(text) == hashed


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["b", "a"], ["a", "b"]),
        (["Aa", "BB"], ["Aa", "BB"]),  # the same hash: as given
        (["BB", "Aa"], ["BB", "Aa"]),
        (["input", "result", "x"], ["result", "input", "x"]),
        ([], []),
        (["one"], ["one"]),
    ],
)
def test_java_order_is_a_hash_maps(names, order):
    assert java_order(names) == order


def test_a_hash_map_of_more_than_twelve_names_has_more_buckets():
    names = [f"key{n}" for n in range(13)]

    def bucket(name, buckets):
        h = java_hash(name)
        return (h ^ (h >> 16)) % buckets

    assert java_order(names) == sorted(names, key=lambda name: bucket(name, 32))
    assert java_order(names[:12]) == sorted(names[:12], key=lambda name: bucket(name, 16))
    assert java_order(names) != sorted(names, key=lambda name: bucket(name, 16))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (1, "1"),
        (None, "null"),
        (True, "true"),
        ([], "[]"),
        ({}, "{}"),
        ({"a": [1, "b", None]}, "{a=[1, b, null]}"),
    ],
)
def test_java_text(value, text):
    assert java_text(value) == text


def test_a_long_call_compiles_in_no_time():
    begun = time.perf_counter()
    text = "States.Array(" + ",".join(["$.list[?(@ > 1)]"] * 900) + ")"
    assert len(compile_call(text)(DATA, None)) == 900
    with pytest.raises(IntrinsicSyntaxError):
        compile_call("States.Array(" + "'" * 20_001)
    assert time.perf_counter() - begun < 30
