"""The magics, after ``%load_ext sflab``: ``%%asl`` writes a state machine in a cell, ``%%teststate`` tests one of its
states, ``%sfn`` shows the last run. ``%%asl?`` tells more. They work in JupyterLab and in a plain ``ipython``.
"""  # noqa: D205 - one sentence

from __future__ import annotations

import argparse
import difflib
import json
import keyword
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from sflab.asl import parse
from sflab.asl.complete import complete
from sflab.asl.model import JSON
from sflab.asl.validate import UNRESOLVED
from sflab.backends.catalogue import Catalogue
from sflab.backends.execution import Execution
from sflab.backends.functions import Mock
from sflab.backends.local import Local
from sflab.backends.mapruns import ChildExecution
from sflab.backends.statemachine import StateMachine
from sflab.backends.statetest import StateTest
from sflab.errors import DefinitionError, SflabError, TaskNotFoundError
from sflab.views.findings import Findings

_JSON_WORDS = ("true", "false", "null")
#: What ``%sfn`` shows of a run.
_SHOWN: dict[str, Callable[[Execution], Any]] = {
    "show": lambda run: run.show(),
    "history": lambda run: run.history.df,
    "visits": lambda run: run.visits.df,
    "timeline": lambda run: run.timeline(),
    "cost": lambda run: run.cost(),
    "input": lambda run: run.input,
    "output": lambda run: run.output,
}


def load(shell: Any) -> None:
    """Put the magics into an IPython shell."""
    magics = LabMagics(shell)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(magics.matcher)
    shell.events.register("pre_run_cell", magics.begun)
    shell.events.register("post_run_cell", magics.ended)


def unload(shell: Any) -> None:
    """Take the magics out of an IPython shell."""
    magics = shell.magics_manager.registry.pop("LabMagics", None)
    if magics is None:
        return
    for kind, names in magics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    shell.Completer.custom_matchers.remove(magics.matcher)
    shell.events.unregister("pre_run_cell", magics.begun)
    shell.events.unregister("post_run_cell", magics.ended)


@magics_class
class LabMagics(Magics):
    """State machines as cells."""

    shell: Any  # an InteractiveShell; IPython's types allow for none

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.last: Execution | None = None  # the run that ``%sfn`` shows
        self._looked: WeakKeyDictionary[Local, int] = WeakKeyDictionary()  # how many executions of each were seen
        self._seen: WeakSet[Execution] = WeakSet()
        self._raw = ""  # the cell that runs, as it was written
        self._catalogue = Catalogue()

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    @magic_arguments()
    @argument("name", metavar="NAME", help="the variable that the state machine is bound to")
    @argument(
        "--run",
        metavar="INPUT",
        nargs="?",
        const="{}",
        help="run it too, with this input: JSON, or a variable; {} unless given",
    )
    @argument("--on", metavar="BACKEND", help="the variable of the backend that runs it; a new sf.Local() unless given")
    @argument("--express", action="store_true", help="it is an Express workflow")
    @argument("--with", dest="given", metavar="TOKENS", help="what fills ${Tokens} in: a JSON object, or a variable")
    @no_var_expand
    @cell_magic
    def asl(self, line: str, cell: str) -> StateMachine | None:
        """Write a state machine in a cell, as JSON or YAML; Tab completes it.

        The definition is validated, drawn and bound to NAME. Errors stop, and show the line they are on; warnings are
        printed. With --run it is executed, and the run is shown and bound to NAME_run. A run that fails is no error.

            %%asl greet --run {"name": "Ann"}
            StartAt: Hello
            States:
              Hello:
                Type: Pass
                Parameters:
                  text.$: States.Format('Hello {}', $.name)
                End: true

            %%asl saga --run order --on local --with {"ChargeFunction": "ChargeCard"}

        """
        options = _options(LabMagics.asl, line)
        name = options.name
        if not name.isidentifier() or keyword.iskeyword(name):
            raise UsageError(f"{name!r} cannot be bound: write a variable's name, as in %%asl order")
        if not cell.strip():
            raise UsageError("the cell holds no definition: write it below the first line, as JSON or YAML")
        tokens = self._given(options.given, "--with") if options.given else {}
        if not isinstance(tokens, Mapping):
            raise UsageError(f'--with takes a JSON object, {{"Token": "value"}}, or a dict: not {tokens!r}')
        given = None if options.run is None else self._given(options.run, "--run", bare=False)
        backend = self._backend(options.on) if options.run is not None else None
        if options.on and options.run is None:
            raise UsageError("--on says where --run runs it: give both")
        with _plainly(f"Then run it there: %%asl {name} --run … --on VARIABLE"):
            machine = self._machine(cell, name, tokens, runs=options.run is not None, express=options.express)
            self.shell.user_ns[name] = machine
            if backend is None:
                return machine
            self._run(machine, name, backend, given)
        return None

    def _machine(self, cell: str, name: str, tokens: Mapping[str, JSON], *, runs: bool, express: bool) -> StateMachine:
        """Load a cell's definition; raise with the cell's lines where it cannot be used, print what it warns of."""
        shift, found = self._above(cell), Findings()
        type_ = "EXPRESS" if express else "STANDARD"
        try:
            machine = StateMachine.load(cell + "\n", substitutions=tokens, name=name, type=type_)
            found = machine.validate()
        except DefinitionError as e:
            if not e.diagnostics:
                raise
            found = Findings(e.diagnostics, cell)
        found = Findings(sorted(found, key=lambda d: d.severity), found.text)  # errors first
        told = found.lines(shift=shift, where="the cell") if found else ""
        if any(d.severity == "ERROR" or (runs and d.code == UNRESOLVED) for d in found):
            raise DefinitionError(f"the definition of {name} cannot be used ({found.summary}):\n{told}", found)
        if told:
            print(told)  # noqa: T201 - what a cell says
        return machine

    def _run(self, machine: StateMachine, name: str, backend: Any, input: JSON) -> None:
        run = backend.start_execution(machine, input)
        self.shell.user_ns[f"{name}_run"] = self.last = run
        display(run.show())

    @magic_arguments()
    @argument(
        "state", metavar="MACHINE.STATE", nargs="+", help="the variable of a state machine, and one of its states"
    )
    @argument(
        "--mock",
        metavar="RESULT",
        help='what its work comes to: JSON ({"result": …}, {"errorOutput": {"error": …}}, or just the result), or a '
        "variable, sf.mock(…) say",
    )
    @argument("--on", metavar="BACKEND", help="the variable of a Local that does its task, or of a function that does")
    @argument("--variables", metavar="JSON", help="the variables its expressions see: a JSON object, or a variable")
    @argument("--context", metavar="JSON", help="what they see of the context object: a JSON object, or a variable")
    @argument("--retry-count", metavar="N", type=int, default=0, help="how often it was retried already (0)")
    @argument("--validation", choices=("STRICT", "PRESENT", "NONE"), default="STRICT", help="how a mock is checked")
    @no_var_expand
    @cell_magic
    def teststate(self, line: str, cell: str) -> StateTest:
        """Test one state of a state machine; the cell is its input, JSON or YAML.

        The value is a StateTest: how it came out, and what each stage did to the data (see StateMachine.test_state).

            %%teststate saga.ChargeCard --mock {"receipt": "C-1"}
            {"orderId": 42, "total": 9.5}

            %%teststate saga.ChargeCard --mock {"errorOutput": {"error": "CardDeclined"}}
            orderId: 42

            %%teststate saga.ChargeCard --on local
            {"orderId": 42, "total": 9.5}

        """
        options = _options(LabMagics.teststate, line)
        machine, state = self._state(" ".join(options.state))
        mock = self._given(options.mock, "--mock") if options.mock is not None else None
        if options.mock is not None and not isinstance(mock, Mock) and not _is_mock(mock):
            mock = {"result": json.dumps(mock) if isinstance(mock, str) else mock}
        variables, context = (
            None if text is None else self._object(text, option)
            for text, option in ((options.variables, "--variables"), (options.context, "--context"))
        )
        task = (
            None if options.on is None else self._variable(options.on, "--on", (Local, Mock), "a Local or a function")
        )
        with _plainly("Here: --mock RESULT, or --on VARIABLE for a Local or a function"):
            return machine.test_state(
                state,
                self._input(cell),
                variables=variables,
                context=context,
                mock=mock,
                task=task,
                retry_count=options.retry_count,
                validation=options.validation,
            )

    @magic_arguments()
    @argument("what", metavar="WHAT", nargs="?", default="show", help=", ".join(_SHOWN) + " (show)")
    @argument("run", metavar="RUN", nargs="?", help="the variable of a run; the last one unless given")
    @no_var_expand
    @line_magic
    def sfn(self, line: str) -> Any:
        """Show the last run: its graph, or what else is asked for.

        The last run is the latest execution that any cell started, by %%asl --run or by start_execution.

            %sfn                   the live graph
            %sfn history           a table of its events
            %sfn visits            a table with a row for each passage through a state
            %sfn timeline          a bar for each of those
            %sfn cost              the bill
            %sfn output order_run  another run's output

        """
        options = _options(LabMagics.sfn, line)
        if options.what not in _SHOWN and options.run is None and isinstance(self._named(options.what), Execution):
            options.what, options.run = "show", options.what
        if options.what not in _SHOWN:
            raise UsageError(f"%sfn {options.what}: {_near(options.what, _SHOWN)}")
        if options.run is None:
            self._look()
            if self.last is None:
                raise UsageError("nothing has run yet: start one with %%asl NAME --run, or local.start_execution(…)")
        run: Any = self.last if options.run is None else self._variable(options.run, "%sfn", (Execution,), "a run")
        with _plainly():
            return _SHOWN[options.what](run)

    # ── what is given ────────────────────────────────────────────────────────────────────────────────────────────────

    def _named(self, name: str) -> Any:
        return self.shell.user_ns.get(name)

    def _variable(self, name: str, option: str, kinds: tuple[type, ...], what: str) -> Any:
        """Return the value of a variable of one of these kinds; a callable passes where a function may."""
        value = self._named(name)
        if isinstance(value, kinds) or ("function" in what and callable(value)):
            return value
        there = [key for key, each in self.shell.user_ns.items() if isinstance(each, kinds) and key[:1] != "_"]
        known = f"there is {', '.join(there)}" if there else f"there is none that is {what}"
        known_as = f"{name} is {type(value).__name__}, not {what}"
        said = known_as if name in self.shell.user_ns else f"there is no variable {name!r}"
        raise UsageError(f"{option} {name}: {said}; {known}")

    def _backend(self, name: str | None) -> Any:
        if name is None:
            return Local()
        value = self._named(name)
        if callable(getattr(value, "start_execution", None)):
            return value
        return self._variable(name, "--on", (Local,), "a backend")

    def _given(self, text: str, option: str, *, bare: bool = True) -> Any:
        """Return the value of a variable, or JSON; JSON stays text unless *bare*."""
        if text.isidentifier() and text not in _JSON_WORDS:
            if text not in self.shell.user_ns:
                raise UsageError(f"{option} {text}: there is no variable {text!r}; a string is written '\"{text}\"'")
            return _data(self.shell.user_ns[text], f"{option} {text}")
        try:
            value = parse.data(text, option) if text[:1] in "{[" else json.loads(text)
        except (ValueError, RecursionError) as e:
            raise UsageError(f"{option} {text}: neither JSON nor a variable ({e})") from None
        except DefinitionError as e:
            raise UsageError(str(e)) from None
        return value if bare else text

    def _object(self, text: str, option: str) -> Mapping[str, JSON]:
        value = self._given(text, option)
        if not isinstance(value, Mapping):
            raise UsageError(f"{option} takes a JSON object, or a dict: not {value!r}")
        return value

    def _state(self, text: str) -> tuple[StateMachine, str]:
        """Read MACHINE.STATE."""
        text = text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
        name, dot, state = text.partition(".")
        machine = self._variable(name, "%%teststate", (StateMachine,), "a state machine")
        state = state[1:-1] if len(state) > 1 and state[0] == state[-1] and state[0] in "\"'" else state
        if state not in machine.states:
            said = f"{name} has no state {state!r}" if dot and state else f"say which state of {name}"
            raise UsageError(f"%%teststate {text}: {said}; {_near(state, machine.states)}")
        return machine, state

    def _input(self, cell: str) -> JSON:
        """Return a cell's data; JSON as the text it is, so that a number stays as it was written."""
        if not cell.strip():
            return None
        try:
            value = parse.data(cell)
        except DefinitionError as e:
            if not e.diagnostics:
                raise
            told = Findings(e.diagnostics, cell).lines(shift=self._above(cell), where="the cell")
            raise DefinitionError(f"the input cannot be read:\n{told}", e.diagnostics) from None
        return cell.strip() if cell.lstrip()[:1] in ("{", "[", '"') else value

    def _above(self, cell: str) -> int:
        """Return how many lines stand above a magic's body in its cell."""
        text = cell.rstrip("\n")
        at = self._raw.find(text) if text else -1
        return self._raw.count("\n", 0, at) if at > 0 else 1

    # ── what runs ────────────────────────────────────────────────────────────────────────────────────────────────────

    def begun(self, info: Any) -> None:
        """Note a cell that begins to run."""
        self._raw = str(getattr(info, "raw_cell", "") or "")

    def ended(self, _result: Any = None) -> None:
        """Note what a cell has run."""
        self._look()

    def _look(self) -> None:
        """Find the latest execution that was started; those that were found before stay behind."""
        for value in list(self.shell.user_ns.values()):
            started: list[Any] = []
            if isinstance(value, Local):
                started = value.executions[self._looked.get(value, 0) :]
                self._looked[value] = len(value.executions)
            elif isinstance(value, Execution):
                started = [value]
            for run in started:
                if run not in self._seen and _is_own(run):
                    self._seen.add(run)
                    self.last = run

    # ── completion ───────────────────────────────────────────────────────────────────────────────────────────────────

    @context_matcher(identifier="sflab", priority=1000)
    def matcher(self, context: CompletionContext) -> SimpleMatcherResult:
        """Complete a cell of ours: its first line, and below that of ``%%asl`` the definition."""
        text = context.full_text
        lines = text.split("\n")
        first = next((i for i, line in enumerate(lines) if line.strip()), 0)
        magic, _, _ = lines[first].strip().partition(" ")
        offset = sum(len(line) + 1 for line in lines[: context.cursor_line]) + context.cursor_position
        typed, found = "", list[SimpleCompletion]()
        if context.cursor_line == first and magic in _MAGICS and " " in context.text_until_cursor.lstrip():
            typed, found = self._options_at(magic, context.text_until_cursor.lstrip())
        elif context.cursor_line > first and magic == "%%asl":
            above = sum(len(line) + 1 for line in lines[: first + 1])
            names = (name for each in self._variables(Local) for name in self._named(each).functions)
            start, may = complete(text[above:], offset - above, functions=names, catalogue=self._catalogue)
            typed = text[above + start : offset]
            found = [SimpleCompletion(text=c.text, type=c.kind) for c in may]
        if not found:
            return SimpleMatcherResult(completions=[])
        return SimpleMatcherResult(completions=found, matched_fragment=typed, suppress=True, ordered=True)

    def _options_at(self, magic: str, line: str) -> tuple[str, list[SimpleCompletion]]:
        """Complete a magic's own line: its options and what they take."""
        *before, typed = line.split(" ")
        parser = _MAGICS[magic].parser
        if typed.startswith("-"):
            words = [name for action in parser._actions for name in action.option_strings]  # noqa: SLF001
        elif before[-1] == "--on":
            words = [name for name, each in self.shell.user_ns.items() if hasattr(each, "start_execution")]
        elif magic == "%%teststate" and len(before) == 1:
            words = [f"{name}.{state}" for name in self._variables(StateMachine) for state in self._named(name).states]
        elif magic == "%sfn":
            words = list(_SHOWN) if len(before) == 1 else self._variables(Execution)
        else:
            words = []
        fits = [word for word in words if word.lower().startswith(typed.lower()) and word[:1] != "_"]
        return typed, [SimpleCompletion(text=word, type="option") for word in fits]

    def _variables(self, kind: type) -> list[str]:
        return [name for name, each in self.shell.user_ns.items() if isinstance(each, kind) and name[:1] != "_"]


_MAGICS: dict[str, Any] = {"%%asl": LabMagics.asl, "%%teststate": LabMagics.teststate, "%sfn": LabMagics.sfn}


def _is_own(run: Execution) -> bool:
    """Whether somebody started *run*, and not another execution."""
    return not isinstance(run, ChildExecution) and getattr(run, "parent", None) is None


def _data(value: Any, where: str) -> Any:
    """Return what a variable holds, if that can be given as data."""
    if isinstance(value, Mock):
        if callable(value.result):
            raise UsageError(f"{where}: a mock of a state is data; --on takes a function that does its work")
        return value
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as e:
        raise UsageError(f"{where}: it holds no JSON data ({e})") from None
    return value


def _is_mock(value: Any) -> bool:
    """Whether *value* is what `StateMachine.test_state` takes for a mock, and not a result."""
    return isinstance(value, Mapping) and bool(value) and set(value) <= {"result", "errorOutput", "fieldValidationMode"}


def _near(name: str, known: Iterable[str]) -> str:
    """Return the name that was meant, or what there is."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there is {', '.join(known[:12])}{', …' if len(known) > 12 else ''}"


def _options(magic: Any, line: str) -> argparse.Namespace:
    """Read a magic's line. Raises UsageError."""
    options: argparse.Namespace = magic.parser.parse_args(list(_words(line)))
    return options


def _words(line: str) -> Iterator[str]:
    """Split a line as a shell does, but leave JSON whole: ``--run {"a": [1, 2]}`` needs no quotes."""
    at = 0
    while m := _WORD.match(line, at):
        if m["option"]:
            yield m["option"]
            at = m.end("option") + line.startswith("=", m.end("option"))
        elif m["json"]:
            at = _json_end(line, m.start("json"))
            yield line[m.start("json") : at].strip()
        else:
            yield m["quoted"] if m["quoted"] is not None else m["word"]
            at = m.end()


_WORD = re.compile(
    r"""\s*(?:(?P<option>--[a-z][\w-]*)(?==|\s|$)|(?P<json>[{\[])|'(?P<quoted>[^']*)'(?=\s|$)|(?P<word>\S+))"""
)


def _json_end(line: str, start: int) -> int:
    """Return where the JSON that begins at *start* ends; where it is none, the next option."""
    try:
        return json.JSONDecoder().raw_decode(line, start)[1]
    except (ValueError, RecursionError):
        following = re.compile(r"\s--[a-z]").search(line, start)
        return following.start() if following else len(line)


@contextmanager
def _plainly(unbound: str = "") -> Iterator[None]:
    """Show an error of ours as its words: the lines of our own code say nothing to who wrote the cell.

    *unbound* says what to write here where nothing answers a task.
    """
    try:
        yield
    except SflabError as e:
        if unbound and isinstance(e, TaskNotFoundError):
            e.add_note(unbound)
        said = "\n".join([f"{type(e).__name__}: {e}", *getattr(e, "__notes__", ())])
        vars(e)["_render_traceback_"] = lambda: [said]  # what IPython asks an exception for
        raise
