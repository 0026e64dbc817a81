"""The local backend: executions in this process, with nothing to deploy."""

from __future__ import annotations

import difflib
import json
import math
import random
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sflab.asl.dataflow import MAX_BYTES, MAX_NESTING, too_deep
from sflab.asl.model import JSON, read_json
from sflab.backends.buckets import Bucket, access
from sflab.backends.drivers import EPOCH, Drive, Worker
from sflab.backends.execution import Execution, Outcome
from sflab.backends.functions import answer
from sflab.backends.statemachine import StateMachine
from sflab.engine.history import Event
from sflab.engine.machine import Machine
from sflab.engine.maprun import MapRun
from sflab.engine.messages import Reply, ScheduleTask, TaskFailed, TaskSucceeded
from sflab.errors import DefinitionError, TaskNotFoundError

if TYPE_CHECKING:
    from sflab.costs.latency import Measured

ACCOUNT = "123456789012"


class LocalExecution(Execution):
    """An execution in this process."""

    local: Local | None = None  # the backend that runs it, whose functions a redrive uses

    def __init__(self, machine: StateMachine, run: Machine, drive: Drive, text: str) -> None:
        super().__init__(machine, arn=run.arn, input=text)
        self.run, self.drive = run, drive
        self.ended = threading.Event()  # and not Thread.join, which an interrupted wait would break for good
        self.trouble: BaseException | None = None

    def _events(self, start: int = 0) -> list[Event]:
        return self.run.log.events(start)

    def _outcome(self) -> Outcome:
        if self.trouble is not None:
            raise self.trouble
        run = self.run
        status = "RUNNING" if run.status == "READY" else run.status
        return Outcome(status, run.output, run.error, run.cause)

    @property
    def map_runs(self) -> list[MapRun]:
        """The map runs of its Distributed Maps: counts, and the child executions, each with its ``log``."""
        return self.run.map_runs

    def stop(self, error: str | None = None, cause: str | None = None) -> None:
        """Abort the execution, as StopExecution does; nothing happens to one that has ended."""
        self.drive.stop(error, cause)
        self.ended.wait()
        self.drive.proceed()  # one that waits for what never comes has not noticed yet

    def wait(self, timeout: float | None = None) -> LocalExecution:
        """Wait until it has ended, at most *timeout* seconds of yours; in virtual time nothing is left to wait for."""
        self.ended.wait(timeout)
        return self

    def begin(self, *, background: bool) -> None:
        """Run it: here and now, or on a thread of its own."""
        if background:
            threading.Thread(target=self._thread, name=f"sflab-{self.name}", daemon=True).start()
            return
        try:
            self.drive.run(self.input_text)
        finally:
            self.ended.set()

    def _thread(self) -> None:
        try:
            self.drive.run(self.input_text)
        except BaseException as e:  # noqa: BLE001 - told to whoever asks how it stands
            self.trouble = e
        finally:
            self.ended.set()


class Local:
    """Runs state machines in this process.

    *functions* binds Lambda function names to ``callable(event, context)`` or `sflab.mock`; *tasks* binds a state's
    name, or a resource (``dynamodb:putItem``, an ARN), and wins over it: it is given the task's parameters and
    answers with the task's result. ``tasks={"*": …}`` answers whatever nothing else is bound to: where the task
    invokes a Lambda function, as that function. *seed* decides ids, jitter and latencies; *start* is when virtual
    time begins; *rate* how many seconds of the execution pass in one of yours: infinite by default (virtual time: a
    run returns at once), 1 for real time. *latency* gives tasks that have none of their own a duration: a model such
    as ``sf.measured()``. *objects* are the S3 buckets a Distributed Map reads its items from and writes its results to:
    by name, a folder or a dict of texts by key.
    """

    def __init__(
        self,
        functions: Mapping[str, Any] | None = None,
        tasks: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        start: datetime | None = None,
        rate: float = math.inf,
        latency: Measured | None = None,
        objects: Mapping[str, Bucket] | None = None,
        region: str = "us-east-1",
    ) -> None:
        self.objects = dict(objects or {})
        self.functions, self.tasks = dict(functions or {}), dict(tasks or {})
        self.seed, self.rate, self.latency, self.region = seed, rate, latency, region
        self.start = EPOCH if start is None else start.timestamp()
        self.executions: list[LocalExecution] = []
        self._names: set[tuple[str, str]] = set()

    def start_execution(self, machine: StateMachine, input: JSON = None, *, name: str | None = None) -> LocalExecution:
        """Run *machine*; in virtual time it has ended when this returns, however long it waits.

        *input* is JSON data, or JSON text as AWS takes it; nothing is ``{}``. A *name* can be used once for a machine.

        Raises DefinitionError when the definition or the input cannot be used, TaskNotFoundError when a task is
        reached that nothing is bound to.
        """
        execution = self._prepare(
            machine,
            input_text(input),
            self._name(machine, name),
            seed=self.seed,
            latency=self.latency,
            rate=self.rate,
        )
        self.executions.append(execution)
        try:
            execution.begin(background=self.rate != math.inf)
        except TaskNotFoundError:  # it shall be possible to bind the task and run again, under the same name
            self.executions.remove(execution)
            self._names.discard((machine.name, execution.name))
            raise
        return execution

    def simulate(
        self, machine: StateMachine, input: JSON = None, *, n: int, seed: int | None = None
    ) -> Iterator[LocalExecution]:
        """Run *machine* *n* times in virtual time, each with latencies of its own, and give out each when it has ended.

        Tasks without a latency of their own take what was measured (`sflab.costs.latency.measured`), unless this
        backend was given a model. The executions are not kept in `executions`.
        """
        from sflab.costs.latency import measured

        text = input_text(input)
        base = self.seed if seed is None else seed
        model = self.latency or measured()
        for i in range(n):
            execution = self._prepare(machine, text, f"sim-{i + 1:06d}", seed=base, latency=model, rate=math.inf)
            execution.begin(background=False)
            yield execution

    def _prepare(
        self, machine: StateMachine, text: str, name: str, *, seed: int, latency: Measured | None, rate: float
    ) -> LocalExecution:
        kind = "execution" if machine.type == "STANDARD" else "express"
        here = f"arn:aws:states:{self.region}:{ACCOUNT}"
        suffix = "" if machine.type == "STANDARD" else f":{random.Random(f'{seed}/{name}').getrandbits(64):016x}"
        run = Machine(
            machine.program,
            type=machine.type,
            arn=f"{here}:{kind}:{machine.name}:{name}{suffix}",
            machine_arn=f"{here}:stateMachine:{machine.name}",
            role_arn=f"arn:aws:iam::{ACCOUNT}:role/sflab",
            region=self.region,
            seed=f"{seed}/{machine.name}/{name}",
        )

        worker = self.worker(machine.name, name, machine.type, seed=seed, latency=latency)
        execution = LocalExecution(machine, run, Drive(run, worker, start=self.start, rate=rate), text)
        execution.local = self
        return execution

    def _answer(self, command: ScheduleTask, rng: random.Random) -> list[tuple[float, Reply]]:
        named = command.kind in ("task", "reader", "writer")
        short = f"{command.resource_type}:{command.action}" if named else command.resource
        for key in (
            command.state,
            command.resource,
            short,
            short.partition(".")[0] if command.kind == "task" else short,
        ):
            if key in self.tasks:
                return answer(self.tasks[key], command, rng, as_function=False)
        if command.kind in ("reader", "writer") and "*" not in self.tasks:
            return [(0.0, access(self.objects, command))]
        name = function_name(command)
        for bound in (name, command.resource) if name is not None else ():
            if bound in self.functions:
                return answer(self.functions[bound], command, rng, as_function=True)
        if "*" in self.tasks:
            return answer(self.tasks["*"], command, rng, as_function=name is not None)
        raise TaskNotFoundError(self._unbound(command, name, short))

    def _unbound(self, command: ScheduleTask, name: str | None, short: str) -> str:
        known = sorted(map(str, {*self.functions, *self.tasks}))
        near = difflib.get_close_matches(name or command.state, known, n=1)
        if name is not None:
            what, line = f"Lambda function {name!r}", f"sf.Local(functions={{{json.dumps(name)}: sf.mock({{}})}})"
        else:
            what, line = short, f"sf.Local(tasks={{{json.dumps(command.state)}: sf.mock({{}})}})"
        return (
            f"nothing is bound to the task {command.state!r} ({what}). "
            f"Write {line}, with the result it shall give or a callable(event, context) in the place of the mock."
            + (f" Did you mean {near[0]!r}?" if near else "")
        )

    def _name(self, machine: StateMachine, name: str | None) -> str:
        """Return *name*, or the next free one; a name is used once for a machine."""
        if name is None:
            number = len(self.executions) + 1
            while (machine.name, f"run-{number:04d}") in self._names:
                number += 1
            name = f"run-{number:04d}"
        elif (machine.name, name) in self._names:
            arn = f"arn:aws:states:{self.region}:{ACCOUNT}:execution:{machine.name}:{name}"
            raise DefinitionError(f"Execution Already Exists: '{arn}'. Give it another name, or none.")
        self._names.add((machine.name, name))
        return name

    def worker(self, machine: str, name: str, type: str, *, seed: int, latency: Measured | None) -> Worker:
        """Return what answers the tasks of an execution; chance is drawn for each task by itself."""

        def worker(command: ScheduleTask) -> Iterable[tuple[float, Reply]]:
            where = "/".join(f"{state}[{index}]" for state, index in command.path)
            rng = random.Random(f"{seed}/{machine}/{name}/{where}/{command.pointer}/{command.attempt}/{command.token}")
            replies = self._answer(command, rng)
            if latency is None:
                return replies
            took = latency.sample(command.resource_type, command.action, type, rng)
            return [
                (delay + took if isinstance(reply, TaskSucceeded | TaskFailed) else delay, reply)
                for delay, reply in replies
            ]

        return worker

    def __repr__(self) -> str:
        bound = ", ".join(map(str, [*self.functions, *self.tasks][:6]))
        time = "virtual time" if self.rate == math.inf else f"rate {self.rate:g}"
        return f"Local({bound or 'nothing bound'}; {time}, seed {self.seed}, {len(self.executions)} executions)"


def function_name(command: ScheduleTask) -> str | None:
    """Return the name of the Lambda function a task invokes (or the activity it asks), None if it does neither."""
    if command.kind == "task":
        if command.resource_type not in ("lambda", "aws-sdk:lambda") or not command.action.startswith("invoke"):
            return None
        given = command.parameters.get("FunctionName") if isinstance(command.parameters, dict) else None
        text = given if isinstance(given, str) else command.state
    else:
        text = command.resource
    parts = text.split(":")
    return parts[6] if len(parts) > 6 else text.strip("${}").removesuffix(".Arn").removesuffix("Arn") or text


def input_text(input: JSON) -> str:
    """Return the JSON text of an execution's input.

    A str is JSON text, as AWS takes it; any other value is JSON data; None is ``{}``.

    Raises DefinitionError: not JSON, or more than 256 KiB.
    """
    if isinstance(input, str):
        try:
            read_json(input)
        except (ValueError, RecursionError) as e:
            hint = f"a string is JSON text, as AWS takes it; write {json.dumps(input)!r} for the string itself"
            raise DefinitionError(
                f"Invalid State Machine Execution Input: {e}. ({hint if len(input) < 60 else 'A str is JSON text.'})"
            ) from None
        text = input
    else:
        try:
            text = json.dumps({} if input is None else input, allow_nan=False, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as e:
            raise DefinitionError(f"Invalid State Machine Execution Input: the input is not JSON data: {e}") from None
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise DefinitionError(
            f"Invalid State Machine Execution Input: the input is {size:,} bytes; AWS takes at most {MAX_BYTES:,} "
            "(256 KiB). Put the data into S3 and pass its bucket and key."
        )
    if too_deep(json.loads(text)):
        raise DefinitionError(f"Invalid State Machine Execution Input: it is nested deeper than {MAX_NESTING} levels.")
    return text
