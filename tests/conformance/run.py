"""Run what AWS recorded against the engine: ``python tests/conformance/run.py DIR [--report FILE.json] [--quiet]``.

DIR holds ``INDEX.json``, ``cases/`` and ``compare.py`` (default: ``../shared/conformance`` beside the checkout). Every
case is a definition, an input, what each task answered and what AWS wrote; the tasks are answered by (state, attempt)
on virtual time and the histories compared. Prints ``group/kind: passed/total`` lines, each failing id with its first
difference, and a last line ``N passed, M failed``. What is not run yet is counted apart and is null in the report.
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import json
import math
import sys
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sflab.asl.model import Diagnostic, StatesError, compact
from sflab.asl.parse import load, loads
from sflab.asl.program import compile_program
from sflab.asl.validate import refusal, validate
from sflab.asl.variables import references
from sflab.backends import mocks
from sflab.backends.drivers import Drive
from sflab.backends.local import Local
from sflab.backends.mockconfig import mock_config
from sflab.backends.statemachine import StateMachine
from sflab.engine import teststate
from sflab.engine.machine import Machine
from sflab.engine.messages import Reply, ScheduleTask, TaskFailed, TaskStarted, TaskSubmitted, TaskSucceeded
from sflab.errors import ApiError, DefinitionError

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]  # as a program, only its own folder is looked in
from tests.conformance import transcripts  # noqa: E402 - after the line above

HOME = Path(__file__).resolve().parents[2].parent / "shared" / "conformance"
FROZEN = datetime(2024, 1, 1, 12, tzinfo=UTC).timestamp()  # "now" in every recorded input
Case = dict[str, Any]


class NotRunError(Exception):
    """The case needs a part of AWS that is not here yet; the message says which."""


def filled(value: Any, bindings: dict[str, str]) -> Any:
    """*value* with the recording's placeholders replaced by the concrete values that work."""
    if isinstance(value, str):
        for name, concrete in bindings.items():
            value = value.replace(name, concrete)
        return value.replace("<partition>", "aws")
    if isinstance(value, list):
        return [filled(v, bindings) for v in value]
    if isinstance(value, dict):
        return {filled(k, bindings): filled(v, bindings) for k, v in value.items()}
    return value


class Recorded:
    """A worker that answers each task as it was answered on AWS, by (state, attempt)."""

    def __init__(self, case: Case, bindings: dict[str, str]) -> None:
        self.answers: dict[str | None, list[dict[str, Any]]] = collections.defaultdict(list)
        for task in sorted(case.get("tasks", []), key=lambda t: t["event"] if isinstance(t["event"], int) else 0):
            self.answers[task["state"]].append(filled(task, bindings))
        self.taken: collections.Counter[str] = collections.Counter()
        setup = filled(case.get("setup") or {}, bindings)
        self.objects: dict[str, dict[str, str]] = setup.get("s3") or {}
        # Tasks inside a Distributed Map were not recorded; where there are such, they called an identity function.
        self.echo = any(f.get("handler") == "id_function.py" for f in (setup.get("lambda") or {}).values())

    def read(self, command: ScheduleTask) -> Any:
        """Return what an ItemReader is given: an object's text, or the listing of a bucket."""
        given = command.parameters
        objects = self.objects.get(given["Bucket"], {})
        if command.action == "getObject":
            return objects[given["Key"]]
        return [
            {
                "Etag": f"<Etag-{key}>",
                "LastModified": "<date>",
                "Key": key,
                "Size": len(text),
                "StorageClass": "STANDARD",
            }
            for key, text in objects.items()
        ]

    def __call__(self, command: ScheduleTask) -> Iterable[tuple[float, Reply]]:
        """Yield the recorded replies, a millisecond after one another."""
        if command.kind == "reader":
            yield 0.01, TaskSucceeded(command.token, self.read(command))
            return
        known = self.answers[command.state] or [t for t in self.answers[None] if _given(t, command)]
        n = self.taken[command.state]
        self.taken[command.state] += 1
        if n >= len(known) and self.echo:
            yield 0.01, TaskSucceeded(command.token, _echoed(command))
            return
        if n >= len(known):
            raise NotRunError(f"no recorded answer for attempt {n + 1} of {command.state}")
        # Tasks of a Map interleave: the answer is the one that was given to the same request.
        same = [t for t in known[n:] if _given(t, command)]
        task = same[0] if same else known[n]
        known.remove(task)
        known.insert(n, task)  # what was given stands before what is still to be given
        if command.kind == "activity" and "started" in task:
            yield 0.001, TaskStarted(command.token, task["started"].get("workerName"))
        if "submitted" in task:
            yield 0.002, TaskSubmitted(command.token, task["submitted"]["output"])
        outcome = task["outcome"]
        if "output" in outcome:
            yield 0.01, TaskSucceeded(command.token, _value(outcome["output"]))
        elif not outcome.get("timed_out"):
            yield 0.01, TaskFailed(command.token, outcome.get("error"), _text(outcome.get("cause"), command.kind))


def _echoed(command: ScheduleTask) -> Any:
    given = command.parameters
    return {"Payload": given.get("Payload")} if command.kind == "task" and isinstance(given, dict) else given


def _given(task: dict[str, Any], command: ScheduleTask) -> bool:
    recorded = task.get("parameters", task.get("input"))
    return bool(recorded == command.parameters or _value(recorded) == command.parameters)


def _value(output: Any) -> Any:
    """Return a recorded output as JSON: objects were parsed by the recorder, anything else is JSON text still."""
    if not isinstance(output, str):
        return output
    try:
        return json.loads(output)
    except ValueError:
        return output


def _text(cause: Any, kind: str) -> str | None:
    """Return a cause as text: the function-ARN integration hands on the Lambda runtime's, which has spaces."""
    if cause is None or isinstance(cause, str):
        return cause
    return json.dumps(cause) if kind == "lambda" else compact(cause)


def run_case(case: Case) -> Machine:
    """Run the case's definition with its input and recorded answers on virtual time."""
    bindings = dict(case.get("bindings", {}))
    if case.get("definition_is_raw"):
        raise NotRunError("not a definition")
    machine = Machine(
        compile_program(load(filled(case["definition"], bindings)).raw),
        type=case.get("type", "STANDARD"),
        arn=filled(case.get("execution_arn", "arn:aws:states:us-east-1:111111111111:execution:m:e"), bindings),
        machine_arn=filled(
            case.get("state_machine_arn", "arn:aws:states:us-east-1:111111111111:stateMachine:m"), bindings
        ),
        role_arn=_role(case, bindings),
        region=bindings.get("<region>", "us-east-1"),
    )
    run = Drive(machine, Recorded(case, bindings), start=FROZEN)
    aborted = case["expect"].get("history", [{}])[-1].get("type") == "ExecutionAborted"
    run.run(filled(case.get("input") or "{}", bindings), until=FROZEN if aborted else math.inf)
    machine.stop(at=FROZEN)  # as the test did, where it did
    return machine


def _role(case: Case, bindings: dict[str, str]) -> str:
    started = next(iter(case["expect"].get("history", [])), {}).get("executionStartedEventDetails", {})
    return str(filled(started.get("roleArn", "snf_role_arn"), bindings))


def check_history(case: Case, compare: Any) -> list[str]:
    """Differences between the recorded history and ours."""
    events = run_case(case).log.events()
    return list(compare.compare_history(case, events))


def check_output(case: Case, compare: Any) -> list[str]:
    """Differences between the recorded outcome and ours."""
    machine = run_case(case)
    out: list[str] = []
    expect = case["expect"]
    if machine.status != expect["status"]:
        return [f"status: expected {expect['status']}, got {machine.status} ({machine.error}: {machine.cause})"]
    if "output" in expect:
        compare.Matcher(case).value(expect["output"], machine.output, "output", out)
    return out


def check_mocked(case: Case, compare: Any) -> list[str]:
    """Differences in the course of an execution whose tasks a mock configuration file answers.

    AWS's tasks were real ones, whose answers the file only resembles: what is compared is the events' types and order.
    """
    machine = StateMachine.load(filled(case["definition"], case.get("bindings", {})), name="M", type=case["type"])
    tasks = mock_config(case["mock_config"], case["state_machine_name"], case["test_case"])
    execution = Local(tasks=tasks).start_execution(machine, case["input"])
    wanted = case["expect"]
    out = [] if execution.status == wanted["status"] else [f"status {execution.status}, not {wanted['status']}"]
    if "history" in wanted:
        bare = {**case, "expect": {**wanted, "history": [_skeleton(e) for e in wanted["history"]]}}
        out += compare.compare_history(bare, [_skeleton(e) for e in execution.history])
    return out


def _skeleton(event: dict[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in ("id", "previousEventId", "timestamp", "type")}


def diagnostics(case: Case) -> list[Diagnostic]:
    """Everything found in the case's definition, whether or not it can be read."""
    text = case["definition"] if isinstance(case["definition"], str) else json.dumps(case["definition"])
    try:
        return validate(loads(text), case.get("type", "STANDARD"))
    except DefinitionError as e:
        return list(e.diagnostics)


def check_create_error(case: Case, compare: Any) -> list[str]:
    """Differences between AWS's refusal of a definition and our first error."""
    error = case["expect"]["error"]
    wanted = error["Error"]["Message"] if "Error" in error else error["exception_value"].partition("operation: ")[2]
    if "Log Destination not found" in wanted:
        raise NotRunError("there are no log groups here")
    if not wanted.startswith("Invalid State Machine Definition"):
        return list(transcripts.check_create(case, compare))
    found = diagnostics(case)
    said = refusal(found)
    return [] if wanted == said else [f"expected {wanted!r}, got {said!r}"]


def check_validate(case: Case, _compare: Any) -> list[str]:
    """Differences between the diagnostics AWS gives and ours."""
    errors = [d for d in diagnostics(case) if d.severity == "ERROR"]
    ours = sorted((d.code, d.message, d.location) for d in errors)
    theirs = sorted((d["code"], d["message"], d.get("location", "")) for d in case["expect"]["response"]["diagnostics"])
    return [] if ours == theirs else [f"expected {theirs}, got {ours}"]


def check_variable_references(case: Case, _compare: Any) -> list[str]:
    """Differences between the variables AWS says each state reads and ours."""
    ours = references(case["definition"])
    answers = [r for r in case["expect"]["responses"].values() if "variableReferences" in r]
    if not answers:
        return ["the recording has no variableReferences"]
    return [f"expected {r['variableReferences']}, got {ours}" for r in answers if r["variableReferences"] != ours]


def check_test_state(case: Case, compare: Any) -> list[str]:
    """Differences between what TestState answered, or refused, and ours."""
    bindings, expect = dict(case.get("bindings", {})), case["expect"]
    wanted = expect.get("response") or _refusal(expect["error"])
    definition = case["definition"] if case.get("definition_is_raw") else json.dumps(case["definition"])
    request = filled({"definition": definition, **case["request"]}, bindings)
    if case.get("input") is not None:
        request["input"] = filled(case["input"], bindings)
    machine_arn = "arn:aws:states:us-east-1:111111111111:stateMachine:m"
    try:
        answer = teststate.run(
            request,
            work=lambda _: filled(_task_result(case), bindings),
            check=mocks.check,
            machine_arn=machine_arn,
        ).response
    except ApiError as e:
        answer = {"code": e.code, "message": str(e)}
    out: list[str] = []
    compare.Matcher(case).value(wanted, answer, "response", out)
    return out


def _refusal(error: dict[str, Any]) -> dict[str, str]:
    """Return {code, message} of a recorded error, which boto3 or the recorder may have put into words."""
    if "Error" in error:
        return {"code": error["Error"]["Code"], "message": error["Error"]["Message"]}
    text = error["exception_value"]
    return {"code": error["exception_typename"], "message": text.partition("TestState operation: ")[2] or text}


def _task_result(case: Case) -> Any:
    """Return what the task answered on AWS: as recorded, as inspected, or handed on unchanged as the output."""
    for task in case.get("tasks", []):
        outcome = task["outcome"]
        if "output" not in outcome:
            raise StatesError(outcome.get("error"), _text(outcome.get("cause"), task["kind"]))
        return _value(outcome["output"])
    response = case["expect"].get("response", {})
    found = response.get("inspectionData", {}).get("result", response.get("output"))
    if found is None:
        raise NotRunError("the task's answer is not recorded")
    return _value(found)


CHECKS = {
    "history": check_history,
    "mocked": check_mocked,
    "output": check_output,
    "create_error": check_create_error,
    "test_state": check_test_state,
    "validate": check_validate,
    "variable_references": check_variable_references,
    **transcripts.CHECKS,
}


def judge(case: Case, compare: Any) -> tuple[bool | None, str | None]:
    """Return (passed, first difference); passed is None for what is not run."""
    check = CHECKS.get(case["kind"])
    if check is None:
        return None, f"kind {case['kind']} is not run yet"
    try:
        differences = check(case, compare)
    except NotRunError as e:
        return None, str(e)
    except Exception as e:  # noqa: BLE001 - one broken case must not hide the others
        return False, f"{type(e).__name__}: {e} ({traceback.extract_tb(e.__traceback__)[-1]})"
    return not differences, differences[0] if differences else None


def load_compare(root: Path) -> Any:
    """Return the recordings' own comparer, as a module."""
    spec = importlib.util.spec_from_file_location("conformance_compare", root / "compare.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(root: Path) -> list[dict[str, Any]]:
    """Judge every case under *root*; a row for each, as the report has them."""
    compare = load_compare(root if (root / "compare.py").exists() else HOME)
    rows = []
    for path in sorted(root.rglob("*.json")):
        if path.name in ("INDEX.json", "ERRORS.json"):
            continue
        case = json.loads(path.read_text())
        passed, difference = judge(case, compare)
        rows.append(
            {
                "id": case["id"],
                "group": case["group"],
                "kind": case["kind"],
                "provenance": case.get("provenance", "aws"),
                "passed": passed,
                "difference": difference,
            }
        )
    return rows


def summary(rows: list[dict[str, Any]], *, verbose: bool = True) -> str:
    """Return the report as text: a line a group and kind, the failures, the closing line."""
    table: dict[str, collections.Counter[Any]] = collections.defaultdict(collections.Counter)
    for row in rows:
        apart = " (unconfirmed)" if row["provenance"] != "aws" else ""
        table[f"{row['group']}/{row['kind']}{apart}"][row["passed"]] += 1
    lines = []
    for name, count in sorted(table.items()):
        total, idle = sum(count.values()), count[None]
        lines.append(f"{name}: {count[True]}/{total}" + (f" ({idle} not run)" if idle else ""))
    if verbose:
        lines += [f"FAILED {r['id']}: {r['difference']}" for r in rows if r["passed"] is False]
    passed = sum(r["passed"] is True for r in rows)
    failed = sum(r["passed"] is False for r in rows)
    return "\n".join([*lines, f"{passed} passed, {failed} failed"])


def main() -> int:
    """Run from the command line; 0 when nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", nargs="?", type=Path, default=HOME, help=f"the recordings (default: {HOME})")
    parser.add_argument("--report", type=Path, help="write a JSON report there")
    parser.add_argument("--quiet", action="store_true", help="do not list the failing cases")
    options = parser.parse_args()
    if not options.dir.is_dir():
        print(f"{options.dir}: no such folder; nothing was run", file=sys.stderr)
        return 2
    rows = run(options.dir)
    if options.report:
        options.report.write_text(json.dumps({"cases": rows}, indent=1) + "\n")
    print(summary(rows, verbose=not options.quiet))
    return int(any(r["passed"] is False for r in rows))


if __name__ == "__main__":
    sys.exit(main())
