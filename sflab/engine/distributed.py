"""A Distributed Map in the machine: its Map Run, and a child execution for every item or batch.

A child execution is a frame with a `Run` of its own: it has its own log, names and outcome, writes nothing into its
parent's history, sees none of its parent's variables, and is driven by the same agenda and waits. The parent's history
shows MapRunStarted and MapRunSucceeded or MapRunFailed, and nothing of the children (conformance §6.1).

AWS starts child executions at a rate (`maprun.DISPATCH`): in each second after the first was started so many may
start, if so many may run at once. Where the rate holds children back one timer a second and Map Run goes on with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sflab.asl import dataflow
from sflab.asl.model import JSON, StatesError, drawn_uuid
from sflab.engine.frames import Frame, Run
from sflab.engine.items import Items, batches, read
from sflab.engine.maprun import MAX_CONCURRENCY, PENDING, Histories, MapRun
from sflab.engine.messages import Command, ScheduleTask
from sflab.engine.results import ResultFiles, state_result

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from sflab.asl.mapstate import Access

#: "Maximum number of events in a single execution history: 25,000" (quotas page); Express has no such limit.
MAX_EVENTS = 25_000
#: An Express execution that never waits still takes time on AWS and ends after five minutes; here it ends after so
#: many events.
MAX_EXPRESS_EVENTS = 500_000
LIMITS = {"STANDARD": MAX_EVENTS - 1, "EXPRESS": MAX_EXPRESS_EVENTS - 1}

#: What a map run waits for in the world, with the error it fails with when the world has no name for it.
MAP_RUN_VERBS = {"_items_read": "States.ItemReaderFailed", "_results_written": "States.ResultWriterFailed"}


class _ItemScope(Frame):
    """What an ItemSelector sees: ``$$.Map.Item`` with the item's source, and the key of an object's member."""

    __slots__ = ("items",)
    items: Items

    def context(self) -> dict[str, JSON]:
        context, items = super().context(), self.items
        said = {"Index": self.index, "Value": self.item, "Source": items.source(self.index)}
        if items.keys is not None:
            said = {"Index": self.index, "Key": items.keys[self.index], **said}
        context["Map"] = {"Item": said}
        return context


class DistributedMap:
    """The part of the machine that runs Distributed Maps."""

    __slots__ = ()

    if TYPE_CHECKING:
        commands: list[Command]
        dispatch: Mapping[str, float]
        histories: Histories
        map_runs: list[MapRun]
        now: float
        root: Frame

        @property
        def chance(self) -> random.Random: ...  # noqa: D102 - declared only
        def _later(self, verb: str, frame: Frame, *args: Any) -> None: ...
        def _token(self, frame: Frame, verb: str) -> int: ...
        def _timer(self, frame: Frame, verb: str, seconds: float) -> int: ...
        def _release(self, frame: Frame, *, cancel: bool = False) -> None: ...
        def _launch(self, frame: Frame, value: JSON, text: str | None = None) -> None: ...
        def _succeed(self, frame: Frame, result: JSON) -> None: ...
        def _fail(self, frame: Frame, e: StatesError) -> None: ...
        def _redrive_child(self, parent: Frame, index: int, run: Run) -> None: ...
        def _close(self, frame: Frame, status: str, event: str, previous: int, e: StatesError) -> None: ...

    # ── reading the items ────────────────────────────────────────────────────────────────────────────────────────────

    def _map_run(self, frame: Frame, value: JSON, items: JSON, limit: int) -> None:
        """Start the Map Run; its *items* are here, or have to be read."""
        fields, state = frame.state.map, frame.state
        assert fields is not None  # noqa: S101 - compiled with it
        count, percentage = fields.tolerated(value, frame)
        config = fields.reader.config(value, frame) if fields.reader else None
        outer, kind = self.root.run.machine_arn, fields.execution_type
        head, _, name = outer.partition(":stateMachine:")
        label = state.raw.get("Label") or self._uuid()
        run = frame.map_run = MapRun(
            arn=f"{head}:mapRun:{name}/{label}:{self._uuid()}",
            execution_arn=frame.run.arn,
            machine_arn=f"{outer}/{label}",
            type=kind,
            label=label,
            state=state.name,
            pointer=state.pointer,
            max_concurrency=limit,
            count=count,
            percentage=percentage,
            started_at=self.now,
            origin=frame.last,
            rate=self.dispatch[kind],
            histories=self.histories,
        )
        self.map_runs.append(run)
        frame.last = frame.log.write("MapRunStarted", frame.last, self.now, run.arn)
        frame.limit = min(limit or MAX_CONCURRENCY, MAX_CONCURRENCY)
        if fields.reader is None:
            frame.item = (value, None)
            self._items(frame, Items.of(items or []))
            return
        try:
            where = fields.reader.parameters(value, frame)
        except StatesError as e:
            self._map_run_failed(frame, e)
            return
        frame.item = (value, (config, where))
        self._ask(frame, "reader", fields.reader, where, config)

    def _uuid(self) -> str:
        return drawn_uuid(self.chance)

    def _ask(self, frame: Frame, kind: str, access: Access, parameters: JSON, config: JSON) -> None:
        token = self._token(frame, "_items_read" if kind == "reader" else "_results_written")
        state, resource = frame.state, access.resource
        assert resource is not None  # noqa: S101 - who has none asks nobody
        self.commands.append(
            ScheduleTask(
                token, state.name, state.pointer, frame.attempt, kind, resource.text, resource.type, resource.action,
                "", parameters, path=frame.path, config=config,
            )
        )  # fmt: skip
        frame.waiting = (token,)

    def _items_read(self, frame: Frame, body: JSON) -> None:
        """The world gave the object or the listing that the items are in."""
        fields = frame.state.map
        assert fields is not None  # noqa: S101 - compiled with it
        assert fields.reader is not None  # noqa: S101 - somebody asked for it
        assert fields.reader.resource is not None  # noqa: S101 - whom it asked
        config, where = frame.item[1]
        bucket, key = (where.get("Bucket", ""), where.get("Key", "")) if isinstance(where, dict) else ("", "")
        try:
            items = read(body, config, fields.reader.resource.action, bucket, key)
        except StatesError as e:
            self._map_run_failed(frame, e)
            return
        self._items(frame, items)

    def _items(self, frame: Frame, items: Items) -> None:
        """Make the inputs of the child executions, and start as many as may start."""
        fields, run, value = frame.state.map, frame.map_run, frame.item[0]
        assert fields is not None  # noqa: S101 - compiled with it
        assert run is not None  # noqa: S101 - it has begun
        weights = None
        try:
            inputs = self._selected(frame, items) if fields.select else items.inputs()
            if fields.batcher:
                inputs = list(batches(inputs, *fields.batcher(value, frame)))
                weights = [len(batch["Items"]) for batch in inputs]
        except StatesError as e:
            self._map_run_failed(frame, e)
            return
        run.load(inputs, weights)
        frame.item = (value, None)
        self._start_children(frame)

    def _start_children(self, frame: Frame) -> None:
        """Start, or after a redrive start again, the child executions that have no result."""
        run = frame.map_run
        assert run is not None  # noqa: S101 - it has begun
        frame.results, frame.left, frame.started = run.results, run.results.count(PENDING), 0
        if not frame.left:
            self._later("_map_run_done", frame)
        self._dispatch_children(frame)

    def _redrive_items(self, frame: Frame) -> None:
        """Go on with a Map Run that was redriven: read its items again where no child execution had begun."""
        fields, run = frame.state.map, frame.map_run
        assert fields is not None  # noqa: S101 - compiled with it
        assert run is not None  # noqa: S101 - it has begun
        value = frame.item[0]
        if run.inputs:
            run.reopen()
            frame.item = (value, None)
            self._start_children(frame)
        elif fields.reader is None:
            frame.item = (value, None)
            self._items(frame, Items.of(fields.items(value, frame) or []))
        else:
            config, where = fields.reader.config(value, frame), fields.reader.parameters(value, frame)
            frame.item = (value, (config, where))
            self._ask(frame, "reader", fields.reader, where, config)

    def _selected(self, frame: Frame, items: Items) -> list[JSON]:
        """Return the items as ItemSelector gives them; it sees ``$$.Map.Item``, as an iteration would."""
        select = frame.state.map.select if frame.state.map else None
        assert select is not None  # noqa: S101 - asked for
        scope = _ItemScope(frame.machine, frame.state.programs[0], frame.run, frame)
        scope.state, scope.entered_at, scope.items = frame.state, frame.entered_at, items
        out = []
        for scope.index, scope.item in enumerate(items.values):
            out.append(select(frame.item[0], scope))
        return out

    # ── child executions ─────────────────────────────────────────────────────────────────────────────────────────────

    def _dispatch_children(self, frame: Frame, *, fresh: bool = False) -> None:
        """Start child executions while there are any, while fewer run than may, and as many as this second allows."""
        run = frame.map_run
        if run is None or run.status != "RUNNING":
            return
        if fresh or self.now >= run.window + 1:
            run.window, run.budget = self.now, run.rate
        children = frame.children
        while len(children) < min(frame.left, frame.limit) and run.budget >= 1:
            run.budget -= 1
            self._begin_child(frame)
            if run.status != "RUNNING":
                return
        if len(children) < min(frame.left, frame.limit) and not frame.waiting:
            frame.waiting = (self._timer(frame, "_next_second", max(run.window + 1 - self.now, 0)),)

    def _next_second(self, frame: Frame) -> None:
        frame.waiting = ()
        self._dispatch_children(frame, fresh=True)

    def _begin_child(self, parent: Frame) -> None:
        run, program = parent.map_run, parent.state.programs[0]
        assert run is not None  # noqa: S101 - it has begun
        index = parent.results.index(PENDING, parent.started)  # a redrive passes over those that succeeded
        parent.started = index + 1
        if (before := run.earlier.pop(index, None)) is not None:
            run.begin(index, before, self.now)
            self._redrive_child(parent, index, before)
            return
        value = run.inputs[index]
        many = run.weights is not None and run.weights[index] > 1  # then `batches` saw to it
        size = dataflow.MAX_BYTES if many else dataflow.size(value)
        if size > dataflow.MAX_BYTES:
            cause = (
                f"The input of child execution {index} is {size} bytes; an execution takes at most "
                f"{dataflow.MAX_BYTES} bytes. Reduce the item with ItemSelector."
            )
            self._map_run_failed(parent, StatesError("States.DataLimitExceeded", cause))
            return
        own = Run(run.child_arn(index), run.machine_arn, self.root.run.role_arn, type=run.type, cap=LIMITS[run.type])
        child = parent.children[index] = Frame(parent.machine, program, own, parent, index)
        child.size = size
        run.begin(index, own, self.now)
        self._launch(child, value)

    def _child_ended(self, parent: Frame, child: Frame, value: JSON) -> None:
        """A child execution succeeded with *value*."""
        if parent.children.pop(child.index, None) is not child or parent.map_run is None:
            return
        parent.map_run.end(child.index, self.now, value)
        self._proceed(parent)

    def _child_broke(self, parent: Frame, child: Frame) -> None:
        """A child execution failed or timed out: tolerated, or the Map Run fails."""
        if parent.children.pop(child.index, None) is not child or parent.map_run is None:
            return
        run = parent.map_run
        run.end(child.index, self.now)
        if run.exceeded:
            cause = "The specified tolerated failure threshold was exceeded"
            self._map_run_failed(parent, StatesError("States.ExceedToleratedFailureThreshold", cause))
        else:
            self._proceed(parent)

    def _give_up_child(self, parent: Frame, child: Frame) -> None:
        """Stop a child execution; one that ended at this very moment keeps the end it had."""
        self._close(child, "ABORTED", "ExecutionAborted", 0, StatesError(None))
        run = parent.map_run
        if run is not None and child.index in run.live:
            run.end(child.index, self.now, child.run.result)

    def _child_aborted(self, parent: Frame, child: Frame) -> None:
        """A child execution was stopped, for its Map Run or what is around that ended."""
        if parent.map_run is not None and child.index in parent.map_run.live:
            parent.map_run.end(child.index, self.now)

    def _proceed(self, parent: Frame) -> None:
        parent.left -= 1
        if not parent.left:
            self._later("_map_run_done", parent)
        elif parent.left > len(parent.children):
            self._dispatch_children(parent)

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _map_run_failed(self, frame: Frame, e: StatesError) -> None:
        """The Map Run fails, and the child executions that still run with it; what there is of results is written."""
        run = frame.map_run
        assert run is not None  # noqa: S101 - it has begun
        for child in list(frame.children.values()):
            self._give_up_child(frame, child)
        frame.children.clear()
        self._release(frame)
        if run.inputs and e.error != "States.ResultWriterFailed" and run.status == "RUNNING":
            try:
                asked = self._write(frame, e)
            except StatesError as why:
                e, asked = why, False
            if asked:
                run.status = "FAILED"  # the rest when the files are written
                return
        if run.status == "FAILED":  # it is the writing that failed; the Map Run failed for what came before
            e = frame.item[1]
        self._map_run_ends_failed(frame, e)

    def _map_run_ends_failed(self, frame: Frame, e: StatesError) -> None:
        run = frame.map_run
        assert run is not None  # noqa: S101 - it has begun
        run.close("FAILED", self.now)
        frame.results = []
        frame.last = frame.log.write("MapRunFailed", frame.last, self.now, e.error, e.cause)
        self._fail(frame, e)

    def _map_run_done(self, frame: Frame) -> None:
        """Every child execution has ended, and no more failed than is tolerated."""
        run, fields = frame.map_run, frame.state.map
        assert run is not None  # noqa: S101 - it has begun
        assert fields is not None  # noqa: S101 - compiled with it
        try:
            if self._write(frame, None):
                return
            result = state_result(run, fields.writer.config(frame.item[0], frame) if fields.writer else None)
        except StatesError as e:
            self._map_run_failed(frame, e)
            return
        self._results_written(frame, result)

    def _write(self, frame: Frame, failure: StatesError | None) -> bool:
        """Ask the world to write the result files, if any shall be; *failure* is what ended the Map Run."""
        writer, run = frame.state.map.writer if frame.state.map else None, frame.map_run
        assert run is not None  # noqa: S101 - it has begun
        if writer is None or writer.resource is None:
            return False
        value = frame.item[0]
        where, config = writer.parameters(value, frame), writer.config(value, frame)
        given = where if isinstance(where, dict) else {}
        files = ResultFiles(run, str(given.get("Bucket", "")), str(given.get("Prefix") or ""), config)
        frame.item = (value, failure)
        parameters = {**given, "Result": files.result, "Files": files}
        self._ask(frame, "writer", writer, parameters, config)
        return True

    def _results_written(self, frame: Frame, result: JSON) -> None:
        run, failure = frame.map_run, frame.item[1]
        assert run is not None  # noqa: S101 - it has begun
        run.results_written = True
        if failure is not None:
            self._map_run_ends_failed(frame, failure)
            return
        run.close("SUCCEEDED", self.now)
        frame.results, frame.map_run = [], None
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
