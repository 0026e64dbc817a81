"""Reading definitions: JSON, YAML, files, texts and dicts; substitutions; positions; and what is said of bad ones."""

import json
import subprocess
import sys
import time

import pytest

from sflab.asl.model import TOKEN, Definition, Diagnostic, StatesError, compact, read_json, step, unstep, walk
from sflab.asl.parse import MAX_DEPTH, load, loads
from sflab.errors import DefinitionError, SflabError

MINIMAL = {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}
TEXT = json.dumps(MINIMAL, indent=2)
YAML = """\
StartAt: A
States:
  A:
    Type: Succeed
"""

# ── where from ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "source",
    [
        *(MINIMAL, TEXT, compact(MINIMAL), "  \n" + TEXT, "\ufeff" + TEXT, "\ufeff" + compact(MINIMAL)),
        *(TEXT.replace("\n", "\r\n"), TEXT.replace("  ", "\t")),
        *(YAML, "# a comment\n" + YAML, "\ufeff" + YAML, "---\n" + YAML),
    ],
)
def test_a_definition_is_read_from_a_dict_and_from_json_and_yaml_text(source):
    definition = load(source)
    assert definition.raw == MINIMAL
    assert definition.source == "<definition>"


@pytest.mark.parametrize(
    ("name", "text"),
    [("m.asl.json", TEXT), ("m.yaml", YAML), ("m.yml", YAML), ("m.asl", TEXT), ("m.yaml", TEXT), ("noend", YAML)],
)
def test_a_definition_is_read_from_a_file(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, "utf-8")
    for source in (path, str(path)):
        definition = load(source)
        assert (definition.raw, definition.text, definition.source) == (MINIMAL, text, str(path))


@pytest.mark.parametrize("encoding", ["utf-8-sig"])
def test_a_file_may_begin_with_a_byte_order_mark(tmp_path, encoding):
    (tmp_path / "m.json").write_text(TEXT, encoding)
    assert load(tmp_path / "m.json").position("/StartAt") == (2, 3)


def test_a_dict_is_copied_and_not_kept():
    mine = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": [1], "End": True}}}
    definition = load(mine)
    mine["States"]["A"]["Result"].append(2)
    assert definition.raw["States"]["A"]["Result"] == [1]


def test_order_and_text_are_kept():
    text = '{"b": 1.50, "a": "ü\\u00e9", "States": {"Z": {}, "A": {}}}'
    definition = loads(text)
    assert list(definition.raw) == ["b", "a", "States"]
    assert list(definition.raw["States"]) == ["Z", "A"]
    assert (definition.raw["a"], definition.text) == ("üé", text)


# ── what cannot be read ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_file_says_what_lies_beside_it_and_what_can_be_given(tmp_path):
    (tmp_path / "saga.asl.json").write_text(TEXT)
    with pytest.raises(DefinitionError, match=r"no such file.*saga\.asl\.json.*Give the path"):
        load(tmp_path / "saga.json")
    with pytest.raises(DefinitionError, match="no such file"):
        load("no/such/folder/m.json")


def test_a_folder_and_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe{}")
    for source in (tmp_path, tmp_path / "bytes.json", "nul\0.json", "x" * 5000):
        with pytest.raises(DefinitionError):
            load(source)


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ('{"a": 1,}', 1, 9, "a comma stands before the closing brace; take it out"),
        ('{\n  "a": [1,]\n}', 2, 11, "a value is missing after the comma"),
        ('{\n  "a": 1\n  "b": 2\n}', 3, 3, "a comma is missing here"),
        ('{"a": [1, 2}', 1, 12, "a bracket is not closed"),
        ("{'a': 1}", 1, 2, "JSON takes double quotes"),
        ('{"a": 1} // x', 1, 10, "extra data|comment"),
        ('{\n// x\n"a": 1}', 2, 1, "JSON has no comments; use the Comment field"),
        ('{"a": tru}', 1, 7, "expecting value"),
        ('{"a": 01}', 1, 8, "a comma is missing"),
        ('{"a": "b', 1, 7, "unterminated string"),
        ('{"a": "tab\there"}', 1, 11, "control character"),
        ('{"a": "\\x"}', 1, 8, "escape"),
        ('{"a": .5}', 1, 7, "expecting value"),
        ('{"a" 1}', 1, 6, "':' delimiter"),
        ('{"a": ${Delay} 1}', 1, 7, "expecting value|comma"),
        ('\ufeff{"a": 1,}', 1, 9, "comma"),
        ("{", 1, 2, "expecting property name"),
    ],
)
def test_bad_json_says_line_column_and_what_to_do(text, line, column, says):
    with pytest.raises(DefinitionError, match=f"(?i){says}") as caught:
        loads(text)
    (found,) = caught.value.diagnostics
    assert (found.code, found.severity) == ("INVALID_JSON_DESCRIPTION", "ERROR")
    assert found.line == line
    assert abs(found.column - column) <= 1, "Python's own place of the fault moved by one between versions"
    assert f"line {found.line}, column {found.column}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("StartAt: A\nStates:\n\tA: 1\n", 3, 1),
        ("StartAt: A\n States: x\n", 2, 8),
        ("a: [1, 2\nb: 3\n", 2, 1),
        ("a: 'x\n", 2, 1),
        ("a: b: c\n", 1, 5),
        ("a: &x 1\nb: *y\n", 2, 4),
        ("a: 1\n---\nb: 2\n", 2, 1),
        ("? [a]\n: 1\n", 1, 3),
        ("a: !!python/object:os.system x\n", 1, 4),
        ("%\n", 1, 1),
    ],
)
def test_bad_yaml_says_line_and_column(text, line, column):
    with pytest.raises(DefinitionError) as caught:
        loads(text)
    (found,) = caught.value.diagnostics
    assert found.line == line
    assert abs(found.column - column) <= 1, "libyaml and PyYAML differ by one"


def test_the_file_stands_in_front_of_the_message(tmp_path):
    path = tmp_path / "broken.json"
    path.write_text('{\n "a": 1,\n}')
    with pytest.raises(DefinitionError, match=r"broken\.json: line 3, column 1: a comma stands before") as caught:
        load(path)
    assert str(caught.value.diagnostics[0]).startswith(f"{path}:3:1: ERROR")
    assert isinstance(caught.value, SflabError)


@pytest.mark.parametrize("text", ["[]", "[1]", '"text"', "\n12", "\ntrue", "\n- a", "\n~", "\nword", "\n"])
def test_what_is_no_object_is_no_definition(text):
    with pytest.raises(DefinitionError, match="must be a valid JSON object") as caught:
        loads(text)
    assert caught.value.diagnostics[0].severity == "ERROR"


@pytest.mark.parametrize(
    "source", [[], [MINIMAL], 1, None, True, 1.5, b"{}", {"a": {1, 2}}, {"a": object()}, {"a": float("nan")}]
)
def test_what_is_no_json_data_is_refused(source):
    with pytest.raises(DefinitionError):
        load(source)


def test_a_dict_that_contains_itself_is_refused():
    mine = {}
    mine["a"] = mine
    with pytest.raises(DefinitionError, match="not JSON data"):
        load(mine)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_json_does_not_have_are_refused(word):
    with pytest.raises(DefinitionError, match="is not JSON"):
        loads(f'{{"a": {word}}}')
    with pytest.raises(ValueError, match="is not JSON"):
        read_json(f"[{word}]")


@pytest.mark.parametrize(
    "value",
    [".nan", ".inf", "!!binary aGVsbG8=", "!!set {a, b}", "!!timestamp 2020-01-01", "!!omap [a: 1]", "1" * 5000],
)
def test_yaml_values_that_json_does_not_have_are_refused(value):
    with pytest.raises(DefinitionError):
        loads(f"a: {value}\n")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("2024-01-01", "2024-01-01"),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("1.5", 1.5),
        ("'12'", "12"),
        ("$.a", "$.a"),
        ("{% $x %}", None),
        ("'{% $x %}'", "{% $x %}"),
        ("|\n  two\n  lines", "two\nlines\n"),
        ("!Sub '${A}-x'", "${A}-x"),
        ("!GetAtt Fn.Arn", "${Fn.Arn}"),
        ("!Ref Table", "${Table}"),
    ],
)
def test_yaml_scalars_are_jsons_and_short_forms_are_tokens(value, read):
    text = f"a: {value}\n"
    if value == "{% $x %}":  # a plain scalar cannot begin so: the mistake everybody makes, with its place
        with pytest.raises(DefinitionError, match="line 1, column"):
            loads(text)
    else:
        assert loads(text).raw == {"a": read}


def test_yaml_aliases_and_merges_are_resolved():
    text = "base: &base {Type: Pass, End: true}\nStates:\n  A:\n    <<: *base\n    Comment: x\n  B: *base\n"
    assert loads(text).raw["States"] == {
        "A": {"Type": "Pass", "End": True, "Comment": "x"},
        "B": {"Type": "Pass", "End": True},
    }


# ── hostile texts: each answers, at once ─────────────────────────────────────────────────────────────────────────────

HOSTILE = {
    "deep JSON arrays": '{"a": ' + "[" * 100_000,
    "deep JSON objects": '{"a":' * 50_000,
    "deep but closed": '{"a":' * 300 + "1" + "}" * 300,
    "deep after a token": '{"x": ${T}, "a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "deep YAML flow": "a: " + "[" * 100_000,
    "deep YAML mappings": "a: " + "{a: " * 50_000,
    "deep YAML blocks": "\n" + "- " * 100_000,
    "deep YAML keys": "\n" + "? " * 50_000,
    "aliases that explode": "a0: &a0 x\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
    ),
    "merges that explode": "a0: &a0 {k: v}\n" + "".join(
        f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
    ),
    "an alias to itself": "a: &a [*a, *a]\n",
    "quotes": '{"' + '\\"' * 100_000,
    "commas": "{" + "," * 100_000,
    "a number": '{"a": ' + "1" * 10_000 + "}",
    "nul": "{\0}",
    "half a surrogate": '{"\ud800": \ud800}',
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_refused_at_once(name):
    begun = time.perf_counter()
    with pytest.raises(DefinitionError):
        loads(HOSTILE[name])
    assert time.perf_counter() - begun < 30


def test_deep_yaml_does_not_end_the_process():
    """libyaml's composer recurses in C: without a bound it is a segmentation fault, which no `except` sees."""
    code = "from sflab.asl.parse import loads\ntry: loads('a: ' + '[' * 200_000)\nexcept Exception as e: print(e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "nested deeper" in done.stdout) == (0, True)


@pytest.mark.parametrize(("levels", "taken"), [(MAX_DEPTH - 2, True), (MAX_DEPTH + 1, False)])
def test_nesting_is_bounded_alike_in_json_and_yaml(levels, taken):
    text = '{"a":' + "[" * levels + "]" * levels + "}"
    for name in ("m.json", "m.yaml"):
        if taken:
            definition = loads(text, name)
            assert definition.position("/a/0/0") is not None
        else:
            with pytest.raises(DefinitionError, match="nested deeper than"):
                loads(text, name)


# ── substitutions ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "given", "value"),
    [
        ('"${A}"', {"A": "x"}, "x"),
        ('"${A}-${B}"', {"A": "x", "B": "y"}, "x-y"),
        ('"${A}"', {"A": 5}, 5),
        ('"${A}"', {"A": {"b": 1}}, {"b": 1}),
        ('"x-${A}"', {"A": 5}, "x-5"),
        ('"x-${A}"', {"A": {"b": 1}}, 'x-{"b": 1}'),
        ("${A}", {"A": 5}, 5),
        ("${A}", {"A": "5"}, 5),
        ("${A}", {"A": True}, True),
        ("[${A}, ${B}]", {"A": 1, "B": [2]}, [1, [2]]),
        ("${A}", {}, "${A}"),
        ('"${A}"', {}, "${A}"),
        ('"${A::B.Arn}"', {"A::B.Arn": "arn"}, "arn"),
        ('"${AWS::Partition}"', {"AWS::Partition": "aws"}, "aws"),
        ('"${A}"', {"A": "${B}"}, "${B}"),
        ('"{% ${ a: b } %}"', {"a": "x"}, "{% ${ a: b } %}"),
        ('"$${A}"', {"A": "x"}, "$x"),
        ('"${}"', {}, "${}"),
    ],
)
def test_tokens_are_filled_in(text, given, value):
    assert loads(f'{{"v": {text}}}', substitutions=given).raw == {"v": value}


def test_tokens_in_names_are_filled_in_and_those_left_are_listed_once_in_order():
    definition = loads('{"${S}": {"a": "${Fn} ${Role}", "${X}": "${Fn}", "n": ${N}}}', substitutions={"S": "States"})
    assert list(definition.raw) == ["States"]
    assert definition.unresolved == ("${Fn}", "${Role}", "${X}", "${N}")
    assert load({"a": "${A}"}, substitutions={"A": "1"}).unresolved == ()


def test_yaml_tokens_are_filled_in():
    definition = loads("a: ${A}\nb: x-${B}\n", substitutions={"A": "1"})
    assert definition.raw == {"a": "1", "b": "x-${B}"}
    assert definition.unresolved == ("${B}",)


@pytest.mark.parametrize("value", [object(), {1}, float("nan"), b"x"])
@pytest.mark.parametrize("text", ['{"a": "${A}"}', '{"a": ${A}}'])
def test_a_substitution_is_a_string_or_json_data(text, value):
    with pytest.raises(DefinitionError, match=r"substitutions\['A'\]"):
        loads(text, substitutions={"A": value})


def test_what_is_a_token():
    assert [m[1] for m in TOKEN.finditer("${A} ${A.b} ${AWS::Region} ${a-b_c} ${ a } ${} ${a:'b'} ${$x}")] == [
        "A", "A.b", "AWS::Region", "a-b_c", "$x",
    ]  # fmt: skip


# ── positions ────────────────────────────────────────────────────────────────────────────────────────────────────────

PLACED = """\
{
  "StartAt": "A",
  "States": {
    "A": {"Type": "Choice", "Choices": [
        {"Variable": "$.x", "IsNull": true, "Next": "B/C~D"},
        {"Variable": "$.ü\\"{",
         "IsNull": false, "Next": "A"}]},
\t"B/C~D": {"Type": "Wait",
        "Seconds": ${Delay}}
  }
}
"""
PLACED_YAML = """\
StartAt: A
States:
  A:
    Type: Choice
    Choices:
      - Variable: $.x
        Next: B/C~D
      - {Next: A, IsNull: true}
  "B/C~D":
    Type: Wait
"""


@pytest.mark.parametrize(
    ("text", "pointer", "position"),
    [
        (PLACED, "", (1, 1)),
        (PLACED, "/StartAt", (2, 3)),
        (PLACED, "/States/A", (4, 5)),
        (PLACED, "/States/A/Type", (4, 11)),
        (PLACED, "/States/A/Choices/0", (5, 9)),
        (PLACED, "/States/A/Choices/0/Next", (5, 45)),
        (PLACED, "/States/A/Choices/1/IsNull", (7, 10)),
        (PLACED, "/States/B~1C~0D", (8, 2)),
        (PLACED, "/States/B~1C~0D/Seconds", (9, 9)),
        (PLACED, "/States/A/Nothing/Here", (4, 5)),
        (PLACED, "/States/Nobody", (3, 3)),
        (PLACED, "/", (1, 1)),
        (PLACED_YAML, "/States/A", (3, 3)),
        (PLACED_YAML, "/States/A/Choices/0/Next", (7, 9)),
        (PLACED_YAML, "/States/A/Choices/1", (8, 9)),
        (PLACED_YAML, "/States/A/Choices/1/IsNull", (8, 19)),
        (PLACED_YAML, "/States/B~1C~0D/Type", (10, 5)),
        (PLACED_YAML, "/States/A/Choices/0/Nothing", (6, 9)),
    ],
)
def test_a_pointer_has_a_line_and_a_column(text, pointer, position):
    assert loads(text).position(pointer) == position


def test_a_dict_has_no_positions():
    assert load(MINIMAL).position("/States/A") is None
    assert load(MINIMAL).diagnostic("ERROR", "X", "said", "/States/A").line is None


# ── the model ────────────────────────────────────────────────────────────────────────────────────────────────────────

NESTED = {
    "StartAt": "P",
    "States": {
        "P": {
            "Type": "Parallel",
            "Branches": [{"StartAt": "B", "States": {"B": {"Type": "Pass"}}}, "not a branch", {"States": {"C/D": {}}}],
        },
        "M": {
            "Type": "Map",
            "ItemProcessor": {"States": {"I": {"Type": "Map", "Iterator": {"States": {"J": {}, "K": "not a state"}}}}},
        },
        "broken": [],
    },
}


def test_walk_gives_every_state_outer_before_inner_in_order():
    found = [(p.pointer, p.name, p.parent, p.scope) for p in walk(NESTED)]
    assert found == [
        ("/States/P", "P", "", ""),
        ("/States/M", "M", "", ""),
        ("/States/P/Branches/0/States/B", "B", "/States/P", "/States/P/Branches/0"),
        ("/States/P/Branches/2/States/C~1D", "C/D", "/States/P", "/States/P/Branches/2"),
        ("/States/M/ItemProcessor/States/I", "I", "/States/M", "/States/M/ItemProcessor"),
        (
            "/States/M/ItemProcessor/States/I/Iterator/States/J",
            "J",
            "/States/M/ItemProcessor/States/I",
            "/States/M/ItemProcessor/States/I/Iterator",
        ),
    ]
    assert [p.state for p in load(NESTED).places()][-1] == {}


@pytest.mark.parametrize("raw", [{}, {"States": None}, {"States": []}, {"States": {"A": None}}, {"States": "x"}])
def test_walk_passes_over_what_is_no_state(raw):
    assert list(walk(raw)) == []


@pytest.mark.parametrize("name", ["a", "a/b", "a~b", "~1", "", "ü/~", 0])
def test_steps_of_a_pointer_are_escaped_and_read_back(name):
    assert unstep("/x" + step(name) + "/y") == ["x", str(name), "y"]


def test_a_diagnostic_says_where_in_one_line():
    assert (
        str(Diagnostic("ERROR", "CODE", "said", "/States/A", 3, 4, "m.json"))
        == "m.json:3:4: ERROR /States/A: said [CODE]"
    )
    assert str(Diagnostic("WARNING", "CODE", "said")) == "WARNING /: said [CODE]"


def test_compact_is_aws_json_text():
    assert compact({"a": [1, 2.5, None, True], "ü": '"\n\x01'}) == '{"a":[1,2.5,null,true],"ü":"\\"\\n\\u0001"}'


def test_a_definition_is_a_value_and_a_states_error_carries_both_texts():
    assert Definition({"a": 1}) == Definition({"a": 1}) != Definition({"a": 2})
    error = StatesError("Name", "text", location="Output/x")
    assert (error.error, error.cause, error.runtime, error.location) == ("Name", "text", False, "Output/x")
