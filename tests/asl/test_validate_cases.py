"""The validator beside four others on labelled definitions, on 414 from the wild, and on what a Distributed Map has."""

# ruff: noqa: E501 - tables of cases read best with a case on a line

import collections
import json

import pytest

from sflab.asl.jackson import problem
from sflab.asl.parse import load, loads
from sflab.asl.validate import validate
from sflab.errors import DefinitionError

# ── labelled definitions ─────────────────────────────────────────────────────────────────────────────────────────────

NO_ARN = "its Resource is no ARN (foo:bar), which AWS refuses (reported); the label's linter does not look at it"
NO_ROLE = "its Credentials have no RoleArn, which AWS requires (recorded)"
TRIMMED = "its expression has blanks inside the delimiters alone, which AWS trims (recorded)"
NO_JSON = "the text is not JSON as it stands in the other project's source"
#: (repository, part of the path or case) -> why we judge otherwise than the label
DISAGREEMENTS = {
    ("ChristopheBougere/asl-validator", "invalid-json-surround-syntax-extra-spaces"): TRIMMED,
    ("ChristopheBougere/asl-validator", "valid-task-credentials"): NO_ROLE,
    ("awslabs/statelint", "test/"): NO_ARN,
    ("taro-kayo/statelint", "jsonata-5"): NO_ARN,
    ("taro-kayo/statelint", "test_map_state"): "its ItemReader's Resource is arn:x, which AWS refuses (reported)",
    ("aws-cloudformation/cfn-lint", "Error handling"): NO_JSON,
    ("aws-cloudformation/cfn-lint", "Test functions"): NO_ROLE,
    ("aws-cloudformation/cfn-lint", "Choices"): "two transitions lead nowhere",
    ("aws-cloudformation/cfn-lint", "Valid string json"): "a Resource that is a token is judged when it is substituted",
    ("aws-cloudformation/cfn-lint", "Using a function"): "it is a template's Fn::Join, not a definition",
    ("aws/amazon-states-language-service", "documentSucceedFailTerminalState"): "two states have one name",
    ("aws/amazon-states-language-service", "documentTaskValidVariableSubstitution"): NO_JSON,
}  # fmt: skip


def errors(text, type="STANDARD"):
    try:
        return [d for d in validate(loads(text), type) if d.severity == "ERROR"]
    except DefinitionError as e:
        return list(e.diagnostics)


def test_labelled_definitions(shared):
    """Agreement with the label: ours above each of the others', and every disagreement of ours for a reason."""
    right, judged = collections.Counter(), collections.Counter()
    unexplained, reasons = [], collections.Counter()
    for case in json.loads((shared / "corpus" / "VALIDATION_CASES.json").read_text()):
        label = case["label_valid"]
        if label is None:
            continue
        verdicts = {tool: seen.get("valid") for tool, seen in case["observed"].items() if "valid" in seen}
        verdicts["sflab"] = not errors(case["text"], case["workflow_type"] or "STANDARD")
        for tool, verdict in verdicts.items():
            judged[tool] += 1
            right[tool] += verdict == label
        if verdicts["sflab"] != label:
            where = f"{case['path']} {case['case']}"
            why = [why for (repo, part), why in DISAGREEMENTS.items() if repo == case["source_repo"] and part in where]
            reasons.update(why)
            unexplained += [] if why else [f"{case['source_repo']} {where}"]
    print()
    for tool, count in right.most_common():
        print(f"{tool}: {count} of {judged[tool]} as labelled ({count / judged[tool]:.1%})")
    assert not unexplained
    assert set(reasons) == set(DISAGREEMENTS.values()), "a reason that is not needed any more"
    assert right["sflab"] >= 221
    assert judged["sflab"] == 247
    others = [right[tool] / judged[tool] for tool in right if tool not in ("sflab", "json")]
    assert right["sflab"] / judged["sflab"] > max(others)


# ── definitions from the wild ────────────────────────────────────────────────────────────────────────────────────────

BLANK = "a blank for the reader to fill in stands in it"
#: part of the file's name -> why AWS refuses it as well
REFUSED = {
    "AGENT_REGISTRY_DESIGN--L73": "the excerpt's transitions lead to states that are not in it",
    "agent-with-tools-flow-template": "a transition leads to a state that is not there",
    "dynamic-agent-template": "Choices is a text to be replaced",
    "supervisor-agent-flow-template": "a choice rule has no Next",
    "web-search-agent": "fields named .$ have values that are no path",
    "workflow_multiple_channels": BLANK,
    "chat_sfn_state_machine": BLANK,
    "craps-workshop/README--L256": BLANK,
    "craps-workshop/README--L266": BLANK,
    "craps-workshop/statemachine": BLANK,
    "Workshop__additional-steps--L58": "an empty ResultPath",
    "Workshop__step-1--L30": BLANK,
    "lambda-sfn-sls__statemachine__stateMachine": "a Default that is no text, states that nothing leads to, and no end",
    "module-5__step-4__index.pt--L35": BLANK,
}


def test_definitions_from_the_wild(shared):
    corpus = shared / "corpus"
    entries = json.loads((corpus / "INDEX.json").read_text())
    refused = {}
    for entry in entries:
        found = [d for d in validate(load(corpus / entry["file"])) if d.severity == "ERROR"]
        if found:
            refused[entry["file"]] = found
    why = {file: [name for name in REFUSED if name in file] for file in refused}
    assert all(why.values()), {file: str(refused[file][0]) for file, names in why.items() if not names}
    assert {names[0] for names in why.values()} == set(REFUSED)
    assert len(entries) == 414


# ── the parts of a Distributed Map ───────────────────────────────────────────────────────────────────────────────────

FN = "arn:aws:lambda:us-east-1:123456789012:function:f"
GET = "arn:aws:states:::s3:getObject"
PUT = "arn:aws:states:::s3:putObject"


def mapped(inner=None, config=None, language="JSONPath", **more):
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"} if config is None else config
    inner = inner or {"Type": "Pass", "End": True}
    processor = {"ProcessorConfig": config, "StartAt": "I", "States": {"I": inner}}
    state = {"Type": "Map", "ItemProcessor": processor, "End": True, **more}
    return {"QueryLanguage": language, "StartAt": "M", "States": {"M": state}}


def said(raw, type="STANDARD", severity="ERROR"):
    every = validate(load(raw), type)
    return [
        (d.pointer.removeprefix("/States/M/"), d.code, d.said or d.message) for d in every if d.severity == severity
    ]


@pytest.mark.parametrize(
    "raw",
    [
        mapped(ItemReader={"Resource": GET, "Parameters": {"Bucket.$": "$.b", "Key": "k"}}),
        mapped(ItemReader={"Resource": GET, "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "GIVEN",
                                                             "CSVHeaders": ["a"], "CSVDelimiter": "PIPE"}}),
        mapped(ItemReader={"Resource": GET, "ReaderConfig": {"InputType": "JSONL", "MaxItemsPath": "$.n"}}),
        mapped(ItemBatcher={"MaxItemsPerBatch": 10, "MaxInputBytesPerBatch": 262144, "BatchInput": {"a.$": "$.a"}}),
        mapped(ItemBatcher={"MaxItemsPerBatchPath": "$.n"}),
        mapped(ResultWriter={"Resource": PUT, "Parameters": {"Bucket": "b", "Prefix": "p"}}),
        mapped(ResultWriter={"WriterConfig": {"Transformation": "FLATTEN", "OutputType": "JSONL"}}),
        mapped(Label="Mine", config={"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}),
        mapped(language="JSONata", ItemReader={"Resource": GET, "Arguments": {"Bucket": "{% $states.input.b %}"},
                                               "ReaderConfig": {"MaxItems": "{% $states.input.n %}"}},
               ItemBatcher={"MaxItemsPerBatch": "{% 1 + 1 %}", "BatchInput": {"a": "{% $states.input.a %}"}}),
    ],
)  # fmt: skip
def test_what_a_distributed_map_takes(raw):
    assert said(raw) == []


ONE_OF = "There should only be one of the following fields: "


@pytest.mark.parametrize(
    ("raw", "location", "words"),
    [
        (mapped(ItemReader={}), "ItemReader", "These fields are required: [Resource]"),
        (mapped(ItemReader=[]), "ItemReader", "Expected value of type Object"),
        (mapped(ItemReader={"Resource": GET, "Arguments": {}}), "ItemReader/Arguments", "only supported for the 'JS"),
        (mapped(ItemReader={"Resource": GET, "ReaderConfig": {"MaxItems": 1, "MaxItemsPath": "$.n"}}),
         "ItemReader/ReaderConfig", ONE_OF + "[MaxItems, MaxItemsPath]"),
        (mapped(ItemReader={"Resource": GET, "ReaderConfig": {"InputType": "XML"}}),
         "ItemReader/ReaderConfig/InputType", "[CSV, JSON, JSONL, MANIFEST, PARQUET]"),
        (mapped(ItemReader={"Resource": GET, "ReaderConfig": {"MaxItem": 1}}),
         "ItemReader/ReaderConfig/MaxItem", "did you mean 'MaxItems'"),
        (mapped(ItemReader={"Resource": GET, "ReaderConfig": {"CSVHeaderLocation": "GIVEN", "CSVHeaders": [1]}}),
         "ItemReader/ReaderConfig/CSVHeaders/0", "Expected value of type String"),
        (mapped(ItemBatcher={"MaxItemsPerBatch": 1, "MaxItemsPerBatchPath": "$.n"}), "ItemBatcher", ONE_OF),
        (mapped(ItemBatcher={"MaxInputBytesPerBatch": 262145}), "ItemBatcher/MaxInputBytesPerBatch", "262144"),
        (mapped(ItemBatcher={"MaxItemsPerBatch": 1, "BatchInput": 1}), "ItemBatcher/BatchInput", "type Object"),
        (mapped(ResultWriter={}), "ResultWriter", "These fields are required: [Resource]"),
        (mapped(ResultWriter={"WriterConfig": {}}), "ResultWriter/WriterConfig", "These fields are required: "),
        (mapped(config={"Mode": "DISTRIBUTED"}), "ItemProcessor/ProcessorConfig", "required: [ExecutionType]"),
        (mapped(config={"Mode": "BOTH"}), "ItemProcessor/ProcessorConfig/Mode", "[INLINE, DISTRIBUTED]"),
        (mapped(config={"Mode": "INLINE", "ExecutionType": "STANDARD"}), "ItemProcessor/ProcessorConfig/ExecutionType",
         "Field 'ExecutionType' is not supported"),
        (mapped(ItemReader={"Resource": PUT}), "ItemReader/Resource",
         "The field 'Resource' does not match any of the allowed values"),
        (mapped(ItemReader={"Resource": GET, "ReaderConfig": {"InputType": "CSV"}}), "ItemReader/ReaderConfig",
         "The field 'CSVHeaderLocation' is required"),
        (mapped(ItemReader={"Resource": GET, "ReaderConfig": {"CSVHeaderLocation": "GIVEN", "InputType": "JSON"}}),
         "ItemReader/ReaderConfig/CSVHeaderLocation", "Field 'CSVHeaderLocation' is not supported"),
        (mapped(ItemReader={"Resource": GET, "ReaderConfig": {"CSVHeaderLocation": "GIVEN"}}), "ItemReader/ReaderConfig",
         "These fields are required: [CSVHeaders]"),
    ],
)  # fmt: skip
def test_what_a_distributed_map_does_not_take(raw, location, words):
    assert any(at == location and words in message for at, _, message in said(raw)), said(raw)


def test_express_children_are_express():
    sync = {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "End": True}
    express = {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}
    assert said(mapped(sync)) == []
    assert [m for *_, m in said(mapped(sync, express))] == [
        "Express state machine does not support '.sync' service integration"
    ]
    assert [(at, m) for at, _, m in said(mapped(), "EXPRESS")] == [
        (
            "ItemProcessor/ProcessorConfig/Mode",
            "The field 'Mode' with value 'DISTRIBUTED' is not supported inside 'EXPRESS' state machines",
        )
    ]


# ── text that is not JSON, in Jackson's words ────────────────────────────────────────────────────────────────────────

EXPECTED = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("not a definition", f"Unrecognized token 'not': was expecting {EXPECTED}", 4),  # recorded
        ("{'not': 'json'", "Unexpected character (''' (code 39)): was expecting double-quote to start field name", 3),
        ('{"a":1,}', "Unexpected character ('}' (code 125)): was expecting double-quote to start field name", 9),
        ('{"a" 1}', "Unexpected character ('1' (code 49)): was expecting a colon to separate field name and value", 7),
        ("[1 2]", "Unexpected character ('2' (code 50)): was expecting comma to separate Array entries", 5),
        ('{"a": }', "Unexpected character ('}' (code 125)): expected a value", 8),
        ("[1,]", f"Unexpected character (']' (code 93)): expected a valid value {EXPECTED}", 5),
        ("// c", f"Unexpected character ('/' (code 47)): expected a valid value {EXPECTED}", 2),
        ('{"a":tru}', f"Unrecognized token 'tru': was expecting {EXPECTED}", 9),
        ('"a', "Unexpected end-of-input: was expecting closing quote for a string value", 3),
        ('{"a', "Unexpected end-of-input in field name", 4),
        ('{"a":', "Unexpected end-of-input within/between Object entries", 6),
        ("[1,", "Unexpected end-of-input within/between Array entries", 4),
        (r'"\x"', "Unrecognized character escape 'x' (code 120)", 4),
        ("[☃]", f"Unexpected character ('☃' (code 9731 / 0x2603)): expected a valid value {EXPECTED}", 3),
        ("01", "Invalid numeric value: Leading zeroes not allowed", 3),
    ],
)
def test_jackson(text, message, column):
    found = problem(text)
    assert (found.message, found.line, found.column) == (message, 1, column)
    assert found.location == f'[Source: (String)"{text}"; line: 1, column: {column}]'
    assert found.full == f"{message}\n at {found.location}"


def test_jackson_names_what_was_not_closed_and_cuts_the_source():
    found = problem('\n{"a": [')
    opened = '[Source: (String)"\n{"a": ["; line: 2, column: 7]'
    assert found.message == f"Unexpected end-of-input: expected close marker for Array (start marker at {opened})"
    assert "expected '}' (for Object starting at [Source" in problem("{]").message
    assert problem("x" * 600).location == f'[Source: (String)"{"x" * 500}"[truncated 100 chars]; line: 1, column: 601]'


JSON = ['{"a": [1, -2.5e+3, true, false, null, "\\u00e9\\n"]}', " [] ", "{}", '"x"', "0", "[" * 5000 + "]" * 5000]


@pytest.mark.parametrize("text", JSON, ids=range(len(JSON)))
def test_jackson_takes_json(text):
    assert problem(text) is None


def test_the_diagnostic_is_awss_and_the_message_ours():
    with pytest.raises(DefinitionError, match="a comma stands before the closing brace") as e:
        loads('{"a": 1,}')
    (found,) = e.value.diagnostics
    assert found.code == "INVALID_JSON_DESCRIPTION"
    assert found.message.startswith("Unexpected character ('}' (code 125))")
    assert "a comma stands before" in str(found)
    assert "[Source" not in str(found)
