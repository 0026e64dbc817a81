"""Running a definition on virtual time with a worker of a few lines."""

import json
from collections import defaultdict

import pytest

from sflab.asl.parse import load
from sflab.asl.program import compile_program
from sflab.asl.validate import validate
from sflab.backends.drivers import EPOCH, Drive
from sflab.engine.history import details
from sflab.engine.machine import Machine
from sflab.engine.messages import TaskFailed, TaskStarted, TaskSucceeded


class Answers:
    """A worker. *answers*: state -> list of what its attempts answer, the last one for ever after.

    An answer is a value, an exception (its class is the error, its text the cause), None for no answer at all, or an
    `Answer`. ``after`` is the seconds before it, by state.
    """

    def __init__(self, answers, after):
        self.answers, self.after = answers, after
        self.commands, self.asked = [], defaultdict(int)

    def __call__(self, command):
        self.commands.append(command)
        given = self.answers.get(command.state, [{}])
        n = self.asked[command.state]
        self.asked[command.state] += 1
        answer = given[min(n, len(given) - 1)]
        delay = self.after.get(command.state, 0)
        if command.kind == "activity" and answer is not None and not isinstance(answer, Answer):
            yield 0, TaskStarted(command.token, "w")
        if isinstance(answer, BaseException):
            yield delay, TaskFailed(command.token, type(answer).__name__, str(answer) or None)
        elif isinstance(answer, Answer):
            for wait, make in answer.replies:
                yield wait, make(command.token)
        elif answer is not None:
            yield delay, TaskSucceeded(command.token, answer)


class Answer:
    """Replies spelt out: (delay, a function of the token)."""

    def __init__(self, *replies):
        self.replies = replies


class Ran:
    """A machine that has run, and how to look at it."""

    def __init__(self, machine, drive, worker):
        self.machine, self.drive, self.worker = machine, drive, worker
        self.events = machine.log.events()

    def __getattr__(self, name):
        return getattr(self.machine, name)

    @property
    def result(self):
        return None if self.machine.output is None else json.loads(self.machine.output)

    @property
    def types(self):
        return [e["type"] for e in self.events]

    def of(self, *kinds):
        """(id, previousEventId, details) of the events of these types."""
        return [(e["id"], e["previousEventId"], details(e)) for e in self.events if e["type"] in kinds]

    def at(self, *kinds):
        """When events of these types happened, in seconds after the start."""
        return [e["timestamp"].timestamp() - EPOCH for e in self.events if e["type"] in kinds]

    @property
    def story(self):
        """The events in short: ``id<previous Type name-or-index``."""
        out = []
        for e in self.events:
            said = details(e)
            name = said.get("name", "")
            index = f"[{said['index']}]" if "index" in said else ""
            out.append(f"{e['id']}<{e['previousEventId']} {e['type']} {name}{index}".strip())
        return out


@pytest.fixture
def run():
    """``run(raw, input, {state: [answers]}, after={state: seconds}, **machine)``: run a valid definition to its end."""

    def go(raw, input=None, answers=None, *, after=None, until=float("inf"), text=None, **about):
        definition = load(raw)
        wrong = [d for d in validate(definition, about.get("type", "STANDARD")) if d.severity == "ERROR"]
        assert wrong == []
        machine = Machine(compile_program(definition.raw), **about)
        worker = Answers(answers or {}, after or {})
        drive = Drive(machine, worker)
        drive.run(json.dumps({} if input is None else input) if text is None else text, until=until)
        return Ran(machine, drive, worker)

    go.answer = Answer
    return go
