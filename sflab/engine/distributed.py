"""A Distributed Map in the machine: its map run, and a child execution for every item or batch.

A child execution is a frame with a `Run` of its own: it has its own log, names and outcome, writes nothing into its
parent's history, sees none of its parent's variables, and is driven by the same agenda and waits. The parent's history
shows MapRunStarted and MapRunSucceeded or MapRunFailed, and nothing of the children (conformance §6.1).
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from sflab.asl import dataflow
from sflab.asl.model import JSON, StatesError
from sflab.engine.frames import Frame, Run
from sflab.engine.history import Joined
from sflab.engine.maprun import KEPT, MAX_CONCURRENCY, MapRun, batches, read, result_files
from sflab.engine.messages import Command, ScheduleTask

if TYPE_CHECKING:
    import random

    from sflab.asl.model import Resource

#: "Maximum number of events in a single execution history: 25,000" (quotas page); Express has no such limit.
MAX_EVENTS = 25_000
#: An Express execution that never waits still takes time on AWS and ends after five minutes; here it ends after so
#: many events.
MAX_EXPRESS_EVENTS = 500_000
LIMITS = {"STANDARD": MAX_EVENTS - 1, "EXPRESS": MAX_EXPRESS_EVENTS - 1}

PENDING: Any = ...  # a result that is not there yet; unlike any JSON value, and the same object after unpickling

#: What a map run waits for in the world, with the error it fails with when the world has no name for it.
MAP_RUN_VERBS = {"_items_read": "States.ItemReaderFailed", "_results_written": "States.ResultWriterFailed"}


class DistributedMap:
    """The part of the machine that runs Distributed Maps."""

    __slots__ = ()

    if TYPE_CHECKING:
        chance: random.Random
        commands: list[Command]
        map_runs: list[MapRun]
        now: float
        root: Frame

        def _later(self, verb: str, frame: Frame, *args: Any) -> None: ...
        def _token(self, frame: Frame, verb: str) -> int: ...
        def _launch(self, frame: Frame, value: JSON, text: str | None = None) -> None: ...
        def _succeed(self, frame: Frame, result: JSON) -> None: ...
        def _fail(self, frame: Frame, e: StatesError) -> None: ...
        def _redrive_child(self, parent: Frame, index: int, run: Run) -> None: ...
        def _close(self, frame: Frame, status: str, event: str, previous: int, e: StatesError) -> None: ...

    def _map_run(self, frame: Frame, value: JSON, items: list[JSON] | None, limit: int) -> None:
        """Start the map run; its items are here, or have to be read."""
        fields = frame.state.map
        assert fields is not None  # noqa: S101 - compiled with it
        tolerated = fields.tolerated(value, frame)
        config = fields.reader.config(value, frame) if fields.reader else None
        head, _, name = self.root.run.machine_arn.partition(":stateMachine:")
        label = frame.state.raw.get("Label") or self._uuid()
        arn = f"{head}:mapRun:{name}/{label}:{self._uuid()}"
        frame.map_run = MapRun(arn, fields.execution_type, label, *tolerated)
        self.map_runs.append(frame.map_run)
        frame.map_run.started = frame.last
        frame.last = frame.log.write("MapRunStarted", frame.last, self.now, arn)
        frame.limit = min(limit or MAX_CONCURRENCY, MAX_CONCURRENCY)
        frame.item = (value, items, config)
        if fields.reader:
            try:
                parameters = fields.reader.parameters(value, frame)
            except StatesError as e:
                self._map_run_failed(frame, e)
                return
            self._ask(frame, "_items_read", "reader", fields.reader.resource, parameters)
        else:
            self._items(frame, items or [])

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def _ask(self, frame: Frame, verb: str, kind: str, resource: Resource, parameters: JSON) -> None:
        token = self._token(frame, verb)
        state = frame.state
        self.commands.append(
            ScheduleTask(
                token, state.name, state.pointer, frame.attempt, kind, resource.text, resource.type, resource.action,
                "", parameters, path=frame.path,
            )
        )  # fmt: skip
        frame.waiting = (token,)

    def _items_read(self, frame: Frame, body: JSON) -> None:
        """The world gave the object or the listing that the items are in."""
        fields = frame.state.map
        assert fields is not None  # noqa: S101 - compiled with it
        assert fields.reader is not None  # noqa: S101 - somebody asked for it
        try:
            items = read(body, frame.item[2], fields.reader.resource.action)
        except StatesError as e:
            self._map_run_failed(frame, e)
            return
        self._items(frame, items)

    def _items(self, frame: Frame, items: list[JSON]) -> None:
        """Make the inputs of the child executions, and start as many as may run at once."""
        fields, run, value = frame.state.map, frame.map_run, frame.item[0]
        assert fields is not None  # noqa: S101 - compiled with it
        assert run is not None  # noqa: S101 - it has begun
        try:
            inputs = [self._selected(frame, i, item) for i, item in enumerate(items)] if fields.select else items
            if fields.batcher:
                inputs = list(batches(inputs, *fields.batcher(value, frame)))
        except StatesError as e:
            self._map_run_failed(frame, e)
            return
        run.items, run.total = len(items), len(inputs)
        run.inputs, run.results = inputs, [PENDING] * len(inputs)
        self._wave(frame)

    def _wave(self, frame: Frame) -> None:
        """Start, or start again, as many of the child executions that have no result as may run at once."""
        run = frame.map_run
        assert run is not None  # noqa: S101 - it has begun
        frame.item = (frame.item[0], run.inputs, None)
        frame.results, frame.left, frame.started = run.results, run.results.count(PENDING), 0
        if not frame.left:
            self._later("_map_run_done", frame)
        for _ in range(min(frame.limit, frame.left)):
            self._begin_child(frame)

    def _redrive_items(self, frame: Frame) -> None:
        """Go on with a map run that was redriven: read its items again where no child execution had begun."""
        fields, run = frame.state.map, frame.map_run
        assert fields is not None  # noqa: S101 - compiled with it
        assert run is not None  # noqa: S101 - it has begun
        value, items, _ = frame.item
        if run.inputs:
            run.failed = 0
            run.earlier = {
                i: child
                for i, child in enumerate(run.children)
                if run.results[i] is PENDING and child.type == "STANDARD" and child.status not in ("READY", "RUNNING")
            }
            self._wave(frame)
        elif fields.reader:
            self._ask(frame, "_items_read", "reader", fields.reader.resource, fields.reader.parameters(value, frame))
        else:
            self._items(frame, items or [])

    def _selected(self, frame: Frame, index: int, item: JSON) -> JSON:
        """Return an item as ItemSelector gives it; it sees ``$$.Map.Item``, as an iteration would."""
        fields = frame.state.map
        assert fields is not None  # noqa: S101 - compiled with it
        assert fields.select is not None  # noqa: S101 - asked for
        scope = Frame(frame.machine, frame.state.programs[0], frame.run, frame, index)
        scope.item, scope.state, scope.entered_at = item, frame.state, frame.entered_at
        return fields.select(frame.item[0], scope)

    def _begin_child(self, parent: Frame) -> None:
        run, outer = parent.map_run, self.root.run
        assert run is not None  # noqa: S101 - it has begun
        index = parent.results.index(PENDING, parent.started)  # a redrive passes over those that succeeded
        parent.started = index + 1
        if (before := run.earlier.pop(index, None)) is not None:
            self._redrive_child(parent, index, before)
            return
        kind = "execution" if run.type == "STANDARD" else "express"
        head, _, name = outer.machine_arn.partition(":stateMachine:")
        arn = f"{head}:{kind}:{name}/{run.label}:{self._uuid()}" + (
            "" if run.type == "STANDARD" else f":{self._uuid()}"
        )
        own = Run(arn, f"{outer.machine_arn}/{run.label}", outer.role_arn, type=run.type, cap=LIMITS[run.type])
        child = parent.children[index] = Frame(parent.machine, parent.state.programs[0], own, parent, index)
        child.size = None
        if index < len(run.children):  # an Express child is started again under its ARN
            own.arn, run.children[index] = run.children[index].arn, own
        elif len(run.children) < KEPT:
            run.children.append(own)
        self._launch(child, parent.item[1][index])

    def _child_ended(self, parent: Frame, child: Frame, value: JSON) -> None:
        """A child execution succeeded with *value*."""
        if parent.children.pop(child.index, None) is not child or parent.map_run is None:
            return
        parent.results[child.index] = value
        parent.map_run.succeeded += 1
        self._proceed(parent)

    def _child_broke(self, parent: Frame, child: Frame) -> None:
        """A child execution failed or timed out: tolerated, or the map run fails."""
        if parent.children.pop(child.index, None) is not child or parent.map_run is None:
            return
        parent.map_run.failed += 1
        if parent.map_run.exceeded:
            cause = "The specified tolerated failure threshold was exceeded"
            self._map_run_failed(parent, StatesError("States.ExceedToleratedFailureThreshold", cause))
        else:
            self._proceed(parent)

    def _proceed(self, parent: Frame) -> None:
        parent.left -= 1
        if not parent.left:
            self._later("_map_run_done", parent)
        elif parent.left > len(parent.children):
            self._begin_child(parent)

    def _map_run_failed(self, frame: Frame, e: StatesError) -> None:
        run = frame.map_run
        assert run is not None  # noqa: S101 - it has begun
        run.status = "FAILED"
        for child in list(frame.children.values()):
            self._close(child, "ABORTED", "ExecutionAborted", 0, StatesError(None))
        frame.children.clear()
        frame.last = frame.log.write("MapRunFailed", frame.last, self.now, e.error, e.cause)
        self._fail(frame, e)

    def _map_run_done(self, frame: Frame) -> None:
        """Every child execution has ended, and no more failed than is tolerated."""
        fields, run = frame.state.map, frame.map_run
        assert fields is not None  # noqa: S101 - compiled with it
        assert run is not None  # noqa: S101 - it has begun
        run.status = "SUCCEEDED"
        result = Joined(r for r in frame.results if r is not PENDING)
        if fields.writer is None:
            self._results_written(frame, result)
            return
        try:
            where = fields.writer.parameters(frame.item[0], frame)
        except StatesError as e:
            self._map_run_failed(frame, e)
            return
        bucket, prefix = str(where.get("Bucket", "")), str(where.get("Prefix", ""))
        said, files = result_files(run, bucket, prefix)
        self._ask(
            frame, "_results_written", "writer", fields.writer.resource, {**where, "Result": said, "Files": files}
        )

    def _results_written(self, frame: Frame, result: JSON) -> None:
        run, frame.results, frame.map_run = frame.map_run, [], None
        if run is not None:
            run.inputs, run.results = [], []
        frame.size = dataflow.size(result)
        succeeded = frame.log.write("MapRunSucceeded", frame.last, self.now)
        if frame.size > dataflow.MAX_BYTES:
            frame.last = succeeded
            self._fail(frame, dataflow.too_large(frame.state.name))
            return
        # MapStateExited points at MapRunStarted, which `last` still is (15 of 15 recordings since 2024-11, §6.3).
        frame.log.write("MapStateSucceeded", succeeded, self.now)
        frame.item = None
        self._succeed(frame, result)
