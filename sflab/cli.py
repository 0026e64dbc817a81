"""The `sflab` command: run, draw and check state machines from a shell. `sflab --help` tells how."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sflab import __version__
from sflab.errors import DefinitionError, SflabError, TaskNotFoundError

if TYPE_CHECKING:
    from sflab.asl.model import Diagnostic
    from sflab.backends.execution import Execution
    from sflab.backends.statemachine import StateMachine

EXITS = """\
exit codes:
  0    the execution succeeded; the definition has no errors
  1    the execution did not succeed; the definition has errors
  2    wrong usage, or a file or an input that cannot be used
  3    a task was reached that nothing is bound to
  70   a fault of sflab itself; set SFLAB_TRACEBACK=1 to see where
  130  interrupted; 141 when nobody reads the output any more
"""
ROWS = 40  # state visits shown to a person
COLOURS = {"SUCCEEDED": 32, "RUNNING": 34, "CAUGHT": 33}  # SGR codes; whatever is not listed is red


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code (see EXITS)."""
    options = _parser().parse_args(argv)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without Unicode shows names all the same
    try:
        code: int = options.command(options)
        sys.stdout.flush()
        return code
    except TaskNotFoundError as e:
        here = "Here: --mock 'NAME=JSON' for one task, --mock-rest '{}' for all that are left, --functions for code."
        return _complain(f"{e}\n{here}", 3)
    except DefinitionError as e:
        return _complain(str(e), 1 if e.diagnostics else 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
        return 141
    except (SflabError, OSError) as e:
        return _complain(str(e), 2)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except Exception as e:  # noqa: BLE001 - whatever we did wrong, nobody wants our stack for it
        if os.environ.get("SFLAB_TRACEBACK"):
            traceback.print_exc()
        return _complain(f"a fault of sflab itself: {type(e).__name__}: {e} (SFLAB_TRACEBACK=1 shows where)", 70)


def _parser() -> argparse.ArgumentParser:
    def command(name: str, run: Any, does: str, example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=does,
            description=f"{does[0].upper()}{does[1:]}.",
            epilog=f"example:\n{example}\n\n{EXITS}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=run)
        return sub

    parser = argparse.ArgumentParser(
        "sflab",
        description="A lab for AWS Step Functions: runs, draws and checks state machines, with nothing to deploy.",
        epilog=f"sflab COMMAND --help tells more, with an example.\n\n{EXITS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sflab {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = command(
        "run",
        run_command,
        "run a state machine here, in virtual time: a wait of three days takes no time",
        "  sflab run order.asl.json --input '{\"orderId\": 42}' --functions shop:functions \\\n"
        "      --mock 'ChargeCard={\"paid\": true}' --mock-rest '{}'",
    )
    run.add_argument("file", metavar="FILE", help="the definition, JSON or YAML")
    run.add_argument("--input", metavar="JSON|@FILE|-", help="the input: JSON, a file of it, or standard input ({})")
    run.add_argument("--express", action="store_true", help="run it as an Express workflow")
    run.add_argument("--rate", type=_rate, default=math.inf, help="seconds of the execution per second: 1 is real time")
    run.add_argument("--history", metavar="FILE", help="write the history there, as the AWS CLI prints it")

    serve = command(
        "serve",
        serve_command,
        "serve the Step Functions API here, for the AWS CLI, SDKs and SAM",
        "  sflab serve order.asl.json --functions shop:functions\n"
        "  aws stepfunctions list-state-machines --endpoint-url http://127.0.0.1:8083",
    )
    serve.add_argument("files", metavar="FILE", nargs="*", help="state machines that are there from the start")
    serve.add_argument("--port", type=int, default=8083, help="the port to listen on (8083); 0 takes a free one")
    serve.add_argument("--host", help="listen on this address and not on loopback: anybody who reaches it can use it")
    serve.add_argument("--express", action="store_true", help="the state machines are Express workflows")
    serve.add_argument("--rate", type=_rate, default=1.0, help="seconds of an execution per second (1); inf: at once")

    graph = command(
        "graph",
        graph_command,
        "draw a state machine as SVG",
        "  sflab graph order.asl.json -o order.svg",
    )
    graph.add_argument("file", metavar="FILE", help="the definition, JSON or YAML")
    graph.add_argument("-o", "--output", metavar="FILE.svg", help="where to write it; standard output unless given")
    graph.add_argument("--history", metavar="FILE", help="colour it by a history that was saved")

    check = command(
        "validate",
        validate_command,
        "list what is wrong with definitions, each with file:line:column",
        "  sflab validate machines/*.asl.json",
    )
    check.add_argument("files", metavar="FILE", nargs="+", help="definitions, JSON or YAML")
    check.add_argument("--express", action="store_true", help="check them as Express workflows")

    prices = command(
        "prices",
        prices_command,
        "list what AWS charges in a region, or fetch it anew with your AWS credentials",
        "  sflab prices --region eu-west-1 --refresh --profile dev",
    )
    prices.add_argument("--region", default="us-east-1", help="the region (us-east-1)")
    prices.add_argument("--refresh", action="store_true", help="fetch them from AWS (pricing:GetProducts)")
    prices.add_argument("--profile", metavar="NAME", help="fetch them as this profile of ~/.aws/config")
    prices.add_argument("--endpoint-url", metavar="URL", help="fetch them from another server that speaks that API")

    lab = command(
        "lab",
        lab_command,
        "open the workshop in JupyterLab, or put one of its notebooks back as it was shipped",
        "  sflab lab\n  sflab lab --reset 03",
    )
    lab.add_argument("--reset", metavar="NOTEBOOK", help="put it back; what you changed is kept under another name")
    lab.add_argument("--folder", metavar="DIR", help="the workshop's folder; what it lacks is copied there")
    lab.add_argument("--port", type=int, help="the port of JupyterLab (8888, or the next that is free)")
    lab.add_argument("--no-browser", action="store_true", help="open no browser")

    for sub in (run, serve):
        sub.add_argument(
            "--functions",
            metavar="MODULE[:ATTR]",
            help="Lambda functions: a module, or a dict, object or function in one; looked for in the current folder "
            "too",
        )
        sub.add_argument(
            "--mock",
            metavar="NAME=JSON",
            action="append",
            default=[],
            help="the answer of a task: NAME is a state, a resource (dynamodb:putItem) or a Lambda function, "
            "JSON what the function returns or the service answers; may be repeated",
        )
        sub.add_argument("--mock-rest", metavar="JSON", help="the answer of every task nothing else is bound to")
        sub.add_argument("--seed", type=int, default=0, help="decides ids and jitter (0)")
    for sub in (run, graph, check, serve):
        sub.add_argument(
            "--set", metavar="TOKEN=VALUE", action="append", default=[], help="fill ${TOKEN} in; may be repeated"
        )
    for sub in (run, check):
        sub.add_argument("--json", action="store_true", help="write one JSON object")
    return parser


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def run_command(options: argparse.Namespace) -> int:
    """Run a machine and say what came of it."""
    from sflab.backends.local import Local

    machine = _load(options.file, options)
    mocked, tasks = _mocks([machine], options)
    functions = {**_functions(options.functions), **mocked} if options.functions else mocked
    local = Local(functions, tasks, seed=options.seed, rate=options.rate)
    run, interrupted = local.start_execution(machine, _input(options.input)), False
    try:
        while options.rate != math.inf and not run.wait(0.2).drive.ended.is_set() and not run.waiting:
            pass
    except KeyboardInterrupt:
        run.stop(cause="interrupted")
        interrupted = True
    if options.history:
        run.history.save(options.history)
    print(json.dumps(_facts(run), indent=2) if options.json else _told(run))
    return 130 if interrupted else int(run.status != "SUCCEEDED")


def serve_command(options: argparse.Namespace) -> int:
    """Serve the API until somebody ends it."""
    from sflab.backends.serve import Server, backend

    machines = [_load(file, options) for file in options.files]
    for machine in machines:
        machine.check()
    mocked, tasks = _mocks(machines, options)
    functions = {**_functions(options.functions), **mocked} if options.functions else mocked
    local = backend(functions, tasks, rate=options.rate, seed=options.seed, machines=machines)
    server = Server(local, options.port, options.host)
    print(server.told, flush=True)
    try:
        server.serve_forever(0.1)
    except KeyboardInterrupt:
        return 0
    finally:
        server.server_close()
    return 0


def graph_command(options: argparse.Namespace) -> int:
    """Draw a machine."""
    from sflab.backends.execution import History
    from sflab.views.graph import svg

    if options.output and Path(options.output).suffix != ".svg":
        raise SflabError(f"-o {options.output}: sflab draws SVG; name a file that ends in .svg")
    definition = _load(options.file, options).definition
    events = History.load(options.history, definition=definition).events if options.history else None
    drawn = svg(definition, events)
    if options.output:
        Path(options.output).write_text(drawn + "\n", "utf-8")
    else:
        sys.stdout.buffer.write(drawn.encode() + b"\n")
    return 0


def prices_command(options: argparse.Namespace) -> int:
    """`sflab prices`: a table on standard output."""
    if options.refresh:
        from sflab.backends.pricelist import refresh

        shown = refresh(options.region, profile=options.profile, endpoint_url=options.endpoint_url)._repr_mimebundle_()
    else:
        from sflab.costs.prices import load

        shown = load(options.region)._repr_mimebundle_()
    print(shown["text/plain"])
    return 0


def lab_command(options: argparse.Namespace) -> int:
    """Open the workshop in JupyterLab, or reset one of its notebooks."""
    from sflab.workshop import lab

    workshop = lab.find(options.folder)
    if options.reset is not None:
        path, kept = lab.reset(workshop, options.reset)
        print(f"{path} is as it was shipped" + (f"; yours is {kept.name}" if kept else ""))
        return 0
    print(f"the workshop is in {workshop.folder}", flush=True)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return lab.start(workshop, port=options.port, browser=not options.no_browser, root=root)


def validate_command(options: argparse.Namespace) -> int:
    """List what is wrong with each file."""
    found: list[tuple[str, list[Diagnostic]]] = []
    unread: dict[str, str] = {}
    for file in options.files:
        try:
            found.append((file, _load(file, options).validate()))
        except DefinitionError as e:
            if e.diagnostics:
                found.append((file, list(e.diagnostics)))
            else:
                unread[file] = str(e)
    errors = sum(d.severity == "ERROR" for _, each in found for d in each)
    if options.json:
        print(json.dumps(_diagnoses(found, unread), indent=2))
    else:
        for file, each in found:
            print(_safe("\n".join(map(str, each)) or f"{file}: ok"))
        warnings = sum(len(each) for _, each in found) - errors
        if len(found) > 1 or errors + warnings:
            print(f"{_count(errors, 'error')} and {_count(warnings, 'warning')} in {_count(len(found), 'file')}")
        for problem in unread.values():
            _complain(problem, 2)
    return 2 if unread else int(errors > 0)


def _diagnoses(found: list[tuple[str, list[Diagnostic]]], unread: dict[str, str]) -> dict[str, Any]:
    names = ("severity", "code", "message", "location", "pointer", "line", "column")
    files: list[dict[str, Any]] = [
        {
            "file": file,
            "valid": all(d.severity != "ERROR" for d in each),
            "diagnostics": [{name: getattr(d, name) for name in names} for d in each],
        }
        for file, each in found
    ]
    return {"files": files + [{"file": file, "valid": None, "problem": said} for file, said in unread.items()]}


# ── what is given ────────────────────────────────────────────────────────────────────────────────────────────────────


def _load(file: str, options: argparse.Namespace) -> StateMachine:
    from sflab.backends.statemachine import StateMachine

    given = dict(_pair(each, "--set") for each in options.set)
    substitutions = {name.removeprefix("${").removesuffix("}"): value for name, value in given.items()}
    type_ = "EXPRESS" if getattr(options, "express", False) else "STANDARD"
    return StateMachine.load(Path(file), substitutions=substitutions, type=type_)


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise SflabError(f"{option} {text!r}: expected NAME=VALUE")
    return name, value


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not rate > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return rate


def _json(text: str, option: str) -> Any:
    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as e:
        hint = " (a string wants its quotes: '\"text\"')" if text[:1].isalpha() and "\n" not in text else ""
        raise SflabError(f"{option}: line {e.lineno}, column {e.colno}: {e.msg[:1].lower()}{e.msg[1:]}{hint}") from None
    except (ValueError, RecursionError) as e:
        raise SflabError(f"{option}: {e}") from None


def _input(given: str | None) -> str | None:
    """Return the input's JSON text, as it was written."""
    if given is None:
        return None
    try:
        if given == "-":
            option, text = "--input -", sys.stdin.read()
        elif given.startswith("@"):
            option, text = f"--input {given}", Path(given[1:]).read_text("utf-8-sig")
        else:
            option, text = "--input", given
    except FileNotFoundError:
        raise SflabError(f"--input {given}: no such file") from None
    except (OSError, ValueError) as e:
        raise SflabError(f"--input {given}: cannot be read as UTF-8 text ({e})") from None
    _json(text, option)
    return text


def _mocks(machines: list[StateMachine], options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what --mock and --mock-rest say, as `Local` takes it: (functions, tasks)."""
    from sflab.asl.model import compact, resource
    from sflab.backends.functions import mock

    functions, tasks = {}, {}
    for name, text in (_pair(each, "--mock") for each in options.mock):
        value = _json(text, f"--mock {name}")
        functions[name] = mock(value)
        places = [place for machine in machines for place in machine.definition.places()]
        states = [p.state for p in places if name == p.name and "Resource" in p.state]
        if states or ":" in name:
            called = states[0]["Resource"] if states else name
            to = resource(called if str(called).startswith("arn:") else f"arn:aws:states:::{called}")
            invokes = to.kind == "task" and to.type.endswith("lambda") and to.pattern != "waitForTaskToken"
            answer = {"ExecutedVersion": "$LATEST", "Payload": value, "StatusCode": 200} if invokes else value
            tasks[name] = mock(answer)
        elif machines and not any(
            re.search(rf"(?<!\w){re.escape(name)}(Arn)?(?!\w)", compact(machine.definition.raw)) for machine in machines
        ):
            where = ", ".join(machine.definition.source for machine in machines)
            _complain(f"--mock {name}: no state, resource or function is called so in {where}", 0)
    if options.mock_rest is not None:
        tasks["*"] = mock(_json(options.mock_rest, "--mock-rest"))
    return functions, tasks


def _functions(spec: str) -> dict[str, Any]:
    """Import ``module[:attr]`` and return the functions in it, by name."""
    name, _, attr = spec.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(name)
    except Exception as e:  # noqa: BLE001 - it is somebody's code, and may do anything
        frame = traceback.extract_tb(e.__traceback__)[-1]
        where = "" if "importlib" in frame.filename else f" ({frame.filename}:{frame.lineno})"
        hint = "; give a module's name, as in an import" if name.endswith(".py") else ""
        raise SflabError(f"--functions {spec}: importing {name} failed: {type(e).__name__}: {e}{where}{hint}") from None
    for part in attr.split(".") if attr else ():
        if not hasattr(found, part):
            raise SflabError(f"--functions {spec}: {name} has no {attr}")
        found = getattr(found, part)
    if isinstance(found, Mapping):
        return dict(found)
    if attr and callable(found) and not isinstance(found, type):
        return {attr.rpartition(".")[2]: found}
    named = {n: getattr(found, n) for n in dir(found) if not n.startswith("_")}
    functions = {n: value for n, value in named.items() if callable(value) and not isinstance(value, type)}
    if not functions:
        raise SflabError(f"--functions {spec}: there are no functions in it")
    return functions


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _facts(run: Execution) -> dict[str, Any]:
    """The outcome and the state visits as JSON data."""
    names = ("state", "type", "pointer", "path", "status", "attempts", "entered", "seconds", "next", "error", "cause")
    return {
        "machine": run.machine.name,
        "type": run.machine.type,
        "name": run.name,
        "status": run.status,
        "output": run.output,
        "error": run.error,
        "cause": run.cause,
        "seconds": run.seconds,
        "events": len(run.history),
        "visits": [{name: getattr(visit, name) for name in names} for visit in run.visits],
    }


def _told(run: Execution) -> str:
    """The outcome and the state visits for a person."""
    from sflab.views.words import duration

    took = duration(run.seconds) or "0 ms"
    lines = [f"{_safe(run.machine.name)}  {_coloured(run.status)}  {took} in the execution's own time"]
    if run.status == "RUNNING" and run.waiting:
        lines += ["", f"Waits   {_safe(run.waiting)}"]
    if run.error or run.cause:
        lines += ["", f"Error   {_safe(run.error or '')}", f"Cause   {_safe(run.cause or '')}"]
    if run.status == "SUCCEEDED":
        lines += ["", "Output", _safe(json.dumps(run.output, indent=2, ensure_ascii=False))]
    visits = run.visits
    if visits:
        rows = [("STATE", "STATUS", "ATTEMPTS", "SECONDS", "ERROR")]
        for v in visits[:ROWS]:
            name = "  " * len(v.path) + v.state + (f" [{v.path[-1][1]}]" if v.path else "")
            seconds = "" if v.seconds is None else f"{v.seconds:,.3f}"
            rows.append((_safe(name), v.status, str(v.attempts or ""), seconds, _safe(v.error or "")))
        wide = [max(len(row[i]) for row in rows) for i in range(4)]
        lines.append("")
        for state, status, attempts, seconds, error in rows:
            shown = status.ljust(wide[1]) if status == "STATUS" else _coloured(status) + " " * (wide[1] - len(status))
            row = f"{state:<{wide[0]}}  {shown}  {attempts:>{wide[2]}}  {seconds:>{wide[3]}}  {error}"
            lines.append(row.rstrip())
        if len(visits) > ROWS:
            lines.append(f"… and {len(visits) - ROWS:,} more (--json lists all)")
    return "\n".join(lines)


def _coloured(status: str) -> str:
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return status if plain else f"\x1b[{COLOURS.get(status, 31)}m{status}\x1b[0m"


def _safe(text: str) -> str:
    """Without what a terminal would obey: names and outputs come from files."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _complain(message: str, code: int) -> int:
    print(f"sflab: {_safe(message)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
