"""The local backend: executions in this process, with nothing to deploy."""

from __future__ import annotations

import difflib
import functools
import json
import math
import os
import random
import threading
from collections import ChainMap, Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sflab.asl.dataflow import MAX_BYTES, MAX_NESTING, too_deep
from sflab.asl.model import JSON, read_json
from sflab.backends.bar import Bar, awaited, shown
from sflab.backends.buckets import Bucket, access
from sflab.backends.callbacks import ACCOUNT, Asked, Callbacks
from sflab.backends.conditions import meet
from sflab.backends.drivers import EPOCH, Clock, Drive, Replies, Resumed
from sflab.backends.execution import Execution, History, Outcome
from sflab.backends.functions import Mock, answer, mock
from sflab.backends.mapruns import MapRuns, dispatch, map_runs
from sflab.backends.mapruns import histories as _histories
from sflab.backends.mockconfig import MockedResponses
from sflab.backends.nested import ended, input_of, refused, started, starts_execution
from sflab.backends.statemachine import StateMachine
from sflab.backends.table import Executions
from sflab.engine.history import Event
from sflab.engine.machine import Machine
from sflab.engine.maprun import Histories
from sflab.engine.messages import (
    Reply,
    ScheduleTask,
    TaskSubmitted,
    TaskSucceeded,
)
from sflab.errors import ApiError, DefinitionError, Interrupted, TaskNotFoundError

if TYPE_CHECKING:
    from sflab.backends.account import Account
    from sflab.backends.conditions import Shared
    from sflab.backends.services import Services
    from sflab.costs.faults import Faults
    from sflab.costs.latency import Measured
    from sflab.costs.simulation import Simulation
    from sflab.engine.messages import Command
    from sflab.engine.replay import Due

#: How many executions may come of one: an execution that starts itself for ever ends here, on AWS at its quotas.
MAX_FAMILY = 25_000


class LocalExecution(Execution):
    """An execution in this process.

    ``nested`` are the executions that its tasks started, ``parent`` is the one that started it.
    """

    def __init__(self, machine: StateMachine, drive: Drive, text: str, parent: LocalExecution | None = None) -> None:
        super().__init__(machine, arn=drive.machine.arn, input=text)
        self.run, self.drive, self.parent = drive.machine, drive, parent
        self.local: Local | None = None  # the backend that runs it, whose functions a redrive uses
        self.started: list[LocalExecution] = []
        self.root: LocalExecution = parent.root if parent else self
        self.family = 1  # of a root: how many executions came of it
        self.invocations: Counter[str] = Counter()  # of mocked responses, by state
        self.tokens: list[str] = []
        self.waits_for: dict[int, LocalExecution] = {}  # by the token of the .sync task that started it

    def _events(self, start: int = 0) -> list[Event]:
        return self.run.log.events(start)

    @property
    def nested(self) -> Sequence[LocalExecution]:
        """The executions that its tasks started."""
        return self.started

    @property
    def history(self) -> History:
        """Its events so far; made only when somebody looks at them."""
        return History(self.run.log, self.machine.definition, name=self.name, type=self.machine.type)

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
        if isinstance(self.drive.trouble, KeyboardInterrupt):
            return "it was interrupted; sf.replay(run.machine, run.history).resume(local) goes on with it"
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
    def map_runs(self) -> MapRuns:
        """The Map Runs of its Distributed Maps: counts, and the child executions with their histories."""
        return map_runs(self.machine, self.run.map_runs, self.arn)

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
            awaited(self, self.drive.ended, timeout)
        return self


class Local(Callbacks):
    """Runs state machines in this process.

    *functions* binds Lambda function names to ``callable(event, context)`` or `sflab.mock`; *tasks* binds a state's
    name, or a resource (``dynamodb:putItem``, an ARN), and wins over it: it is given the task's parameters and
    answers with the task's result. ``tasks={"*": …}`` answers whatever nothing else is bound to: where the task
    invokes a Lambda function, as that function. *seed* decides ids, jitter and latencies; *start* is when virtual
    time begins; *rate* how many seconds of the execution pass in one of yours: infinite by default (virtual time: a
    run returns at once), 1 for real time. *latency* gives tasks that have none of their own a duration: a model such
    as ``sf.measured()`` or ``sf.latency.fit(…)``; *faults* says what goes wrong: ``{"ChargeCard": 0.02}`` or
    ``sf.faults(…)``. *objects* are the S3 buckets a Distributed Map reads its items from and writes its results to:
    by name, a folder, a dict of texts or bytes by key, or a `sflab.backends.buckets.Store`. *histories* says which
    histories of a Distributed Map's child executions stay, when they have ended: ``"sample"`` (the first 100, 900 more
    at even distances, and 1,000 of those that failed: memory stays bounded), ``"all"``, ``"failed"``, ``"none"``, or a
    folder, where all are written to and read from; counts, outputs and errors always stay. *dispatch_rate* replaces
    AWS's quotas for how many child executions start in a second: ``{"STANDARD": 100, "EXPRESS": 1000}``.
    *machines* are the state machines that executions may start (``states:startExecution``), beside those that were run
    already.

    A task that nothing is bound to calls AWS: a simulated one in this process (`session` is the boto3 session to put
    tables, queues and buckets into it), or a real one where *session* is a boto3 session of yours. *connections* are
    EventBridge connections for HTTP tasks, by ARN or name, as ``events.create_connection`` takes ``AuthParameters``.

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
        faults: Mapping[str, Any] | Faults | None = None,
        objects: Mapping[str, Bucket] | None = None,
        histories: str | os.PathLike[str] | Histories = "sample",
        dispatch_rate: Mapping[str, float] | None = None,
        machines: Iterable[StateMachine] = (),
        region: str = "us-east-1",
        session: Any = None,
        connections: Mapping[str, Any] | None = None,
    ) -> None:
        self.histories, self.dispatch_rate = _histories(histories), dispatch(dispatch_rate)
        self.machines = {machine.name: machine for machine in machines}
        self._session, self.connections = session, connections
        self._aws: list[Services] = []
        self.objects = dict(objects or {})
        self.functions, self.tasks = dict(functions or {}), dict(tasks or {})
        self.seed, self.rate, self.latency, self.region = seed, rate, latency, region
        self.faults = _faults(faults) if faults else None
        self.shared: Shared | None = None  # what a simulation lets executions share
        self.start = EPOCH if start is None else start.timestamp()
        self.executions: Executions[LocalExecution] = Executions()
        self._names: Counter[tuple[str, str]] = Counter()
        self._clock = Clock(rate)
        self._account: Account | None = None
        self._first: float | None = None  # what the clock showed at *start*
        self._tokens: dict[str, Asked] = {}
        self.activities: dict[str, deque[tuple[LocalExecution, ScheduleTask]]] = {}
        self._gone: set[str] = set()
        self._work = threading.Condition()  # guards the tokens and the activities' queues

    @property
    def session(self) -> Any:
        """The boto3 session that tasks nothing is bound to call AWS with: the sandbox's, or the one that was given."""
        return self._services.session

    @property
    def _services(self) -> Services:
        from sflab.backends.sandbox import Sandbox
        from sflab.backends.services import Services

        if not self._aws:  # a copy of this backend, with other functions, shares it
            if self._session is not None:
                self._aws.append(Services(self._session, connections=self.connections))
            else:
                sandbox = Sandbox(seed=self.seed, region=self.region)
                self._aws.append(Services(sandbox.session, sandbox=sandbox, connections=self.connections))
        return self._aws[0]

    @property
    def _buckets(self) -> Mapping[str, Bucket]:
        from sflab.backends.services import Buckets

        return ChainMap(self.objects, Buckets(self._services))  # type: ignore[arg-type]  # it is only read

    def start_execution(self, machine: StateMachine, input: JSON = None, *, name: str | None = None) -> LocalExecution:
        """Run *machine*; in virtual time it has ended when this returns, however long it waits.

        *input* is JSON data, or JSON text as AWS takes it; nothing is ``{}``. A *name* can be used once for a machine.

        Raises DefinitionError when the definition or the input cannot be used, TaskNotFoundError when a task is
        reached that nothing is bound to. Where it is interrupted, the execution stays as it stood, in ``executions``
        and as the ``partial`` of the Interrupted that is raised.
        """
        try:
            return self.launch(machine, input_text(input), name=name)
        except ApiError as e:
            raise DefinitionError(f"{e}. Give it another name, or none.") from None

    def launch(
        self,
        machine: StateMachine,
        text: str,
        *,
        name: str | None = None,
        before: Callable[[LocalExecution], None] | None = None,
    ) -> LocalExecution:
        """Run *machine* with the JSON text *text*, as `start_execution` does; *before* is told of it before it begins.

        Raises DefinitionError, TaskNotFoundError, and ApiError ``ExecutionAlreadyExists``.
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
        except KeyboardInterrupt:
            raise Interrupted(
                f"{execution} was interrupted after {len(execution.run.log):,} events", execution
            ) from None
        return execution

    def progress(self, label: str, total: float | None = None, *, unit: str = "executions") -> Bar:
        """Return a context manager that shows how far long work is; called as ``(done, total)``."""
        return Bar(label, total, unit=unit)

    def simulate(self, machine: StateMachine, input: JSON = None, **options: Any) -> Simulation:
        """Run *machine* many times in virtual time: `sflab.backends.simulate.simulate` with this backend.

        The executions are not kept in `executions`.
        """
        from sflab.backends.simulate import simulate

        return simulate(machine, input, local=self, **options)

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
        rng = random.Random(f"{self.seed}/{command.state}")
        replies = self._bound(execution, command, rng, function_name(command))
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
        suffix = ""
        if machine.type == "EXPRESS":
            rng = random.Random(f"{seed}/{name}/{uses}" if uses > 1 else f"{seed}/{name}")
            suffix = f":{rng.getrandbits(64):016x}"
        run = Machine(
            machine.program,
            type=machine.type,
            arn=f"{here}:{kind}:{machine.name}:{name}{suffix}",
            machine_arn=f"{here}:stateMachine:{machine.name}",
            role_arn=machine.role_arn or f"arn:aws:iam::{ACCOUNT}:role/sflab",
            region=self.region,
            seed=f"{seed}/{machine.name}/{name}",
            dispatch=self.dispatch_rate,
            histories=self.histories,
        )
        run.gone = self._gone
        clock = clock or (Clock() if self._clock.virtual else self._clock)
        start = parent.drive.machine.now if parent else self.now()
        drive = Drive(run, lambda command: self._do(execution, command, seed, latency), start=start, clock=clock)
        execution = LocalExecution(machine, drive, text, parent)
        self._attend(execution)
        return execution

    def adopt(
        self,
        machine: StateMachine,
        run: Machine,
        *,
        first: Callable[[], list[Command]],
        due: Sequence[Due] = (),
        execution: LocalExecution | None = None,
    ) -> LocalExecution:
        """Go on here with an execution that has begun: *first* gives its first commands, *due* is what was under way.

        *execution* is what shows it; by default it is a new one.
        """
        clock = Clock() if self._clock.virtual else self._clock

        def worker(command: ScheduleTask) -> Replies | Callable[[], Replies]:
            return self._do(made, command, self.seed, self.latency)

        drive = Resumed(run, worker, due=due, first=first, clock=clock)
        made = execution or LocalExecution(machine, drive, run.log.root_text)
        made.drive = drive
        self._attend(made)
        self._begin(made)
        return made

    def _attend(self, execution: LocalExecution) -> None:
        execution.local, drive = self, execution.drive
        drive.cancel, drive.on_end = execution.give_up, lambda: self._forget(execution)

    def _begin(self, execution: LocalExecution, *, alone: bool = True) -> None:
        """Start it, and in virtual time see it through; one of many (not *alone*) does not show how far it is."""
        drive = execution.drive
        with shown(execution) if alone else nullcontext():
            drive.clock.post(lambda: drive.begin(execution.input_text))
            drive.begun.wait()

    def _do(
        self, execution: LocalExecution, command: ScheduleTask, seed: int, latency: Measured | None
    ) -> Replies | Callable[[], Replies]:
        """Have a task done, or begun: its replies, or what makes them where that takes time."""
        where = "/".join(f"{state}[{index}]" for state, index in command.path)
        name = f"{execution.machine.name}/{execution.name}"
        rng = random.Random(f"{seed}/{name}/{where}/{command.pointer}/{command.attempt}/{command.token}")
        asked = None
        if command.task_token is not None:
            asked = Asked(execution, command.token)
            with self._work:
                self._tokens[command.task_token] = asked
            execution.tokens.append(command.task_token)
        function = function_name(command)
        terms = meet(
            command,
            function,
            execution.machine.type,
            rng=rng,
            seed=f"{seed}/{name}/{where}/{command.pointer}/{command.attempt}/{command.token}",
            now=execution.run.now,
            latency=latency,
            faults=self.faults,
            shared=self.shared,
        )
        refusal = terms.refusal if terms is not None else None
        work = self._bound(execution, command, rng, function) if refusal is None else refusal

        def finish(replies: Replies) -> Replies:
            if terms is not None:
                replies = terms.shape(replies)
            if asked is None:
                return replies
            with self._work:
                held, asked.held = asked.held or [], None
            replies = list(replies)
            last = max((delay for delay, _ in replies), default=0.0)
            return [*replies, *((last, reply) for reply in held)]

        return (lambda: finish(work())) if callable(work) else finish(work)

    def _bound(
        self, execution: LocalExecution, command: ScheduleTask, rng: random.Random, name: str | None
    ) -> Replies | Callable[[], Replies]:
        """What is bound to a task: its replies, or a callable that makes them where code of the user has to run.

        *name* is that of the function it invokes.
        """
        named = command.kind in ("task", "reader", "writer")
        short = f"{command.resource_type}:{command.action}" if named else command.resource
        plain = short.partition(".")[0] if command.kind == "task" else short
        for key in (command.state, command.resource, short, plain):
            if key in self.tasks:
                bound = self.tasks[key]
                if isinstance(bound, MockedResponses):
                    n = execution.invocations[command.state]
                    execution.invocations[command.state] += 1
                    bound = bound.at(n, command.state)
                return _answered(bound, command, rng, as_function=False)
        if command.kind in ("reader", "writer") and "*" not in self.tasks:
            given = command.parameters
            here = isinstance(given, dict) and given.get("Bucket") in self.objects
            return lambda: [(0.0, access(self.objects if here else self._buckets, command))]
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
        if command.resource_type == "aws-sdk:sfn" and command.action.startswith("sendTask"):
            return [(0.0, self._sent(command, rng))]
        known = name is None or (self._session is not None and command.kind != "activity")
        if not known or starts_execution(command):
            raise TaskNotFoundError(self._unbound(command, name))
        of = (execution.machine_arn, execution.arn)
        return functools.partial(self._services.answer, command, rng, at=execution.run.now, of=of)

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
        name = self._name(machine, parameters.get("Name"))
        clock = parent.drive.clock
        child = self._prepare(machine, text, name, seed=self.seed, latency=self.latency, clock=clock, parent=parent)
        self.executions.append(child)
        parent.started.append(child)
        parent.root.family += 1
        return child

    def _child_ended(self, child: LocalExecution, command: ScheduleTask) -> None:
        self._forget(child)
        if child.parent and child.parent.waits_for.pop(command.token, None):
            child.parent.drive.tell(ended(child, command))

    def _unbound(self, command: ScheduleTask, name: str | None) -> str:
        state, mocked = command.state, f"sf.Local(tasks={{{json.dumps(command.state)}: sf.mock({{}})}})"
        if starts_execution(command):
            child = plain_name(str((command.parameters or {}).get("StateMachineArn", "child")).rpartition(":")[2])
            return (
                f"the task {state!r} starts the state machine {child!r}, which is not known here. Write "
                f"sf.Local(machines=[{child if child.isidentifier() else 'child'}]), with the StateMachine of that "
                f"name, or bind a mock of its answer: {mocked}."
            )
        if command.kind == "activity":
            return (
                f"nothing is bound to the task {state!r} (activity {name!r}). Write local.create_activity({name!r}) "
                "for a worker that asks get_activity_task, or bind it as a Lambda function is bound."
            )
        near = difflib.get_close_matches(str(name), sorted(map(str, {*self.functions, *self.tasks})), n=1)
        return (
            f"nothing is bound to the task {state!r} (Lambda function {name!r}). "
            f"Write sf.Local(functions={{{json.dumps(name)}: sf.mock({{}})}}), with the result it shall give or a "
            "callable(event, context) in the place of the mock." + (f" Did you mean {near[0]!r}?" if near else "")
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
                raise ApiError("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
            self._names[machine.name, name] += 1
        return name

    def __repr__(self) -> str:
        bound = ", ".join(map(str, [*self.functions, *self.tasks][:6]))
        time = "virtual time" if self.rate == math.inf else f"rate {self.rate:g}"
        return f"Local({bound or 'nothing bound'}; {time}, seed {self.seed}, {len(self.executions)} executions)"


def _faults(given: Mapping[str, Any] | Faults) -> Faults:
    from sflab.costs.faults import faults

    return faults(given)


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
