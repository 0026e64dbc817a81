"""Going on with another definition, or other data, from where an execution stands.

Both change a `Player` that stands somewhere (`sflab.engine.replay.stand`) before a machine adopts it. A state is the
same one in both definitions if it is at the same place, or else if it is the only one of its name, and of one type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sflab.asl.model import StatesError
from sflab.engine.replay import frames
from sflab.errors import ReplayError

if TYPE_CHECKING:
    from sflab.asl.model import JSON
    from sflab.asl.program import Program, State
    from sflab.engine.frames import Frame
    from sflab.engine.replay import Player


def transplant(player: Player, program: Program) -> None:
    """Let the execution go on with *program*.

    Raises ReplayError when it stands at a state that *program* does not have.
    """
    at = len(player.record.recorded)
    pending = {id(frame): i for i, (_, frame, _) in enumerate(player.agenda)}
    for frame in frames(player.root):
        item = pending.get(id(frame))
        verb, _, args = player.agenda[item] if item is not None else ("", frame, ())
        if verb in ("_enter", "_select", "_finish") and item is not None:
            player.agenda[item] = _between(frame, program, verb, args, at)
            continue
        frame.state = _found(program, frame.state, at)
        frame.program = frame.state.program
        if frame.children and len(frame.state.programs) != _branches(frame):
            raise ReplayError(
                f"event {at}: the execution stands inside {frame.state.name!r} with {_branches(frame)} branches, "
                f"and the definition has {len(frame.state.programs)}; fork it at an event before "
                f"{frame.entered_id}, where that state was entered",
                at,
            )
    player.program = program


def _branches(frame: Frame) -> int:
    return 1 if frame.state.kind == "Map" else len(frame.results)


def _between(
    frame: Frame, program: Program, verb: str, args: tuple[object, ...], at: int
) -> tuple[str, Frame, tuple[object, ...]]:
    """Return what a frame between two states does next: what *program* says comes after the state it left."""
    goes_to: State | None = None if verb == "_finish" else args[0]  # type: ignore[assignment]
    value, left = args[-1], _look(program, frame.state)
    if frame.entered_id == 0:  # the very first state
        scope = _scope(frame, program, at)
        frame.program, frame.state = scope, scope.states[scope.start]
        return verb, frame, (frame.state, value)
    usual = left is not None and frame.state.next == (goes_to.name if goes_to else None)
    if left is not None and (usual or left.kind == "Choice"):
        after = left.next
        if left.kind == "Choice" and left.run is not None:
            try:
                _, after, _ = left.run(frame.input, frame)
            except StatesError as e:
                raise ReplayError(f"event {at}: {left.name!r} cannot choose a state any more: {e.cause}", at) from None
        frame.program, frame.state = left.program, left
        return ("_finish", frame, (value,)) if after is None else ("_enter", frame, (left.program.states[after], value))
    if goes_to is None:
        frame.state = _found(program, frame.state, at)
        frame.program = frame.state.program
        return "_finish", frame, (value,)
    there = _found(program, goes_to, at)
    frame.program = there.program
    frame.state = left or frame.state
    return "_enter", frame, (there, value)


def _scope(frame: Frame, program: Program, at: int) -> Program:
    if frame.parent is None:
        return program
    outer = _found(program, frame.parent.state, at)
    return outer.programs[0 if outer.kind == "Map" else frame.index]


def _look(program: Program, state: State) -> State | None:
    found = program.at.get(state.pointer)
    if found is None or found.name != state.name:
        named = [s for s in program.at.values() if s.name == state.name]
        found = named[0] if len(named) == 1 else None
    return found if found is not None and found.kind == state.kind else None


def _found(program: Program, state: State, at: int) -> State:
    found = _look(program, state)
    if found is None:
        names = ", ".join(f"{s.name} ({s.kind})" for s in program.at.values())
        raise ReplayError(
            f"event {at}: the execution stands at {state.name!r} ({state.kind}, {state.pointer}), and the definition "
            f"has no such state; it has {names}. Fork it at an event before that state is entered.",
            at,
        )
    return found


def give(player: Player, value: JSON) -> None:
    """Let the next state be given *value*. Raises ReplayError where no state is about to be entered."""
    at = len(player.record.recorded)
    for i, (verb, frame, args) in enumerate(player.agenda):
        if verb == "_enter" and at in (frame.last, 1):
            player.agenda[i] = (verb, frame, (args[0], value))
            frame.size = None
            return
    last = player.record.recorded[-1]["type"]
    raise ReplayError(
        f"event {at}: after {last} no state is entered, so there is nothing to give the input to. Fork at a "
        "…StateEntered event, or at the …StateExited event before it.",
        at,
    )
