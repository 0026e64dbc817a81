"""What AWS takes and a person would want to know: the validator's warnings that need more than one field to see.

Each function is given the state (or the scope: an object with StartAt and States), its pointer and ``warn(code,
message, pointer)``. A warning has to be worth somebody's attention: where only the data decides, nothing is said.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from sflab.asl import choice, fields, loops
from sflab.asl.kinds import looks_dynamic
from sflab.asl.model import JSON, resource, scopes, step, unstep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Warn = Callable[[str, str, str], None]
    State = dict[str, JSON]

LIMIT = 25_000  # events of a Standard execution's history (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html)
_ATTEMPT = 3  # events of an attempt that fails: scheduled, started, failed
_SOON = 3600  # seconds: a loop that waits and still fills the history within an hour was hardly meant to
#: Items: an inline Map whose items take so many events that it cannot have more is worth a word; one inside another
#: has the items of both.
_FEW, _FEW_IN_ALL = 1_000, 2_500

_LITERAL = ("Parameters", "ResultSelector", "ItemSelector", "Assign", "BatchInput")
#: Fields that cannot fail: what has no other in a Pass, Wait, Succeed or Parallel state raises nothing.
_CONSTANT = frozenset(
    {"Type", "Comment", "QueryLanguage", "Next", "End", "Result", "Seconds", "Timestamp", "Branches", "Retry", "Catch"}
)
#: What the machine itself raises wherever a field is evaluated.
_EVALUATION = frozenset(fields.PREDEFINED_ERRORS) - {
    "States.ALL", "States.TaskFailed", "States.Timeout", "States.HeartbeatTimeout", "States.Permissions",
    "States.Http.Socket",
}  # fmt: skip
_NOT_BY_A_TASK = (
    "States.BranchFailed", "States.NoChoiceMatched", "States.ItemReaderFailed", "States.ResultWriterFailed",
    "States.ExceedToleratedFailureThreshold",
)  # fmt: skip
_RUNTIME = "States.Runtime"


# ── fields ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def literals(state: State, pointer: str, warn: Warn) -> None:
    """Text of a JSONPath state that is written as a path is, where none is read: AWS's own three warnings."""
    for where, name, value in _texts(state, pointer):
        steps = unstep(where[len(pointer) :])
        if not looks_dynamic(value):
            continue
        if state["Type"] == "Pass" and steps[0] == "Result":
            warn("PASS_RESULT_IS_STATIC", f"{value!r} is the result as it stands; Parameters reads paths", where)
        elif any(field in steps for field in _LITERAL) and not name.endswith(".$"):
            warn("NO_DOLLAR", f"{value!r} is text as it stands; write the field as '{name}.$' to read it", where)
        elif name in choice.RULE_FIELDS and f"{name}Path" in choice.RULE_FIELDS:
            warn("NO_PATH", f"{value!r} is compared as it stands; {name}Path compares with what it names", where)
        elif state["Type"] == "Fail" and name in ("Error", "Cause"):
            warn("NO_PATH", f"{value!r} is text as it stands; {name}Path reads it", where)


def _texts(state: State, pointer: str) -> Iterator[tuple[str, str, str]]:
    """Every string below a state's own fields: its pointer, the name of the nearest field, the text."""
    inner = ("Branches", "ItemProcessor", "Iterator", "Comment", "Next", "Default")
    todo: list[tuple[str, str, JSON]] = [
        (pointer + step(n), n, v) for n, v in reversed(state.items()) if n not in inner
    ]
    while todo:
        where, name, value = todo.pop()
        if isinstance(value, str):
            yield where, name, value
        elif isinstance(value, dict):
            todo += [(where + step(n), n, v) for n, v in reversed(value.items())]
        elif isinstance(value, list):
            todo += [(f"{where}/{i}", name, v) for i, v in reversed(list(enumerate(value)))]


def task(state: State, pointer: str, warn: Warn) -> None:
    """A heartbeat that comes too late, and a token that nobody is given."""
    timeout, heartbeat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
    if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat >= timeout:
        said = f"HeartbeatSeconds ({heartbeat}) is not below TimeoutSeconds ({timeout}): it never matters"
        warn("HEARTBEAT_NOT_BELOW_TIMEOUT", said, pointer)
    text = state.get("Resource")
    if isinstance(text, str) and resource(text).pattern == "waitForTaskToken":
        given = [v for _, _, v in _texts({n: state[n] for n in ("Parameters", "Arguments") if n in state}, pointer)]
        if not any(_gives_token(each) for each in given):
            said = "no field gives the task's token ({}), so nobody can answer and the state waits for its timeout"
            token = "$states.context.Task.Token" if "Arguments" in state else "$$.Task.Token"
            warn("TASK_TOKEN_NOT_SENT", said.format(token), pointer)


def _gives_token(text: str) -> bool:
    """Whether a path or an expression reads the token, the object that has it, or who knows what."""
    return "Task" in text or "${" in text or text.strip() in ("$$", "{% $states.context %}", "{% $states %}")


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def never_matches(state: State, pointer: str, warn: Warn) -> None:
    """Retriers and catchers that no error gets to: it was taken before, cannot be taken, or is never raised."""
    raised = raises(state)
    for field, what in (("Retry", "retrier"), ("Catch", "catcher")):
        taken: set[str] = set()
        items = state.get(field)
        for i, item in enumerate(items if isinstance(items, list) else ()):
            names = item.get("ErrorEquals") if isinstance(item, dict) else None
            if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
                continue
            why = _never(names, taken, raised, state)
            if why:
                warn("NEVER_MATCHES", f"this {what} never matches: {why}", f"{pointer}/{field}/{i}/ErrorEquals")
            taken.update(names)


def _never(names: list[str], taken: set[str], raised: frozenset[str] | None, state: State) -> str:
    if names == [_RUNTIME]:
        return f"{_RUNTIME} is never caught or retried"
    if all(_taken(name, taken) for name in names):
        return "others before it take every error it names"
    if raised is not None and not any(_possible(name, raised) for name in names):
        some = "nothing in this state can fail" if not raised else f"no state inside raises {', '.join(names)}"
        return some if state["Type"] != "Task" else f"no task raises {', '.join(names)}"
    unheard = "States.HeartbeatTimeout" in names and not {"HeartbeatSeconds", "HeartbeatSecondsPath"} & set(state)
    if state["Type"] == "Task":
        left = [n for n in names if n not in _NOT_BY_A_TASK and not (unheard and n == "States.HeartbeatTimeout")]
        if not left:
            return "the task has no heartbeat" if unheard else f"no task raises {', '.join(names)}"
    return ""


def _taken(name: str, taken: set[str]) -> bool:
    """Whether an error of that name never gets past retriers or catchers that name *taken* (see `program.matches`)."""
    if name == _RUNTIME or name in taken or "States.ALL" in taken:
        return True
    return "States.TaskFailed" in taken and name not in ("States.Timeout", "States.ALL")


def _possible(name: str, raised: frozenset[str]) -> bool:
    if name == "States.TaskFailed":
        return bool(raised - {"States.Timeout"})
    return bool(raised) if name == "States.ALL" else name in raised


def raises(state: State) -> frozenset[str] | None:
    """Return the names of the errors a state can end with; None where nobody knows: a Task is in it."""
    kind = state.get("Type")
    if kind == "Fail":
        name = state.get("Error", "")
        known = isinstance(name, str) and "{%" not in name and "${" not in name and "ErrorPath" not in state
        return frozenset({name}) if known else None
    if kind not in ("Pass", "Wait", "Succeed", "Choice", "Parallel", "Map"):
        return None
    names = frozenset() if set(state) <= _CONSTANT else _EVALUATION
    for _, inner in scopes(state, ""):
        for each in _states(inner).values():
            more = raises(each)
            if more is None:
                return None
            names |= more
    return names


# ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def events(state: State) -> int:
    """Return the events that one visit of a state writes at least, as recorded histories have them."""
    kind, inside = state.get("Type"), list(scopes(state, ""))
    if kind == "Task":
        return 6 if resource(str(state.get("Resource"))).pattern else 5
    if kind == "Parallel":
        return 4 + sum(cheapest(inner) for _, inner in inside)
    if kind == "Map":
        return 6 if distributed(state) else 4
    return 1 if kind == "Fail" else 2


def cheapest(scope: State) -> int:
    """Return the events of the shortest way through a scope."""
    states = _states(scope)
    after = {name: [t for t, _ in targets(each, "") if t in states] for name, each in states.items()}
    weights = {name: events(each) for name, each in states.items()}
    start = scope.get("StartAt")
    ends = {n for n, s in states.items() if s.get("Type") in ("Succeed", "Fail") or s.get("End") is True}
    found = _distances(after, weights, start) if start in states else {}
    return min((cost for name, cost in found.items() if name in ends), default=0)


def _distances(after: dict[str, list[Any]], weights: dict[str, int], start: Any) -> dict[str, int]:
    """Return {state: events of the cheapest way to it and through it}."""
    out: dict[str, int] = {}
    todo = [(weights[start], start)]
    while todo:
        cost, name = heapq.heappop(todo)
        if name in out:
            continue
        out[name] = cost
        for target in after.get(name, ()):
            if target not in out:
                heapq.heappush(todo, (cost + weights[target], target))
    return out


def endless(scope: State, pointer: str, reached: set[str], warn: Warn) -> None:
    """Loops that fill the history: no transition leaves them, or they go round too fast."""
    states = {name: each for name, each in _states(scope).items() if name in reached}
    after = {name: [t for t, _ in targets(each, "") if t in states] for name, each in states.items()}
    for loop in loops.loops(after):
        inside = {name: [t for t in after[name] if t in loop] for name in loop}
        weights = {name: events(states[name]) for name in loop}
        first = loop[0]
        ways = _distances(inside, weights, first)
        cost = min(ways[name] for name in loop if name in ways and first in inside[name])
        passes, waits = LIMIT // cost, [states[name] for name in loop if states[name].get("Type") == "Wait"]
        seconds = sum(each["Seconds"] for each in waits if isinstance(each.get("Seconds"), int))
        known = all(isinstance(each.get("Seconds"), int) for each in waits)
        shown = ", ".join(loop[:4]) + (", …" if len(loop) > 4 else "")
        takes = f", {_span(passes * seconds)}" if known and seconds else ""
        full = f"at {cost} events a pass, {passes:,} passes{takes} fill the history ({LIMIT:,} events) and it fails"
        if not any(_leaves(states[name], loop) for name in loop):
            warn("EVENT_LIMIT_RISK", f"nothing ends the loop {shown}: {full}", f"{pointer}/States{step(first)}")
        elif known and 0 < passes * seconds < _SOON:
            warn("EVENT_LIMIT_RISK", f"the loop {shown} waits {seconds} s: {full}", f"{pointer}/States{step(first)}")


def _leaves(state: State, loop: list[str]) -> bool:
    """Whether the execution ends here, or a transition leaves the loop: a rule's, a catcher's, or a token's."""
    return state.get("End") is True or any(name not in loop for name, _ in targets(state, ""))


def _span(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= size * 2:
            return f"{seconds / size:,.0f} {name}"
    return f"{seconds:,.0f} seconds"


def items(state: State, pointer: str, around: int, warn: Warn) -> None:
    """An inline Map whose items' events do not fit into one history; *around* counts the inline Maps it is in."""
    cost = max((2 + cheapest(inner) for _, inner in scopes(state, "")), default=2)
    most, given = LIMIT // cost, state.get("Items")
    if isinstance(given, list) and len(given) > most:
        said = f"{len(given):,} items of {cost} events each are more than the {LIMIT:,} events of one history"
    elif most < (_FEW_IN_ALL if around else _FEW):
        said = f"an item takes {cost} events"
        said += ", and so each of the items of the Map around it" if around else ""
        said += f": more than {most:,} items{' in all' if around else ''} overflow the history ({LIMIT:,} events)"
    else:
        return
    warn("EVENT_LIMIT_RISK", f"{said}; a Distributed Map has a history for each", pointer)


def attempts(state: State, pointer: str, warn: Warn) -> None:
    """A retrier whose attempts alone fill the history."""
    retriers = state.get("Retry")
    for i, each in enumerate(retriers if isinstance(retriers, list) else ()):
        count = each.get("MaxAttempts") if isinstance(each, dict) else None
        if isinstance(count, int) and count * _ATTEMPT > LIMIT:
            said = f"{count:,} attempts of {_ATTEMPT} events each are more than the {LIMIT:,} events of a history"
            warn("EVENT_LIMIT_RISK", said, f"{pointer}/Retry/{i}/MaxAttempts")


# ── small questions ──────────────────────────────────────────────────────────────────────────────────────────────────


def _states(scope: State) -> dict[str, State]:
    states = scope.get("States")
    return {n: s for n, s in states.items() if isinstance(s, dict)} if isinstance(states, dict) else {}


def distributed(state: State) -> bool:
    """Whether a Map state is a Distributed Map."""
    for _, processor in scopes(state, ""):
        config = processor.get("ProcessorConfig")
        if isinstance(config, dict) and config.get("Mode") == "DISTRIBUTED":
            return True
    return False


def targets(state: State, pointer: str) -> list[tuple[JSON, str]]:
    """Every state this one names, with where it does."""
    out = [(state[name], f"{pointer}/{name}") for name in ("Next", "Default") if isinstance(state.get(name), str)]
    for name in ("Choices", "Catch"):
        each = state.get(name)
        for i, item in enumerate(each if isinstance(each, list) else ()):
            if isinstance(item, dict) and isinstance(item.get("Next"), str):
                out.append((item["Next"], f"{pointer}/{name}/{i}/Next"))
    return out
