"""The `sflab` command as a shell meets it: a process of its own, exit codes, what stands on which stream."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import sflab as sf
from sflab import cli

ORDER = """{
  "StartAt": "Charge",
  "States": {
    "Charge": {
      "Type": "Task",
      "Resource": "arn:aws:states:::lambda:invoke",
      "Parameters": {"FunctionName": "charge-card", "Payload.$": "$"},
      "ResultSelector": {"paid.$": "$.Payload.paid"},
      "ResultPath": "$.payment",
      "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 5, "MaxAttempts": 2}],
      "Next": "Store"
    },
    "Store": {
      "Type": "Task",
      "Resource": "arn:aws:states:::dynamodb:putItem",
      "ResultPath": "$.stored",
      "Next": "Return"
    },
    "Return": {"Type": "Wait", "Seconds": 259200, "Next": "Each"},
    "Each": {
      "Type": "Map",
      "ItemsPath": "$.lines",
      "ItemProcessor": {
        "ProcessorConfig": {"Mode": "INLINE"},
        "StartAt": "Line",
        "States": {
          "Line": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:line", "End": true}
        }
      },
      "End": true
    }
  }
}
"""
GIVEN = ["--input", '{"orderId": 42, "lines": [1, 2]}']
MOCKED = [*GIVEN, "--mock", 'charge-card={"paid": true}', "--mock", "Store={}", "--mock", 'line="packed"']


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "order.asl.json").write_text(ORDER)
    (tmp_path / "wait.asl.yaml").write_text(
        "StartAt: Ring\nStates:\n"
        "  Ring: {Type: Task, Resource: 'arn:aws:lambda:us-east-1:123456789012:function:ring', Next: Nap}\n"
        "  Nap: {Type: Wait, Seconds: 60, End: true}\n"
    )
    (tmp_path / "fail.asl.json").write_text('{"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "Boom"}}}')
    (tmp_path / "broken.asl.json").write_text('{\n  "StartAt": "A",\n  "States": {},\n}\n')
    (tmp_path / "nowhere.asl.json").write_text(
        '{\n "StartAt": "A",\n "States": {\n  "A": {"Type": "Pass", "Next": "B"},\n'
        '  "C": {"Type": "Pas", "End": true}\n }\n}\n'
    )
    (tmp_path / "shop.py").write_text(
        "from pathlib import Path\n"
        "busy = iter([1])\n"
        "class Busy(Exception): pass\n"
        "def charge(event, context):\n"
        "    if next(busy, None): raise Busy('later')\n"
        "    return {'paid': event['orderId']}\n"
        "def line(event): return event * 10\n"
        "def ring(event): Path('rung').write_text('')\n"
        "functions = {'charge-card': charge, 'line': line}\n"
    )
    return tmp_path


def start(folder, *args, **given):
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **given}
    # A test-suite that was started in the background has Ctrl-C turned off, and what it starts inherits that.
    command = [sys.executable, "-m", "sflab.cli", *map(str, args)]
    return subprocess.Popen(command, cwd=folder, preexec_fn=listen, **given)  # noqa: PLW1509 - no threads here


def listen():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def sflab(folder, *args, **given):
    """Run the command; (exit code, standard output, standard error)."""
    process = start(folder, *args, **given)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out, err


# ── run ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_run_tells_a_person_what_happened(folder):
    code, out, err = sflab(folder, "run", "order.asl.json", *MOCKED)
    assert (code, err) == (0, "")
    assert out.startswith("order  SUCCEEDED  3 days in the execution's own time\n")
    assert '\nOutput\n[\n  "packed",\n  "packed"\n]\n' in out
    rows = [line.split() for line in out.splitlines()[-7:]]
    assert rows[0] == ["STATE", "STATUS", "ATTEMPTS", "SECONDS", "ERROR"]
    assert rows[3] == ["Return", "SUCCEEDED", "1", "259,200.000"]
    assert rows[5] == ["Line", "[0]", "SUCCEEDED", "1", "0.000"]
    assert "\x1b" not in out  # no terminal, no colours


def test_run_tells_a_machine_what_happened(folder):
    code, out, _ = sflab(folder, "run", "order.asl.json", *MOCKED, "--json", "--history", "h.json")
    told = json.loads(out)
    assert code == 0
    assert (told["status"], told["output"], told["error"], told["cause"]) == ("SUCCEEDED", ["packed"] * 2, None, None)
    assert told["seconds"] == 259200
    assert [v["state"] for v in told["visits"]] == ["Charge", "Store", "Return", "Each", "Line", "Line"]
    assert told["visits"][5]["path"] == [["Each", 1]]
    assert len(sf.History.load(folder / "h.json")) == told["events"]


def test_run_with_functions_from_a_module(folder):
    given = ["order.asl.json", *GIVEN, "--mock", "dynamodb:putItem={}", "--json"]
    for spec in ("shop:functions", "shop:functions.copy"):
        code, out, err = sflab(folder, "run", *given, "--functions", spec)
        assert code == (0 if spec == "shop:functions" else 3), err
    told = json.loads(sflab(folder, "run", *given, "--functions", "shop:functions")[1])
    assert told["output"] == [10, 20]
    assert told["visits"][0]["attempts"] == 2  # the first one was Busy; the wait before the next is virtual
    # what is mocked wins over code
    mocks = ["--mock", 'charge-card={"paid": 0}', "--mock", "line=0"]
    _, out, _ = sflab(folder, "run", *given, "--functions", "shop", *mocks)
    assert json.loads(out)["output"] == [0, 0]


def test_run_mocks_by_state_resource_and_function(folder):
    def output(*mocks):
        given = [arg for each in mocks for arg in ("--mock", each)]
        code, out, err = sflab(folder, "run", "order.asl.json", *GIVEN, "--json", *given)
        return json.loads(out)["output"] if code == 0 else (code, err)

    rest = ("Store={}", "line=1")
    assert output('Charge={"paid": 1}', *rest) == [1, 1]  # what the function returns, however it is invoked
    assert output('lambda:invoke={"paid": 1}', *rest) == [1, 1]
    assert output('charge-card={"paid": 1}', "dynamodb:putItem={}", "Line=2") == [2, 2]
    code, err = output('chargecard={"paid": 1}', *rest)
    assert code == 3
    assert err.startswith("sflab: --mock chargecard: no state, resource or function is called so in order.asl.json\n")
    assert "Did you mean 'chargecard'?" in err


def test_run_mock_rest(folder):
    code, out, _ = sflab(folder, "run", "order.asl.json", *GIVEN, "--mock-rest", '{"paid": 7}', "--json")
    assert code == 0
    assert json.loads(out)["output"] == [{"paid": 7}, {"paid": 7}]
    assert sf.Local(tasks={"*": 1}).start_execution(sf.StateMachine.load(folder / "wait.asl.yaml")).output == 1


def test_run_reads_its_input_from_a_file_or_standard_input(folder):
    (folder / "in.json").write_text('{"lines": [3]}')
    rest = ["--mock-rest", '{"paid": 1}', "--json"]
    code, out, _ = sflab(folder, "run", "order.asl.json", "--input", "@in.json", *rest)
    assert (code, json.loads(out)["output"]) == (0, [{"paid": 1}])
    with (folder / "in.json").open() as file:
        code, out, _ = sflab(folder, "run", "order.asl.json", "--input", "-", *rest, stdin=file)
    assert (code, json.loads(out)["output"]) == (0, [{"paid": 1}])


def test_run_express_and_substitutions(folder):
    (folder / "sub.asl.json").write_text(
        '{"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": ${Nap}, "Next": "B"},'
        ' "B": {"Type": "Pass", "Result": "${Stage}-x", "End": true}}}'
    )
    filled = ["--set", "Nap=90", "--set", "${Stage}=dev"]
    code, out, _ = sflab(folder, "run", "sub.asl.json", *filled, "--express", "--json")
    told = json.loads(out)
    assert (code, told["type"], told["output"], told["seconds"]) == (0, "EXPRESS", "dev-x", 90)


def test_a_failed_execution_exits_1(folder):
    code, out, err = sflab(folder, "run", "fail.asl.json")
    assert (code, err) == (1, "")
    assert out.startswith("fail  FAILED")
    assert "Error   Boom" in out
    assert "Output" not in out
    code, out, _ = sflab(folder, "run", "fail.asl.json", "--json")
    assert (code, json.loads(out)["error"], json.loads(out)["output"]) == (1, "Boom", None)


def test_an_unbound_task_exits_3_and_shows_what_to_write(folder):
    code, out, err = sflab(folder, "run", "order.asl.json", *GIVEN)
    assert (code, out) == (3, "")
    assert "nothing is bound to the task 'Charge' (Lambda function 'charge-card')" in err
    assert "--mock 'NAME=JSON'" in err


def test_an_interrupted_run_is_stopped_and_told(folder):
    given = ["--rate", "1", "--functions", "shop", "--json", "--history", "h.json"]
    process = start(folder, "run", "wait.asl.yaml", *given)
    due = time.monotonic() + 30
    while not (folder / "rung").exists() and time.monotonic() < due:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert json.loads(out)["status"] == "ABORTED"
    assert sf.History.load(folder / "h.json")[-1]["type"] == "ExecutionAborted"


def test_a_table_of_many_visits_is_short(folder):
    lines = json.dumps({"lines": list(range(100))})
    _, out, _ = sflab(folder, "run", "order.asl.json", "--input", lines, "--mock-rest", '{"paid": 1}')
    assert out.endswith("… and 64 more (--json lists all)\n")


def test_what_a_file_says_cannot_drive_a_terminal(folder):
    name = "\\u001b[31mred\\u009b2J"
    (folder / "evil.asl.json").write_text(f'{{"StartAt": "{name}", "States": {{"{name}": {{"Type": "Fail"}}}}}}')
    for args in (("run", "evil.asl.json"), ("validate", "evil.asl.json"), ("run", "\x1b[31m.json")):
        _, out, err = sflab(folder, *args)
        assert not {"\x1b", "\x9b"} & set(out + err)


def test_a_terminal_without_unicode(folder):
    text = '{"StartAt": "Prüf", "States": {"Prüf": {"Type": "Pass", "End": true}}}'
    (folder / "umlaut.asl.json").write_text(text, "utf-8")
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    code, out, err = sflab(folder, "run", "umlaut.asl.json", env=env)
    assert (code, err) == (0, "")
    assert "Pr\\xfcf" in out


# ── graph ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_graph_to_a_file_and_to_standard_output(folder):
    assert sflab(folder, "graph", "order.asl.json", "-o", "order.svg") == (0, "", "")
    drawn = (folder / "order.svg").read_text("utf-8")
    assert drawn.startswith("<svg")
    code, out, err = sflab(folder, "graph", "order.asl.json", encoding="utf-8")
    assert (code, out, err) == (0, drawn, "")
    sflab(folder, "run", "order.asl.json", *MOCKED, "--history", "h.json")
    code, out, _ = sflab(folder, "graph", "order.asl.json", "--history", "h.json", encoding="utf-8")
    assert code == 0
    assert out != drawn
    assert "SUCCEEDED" in out


def test_graph_draws_what_could_not_run(folder):
    code, out, err = sflab(folder, "graph", "nowhere.asl.json", encoding="utf-8")
    assert (code, out[:4], err) == (0, "<svg", "")


def test_nobody_reads_the_output(folder):
    process = start(folder, "graph", "order.asl.json")
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (141, "")
    process.stderr.close()


# ── validate ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_validate_lists_everything_like_a_compiler(folder):
    code, out, err = sflab(folder, "validate", "nowhere.asl.json", "broken.asl.json", "order.asl.json")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert any(x.startswith("nowhere.asl.json:4:") and "ERROR /States/A/Next: " in x for x in lines)
    assert any(x.startswith("nowhere.asl.json:5:") and "ERROR /States/C" in x for x in lines)
    assert any(x.startswith("broken.asl.json:4:1: ERROR") for x in lines)
    assert "order.asl.json: ok" in lines
    assert lines[-1].endswith(" in 3 files")


def test_validate_for_a_machine(folder):
    code, out, _ = sflab(folder, "validate", "--json", "nowhere.asl.json", "order.asl.json", "gone.asl.json")
    files = json.loads(out)["files"]
    assert code == 2  # a file that cannot be read weighs more than an error in one that can
    assert [(f["file"], f["valid"]) for f in files] == [
        ("nowhere.asl.json", False), ("order.asl.json", True), ("gone.asl.json", None),
    ]  # fmt: skip
    assert {"severity", "code", "message", "location", "pointer", "line", "column"} == set(files[0]["diagnostics"][0])
    assert "no such file" in files[2]["problem"]


def test_validate_as_express(folder):
    (folder / "token.asl.json").write_text(
        '{"StartAt": "A", "States": {"A": {"Type": "Task", "End": true,'
        ' "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",'
        ' "Parameters": {"QueueUrl": "q", "MessageBody": {"t.$": "$$.Task.Token"}}}}}'
    )
    assert sflab(folder, "validate", "token.asl.json")[0] == 0
    code, out, _ = sflab(folder, "validate", "--express", "token.asl.json")
    assert code == 1
    assert "/States/A/Resource" in out


# ── what cannot be used ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("args", "expected", "said"),
    [
        ("run gone.asl.json", 2, "gone.asl.json: no such file; ./ holds broken.asl.json"),
        ("graph gone.asl.json", 2, "no such file"),
        ("validate gone.asl.json", 2, "no such file"),
        ("run .", 2, "cannot be read"),
        ("run broken.asl.json", 1, "broken.asl.json: line 4, column 1: a comma stands before the closing brace"),
        ("graph broken.asl.json", 1, "broken.asl.json: line 4, column 1"),
        ("run nowhere.asl.json", 1, "nowhere.asl.json:4:"),
        ("run order.asl.json --input {'a'}", 2, "--input: line 1, column 2"),
        ("run order.asl.json --input text", 2, "a string wants its quotes"),
        ("run order.asl.json --input NaN", 2, "NaN is not JSON"),
        ("run order.asl.json --input @gone.json", 2, "--input @gone.json: no such file"),
        ("run order.asl.json --input @big.json", 2, "300,010 bytes; AWS takes at most 262,144 (256 KiB)"),
        ("run order.asl.json --input @broken.asl.json", 2, "--input @broken.asl.json: line 4, column 1"),
        ("run order.asl.json --input @binary", 2, "cannot be read as UTF-8 text"),
        ("run order.asl.json --mock Charge", 2, "--mock 'Charge': expected NAME=VALUE"),
        ("run order.asl.json --mock Charge={", 2, "--mock Charge: line 1, column 2"),
        ("run order.asl.json --mock-rest x", 2, "--mock-rest: line 1, column 1"),
        ("run order.asl.json --set x", 2, "--set 'x': expected NAME=VALUE"),
        ("run order.asl.json --rate 0", 2, "'0' is not a number above 0"),
        ("run order.asl.json --seed x", 2, "invalid int value"),
        ("run order.asl.json --functions gone", 2, "importing gone failed: ModuleNotFoundError: No module"),
        ("run order.asl.json --functions shop.py:line", 2, "give a module's name, as in an import"),
        ("run order.asl.json --functions shop:gone", 2, "--functions shop:gone: shop has no gone"),
        ("run order.asl.json --functions bad", 2, "ZeroDivisionError: division by zero ("),
        ("run order.asl.json --functions shop:busy", 2, "there are no functions in it"),
        ("run fail.asl.json --history gone/h.json", 2, "gone/h.json"),
        ("graph order.asl.json -o order.png", 2, "name a file that ends in .svg"),
        ("graph order.asl.json -o gone/x.svg", 2, "gone/x.svg"),
        ("graph order.asl.json --history gone.json", 2, "gone.json: no such file"),
        ("graph order.asl.json --history shop.py", 2, "this is not an execution history"),
        ("", 2, "the following arguments are required: COMMAND"),
        ("fly order.asl.json", 2, "invalid choice: 'fly'"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_a_line(folder, monkeypatch, capsys, *, args, expected, said):
    (folder / "big.json").write_text(json.dumps("x" * 300_008))
    (folder / "binary").write_bytes(b"\xff\xfe\x00")
    (folder / "bad.py").write_text("1 / 0\n")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    try:
        left = cli.main(args.split())
    except SystemExit as e:  # argparse's
        left = e.code
    out, err = capsys.readouterr()
    sys.modules.pop("shop", None)
    assert (left, out) == (expected, "")
    assert said in err
    assert "Traceback" not in err


def test_a_fault_of_our_own_is_said_in_a_line_too(folder, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_load", lambda *_: 1 / 0)
    assert cli.main(["graph", "x"]) == 70
    assert capsys.readouterr().err.startswith("sflab: a fault of sflab itself: ZeroDivisionError: division by zero")


def test_help_tells_the_exit_codes_and_an_example(folder):
    for command in ((), ("run",), ("graph",), ("validate",)):
        code, out, _ = sflab(folder, *command, "--help")
        assert code == 0
        assert "  3    a task was reached that nothing is bound to" in out
        assert not command or "example:\n  sflab " + command[0] in out


def test_it_starts_fast(folder):
    code = "import sys, sflab.cli; print([m for m in ('boto3', 'pandas', 'yaml', 'sflab.engine') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert sflab(folder, "--version") == (0, f"sflab {sf.__version__}\n", "")


# ── serve ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_serve_answers_until_it_is_interrupted(folder):
    given = ("--functions", "shop:functions", "--mock", "Store={}", "--rate", "inf", "--port", "0")
    process = start(folder, "serve", "order.asl.json", *given)
    try:
        line = process.stdout.readline()
        url = re.match(
            r"Step Functions on (http://127\.0\.0\.1:\d+): aws stepfunctions .* --endpoint-url \1, or ", line
        )[1]
        local = sf.AWS(endpoint_url=url, region="us-east-1", role_arn="arn:aws:iam::123456789012:role/r")
        run = local.start_execution(sf.StateMachine.load(folder / "order.asl.json"), {"orderId": 42, "lines": [1, 2]})
        assert run.result() == [10, 20]
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--port", "70000"], 2, "sflab: port 70000: a port is a number from 0 to 65535\n"),
        (["--port", "0", "--host", ""], 2, "sflab: host is empty: name one"),
        (["nowhere.asl.json"], 1, "sflab: nowhere.asl.json: the definition cannot run"),
        (["none.asl.json"], 2, "sflab: none.asl.json: no such file"),
        (["order.asl.json", "--functions", "nothing"], 2, "sflab: --functions nothing: importing nothing failed"),
        (["--rate", "0"], 2, "usage: sflab serve"),
    ],
)
def test_serve_says_what_keeps_it_from_serving(folder, args, code, message):
    assert sflab(folder, "serve", *args)[::2][0] == code
    assert sflab(folder, "serve", *args)[2].startswith(message)
