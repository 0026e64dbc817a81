"""The local backend: executions in this process, with nothing to deploy."""

from __future__ import annotations

import difflib
import functools
import json
import math
import random
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sflab.asl.dataflow import MAX_BYTES, MAX_NESTING, too_deep
from sflab.asl.model import JSON, compact, read_json
from sflab.backends.buckets import Bucket, access
from sflab.backends.drivers import EPOCH, Clock, Drive, Replies
from sflab.backends.execution import Execution, Outcome
from sflab.backends.functions import Mock, answer, mock
from sflab.backends.nested import ended, input_of, refused, started, starts_execution
from sflab.backends.statemachine import StateMachine
from sflab.engine.history import Event
from sflab.engine.machine import Machine
from sflab.engine.maprun import MapRun
from sflab.engine.messages import (
    Heartbeat,
    Reply,
    ScheduleTask,
    TaskFailed,
    TaskStarted,
    TaskSubmitted,
    TaskSucceeded,
)
from sflab.errors import ApiError, DefinitionError, TaskNotFoundError

if TYPE_CHECKING:
    from sflab.backends.account import Account
    from sflab.costs.latency import Measured

#: How many executions may come of one: an execution that starts itself for ever ends here, on AWS at its quotas.
MAX_FAMILY = 25_000
ACCOUNT = "123456789012"


class LocalExecution(Execution):
    """An execution in this process.

    ``nested`` are the executions that its tasks started, ``parent`` is the one that started it.
    """

    def __init__(self, machine: StateMachine, drive: Drive, text: str, parent: LocalExecution | None = None) -> None:
        super().__init__(machine, arn=drive.machine.arn, input=text)
        self.run, self.drive, self.parent = drive.machine, drive, parent
        self.nested: list[LocalExecution] = []
        self.root: LocalExecution = parent.root if parent else self
        self.family = 1  # of a root: how many executions came of it
        self.tokens: list[str] = []
        self.waits_for: dict[int, LocalExecution] = {}  # by the token of the .sync task that started it

    def _events(self, start: int = 0) -> list[Event]:
        return self.run.log.events(start)

    def _outcome(self) -> Outcome:
        if self.drive.trouble is not None and not self.drive.clock.virtual:
            raise self.drive.trouble
        run = self.run
        status = "RUNNING" if run.status == "READY" else run.status
        return Outcome(status, run.output, run.error, run.cause)

    @property
    def waiting(self) -> str | None:
        """What it waits for that only somebody outside can give, in words; None when something else happens next."""
        if not self.drive.idle:
            return None
        for child in self.waits_for.values():
            return f"it waits for {child}: {child.waiting}"
        names = sorted({frame.state.name for frame, verb in list(self.run.waits.values()) if verb == "_task"})
        who = "send_task_success or an activity's worker (get_activity_task) of the backend can"
        return f"nobody has answered {', '.join(map(repr, names))}; {who}"

    def give_up(self, token: int) -> None:
        """The task *token* is not wanted any more; what it started and waits for is stopped."""
        child = self.waits_for.pop(token, None)
        if child is not None:
            child.drive.stop()

    @property
    def map_runs(self) -> list[MapRun]:
        """The map runs of its Distributed Maps: counts, and the child executions, each with its ``log``."""
        return self.run.map_runs

    def stop(self, error: str | None = None, cause: str | None = None) -> None:
        """Abort the execution, as StopExecution does, and those its ``.sync`` tasks wait for."""
        self.drive.stop(error, cause)
        if self.drive.clock.turner != threading.get_ident():  # a function of its own that stops it cannot wait for that
            self.drive.ended.wait()

    def wait(self, timeout: float | None = None) -> LocalExecution:
        """Wait until it has ended, at most *timeout* seconds of yours.

        In virtual time all that can happen has happened: what still runs waits for somebody (`Local.send_task_success`,
        `Local.get_activity_task`), and only a *timeout* gives another thread the time to be that somebody.
        """
        if not self.drive.clock.virtual or timeout is not None:
            self.drive.ended.wait(timeout)
        return self


@dataclass(slots=True)
class _Asked:
    """A task that somebody may answer with its token; ``held`` is what they said before its request had come back."""

    execution: LocalExecution
    token: int
    held: list[Reply] | None = field(default_factory=list)


class Local:
    """Runs state machines in this process.

    *functions* binds Lambda function names to ``callable(event, context)`` or `sflab.mock`; *tasks* binds a state's
    name, or a resource (``dynamodb:putItem``, an ARN), and wins over it: it is given the task's parameters and
    answers with the task's result. ``tasks={"*": …}`` answers whatever nothing else is bound to: where the task
    invokes a Lambda function, as that function. *seed* decides ids, jitter and latencies; *start* is when virtual
    time begins; *rate* how many seconds of the execution pass in one of yours: infinite by default (virtual time: a
    run returns at once), 1 for real time. *latency* gives tasks that have none of their own a duration: a model such
    as ``sf.measured()``. *objects* are the S3 buckets a Distributed Map reads its items from and writes its results to:
    by name, a folder or a dict of texts by key. *machines* are the state machines that executions may start
    (``states:startExecution``), beside those that were run already.

    A ``.waitForTaskToken`` task is answered by `send_task_success`, `send_task_failure` and `send_task_heartbeat`,
    called by its function or by anybody later; an activity (`create_activity`) by a worker that asks
    `get_activity_task`.
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
        machines: Iterable[StateMachine] = (),
        region: str = "us-east-1",
    ) -> None:
        self.machines = {machine.name: machine for machine in machines}
        self.objects = dict(objects or {})
        self.functions, self.tasks = dict(functions or {}), dict(tasks or {})
        self.seed, self.rate, self.latency, self.region = seed, rate, latency, region
        self.start = EPOCH if start is None else start.timestamp()
        self.executions: list[LocalExecution] = []
        self._names: Counter[tuple[str, str]] = Counter()
        self._clock = Clock(rate)
        self._account: Account | None = None
        self._first: float | None = None  # what the clock showed at *start*
        self._tokens: dict[str, _Asked] = {}
        self.activities: dict[str, deque[tuple[LocalExecution, ScheduleTask]]] = {}
        self._gone: set[str] = set()
        self._work = threading.Condition()  # guards the tokens and the activities' queues

    def start_execution(self, machine: StateMachine, input: JSON = None, *, name: str | None = None) -> LocalExecution:
        """Run *machine*; in virtual time it has ended when this returns, however long it waits.

        *input* is JSON data, or JSON text as AWS takes it; nothing is ``{}``. A *name* can be used once for a machine.

        Raises DefinitionError when the definition or the input cannot be used, TaskNotFoundError when a task is
        reached that nothing is bound to.
        """
        return self.launch(machine, input_text(input), name=name)

    def launch(
        self,
        machine: StateMachine,
        text: str,
        *,
        name: str | None = None,
        before: Callable[[LocalExecution], None] | None = None,
    ) -> LocalExecution:
        """Run *machine* with the JSON text *text*, as `start_execution` does; *before* is told of it before it begins.

        Raises DefinitionError, TaskNotFoundError.
        """
        execution = self._prepare(machine, text, self._name(machine, name), seed=self.seed, latency=self.latency)
        self.machines.setdefault(machine.name, machine)
        self.executions.append(execution)
        if before is not None:
            before(execution)
        try:
            self._begin(execution)
        except TaskNotFoundError:  # it shall be possible to bind the task and run again, under the same name
            self.executions.remove(execution)
            self._names[machine.name, execution.name] -= 1
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
            execution = self._prepare(machine, text, f"sim-{i + 1:06d}", seed=base, latency=model, clock=Clock())
            self._begin(execution)
            yield execution

    # ── as the service ───────────────────────────────────────────────────────────────────────────────────────────────

    def client(self) -> Any:
        """Return a boto3 client of Step Functions that this backend answers; nothing reaches the network.

        It has every operation of the service, with AWS's checks and error texts. State machines, executions and
        activities are the same ones that the backend's own methods deal with.
        """
        from sflab.backends.api import client

        return client(self)

    @property
    def account(self) -> Account:
        """What the API keeps beside executions: state machines, versions, aliases, activities, tags."""
        from sflab.backends.account import Account

        with self._work:
            if self._account is None:
                self._account = Account(self)
        return self._account

    @property
    def virtual(self) -> bool:
        """Whether time is virtual: it stands still unless something happens."""
        return self._clock.virtual

    def done(self, machine: StateMachine, command: ScheduleTask) -> list[Reply]:
        """Have one task done for *machine* outside of an execution; return its replies.

        Raises TaskNotFoundError when nothing is bound to it.
        """
        execution = self._prepare(machine, "{}", machine.name, seed=self.seed, latency=None, clock=Clock())
        replies = self._bound(execution, command, random.Random(f"{self.seed}/{command.state}"))
        return [reply for _, reply in (replies() if callable(replies) else replies)]

    def now(self) -> float:
        """Return the moment in epoch seconds: *start*, and at a finite rate what has passed since somebody first asked.

        So the first execution begins at *start*, and later ones later.
        """
        if self._clock.virtual:
            return self.start
        passed = self._clock.now()
        with self._work:
            if self._first is None:
                self._first = passed
            return self.start + passed - self._first

    # ── answering from outside ───────────────────────────────────────────────────────────────────────────────────────

    def send_task_success(self, task_token: str, output: JSON = None, *, after: float = 0.0) -> None:
        """Answer the task that waits for *task_token* with *output*, JSON data or JSON text as AWS takes it.

        *after* lets so many seconds of the execution's time go by before. Raises ApiError as SendTaskSuccess does:
        ``InvalidToken``, ``TaskTimedOut`` (the task does not wait any more), ``InvalidOutput``.
        """
        try:
            value = read_json(output) if isinstance(output, str) else json.loads(json.dumps(output, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as e:
            hint = f" A str is JSON text, as AWS takes it: {json.dumps(output)!r}" if isinstance(output, str) else ""
            raise ApiError("InvalidOutput", f"Invalid Output: '{e}'{hint}") from None
        self._tell(task_token, lambda token: TaskSucceeded(token, value), after)

    def send_task_failure(
        self, task_token: str, error: str | None = None, cause: str | None = None, *, after: float = 0.0
    ) -> None:
        """Let the task that waits for *task_token* fail. Raises ApiError as `send_task_success` does."""
        self._tell(task_token, lambda token: TaskFailed(token, error, cause), after)

    def send_task_heartbeat(self, task_token: str, *, after: float = 0.0) -> None:
        """Say that the work for *task_token* goes on. Raises ApiError as `send_task_success` does."""
        self._tell(task_token, Heartbeat, after)

    def _tell(self, task_token: str, reply: Callable[[int], Reply], after: float) -> None:
        with self._work:
            asked = self._tokens.get(task_token)
            if asked is None or asked.token not in asked.execution.run.waits:
                self._tokens.pop(task_token, None)
                if re.fullmatch("[0-9a-f]{128}", task_token):
                    raise ApiError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
                raise ApiError("InvalidToken", "Invalid Token: 'Invalid token'")
            one = reply(asked.token)
            if not isinstance(one, Heartbeat) and not after:
                del self._tokens[task_token]
            if asked.held is not None and not after:
                asked.held.append(one)
                return
        asked.execution.drive.tell(one, after=after)

    def create_activity(self, name: str) -> str:
        """Make an activity known, so that its tasks wait for a worker; returns its ARN."""
        arn = f"arn:aws:states:{self.region}:{ACCOUNT}:activity:{name}"
        with self._work:
            self.activities.setdefault(name, deque())
            self._gone.discard(arn)
        return arn

    def delete_activity(self, activity_arn: str) -> None:
        """Forget an activity: executions that come to a task of it fail; tasks that wait for a worker go on waiting."""
        with self._work:
            if self.activities.pop(activity_arn.rpartition(":")[2], None) is not None:
                self._gone.add(activity_arn)

    def get_activity_task(
        self, activity_arn: str, worker_name: str | None = None, *, wait: float = 0.0
    ) -> dict[str, str] | None:
        """Take the oldest task of an activity: ``{"taskToken", "input"}``, input as JSON text; None when there is none.

        *wait* is how many seconds of yours to wait for one. Raises ApiError ``ActivityDoesNotExist``.
        """
        queue = self.activities.get(activity_arn.rpartition(":")[2])
        if queue is None:
            raise ApiError("ActivityDoesNotExist", f"Activity Does Not Exist: '{activity_arn}'")
        with self._work:
            if not queue and wait:
                self._work.wait_for(lambda: bool(queue), wait)
            while queue:
                execution, command = queue.popleft()
                if command.token in execution.run.waits:
                    break
            else:
                return None
            rng = random.Random(f"{self.seed}/{execution.arn}/{command.token}")
            token = f"{rng.getrandbits(512):0128x}"
            self._tokens[token] = _Asked(execution, command.token, None)
            execution.tokens.append(token)
        execution.drive.tell(TaskStarted(command.token, worker_name))
        return {"taskToken": token, "input": compact(command.parameters)}

    # ── an execution and its tasks ───────────────────────────────────────────────────────────────────────────────────

    def _prepare(
        self,
        machine: StateMachine,
        text: str,
        name: str,
        *,
        seed: int,
        latency: Measured | None,
        clock: Clock | None = None,
        parent: LocalExecution | None = None,
    ) -> LocalExecution:
        kind = "execution" if machine.type == "STANDARD" else "express"
        here = f"arn:aws:states:{self.region}:{ACCOUNT}"
        uses = self._names[machine.name, name]  # an Express execution's name may be used again
        rng = random.Random(f"{seed}/{name}/{uses}" if uses > 1 else f"{seed}/{name}")
        suffix = "" if machine.type == "STANDARD" else f":{rng.getrandbits(64):016x}"
        run = Machine(
            machine.program,
            type=machine.type,
            arn=f"{here}:{kind}:{machine.name}:{name}{suffix}",
            machine_arn=f"{here}:stateMachine:{machine.name}",
            role_arn=machine.role_arn or f"arn:aws:iam::{ACCOUNT}:role/sflab",
            region=self.region,
            seed=f"{seed}/{machine.name}/{name}",
        )
        run.gone = self._gone
        clock = clock or (Clock() if self._clock.virtual else self._clock)
        start = parent.drive.machine.now if parent else self.now()
        drive = Drive(run, lambda command: self._do(execution, command, seed, latency), start=start, clock=clock)
        execution = LocalExecution(machine, drive, text, parent)
        drive.cancel, drive.on_end = execution.give_up, lambda: self._forget(execution)
        return execution

    def _begin(self, execution: LocalExecution) -> None:
        """Start it, and in virtual time see it through."""
        drive = execution.drive
        drive.clock.post(lambda: drive.begin(execution.input_text))
        drive.begun.wait()

    def _forget(self, execution: LocalExecution) -> None:
        with self._work:
            for token in execution.tokens:
                self._tokens.pop(token, None)

    def _do(
        self, execution: LocalExecution, command: ScheduleTask, seed: int, latency: Measured | None
    ) -> Replies | Callable[[], Replies]:
        """Have a task done, or begun: its replies, or what makes them where that takes time."""
        where = "/".join(f"{state}[{index}]" for state, index in command.path)
        name = f"{execution.machine.name}/{execution.name}"
        rng = random.Random(f"{seed}/{name}/{where}/{command.pointer}/{command.attempt}/{command.token}")
        asked = None
        if command.task_token is not None:
            asked = _Asked(execution, command.token)
            with self._work:
                self._tokens[command.task_token] = asked
            execution.tokens.append(command.task_token)
        work = self._bound(execution, command, rng)

        def finish(replies: Replies) -> Replies:
            if latency is not None:
                took = latency.sample(command.resource_type, command.action, execution.machine.type, rng)
                ends = (TaskSucceeded, TaskFailed)
                replies = [(delay + took if isinstance(reply, ends) else delay, reply) for delay, reply in replies]
            if asked is None:
                return replies
            with self._work:
                held, asked.held = asked.held or [], None
            replies = list(replies)
            last = max((delay for delay, _ in replies), default=0.0)
            return [*replies, *((last, reply) for reply in held)]

        return (lambda: finish(work())) if callable(work) else finish(work)

    def _bound(
        self, execution: LocalExecution, command: ScheduleTask, rng: random.Random
    ) -> Replies | Callable[[], Replies]:
        """What is bound to a task: its replies, or a callable that makes them where code of the user has to run."""
        named = command.kind in ("task", "reader", "writer")
        short = f"{command.resource_type}:{command.action}" if named else command.resource
        plain = short.partition(".")[0] if command.kind == "task" else short
        for key in (command.state, command.resource, short, plain):
            if key in self.tasks:
                return _answered(self.tasks[key], command, rng, as_function=False)
        if command.kind in ("reader", "writer") and "*" not in self.tasks:
            return [(0.0, access(self.objects, command))]
        name = function_name(command)
        for bound in (name, command.resource) if name is not None else ():
            if bound in self.functions:
                return _answered(self.functions[bound], command, rng, as_function=True)
        if command.kind == "activity" and name in self.activities:
            with self._work:
                self.activities[name].append((execution, command))
                self._work.notify_all()
            return []
        if starts_execution(command) and (machine := self._machine(command)):
            return self._nested(execution, machine, command, rng)
        if "*" in self.tasks:
            bound = self.tasks["*"]
            calls_back = command.pattern == "waitForTaskToken" and callable(bound)
            return _answered(mock(bound) if calls_back else bound, command, rng, as_function=name is not None)
        raise TaskNotFoundError(self._unbound(command, name, short))

    # ── executions that executions start ─────────────────────────────────────────────────────────────────────────────

    def _machine(self, command: ScheduleTask) -> StateMachine | None:
        """The state machine a task names by its ARN, or by a ``${Token}`` that nothing was put into."""
        given = command.parameters.get("StateMachineArn") if isinstance(command.parameters, dict) else None
        if not isinstance(given, str):
            return None
        name = given.partition(":stateMachine:")[2].partition(":")[0] or plain_name(given)
        return self.machines.get(name)

    def _nested(
        self, parent: LocalExecution, machine: StateMachine, command: ScheduleTask, rng: random.Random
    ) -> Replies:
        """Start an execution on its parent's clock; a task that waits for it is told of its end."""
        sync = command.action == "startSyncExecution"
        waits = sync or command.pattern == "sync"
        try:
            if waits and sync != (machine.type == "EXPRESS"):
                raise ApiError(
                    "StateMachineTypeNotSupported", "This operation is not supported by this type of state machine"
                )
            if parent.root.family >= MAX_FAMILY:
                raise ApiError("ExecutionLimitExceeded", "The maximum number of running executions has been reached")
            child = self._child(parent, machine, command.parameters)
        except ApiError as e:
            return [(0.0, refused(e, command, rng))]
        drive, child.run.root.run.sync = child.drive, sync
        if waits:
            parent.waits_for[command.token] = child
        drive.on_end = functools.partial(self._child_ended, child, command)
        drive.clock.post(lambda: drive.begin(child.input_text))
        if sync:
            return []
        reply = TaskSubmitted if command.pattern else TaskSucceeded
        return [(0.0, reply(command.token, started(child, drive.start, command, rng)))]

    def _child(self, parent: LocalExecution, machine: StateMachine, parameters: dict[str, JSON]) -> LocalExecution:
        try:
            text = input_text(input_of(parameters))
        except DefinitionError as e:
            raise ApiError("InvalidExecutionInput", str(e)) from None
        try:
            name = self._name(machine, parameters.get("Name"))
        except DefinitionError as e:
            raise ApiError("ExecutionAlreadyExists", str(e).partition(". Give")[0]) from None
        clock = parent.drive.clock
        child = self._prepare(machine, text, name, seed=self.seed, latency=self.latency, clock=clock, parent=parent)
        self.executions.append(child)
        parent.nested.append(child)
        parent.root.family += 1
        return child

    def _child_ended(self, child: LocalExecution, command: ScheduleTask) -> None:
        self._forget(child)
        if child.parent and child.parent.waits_for.pop(command.token, None):
            child.parent.drive.tell(ended(child, command))

    def _unbound(self, command: ScheduleTask, name: str | None, short: str) -> str:
        known = sorted(map(str, {*self.functions, *self.tasks}))
        near = difflib.get_close_matches(name or command.state, known, n=1)
        if command.kind == "activity":
            what, line = f"activity {name!r}", f"local.create_activity({name!r})"
            hint = "for a worker that asks get_activity_task, or bind it as a Lambda function is bound"
            return f"nothing is bound to the task {command.state!r} ({what}). Write {line} {hint}."
        if starts_execution(command):
            child = plain_name(str((command.parameters or {}).get("StateMachineArn", "child")).rpartition(":")[2])
            line = f"sf.Local(machines=[{child if child.isidentifier() else 'child'}])"
            return (
                f"the task {command.state!r} ({short}) starts the state machine {child!r}, which is not known here. "
                f"Write {line}, with the StateMachine of that name, or bind a mock of its answer: "
                f"sf.Local(tasks={{{json.dumps(command.state)}: sf.mock({{}})}})."
            )
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
        """Return *name*, or the next free one; a name is used once for a Standard machine."""
        with self._work:
            if name is None:
                number = len(self.executions) + 1
                while self._names[machine.name, f"run-{number:04d}"]:
                    number += 1
                name = f"run-{number:04d}"
            elif self._names[machine.name, name] and machine.type == "STANDARD":
                arn = f"arn:aws:states:{self.region}:{ACCOUNT}:execution:{machine.name}:{name}"
                raise DefinitionError(f"Execution Already Exists: '{arn}'. Give it another name, or none.")
            self._names[machine.name, name] += 1
        return name

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
    return parts[6] if len(parts) > 6 else plain_name(text)


def plain_name(text: str) -> str:
    """Return the name in an unresolved token: ``${ChargeCard.Arn}`` is about ``ChargeCard``."""
    return text.strip("${}").removesuffix(".Arn").removesuffix("Arn") or text


def _answered(
    bound: Any, command: ScheduleTask, rng: random.Random, *, as_function: bool
) -> Replies | Callable[[], Replies]:
    """The replies of what is bound; a callable that makes them where code of the user does."""
    work = functools.partial(answer, bound, command, rng, as_function=as_function)
    return work if callable(bound) or (isinstance(bound, Mock) and callable(bound.result)) else work()


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
