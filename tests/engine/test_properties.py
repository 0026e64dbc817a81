"""What holds for every execution, tried on random state machines with random answers, failures and latencies.

A machine is drawn with its worker: what a task answers is a function of a seed and of which task it is, so that a
run can be repeated, cut anywhere and continued.
"""

import copy
import json
import pickle
import random
from collections import Counter, defaultdict
from datetime import datetime

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sflab.asl.model import STATE_TYPES
from sflab.asl.parse import load
from sflab.asl.program import compile_program
from sflab.asl.validate import validate
from sflab.backends.drivers import EPOCH, Drive
from sflab.engine.history import normalise, steps, visits
from sflab.engine.machine import Machine
from sflab.engine.messages import CancelTask, Heartbeat, TaskFailed, TaskStarted, TaskSubmitted, TaskSucceeded

LAMBDA = "arn:aws:lambda:us-east-1:123456789012:function:work"
ACTIVITY = "arn:aws:states:us-east-1:123456789012:activity:work"
RESOURCES = (
    LAMBDA,
    LAMBDA,
    ACTIVITY,
    "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
    "arn:aws:states:::states:startExecution.sync:2",
    "arn:aws:states:::lambda:invoke",
)
ERRORS = ("Boom", "Other", "States.TaskFailed", "States.Timeout", "States.Runtime")
CAUGHT = ("Boom", "Other", "States.TaskFailed", "States.Timeout", "States.ALL", "States.BranchFailed")
ENDED = {"SUCCEEDED", "FAILED", "TIMED_OUT"}

# ── random state machines ────────────────────────────────────────────────────────────────────────────────────────────

# Data is an object with n, tag and items wherever tasks and templates made it; some paths lead nowhere, and fail.
paths = st.sampled_from(["$", "$", "$", "$.items[*]", "$..n", "$.items[?(@ > 1)]", "$.nowhere"])
templates = st.sampled_from(
    [
        {"n.$": "$.n", "tag": "made", "items.$": "$.items"},
        {"n": 3, "items": [3, 1, 2], "was.$": "$"},
        {"n.$": "States.MathAdd($.n, 1)", "items.$": "$.items", "tag.$": "States.Format('{}-{}', $.tag, $.n)"},
        {"n.$": "States.ArrayLength($.items)", "items.$": "States.ArrayRange(1, 3, 1)", "id.$": "States.UUID()"},
        {"n": 1, "items": [{"n": 1, "items": [1, 2]}, {"n": 2, "items": []}], "where.$": "$$.State.Name"},
    ]
)
result_paths = st.sampled_from(["$", "$.result", "$.deep.er", None])


@st.composite
def choice_rules(draw, targets):
    comparison = st.sampled_from(
        [
            {"Variable": "$.n", "NumericGreaterThan": 1},
            {"Variable": "$.tag", "StringMatches": "m*e"},
            {"Variable": "$.tag", "StringEqualsPath": "$.tag"},
            {"Variable": "$.items", "IsPresent": True},
            {"Variable": "$.n", "IsNumeric": True},
            {"And": [{"Variable": "$.n", "IsPresent": True}, {"Not": {"Variable": "$.n", "NumericEquals": 1}}]},
        ]
    )
    return [{**draw(comparison), "Next": draw(st.sampled_from(targets))} for _ in range(draw(st.integers(1, 2)))]


#: What a retrier or a catcher names; States.ALL stands alone.
errors = st.lists(st.sampled_from(CAUGHT), min_size=1, max_size=2, unique=True).map(
    lambda names: ["States.ALL"] if "States.ALL" in names else names
)


def last(items):
    """Retriers or catchers with States.ALL after the others, and once."""
    every = [item for item in items if item["ErrorEquals"] == ["States.ALL"]]
    return [item for item in items if item["ErrorEquals"] != ["States.ALL"]] + every[:1]


@st.composite
def retriers(draw):
    retrier = st.fixed_dictionaries(
        {"ErrorEquals": errors},
        optional={
            "IntervalSeconds": st.integers(1, 3),
            "MaxAttempts": st.integers(0, 2),
            "BackoffRate": st.sampled_from([1.0, 1.5, 2.0]),
            "MaxDelaySeconds": st.integers(1, 4),
            "JitterStrategy": st.sampled_from(["FULL", "NONE"]),
        },
    )
    return last(draw(st.lists(retrier, max_size=2)))


class Names:
    """State names, used once in the whole definition."""

    def __init__(self):
        self.count = 0

    def __call__(self, kind):
        self.count += 1
        return f"{kind}{self.count}"


@st.composite
def scopes(draw, names, depth):
    """An object with StartAt and States; transitions lead forwards only, so that every execution ends."""
    kinds = ["Pass", "Choice", "Wait", "Task", "Task", "Task"] + (["Parallel", "Map"] * 2 if depth else [])
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3))
    last = draw(st.sampled_from(["Pass", "Task", "Succeed", "Fail" if draw(st.booleans()) else "Wait"]))
    order = [names(kind) for kind in [*chosen, last]]
    states = {}
    for i, (name, kind) in enumerate(zip(order, [*chosen, last], strict=True)):
        later = order[i + 1 :]
        state = {"Type": kind, **draw(bodies(kind, names, depth, later))}
        if kind not in ("Choice", "Succeed", "Fail"):
            state.update({"Next": later[0]} if later else {"End": True})
        states[name] = state
    return {"StartAt": order[0], "States": named(order[0], states)}


def named(start, states):
    """The states less those that none of the others names: AWS refuses them."""
    said = "".join(json.dumps(state) for state in states.values())
    kept = {name: state for name, state in states.items() if name == start or f'": "{name}"' in said}
    return states if kept == states else named(start, kept)


@st.composite
def bodies(draw, kind, names, depth, later):  # noqa: C901 - a table of what each type has
    body = {}
    if kind not in ("Fail", "Map") and draw(st.integers(0, 4)) == 0:
        body["InputPath"] = draw(paths)
    if kind in ("Pass", "Task", "Parallel"):
        if draw(st.booleans()):
            body["Parameters"] = draw(templates)
        if draw(st.booleans()):
            body["ResultPath"] = draw(result_paths)
    match kind:
        case "Pass" if draw(st.booleans()):
            body["Result"] = draw(st.sampled_from([{"n": 2, "tag": "made", "items": [1, 2]}, [1, [2]], "text", None]))
        case "Choice":
            body["Choices"] = draw(choice_rules(later))
            if draw(st.integers(0, 3)):
                body["Default"] = draw(st.sampled_from(later))
        case "Wait":
            body |= draw(st.sampled_from([{"Seconds": 0}, {"Seconds": 2}, {"SecondsPath": "$.n"}, {"Seconds": 1}]))
        case "Fail":
            body |= {"Error": draw(st.sampled_from(ERRORS[:3])), "Cause": "said so"}
        case "Task":
            body["Resource"] = draw(st.sampled_from(RESOURCES))
            if draw(st.booleans()):
                body["TimeoutSeconds"] = draw(st.integers(2, 6))
                if draw(st.booleans()):
                    body["HeartbeatSeconds"] = 1
        case "Parallel":
            body["Branches"] = [draw(scopes(names, depth - 1)) for _ in range(draw(st.integers(1, 3)))]
        case "Map":
            items = {"ItemsPath": draw(st.sampled_from(["$.items", "$.items", "$.nowhere"]))}
            body |= draw(st.sampled_from([items, items, {}]))
            body[draw(st.sampled_from(["ItemProcessor", "Iterator"]))] = draw(scopes(names, depth - 1))
            if draw(st.booleans()):
                body["MaxConcurrency"] = draw(st.integers(0, 2))
            if draw(st.booleans()):
                body["ItemSelector"] = {
                    "n.$": "$$.Map.Item.Index",
                    "tag": "made",
                    "items.$": "$.items",
                    "it.$": "$$.Map.Item.Value",
                }
    if kind in ("Task", "Parallel", "Map"):
        if draw(st.booleans()):
            body["Retry"] = draw(retriers())
        if later and draw(st.booleans()):
            body["Catch"] = [
                {"ErrorEquals": draw(errors), "Next": draw(st.sampled_from(later)), "ResultPath": "$.error"}
            ]
            if draw(st.booleans()):
                body["Catch"] = last([{"ErrorEquals": ["States.ALL"], "Next": later[-1]}, *body["Catch"]])
    return body


@st.composite
def machines(draw):
    names = Names()
    raw = draw(scopes(names, draw(st.integers(0, 3))))
    if draw(st.integers(0, 5)) == 0:
        raw["TimeoutSeconds"] = draw(st.integers(1, 6))
    return raw


inputs = st.sampled_from(
    [
        {"n": 1, "tag": "made", "items": [1, 2, 3]},
        {"n": 2, "tag": "x", "items": [{"n": 1, "tag": "made", "items": [4]}, {"n": 0, "tag": "y", "items": []}]},
        {"n": 0, "items": []},
        [1, 2, 3, 4],
    ]
)
cases = st.tuples(machines(), inputs, st.integers(0, 2**16))
# Whether a machine fails, or still runs at some moment, is known only when it has run: that filters many.
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
some = settings(max_examples=60, suppress_health_check=SLOW)

# ── running them ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Worker:
    """Answers by a seed and by which task it is: path, state, attempt, and the how-manieth time it is asked for
    that.
    """

    def __init__(self, seed):
        self.seed = seed
        self.commands = []
        self.given = []  # (what was answered, a copy of it)
        self.asked = Counter()

    def __call__(self, command):
        self.commands.append(command)
        key = (command.path, command.pointer, command.attempt)
        self.asked[key] += 1
        rng = random.Random(f"{self.seed}/{key}/{self.asked[key]}")
        took = rng.choice([0, 0, 0.25, 0.5, 1, 2, 5])
        if command.kind == "activity":
            yield 0, TaskStarted(command.token, "worker-1")
        if command.pattern:
            yield 0, TaskSubmitted(command.token, {"MessageId": "m"})
        if command.heartbeat and rng.random() < 0.7:
            for n in range(1, int(took * 2) + 1):
                yield n * 0.5, Heartbeat(command.token)
        if command.timeout and rng.random() < 0.1:
            return  # never: it times out
        if rng.random() < 0.3:
            yield took, TaskFailed(command.token, rng.choice(ERRORS), rng.choice([None, "because"]))
            return
        output = rng.choice(
            [
                {"n": rng.randrange(4), "tag": "made", "items": [1, 2, 3][: rng.randrange(4)]},
                {"n": 1, "tag": "z", "items": [{"n": 1, "items": [1]}, {"n": 2, "items": []}]},
                [1, 2],
                "text",
                None,
            ]
        )
        self.given.append((output, copy.deepcopy(output)))
        yield took, TaskSucceeded(command.token, output)

    def saved(self):
        return copy.deepcopy(self.asked)


def prepare(raw, seed, worker=None):
    definition = load(raw)
    worker = worker or Worker(seed)
    return definition, Drive(Machine(compile_program(definition.raw), seed=seed), worker)


def run(raw, input, seed, worker=None):
    """Run it to its end; returns (definition, drive)."""
    definition, drive = prepare(raw, seed, worker)
    drive.run(json.dumps(input))
    return definition, drive


def outcome(machine):
    return machine.status, machine.output, machine.error, machine.cause, machine.log.events()


def moments(raw, input, seed):
    """Run it, saving machine, what is to come and worker between any two replies; returns (drive, what was saved)."""
    _, drive = prepare(raw, seed)
    saved = []
    drive.on_progress = lambda: saved.append(pickle.dumps((drive.machine, drive.pending(), drive.worker.asked)))
    drive.run(json.dumps(input))
    return drive, saved


def resume(saved, seed):
    machine, pending, asked = pickle.loads(saved)
    drive = Drive(machine, Worker(seed))
    drive.worker.asked = asked
    return drive, pending


# ── the properties ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_machines_tried_here_are_valid_and_use_every_state_type():
    seen = Counter()

    @settings(some, derandomize=True, database=None, max_examples=150)
    @given(machines())
    def look(raw):
        definition = load(raw)
        assert [d for d in validate(definition) if d.severity == "ERROR"] == []
        seen.update(place.state["Type"] for place in definition.places())

    look()
    assert set(seen) == set(STATE_TYPES)


@some
@given(cases, st.data())
def test_any_prefix_of_a_run_pickles_and_continues_to_the_same_history_status_and_output(case, data):
    drive, saved = moments(*case)
    assume(saved)
    for n in data.draw(st.lists(st.integers(0, len(saved) - 1), min_size=1, max_size=3, unique=True)):
        again, pending = resume(saved[n], case[2])
        again.resume(pending)
        assert outcome(again.machine) == outcome(drive.machine)


@some
@given(cases)
def test_the_same_run_twice_is_the_same_event_for_event(case):
    assert outcome(run(*case)[1].machine) == outcome(run(*case)[1].machine)


@some
@given(cases)
def test_every_execution_ends_and_leaves_nothing_waiting(case):
    machine = run(*case)[1].machine
    assert machine.status in ENDED
    assert not machine.waits
    assert not machine.agenda
    assert (machine.output is not None) == (machine.status == "SUCCEEDED")
    last = machine.log.events()[-1]
    assert last["type"] == {"SUCCEEDED": "ExecutionSucceeded", "FAILED": "ExecutionFailed"}.get(
        machine.status, "ExecutionTimedOut"
    )


class Recorded:
    """A worker that answers from a history: each task as it was answered there, after the same time."""

    def __init__(self, events, definition):
        self.answers = defaultdict(list)
        self.commands = []
        chains, reader = {}, visits(events, definition)
        for event, step in zip(events, steps(events, definition), strict=True):
            kind = event["type"]
            if kind.endswith("Scheduled"):
                visit = reader[step.visit]
                chains[event["id"]] = (event["timestamp"], chain := [])
                self.answers[visit.path, visit.pointer].append(chain)
            elif event["previousEventId"] in chains and kind.startswith(("Task", "Lambda", "Activity")):
                since, chain = chains[event["id"]] = chains[event["previousEventId"]]
                chain.append(((event["timestamp"] - since).total_seconds(), kind, self.details(event)))

    @staticmethod
    def details(event):
        return next((v for k, v in event.items() if k.endswith("EventDetails")), {})

    def __call__(self, command):
        self.commands.append(command)
        for delay, kind, d in self.answers[command.path, command.pointer].pop(0):
            if kind == "ActivityStarted":
                yield delay, TaskStarted(command.token, d["workerName"])
            elif kind == "TaskSubmitted":
                yield delay, TaskSubmitted(command.token, json.loads(d["output"]))
            elif kind.endswith("Succeeded"):
                yield delay, TaskSucceeded(command.token, json.loads(d["output"]))
            elif kind.endswith("Failed"):
                yield delay, TaskFailed(command.token, d.get("error"), d.get("cause"))


def without(value, name):
    """*value* with no member *name* anywhere."""
    if isinstance(value, dict):
        return {k: without(v, name) for k, v in value.items() if k != name}
    return [without(v, name) for v in value] if isinstance(value, list) else value


@some
@given(cases)
def test_replay_equals_run_a_worker_that_answers_from_the_history_gives_the_same_history(case):
    raw, input, seed = case
    raw = without(raw, "HeartbeatSeconds")  # heartbeats are in no history: when one was missed cannot be told from it
    definition, drive = run(raw, input, seed)
    recorded = Recorded(drive.machine.log.events(), definition)
    _, replayed = run(raw, input, seed, recorded)
    assert replayed.machine.log.events() == drive.machine.log.events()
    assert outcome(replayed.machine) == outcome(drive.machine)


@some
@given(cases, st.data())
def test_stop_at_any_moment_aborts_and_leaves_nothing_waiting(case, data):
    drive, saved = moments(*case)
    assume(saved)
    machine = resume(data.draw(st.sampled_from(saved)), case[2])[0].machine
    was_running, before, waiting = machine.running, machine.log.events(), dict(machine.waits)
    tasks = {token for token, (_, verb) in waiting.items() if verb == "_task"}
    commands = machine.stop("Why", "Because", at=machine.now + 1)
    events = machine.log.events()
    if not was_running:
        assert (commands, events) == ([], before)
        return
    assert machine.status == "ABORTED"
    assert events[:-1] == before
    assert (events[-1]["type"], events[-1]["previousEventId"]) == ("ExecutionAborted", 0)
    assert events[-1]["executionAbortedEventDetails"] == {"error": "Why", "cause": "Because"}
    assert (not machine.waits, not machine.agenda, not machine.root.children) == (True, True, True)
    assert {type(c) for c in commands} <= {CancelTask}
    assert sorted(c.token for c in commands) == sorted(tasks), "every task in flight is given up, once"
    # what still arrives, and stopping again, changes nothing
    late = [reply for _, reply in drive.pending()] + [TaskSucceeded(token, 1) for token in waiting]
    assert machine.reply(*late, at=machine.now + 2) == []
    assert machine.stop(at=machine.now + 3) == []
    assert machine.log.events() == events


@some
@given(cases)
def test_ids_are_dense_every_previous_event_exists_before_its_event_and_time_never_goes_back(case):
    events = run(*case)[1].machine.log.events()
    assert [e["id"] for e in events] == list(range(1, len(events) + 1))
    assert all(0 <= e["previousEventId"] < e["id"] for e in events)
    beginnings = {e["id"] for e in events if e["previousEventId"] == 0 and e["type"] != "ExecutionTimedOut"}
    assert beginnings <= {1, 2}
    times = [e["timestamp"] for e in events]
    assert times == sorted(times)
    assert times[0].timestamp() == EPOCH
    assert [e["type"] for e in events].count("ExecutionStarted") == 1


@some
@given(cases)
def test_every_entered_state_is_exited_once_or_ends_by_an_abort_or_a_failure(case):
    machine = run(*case)[1].machine
    events = machine.log.events()
    entered, exited, aborted = Counter(), Counter(), Counter()
    open_ = Counter()
    for e in events:
        kind = e["type"]
        if kind.endswith("StateEntered"):
            entered[kind[: -len("StateEntered")]] += 1
            open_[e["stateEnteredEventDetails"]["name"]] += 1
        elif kind.endswith("StateExited"):
            exited[kind[: -len("StateExited")]] += 1
            open_[e["stateExitedEventDetails"]["name"]] -= 1
            assert open_[e["stateExitedEventDetails"]["name"]] >= 0, "exited more often than entered"
        elif kind.endswith("StateAborted"):
            aborted[kind[: -len("StateAborted")]] += 1
    left = {kind: entered[kind] - exited[kind] - aborted[kind] for kind in ("Task", "Wait", "Parallel", "Map")}
    assert min(left.values()) >= 0
    assert entered["Fail"] >= exited["Fail"] == 0
    if machine.status == "SUCCEEDED":
        assert set(left.values()) == {0}
        assert sum(entered.values()) >= sum(exited.values())
    if machine.status == "FAILED":  # only the state the execution itself failed in is neither left nor aborted
        assert sum(left.values()) <= 1


@some
@given(cases)
def test_visits_agree_with_the_events(case):
    raw, input, seed = case
    definition, drive = run(raw, input, seed)
    events = drive.machine.log.events()
    by_id = {e["id"]: e for e in events}
    found = visits(events, definition)
    places = {p.pointer: p for p in definition.places()}
    kind_of = {p.name: p.state["Type"] for p in places.values()}
    assert [v.entered_id for v in found] == [e["id"] for e in events if e["type"].endswith("StateEntered")]
    for v in found:
        entered = by_id[v.entered_id]
        assert (v.state, v.input) == tuple(entered["stateEnteredEventDetails"][k] for k in ("name", "input"))
        assert entered["type"] == f"{v.type}StateEntered"
        assert places[v.pointer].name == v.state
        assert places[v.pointer].state["Type"] == v.type
        assert nesting(v.pointer) == [
            (state, index if kind_of[state] == "Parallel" else None) for state, index in v.path
        ]
        if v.exited_id is not None:
            left = by_id[v.exited_id]
            assert left["type"] == f"{v.type}StateExited"
            assert (v.state, v.output) == tuple(left["stateExitedEventDetails"][k] for k in ("name", "output"))
            assert v.status in ("SUCCEEDED", "CAUGHT")
        else:
            assert v.status in ("FAILED", "ABORTED")
        assert (v.error is None) or v.status in ("FAILED", "CAUGHT", "ABORTED")
        kinds = [by_id[n]["type"] for n in v.events]
        tries = sum(k.endswith(("Scheduled", "MapStateStarted", "ParallelStateStarted")) for k in kinds)
        assert v.attempts == max(tries, 1)
        after = [e for e in events if v.exited_id and e["previousEventId"] == v.exited_id]
        entered = [e["stateEnteredEventDetails"]["name"] for e in after if e["type"].endswith("StateEntered")]
        assert [v.next] == (entered or [None])
        assert v.seconds >= 0
        assert v.exited_id is None or v.exited == by_id[v.exited_id]["timestamp"].timestamp()
    exits = [v.exited_id for v in found if v.exited_id]
    assert sorted(exits) == [e["id"] for e in events if e["type"].endswith("StateExited")]
    belongs = [n for v in found for n in v.events]
    assert len(belongs) == len(set(belongs)), "an event belongs to one visit"
    assert set(by_id) - set(belongs) == {e["id"] for e in events if e["type"].startswith("Execution")}
    assert [s.visit for s in steps(events, definition)] == [
        next((v.index for v in found if e["id"] in v.events), None) for e in events
    ]


@some
@given(cases)
def test_visits_know_which_iteration_and_branch_a_task_was_in_as_the_machine_did(case):
    raw, input, seed = case
    worker = Worker(seed)
    definition, drive = run(raw, input, seed, worker)
    events = drive.machine.log.events()
    read = Counter()
    for v in visits(events, definition):
        started = [events[n - 1]["type"] for n in v.events]
        read[v.pointer, v.path] += sum(kind.endswith("Scheduled") for kind in started)
    asked = Counter((c.pointer, c.path) for c in worker.commands)
    # a task that is scheduled in the very moment its iteration is aborted is never handed out
    assert not asked - read


def nesting(pointer):
    """The enclosing states a pointer names, each with its branch (None for a Map)."""
    parts, out = pointer.split("/")[1:], []
    while len(parts) > 2:
        name, scope = parts[1], parts[2]
        out.append((name, int(parts[3]) if scope == "Branches" else None))
        parts = parts[4:] if scope == "Branches" else parts[3:]
    return out


@some
@given(cases)
def test_a_history_saved_as_json_and_read_again_is_the_same(case):
    events = run(*case)[1].machine.log.events()
    text = json.dumps({"events": events}, default=lambda moment: moment.isoformat())
    assert normalise(json.loads(text)) == events
    assert normalise(list(reversed(json.loads(text)["events"]))) == events
    assert normalise(events) == events


@some
@given(cases, st.sampled_from([None, 0, 1, 3]), st.sampled_from([datetime.isoformat, datetime.timestamp]))
def test_a_log_written_as_text_is_what_its_events_are_as_text(case, indent, default):
    log = run(*case)[1].machine.log
    said = {"indent": indent, "default": default}
    for part in ((0, None), (1, 4), (len(log), None)):
        assert log.json(*part, **said) == json.dumps({"events": log.events(*part)}, ensure_ascii=False, **said)


@some
@given(cases)
def test_definitions_inputs_and_results_are_never_changed_in_place(case):
    raw, input, seed = case
    worker, before = Worker(seed), copy.deepcopy((raw, input))
    definition, drive = prepare(raw, seed, worker)
    compiled, seen = copy.deepcopy(definition.raw), []
    drive.on_progress = lambda: seen.append(drive.machine.log.events())
    drive.run(json.dumps(input))
    final = drive.machine.log.events()
    assert (raw, input) == before
    assert definition.raw == compiled
    assert [now for now, _ in worker.given] == [then for _, then in worker.given]
    assert drive.machine.root.run.input == input
    for earlier in seen:
        assert final[: len(earlier)] == earlier, "an event that has been written stays as it is"


@some
@given(cases, st.integers(1, 4))
def test_timeout_seconds_end_an_execution_that_lasts_longer_at_that_second(case, limit):
    raw, input, seed = case
    raw = {k: v for k, v in raw.items() if k != "TimeoutSeconds"}
    whole = run(raw, input, seed)[1].machine
    lasted = whole.log.events()[-1]["timestamp"].timestamp() - EPOCH
    limited = run({**raw, "TimeoutSeconds": limit}, input, seed)[1].machine
    events = limited.log.events()
    if lasted < limit:
        assert (limited.status, limited.output, events) == (whole.status, whole.output, whole.log.events())
    elif lasted > limit:
        assert (limited.status, limited.error) == ("TIMED_OUT", "States.Timeout")
        assert events[-1]["type"] == "ExecutionTimedOut"
        assert events[-1]["timestamp"].timestamp() == EPOCH + limit
        assert not limited.waits
        shared = [e for e in whole.log.events() if e["timestamp"].timestamp() < EPOCH + limit]
        assert events[: len(shared)] == shared
