"""Many executions in virtual time, on all cores or wherever an executor takes them, with the same answer everywhere.

Theory of operation. Every execution has a number, and all its chances come from (seed, machine, number, task): not from
who computes it, nor from what was computed before. Numbers are dealt out in chunks whose size depends on how many there
are, never on how many workers; a chunk gives rows and the sum of what they used, and sums are added in the order of the
numbers. So the table and the bill are the same bytes on one core, on all, in threads and on a cluster.

Executions that share quotas (`sflab.costs.traffic.Limits`) are not independent: what one is refused another has taken.
They run on one timeline in this process, in the order of events (`sflab.backends.quotas`). StartExecution's bucket
depends on the arrivals alone, and is settled before: with that limit only, executions still run side by side.
"""

from __future__ import annotations

import copy
import functools
import gc
import math
import os
import pickle
import random
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from multiprocessing import get_all_start_methods, get_context
from typing import TYPE_CHECKING, Any

from sflab.asl.model import JSON, compact
from sflab.backends.conditions import REFUSED
from sflab.backends.drivers import Clock
from sflab.backends.local import Local, LocalExecution, input_text
from sflab.backends.quotas import SharedClock, SharedQuotas
from sflab.backends.statemachine import StateMachine
from sflab.backends.table import Executions
from sflab.costs.latency import Measured
from sflab.costs.latency import latencies as models
from sflab.costs.prices import Prices, load
from sflab.costs.simulation import Row, Simulation, pricer, simulation
from sflab.costs.traffic import Arrivals, Limits, started
from sflab.costs.usage import Meter, Usage
from sflab.engine.history import SHAPES, Event, Log
from sflab.errors import Interrupted

if TYPE_CHECKING:
    from sflab.costs.faults import Faults

Progress = Callable[[int, int], Any]
_WORTH = 0.4  # seconds of work left from which a pool of processes pays


@dataclass
class Job:
    """All that it takes to run any of the executions, by number. Pickles, if what the backend is bound to does."""

    local: Local
    machine: StateMachine
    texts: Sequence[str]
    seed: int
    latency: Measured
    prices: Prices
    counting: Mapping[str, Any]  # the parameters of `Meter`
    arrivals: Sequence[float] = ()  # by number; empty: each at 0
    starts: Sequence[float | None] = ()  # None: it gave up waiting
    meters: dict[int, Meter] = field(default_factory=dict)  # by the identity of the machine

    def prepared(self, number: int, clock: Clock, shared: SharedQuotas | None = None) -> LocalExecution:
        """Return execution *number*, about to begin, on a backend of its own that shares what is bound."""
        local = copy.copy(self.local)
        local.executions, local._names, local._tokens, local._gone = Executions(), Counter(), {}, set()  # noqa: SLF001
        local.activities = {name: deque() for name in local.activities}
        local._clock, local.shared = clock, shared  # noqa: SLF001 - a copy of its own
        local.latency, local.seed = self.latency, self.seed
        local.start += self.starts[number] or 0.0 if self.starts else 0.0
        text = self.texts[number % len(self.texts)]
        name = f"sim-{number + 1:06d}"
        return local._prepare(self.machine, text, name, seed=self.seed, latency=self.latency, clock=clock)  # noqa: SLF001

    def run(self, number: int) -> tuple[Row, Usage]:
        """Run execution *number* by itself."""
        if self.starts and self.starts[number] is None:
            return self.refused(number), Usage()
        execution = self.prepared(number, Clock())
        execution.local._begin(execution, alone=False)  # type: ignore[union-attr]  # noqa: SLF001 - it has one
        return self.read(number, execution)

    def refused(self, number: int) -> Row:
        """Return the row of an execution that was not let in."""
        return Row(number, self.arrivals[number], math.nan, 0.0, "THROTTLED", "ThrottlingException", 0, 0, 0, 0.0)

    def read(self, number: int, execution: LocalExecution) -> tuple[Row, Usage]:
        """Return what came of an execution, and what it used, with the executions it started."""
        usage, run = self._usage(execution), execution.run
        seconds = usage.seconds
        for child in _family(execution.nested):
            used = self._usage(child)
            if child.machine.type == "EXPRESS":
                used.transitions = 0  # it is billed by request and time
            usage += used
        usage.seconds = seconds  # its own
        shared = execution.local is not None and execution.local.shared is not None
        return Row(
            number,
            self.arrivals[number] if self.arrivals else 0.0,
            (self.starts[number] or 0.0) if self.starts else 0.0,
            seconds,
            "RUNNING" if run.status == "READY" else run.status,
            run.error or "",
            usage.transitions,
            largest(run.log),
            sum(entry[0] == "TaskFailed" and REFUSED in entry for entry in run.log.entries) if shared else 0,
            self.cost(usage),
        ), usage

    @functools.cached_property
    def cost(self) -> Callable[[Usage], float]:
        """What gives the dollars of a usage."""
        return pricer(self.prices)

    def _usage(self, execution: LocalExecution) -> Usage:
        machine = execution.machine
        meter = self.meters.get(id(machine))
        if meter is None:
            meter = self.meters[id(machine)] = Meter(machine.definition, machine.type, **self.counting)
        children = [run.billed() for run in execution.map_runs] if execution.run.map_runs else ()
        started = frozenset(child.arn for child in execution.nested)  # which have rows of their own on the bill
        return meter.read(billable(execution.run.log), children, billed=started)

    def __getstate__(self) -> dict[str, Any]:
        local = copy.copy(self.local)
        for name in ("_work", "_clock", "_account", "executions", "_aws"):  # locks, and what a copy gets anew
            local.__dict__.pop(name, None)
        local.machines = {name: _bare(machine) for name, machine in local.machines.items()}
        kept = {k: v for k, v in self.__dict__.items() if k not in ("local", "machine", "meters", "cost")}
        return {**kept, "local": local.__dict__, "machine": _bare(self.machine)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        import threading

        local, about = Local.__new__(Local), state.pop("local")
        local.__dict__.update(
            about, _work=threading.Condition(), _clock=Clock(), _account=None, executions=Executions(), _aws=[]
        )
        self.__dict__.update(state, local=local, meters={})


def _bare(machine: StateMachine) -> StateMachine:
    """Return the machine without what was compiled of it."""
    return StateMachine(machine.definition, name=machine.name, type=machine.type, role_arn=machine.role_arn)


#: What a bill reads the data of: not that of states, nor of Lambda functions.
_DATA = {"TaskScheduled", "TaskSubmitted", "TaskSucceeded"}


def billable(log: Log) -> list[Event]:
    """Return the events as `Log.events` does, for a meter: data that it measures at most is there, but not as text.

    To write what every state was given and gave as JSON takes as long as to run it.
    """
    out: list[Event] = []
    at, moment = None, datetime.fromtimestamp(0, UTC)
    for number, entry in enumerate(log.entries, 1):
        kind = entry[0]
        if entry[2] != at:
            at = entry[2]
            moment = datetime.fromtimestamp(round(at, 3), UTC)
        event: Event = {"timestamp": moment, "type": kind, "id": number, "previousEventId": entry[1]}
        shape = SHAPES.get(kind)
        if shape is not None:
            if kind in _DATA and entry[3] != "lambda":
                out.append({**log.events(number - 1, number)[0], "timestamp": moment})
                continue
            event[shape[0]] = dict(zip(shape[1], entry[3:], strict=False))
        out.append(event)
    if out and log.root_text:
        _texts(out, log)
    return out


def _texts(events: list[Event], log: Log) -> None:
    """Put text where a string is data, which a meter takes for JSON text, and where the input's own has spaces."""
    root = log.root
    for event in events:
        about = event.get("stateEnteredEventDetails")
        if about is not None and (type(about["input"]) is str or about["input"] is root):
            about["input"] = log.text(about["input"])


def largest(log: Log) -> int:
    """Return the bytes of the largest data in a history: inputs, outputs, parameters and results."""
    size, last = len(log.root_text.encode("utf-8", "surrogatepass")), log.root
    for entry in log.entries:
        place = _PLACES.get(entry[0])
        if place is not None and (value := entry[place]) is not last:
            last = value
            if isinstance(value, dict | list | str):
                text = compact(value)
                if len(text) > size or not text.isascii():
                    size = max(size, len(text.encode("utf-8", "surrogatepass")))
    return size


#: Where the entries of a log hold data; what a state is entered with, another one gave.
_PLACES = {
    kind: 3 + next(i for i, name in enumerate(names) if name in ("input", "output", "parameters"))
    for kind, (_, names) in SHAPES.items()
    if not kind.endswith("StateEntered") and {"input", "output", "parameters"} & set(names)
}


def _family(executions: Sequence[LocalExecution]) -> Iterator[LocalExecution]:
    """Give out executions and all that they started; one may start the next a thousand times."""
    left = deque(executions)
    while left:
        one = left.popleft()
        left.extend(one.nested)
        yield one


def simulate(
    machine: StateMachine,
    input: JSON = None,
    *,
    n: int = 1000,
    inputs: Sequence[JSON] | None = None,
    local: Local | None = None,
    functions: Mapping[str, Any] | None = None,
    tasks: Mapping[str, Any] | None = None,
    arrivals: Arrivals | None = None,
    limits: Limits | None = None,
    latencies: Measured | Mapping[str, Any] | None = None,
    faults: Faults | Mapping[str, Any] | None = None,
    seed: int | None = None,
    executor: Executor | None = None,
    cores: int | None = None,
    progress: Progress | None = None,
    prices: Prices | None = None,
    **counting: Any,
) -> Simulation:
    """Run *machine* *n* times in virtual time and return what came of it, a row for each execution.

    Each gets *input*, or the *inputs* in turn. Tasks are done by *local*, or by *functions* and *tasks* as `Local`
    takes them: Python callables run for real, mocks answer; a real function should not count on what another execution
    left behind, as it may be in another process. *latencies* are a `Measured`, a fit, or a dict of models by state,
    function or ``service:action`` put into what was measured (the default); *faults* as `sf.faults` takes them.
    *arrivals* (`sf.rate`, `sf.poisson`, `sf.burst`, `sf.trace`) say when executions come, *limits* (`sf.limits()`) what
    they share; without either each has AWS to itself.

    *seed* decides every chance; the result does not depend on where it is computed: on *cores* of this machine
    (default: all), or through *executor*, any `concurrent.futures.Executor`: a pool of threads, Dask's
    ``client.get_executor()``, Ray's, loky's. *progress* is called with (done, n);
    without it, long work shows how far it is. Where it is stopped it raises `sflab.errors.Interrupted`, whose
    ``partial`` is the simulation of what was done. *prices* and *counting* (``memory_mb``, ``architecture``,
    ``start_end`` …) are those of `sf.bill`.

    Raises DefinitionError, TaskNotFoundError as a run would, ValueError for settings that mean nothing.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n is the number of executions, 1 or more, not {n!r}")
    if inputs is not None and not inputs:
        raise ValueError("inputs is empty: give the inputs that the executions take in turn")
    base = _backend(local, functions, tasks, faults, limits)
    base.machines.setdefault(machine.name, machine)  # it may start itself, as when it is run
    seed = base.seed if seed is None else seed
    come = arrivals.times(n, random.Random(f"{seed}/arrivals")) if arrivals is not None else []
    bucket = limits.start.get(machine.type) if limits is not None else None
    starts = started(come or [0.0] * n, bucket, limits.patience) if limits is not None and bucket else list(come)
    job = Job(
        base,
        machine,
        [input_text(each) for each in (inputs if inputs is not None else [input])],
        seed,
        models(latencies if latencies is not None else base.latency),
        prices or load(),
        counting,
        come or ([0.0] * n if starts else []),
        starts,
    )
    _ = machine.program, Meter(machine.definition, machine.type, **counting)  # what is wrong with them is said here
    notes: list[str] = []
    rows: list[Row] = []
    total = Usage()
    one_timeline = limits is not None and limits.shared(machine.type)
    parts = (
        _timeline(job, n, limits)
        if limits is not None and one_timeline
        else _side_by_side(job, n, executor, cores, notes)
    )
    if one_timeline:
        notes.append("executions share quotas, so they ran on one timeline, on one core")
    stopped = ""
    try:
        with base.progress("simulating", n) if progress is None else nullcontext(progress) as tell:
            for done, used in parts:
                rows += done
                total += used
                tell(len(rows), n)
    except KeyboardInterrupt:
        parts.close()
        stopped = f"interrupted after {len(rows):,} of {n:,} executions"
        notes.append(f"{stopped}: these are the ones that were done")
    settings = [f"latencies: {job.latency!r}"]
    settings += [
        f"{name}: {value!r}" for name, value in (("arrivals", arrivals), ("limits", limits)) if value is not None
    ]
    settings += [f"faults: {base.faults!r}"] if base.faults is not None else []
    made = simulation(
        rows,
        total,
        job.prices,
        name=machine.name,
        type=machine.type,
        seed=seed,
        asked=n,
        settings=settings,
        notes=notes,
    )
    if stopped:
        raise Interrupted(stopped, made)
    return made


def _backend(
    local: Local | None,
    functions: Mapping[str, Any] | None,
    tasks: Mapping[str, Any] | None,
    faults: Faults | Mapping[str, Any] | None,
    limits: Limits | None,
) -> Local:
    """Return a copy of *local* with what was given laid over it."""
    from sflab.costs.faults import faults as as_faults

    base = copy.copy(local) if local is not None else Local()
    base.functions = {**base.functions, **(functions or {})}
    base.tasks = {**base.tasks, **(tasks or {})}
    base.machines = dict(base.machines)
    base.rate = math.inf
    if faults is not None:
        base.faults = as_faults(faults)
    if limits is not None and limits.dispatch is not None:
        base.dispatch_rate = {**base.dispatch_rate, **limits.dispatch}
    return base


# ── side by side ─────────────────────────────────────────────────────────────────────────────────────────────────────

Part = tuple[list[Row], Usage]


def chunks(n: int) -> list[range]:
    """Return the numbers of *n* executions in chunks of 1 to 500. Depends on nothing but *n*."""
    size = 1 if n <= 40 else min(500, max(10, n // 200))
    return [range(first, min(n, first + size)) for first in range(0, n, size)]


def run_elsewhere(job: Job | bytes, numbers: range) -> Part | None:
    """Run some executions; this is what an executor is handed.

    None where tasks of theirs called the AWS services of the backend's process: what is in there is not here.
    """
    job = _thawed(job) if isinstance(job, bytes) else job
    local = copy.copy(job.local)
    local._aws = []  # noqa: SLF001 - a copy of its own
    part = run_chunk(replace(job, local=local), numbers)
    return None if local._aws else part  # noqa: SLF001


def run_chunk(job: Job, numbers: range) -> Part:
    """Run some executions here."""
    rows, total = [], Usage()
    with _uncollected():
        for number in numbers:
            made, used = job.run(number)
            rows.append(made)
            total += used
            if not number % _SWEEP:
                gc.collect(0)
    return rows, total


_SWEEP = 10  # executions between two collections of garbage


@contextmanager
def _uncollected() -> Iterator[None]:
    """Leave the collector out: an execution is one cycle, which is garbage when it is read, and nothing before."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@functools.lru_cache(maxsize=2)
def _thawed(frozen: bytes) -> Job:
    job: Job = pickle.loads(frozen)  # noqa: S301 - ours, made a moment ago
    return job


def _side_by_side(job: Job, n: int, executor: Executor | None, cores: int | None, notes: list[str]) -> Generator[Part]:
    """Run executions that have nothing to do with each other: the first chunk here, the others wherever they may go."""
    first, *rest = chunks(n)
    begun = time.perf_counter()
    yield run_chunk(job, first)
    left = (time.perf_counter() - begun) * len(rest)
    cores = _cores() if cores is None else cores
    if job.local._aws or job.local._session is not None:  # noqa: SLF001
        if executor is not None:
            notes.append("tasks called AWS services that live in this process, so the executor was not used")
    elif rest and executor is not None:
        frozen = _frozen(job)
        if frozen is not None or not isinstance(executor, ProcessPoolExecutor):
            carried = job if frozen is None else frozen  # as it is, only the executor may know how: threads do
            yield from _everywhere(executor, run_elsewhere, (carried,), job, rest)
            return
        notes.append(_STAYS)
    elif rest and cores > 1 and left > _WORTH:
        pool = _pool(job, min(cores, len(rest)), notes)
        if pool is not None:
            with pool:
                yield from _everywhere(pool, run_here, (), job, rest)
            return
    for numbers in rest:
        yield run_chunk(job, numbers)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_STAYS = (
    "a function here cannot be sent to another process, so one core did it all: install cloudpickle, or put the "
    "function into a module"
)


def _frozen(job: Job) -> bytes | None:
    """Pickle a job; functions of a notebook by value, where cloudpickle is there. None where it cannot be pickled."""
    try:
        import cloudpickle
    except ImportError:
        pickler: Any = pickle
    else:
        pickler = cloudpickle
    try:
        frozen: bytes = pickler.dumps(job)
    except Exception:  # noqa: BLE001 - what cannot be pickled says so in many ways
        return None
    return frozen


_HERE: Job | None = None  # of a process of ours: what it was started with


def _settle(job: Job | bytes) -> None:
    """Begin a process of ours. An interrupt is the parent's to deal with; what is inherited is not collected."""
    global _HERE  # noqa: PLW0603 - a process has one job
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _HERE = _thawed(job) if isinstance(job, bytes) else job
    gc.freeze()


def run_here(numbers: range) -> Part | None:
    """Run some executions of the job that this process was started with."""
    assert _HERE is not None  # noqa: S101 - `_settle` came first
    return run_elsewhere(_HERE, numbers)


def _pool(job: Job, cores: int, notes: list[str]) -> ProcessPoolExecutor | None:
    """Return processes that have the job. Where they are forked they inherit it, lambdas of a notebook and all."""
    if sys.platform == "linux" and "fork" in get_all_start_methods():
        return ProcessPoolExecutor(cores, get_context("fork"), _settle, (job,))
    frozen = _frozen(job)
    if frozen is None:
        notes.append(_STAYS)
        return None
    return ProcessPoolExecutor(cores, get_context("spawn"), _settle, (frozen,))


def _everywhere(
    executor: Executor, work: Callable[..., Part | None], carried: tuple[Any, ...], job: Job, rest: Sequence[range]
) -> Generator[Part]:
    """Have chunks done by *executor* and give out what comes back, in the order of the numbers.

    A chunk that cannot be done elsewhere is done here.
    """
    futures: dict[Future[Part | None], int] = {executor.submit(work, *carried, each): i for i, each in enumerate(rest)}
    done: dict[int, Part | None] = {}
    turn = 0
    try:
        for future in as_completed(futures):
            done[futures[future]] = future.result()
            while turn in done:  # sums are added in order
                yield done.pop(turn) or run_chunk(job, rest[turn])
                turn += 1
    except BaseException:
        for future in futures:
            future.cancel()
        raise


# ── on one timeline ──────────────────────────────────────────────────────────────────────────────────────────────────

_SLICE = 2_000  # moments of the timeline between two looks at what has ended


def _timeline(job: Job, n: int, limits: Limits) -> Generator[Part]:
    """Run executions that share quotas, in the order of events; give out those that have ended, by their numbers.

    What is given out is put together in the order in which they ended, which is the same every time.
    """
    clock, shared = SharedClock(limits.transitions.get(job.machine.type)), SharedQuotas(limits)
    going: dict[int, LocalExecution] = {}
    ended: list[int] = []
    starts = job.starts or [0.0] * n

    def over() -> Generator[Part]:
        while ended:
            number = ended.pop(0)
            made, used = job.read(number, going.pop(number))
            yield [made], used

    for number in sorted(range(n), key=lambda i: (starts[i] is None, starts[i] or 0.0, i)):
        start = starts[number]
        if start is None:
            yield [job.refused(number)], Usage()
            continue
        moment = job.local.start + start
        clock.proceed(until=moment)
        yield from over()
        execution = going[number] = job.prepared(number, clock, shared)
        drive = execution.drive
        drive.on_end = functools.partial(_ended, drive.on_end, ended, number)
        clock.begin(drive, execution.input_text, moment)
    while clock.busy:
        clock.proceed(until=clock.horizon(_SLICE))
        yield from over()
    ended += going  # they wait for somebody who never comes
    yield from over()


def _ended(forget: Callable[[], None] | None, ended: list[int], number: int) -> None:
    if forget is not None:
        forget()
    ended.append(number)
