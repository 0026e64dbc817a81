"""The magics, in an IPython shell of their own, in a plain terminal, and in a kernel."""

import os
import subprocess
import sys

import nbformat
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

import sflab as sf

CHARGE = """\
{
  "StartAt": "Charge card",
  "States": {
    "Charge card": {
      "Type": "Task",
      "Resource": "arn:aws:states:::lambda:invoke",
      "Parameters": {"FunctionName": "Charge", "Payload.$": "$"},
      "OutputPath": "$.Payload",
      "End": true
    }
  }
}"""
GREET = """\
StartAt: Hello
States:
  Hello:
    Type: Pass
    Parameters:
      text.$: States.Format('Hello {}', $.name)
    End: true
"""


class Cells:
    """A shell to run cells in; `said` is what the last one printed and showed."""

    def __init__(self, shell, capsys):
        self.shell, self.capsys, self.said = shell, capsys, ""

    def __call__(self, cell):
        """Run a cell that works; return its value."""
        result = self.shell.run_cell(cell)
        self.said = "".join(self.capsys.readouterr())
        assert result.success, self.said
        return result.result

    def fails(self, cell):
        """Run a cell that does not work; return its error."""
        result = self.shell.run_cell(cell)
        self.said = "".join(self.capsys.readouterr())
        assert not result.success
        assert "Traceback" not in self.said
        assert "site-packages" not in self.said
        assert "/sflab/" not in self.said
        return result.error_in_exec

    def __getitem__(self, name):
        return self.shell.user_ns[name]

    def tab(self, cell):
        """What Tab offers at the ▮ of a cell: [(text, what it replaces)]."""
        offset = cell.index("▮")
        cell = cell.replace("▮", "", 1)
        with provisionalcompleter():
            return [(c.text, cell[c.start : c.end]) for c in self.shell.Completer.completions(cell, offset)]


@pytest.fixture
def cells(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("SFLAB_HEADLESS", "1")
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    run = Cells(shell, capsys)
    run("import sflab as sf\n%load_ext sflab")
    yield run
    InteractiveShell.clear_instance()


# ── %%asl ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_cell_becomes_a_machine(cells):
    machine = cells(f"%%asl greet\n{GREET}")
    assert machine is cells["greet"]
    assert (machine.name, machine.type) == ("greet", "STANDARD")
    assert "StateMachine('greet', STANDARD, 1 state)\n  Hello: Pass" in cells.said
    assert cells(f"%%asl order --express\n{CHARGE}").type == "EXPRESS"


def test_run_shows_the_run_and_binds_it(cells):
    assert cells(f'%%asl greet --run {{"name": "Ann Lee"}}\n{GREET}') is None
    assert cells["greet_run"].output == {"text": "Hello Ann Lee"}
    assert "Hello: Pass, succeeded" in cells.said


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("--run", {}),
        ('--run {"name": "a b"}', {"name": "a b"}),
        ('--run \'{"name": "a b"}\'', {"name": "a b"}),
        ('--run={"name": {"a": [1, 2]}}', {"name": {"a": [1, 2]}}),
        ("--run [1, 2]", [1, 2]),
        ("--run 42", 42),
        ("--run -4.50", -4.5),
        ("--run null", None),
        ("--run order", {"id": 7}),
        ("--run text", {"id": 8}),
        ("--on local --run order --express", {"id": 7}),
    ],
)
def test_the_input_is_json_or_a_variable(cells, line, given):
    cells("order = {'id': 7}\ntext = '{\"id\": 8}'\nlocal = sf.Local()")
    cells(f"%%asl echo {line}\nStartAt: E\nStates:\n  E:\n    Type: Pass\n    End: true")
    assert cells["echo_run"].input == given


def test_on_names_the_backend(cells):
    cells("local = sf.Local({'Charge': lambda event, context: {'paid': event['total']}})")
    cells(f'%%asl order --run {{"total": 9}} --on local\n{CHARGE}')
    assert cells["order_run"].output == {"paid": 9}
    assert cells["local"].executions == [cells["order_run"]]


def test_tokens_are_filled_in(cells):
    body = CHARGE.replace('"Charge"', '"${Function}"')
    cells("names = {'Function': 'Charge'}\nlocal = sf.Local({'Charge': lambda event, context: 1})")
    for given in ('{"Function": "Charge"}', "names"):
        cells(f"%%asl order --with {given} --run --on local\n{body}")
        assert cells["order_run"].output == 1
    cells(f"%%asl order\n{body}")
    assert "WARNING" in cells.said
    assert "${Function} is not substituted" in cells.said
    assert cells["order"].definition.unresolved == ("${Function}",)


def test_a_failed_run_is_data(cells):
    cells("local = sf.Local({'Charge': sf.mock(error='Broke')})")
    cells(f"%%asl order --run --on local\n{CHARGE}")
    assert cells["order_run"].status == "FAILED"
    assert "failed" in cells.said


def test_warnings_do_not_stop(cells):
    loop = "  Spare:\n    Type: Pass\n    Next: Other\n  Other:\n    Type: Pass\n    Next: Spare"
    cells(f'%%asl greet --run {{"name": 1}}\n{GREET}{loop}')
    assert "the cell, line 9, column 3: WARNING /States/Spare: " in cells.said
    assert "\n    9 |   Spare:\n      |   ^^^^^\n" in cells.said


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (CHARGE.replace('"End": true', '"Next": "Nowhere"'), "the cell, line 10, column 7: ERROR"),
        (CHARGE.replace('"End": true', '"Next": "Nowhere"'), '   10 |       "Next": "Nowhere"\n      |       ^^^^^^\n'),
        (CHARGE.replace('"Task",', '"Task"'), "the cell, line 7, column 7: ERROR /: a comma is missing here"),
        (CHARGE.replace('"Task",', '"Task"'), '    7 |       "Resource"'),
        (GREET.replace("Type: Pass", "Type: Pas"), "    5 |     Type: Pas\n      |     ^^^^"),
        (GREET.replace("Hello:", "Hello: ["), "the cell, line 6, column"),
        ("just words", "the cell"),
    ],
)
def test_an_error_points_at_the_line_of_the_cell(cells, body, shown):
    error = cells.fails(f"%%asl order\n{body}")
    assert isinstance(error, sf.DefinitionError)
    assert error.diagnostics
    assert shown in cells.said
    assert shown in str(error)  # what a saved notebook keeps
    assert "order" not in cells.shell.user_ns


def test_lines_above_the_magic_count(cells):
    cells.fails(f"\n\n%%asl greet\n{GREET.replace('Pass', 'Pas')}")
    assert "the cell, line 7, column 5" in cells.said


def test_a_machine_that_is_refused_leaves_the_one_before(cells):
    before = cells(f"%%asl greet\n{GREET}")
    cells.fails("%%asl greet\nStartAt: A")
    assert cells["greet"] is before


WRONG = [
    ("%%asl\n{}", "required: NAME"),
    ("%%asl 1st\n{}", "'1st' cannot be bound"),
    ("%%asl class\n{}", "'class' cannot be bound"),
    ("%%asl a b\n{}", "unrecognized arguments: b"),
    ("%%asl x --fast\n{}", "unrecognized arguments: --fast"),
    ("%%asl x\n  \n", "the cell holds no definition"),
    ("%%asl x --on local\n{}", "give both"),
    ("%%asl x --run --on nobody\n{}", "there is no variable 'nobody'; there is local"),
    ("%%asl x --run --on order\n{}", "order is dict, not a backend; there is local"),
    ("%%asl x --run --on nothing\n{}", "nothing is NoneType, not a backend; there is local"),
    ('%%asl x --run {"a": }\n{}', "--run: line 1, column 7: "),
    ("%%asl x --run nobody\n{}", "there is no variable 'nobody'"),
    ("%%asl x --with 5\n{}", "--with takes a JSON object"),
    ("%%teststate\n{}", "required: MACHINE.STATE"),
    ("%%teststate nobody.A\n{}", "there is no variable 'nobody'; there is greet"),
    ("%%teststate order.A\n{}", "order is dict, not a state machine; there is greet"),
    ("%%teststate greet\n{}", "say which state of greet; there is Hello"),
    ("%%teststate greet.Helo\n{}", "did you mean Hello?"),
    ("%%teststate greet.Hello --mock {oops\n{}", "--mock: line 1"),
    ("%%teststate greet.Hello --mock bad\n{}", "--mock bad: it holds no JSON data"),
    ("%%teststate greet.Hello --mock code\n{}", "--on takes a function"),
    ("%%asl x --run bad\n{}", "--run bad: it holds no JSON data"),
    ("%%teststate greet.Hello --variables 5\n{}", "--variables takes a JSON object"),
    ("%%teststate greet.Hello --retry-count x\n{}", "invalid int value: 'x'"),
    ("%%teststate greet.Hello --validation LAX\n{}", "invalid choice: 'LAX'"),
    ("%%teststate greet.Hello --on order\n{}", "order is dict, not a Local or a function"),
    ("%sfn", "nothing has run yet"),
    ("%sfn histroy", "did you mean history?"),
    ("%sfn visits greet", "greet is StateMachine, not a run"),
    ("%sfn visits nobody", "there is no variable 'nobody'"),
]


@pytest.mark.parametrize(("cell", "said"), WRONG, ids=[cell.replace("\n", "⏎") for cell, _ in WRONG])
def test_a_wrong_line_is_a_usage_error(cells, cell, said):
    cells(f"%%asl greet\n{GREET}")
    cells("order = {}\nlocal = sf.Local()\nbad = {1, 2}\nnothing = None\ncode = sf.mock(lambda event, context: 1)")
    assert isinstance(cells.fails(cell), UsageError)
    assert said in cells.said


def test_what_is_not_bound_is_said_without_our_code(cells):
    error = cells.fails(f"%%asl order --run\n{CHARGE}")
    assert isinstance(error, sf.TaskNotFoundError)
    assert "--on VARIABLE" in cells.said


def test_a_fault_of_our_own_is_not_hidden(cells):
    class Broken(sf.Local):
        def start_execution(self, machine, input=None, *, name=None):
            raise ZeroDivisionError

    cells.shell.user_ns["broken"] = Broken()
    result = cells.shell.run_cell(f"%%asl greet --run --on broken\n{GREET}")
    assert isinstance(result.error_in_exec, ZeroDivisionError)


# ── %%teststate ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "status", "output"),
    [
        ("--on local", "SUCCEEDED", {"paid": 9}),
        ("--on work", "SUCCEEDED", {"work": 9}),
        ('--mock {"Payload": "p", "StatusCode": 200, "ExecutedVersion": "1"}', "SUCCEEDED", "p"),
        ('--mock {"result": {"Payload": "p", "StatusCode": 200, "ExecutedVersion": "1"}}', "SUCCEEDED", "p"),
        ('--mock {"Payload": 5} --validation NONE', "SUCCEEDED", 5),
        ('--mock {"errorOutput": {"error": "Broke", "cause": "c"}}', "FAILED", None),
        ("--mock failing", "FAILED", None),
        ('--mock {"Payload": null} --validation NONE', "SUCCEEDED", None),
    ],
)
@pytest.mark.parametrize("body", ['{"total": 9}', "total: 9"])
def test_a_state_is_tested(cells, line, status, output, body):
    cells(f"%%asl order\n{CHARGE}")
    cells(
        "local = sf.Local({'Charge': lambda event, context: {'paid': event['total']}})\n"
        "def work(event): return {'work': event['total']}\n"
        "failing = sf.mock(error='Broke')"
    )
    tested = cells(f"%%teststate order.Charge card {line}\n{body}")
    assert (tested.status, tested.output) == (status, output)
    assert cells.said.count("Charge card")
    quoted = cells(f"%%teststate order.'Charge card' {line}\n{body}")
    assert quoted.response == tested.response


def test_a_test_takes_variables_and_context(cells):
    cells("%%asl greet\n" + GREET.replace("$.name)", "$who)"))
    assert cells('%%teststate greet.Hello --variables {"who": "Bo"}\n{}').output == {"text": "Hello Bo"}
    cells("%%asl order\n" + CHARGE.replace('"$"', '"$$.Execution.Name"').replace('Payload"', 'StatusCode"'))
    done = '{"StatusCode": 200, "ExecutedVersion": "1"}'
    tested = cells(f'%%teststate order.Charge card --mock {done} --context {{"Execution": {{"Name": "e"}}}}\n{{}}')
    assert tested.inspection["afterParameters"]["Payload"] == "e"


def test_the_input_s_errors_point_at_the_line(cells):
    cells(f"%%asl greet\n{GREET}")
    cells.fails('%%teststate greet.Hello\n{"a": 1,\n "b" 2}')
    assert "the cell, line 3, column 6: ERROR" in cells.said
    assert '    3 |  "b" 2}' in cells.said


def test_null_is_a_result_too(cells):
    each = '{"Type": "Map", "ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Succeed"}}}, "End": true}'
    cells(f'%%asl wide\n{{"StartAt": "Each", "States": {{"Each": {each}}}}}')
    assert "must be an array" in str(cells.fails("%%teststate wide.Each --mock null\n[]"))
    assert cells("%%teststate wide.Each --mock [1, 2]\n[]").output == [1, 2]


def test_a_number_stays_as_it_was_written(cells):
    cells("%%asl echo\nStartAt: E\nStates:\n  E:\n    Type: Pass\n    End: true")
    assert cells('%%teststate echo.E\n{"n": 1.50}').response["inspectionData"]["input"] == '{"n": 1.50}'


# ── %sfn ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_last_run_is_the_latest_that_any_cell_started(cells):
    cells(f'%%asl greet --run {{"name": 1}}\n{GREET}')
    assert cells("%sfn output") == {"text": "Hello 1"}
    cells("local = sf.Local()\nfor n in (2, 3): local.start_execution(greet, {'name': n})")
    assert cells("%sfn output") == {"text": "Hello 3"}
    cells("other = sf.Local().start_execution(greet, {'name': 4})")
    assert cells("%sfn input") == {"name": 4}
    cells("old = local.executions[0]")
    assert cells("%sfn input") == {"name": 4}
    assert cells("%sfn input old") == {"name": 2}
    cells("again = sf.replay(greet, old.history)")
    assert cells("%sfn input") == {"name": 2}


def test_what_sfn_shows(cells):
    cells(f'%%asl greet --run {{"name": 1}}\n{GREET}')
    assert list(cells("%sfn history")["type"]) == [event["type"] for event in cells["greet_run"].history]
    assert list(cells("%sfn visits")["state"]) == ["Hello"]
    assert cells("%sfn cost").usd == cells["greet_run"].cost().usd
    cells("%sfn timeline")
    assert "Hello" in cells.said
    cells("%sfn")
    assert "Hello: Pass, succeeded" in cells.said
    cells("%sfn greet_run")
    assert "Hello: Pass, succeeded" in cells.said


# ── completion and help ──────────────────────────────────────────────────────────────────────────────────────────────


def test_tab_completes_the_definition(cells):
    assert cells.tab(f"%%asl x\n{CHARGE}".replace('"Charge card",', '"▮",')) == [("Charge card", "")]
    assert cells.tab('\n%%asl x\n{\n  "Sta▮"\n}') == [("StartAt", "Sta"), ("States", "Sta")]
    assert cells.tab("%%asl x --run\nStartAt: B\nStates:\n  A:\n    Type: Pa▮")[0] == ("Pass", "Pa")
    cells("local = sf.Local({'Charge': sf.mock(1), 'Ship': sf.mock(2)})")
    assert cells.tab(f"%%asl x\n{CHARGE}".replace('"Charge",', '"▮",')) == [("Charge", ""), ("Ship", "")]
    assert ("TableName", "Tab") in cells.tab(
        f"%%asl x\n{CHARGE}".replace("lambda:invoke", "dynamodb:putItem").replace('"FunctionName"', '"Tab▮"')
    )


def test_tab_completes_the_line(cells):
    cells(f"%%asl greet\n{GREET}")
    cells("local = sf.Local()")
    assert cells.tab("%%asl x --▮\n{}") == [(name, "--") for name in ("--run", "--on", "--express", "--with")]
    assert cells.tab("%%asl x --on ▮\n{}") == [("local", "")]
    assert cells.tab("%%teststate gr▮\n{}") == [("greet.Hello", "gr")]
    assert cells.tab("%%teststate greet.H▮\n{}") == [("greet.Hello", "greet.H")]
    assert cells.tab("%sfn vis▮") == [("visits", "vis")]


def test_other_cells_are_completed_as_before(cells):
    cells("apple_pie = 1")
    assert ("apple_pie", "apple_p") in cells.tab("apple_p▮")
    assert not [text for text, _ in cells.tab("x = 'StartAt▮'") if text == "StartAt"]


@pytest.mark.parametrize(("magic", "words"), [("%%asl", ["NAME", "--run", "--with", "NAME_run"]),
    ("%%teststate", ["MACHINE.STATE", "--mock", "--on"]), ("%sfn", ["history", "visits"])])  # fmt: skip
def test_help(cells, magic, words):
    cells(f"{magic}?")
    assert all(word in cells.said for word in words)
    assert f"{magic} " in cells.said


def test_it_can_be_taken_away_again(cells):
    cells("%reload_ext sflab")
    cells(f"%%asl greet\n{GREET}")
    cells("%unload_ext sflab")
    assert "asl" not in cells.shell.magics_manager.magics["cell"]
    assert not cells.shell.Completer.custom_matchers


# ── elsewhere ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_in_a_plain_terminal(tmp_path):
    """`ipython` with its input from a pipe: the picture is an outline, an error is its words."""
    script = "\n".join([
        "import sflab as sf", "%load_ext sflab", "get_ipython().run_cell_magic('asl', 'greet', " + repr(GREET) + ")",
        "get_ipython().run_cell_magic('asl', 'greet --run {\"name\": 1}', " + repr(GREET) + ")",
        "get_ipython().run_cell_magic('asl', 'bad', " + repr(GREET.replace("Pass", "Pas")) + ")",
        "%sfn", "greet_run", "%sfn frobnicate",
    ])  # fmt: skip
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path), "TERM": "dumb"}
    command = [sys.executable, "-m", "IPython", "--colors=nocolor", "--simple-prompt", "--no-banner"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, env=environment, check=False)
    said = done.stdout + done.stderr
    assert done.stdout.count("Hello: Pass, succeeded") == 3  # --run, %sfn and the run itself
    assert "StateMachine('greet', STANDARD, 1 state)" in said
    assert "line 5, column 5: ERROR" in said
    assert "UsageError: %sfn frobnicate" in said
    assert "Traceback" not in said
    assert "\x1b[" not in said.replace("\x1b[22;0t", "").replace("\x1b]", "")


def notebook(*sources):
    python = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in sources], metadata=python)


def test_in_a_kernel(monkeypatch):
    """Under nbclient, as notebooks are stored: the same bytes each time, pictures beside words, errors with both."""
    monkeypatch.setenv("SFLAB_HEADLESS", "1")
    bad = f"%%asl bad\n{GREET.replace('Pass', 'Pas')}"
    shown = [
        "import sflab as sf\n%load_ext sflab",
        f'%%asl greet --run {{"name": "Ann"}}\n{GREET}',
        "%%teststate greet.Hello\nname: Bo",
        "%sfn visits",
    ]
    stored = []
    for _ in range(2):
        made = notebook(*shown, bad)
        with pytest.raises(CellExecutionError):
            NotebookClient(made, timeout=60).execute()
        for output in (output for cell in made.cells for output in cell.outputs):
            output.pop("execution_count", None)
        stored.append([cell.outputs for cell in made.cells])
    assert stored[0] == stored[1]
    _, run, tested, table, error = stored[0]
    assert "Hello: Pass, succeeded" in run[0].data["text/plain"]
    assert "<svg" in run[0].data["image/svg+xml"]
    assert not any("widget" in kind for kind in run[0].data)
    assert "StateTest('Hello', SUCCEEDED)" in tested[0].data["text/plain"]
    assert "Hello" in table[0].data["text/html"]
    assert error[0].ename == "DefinitionError"
    assert "line 5, column 5: ERROR" in error[0].evalue
    assert "sflab/" not in "".join(error[0].traceback)
