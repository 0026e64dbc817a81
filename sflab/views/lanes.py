"""What a timeline is made of: an execution's visits with their phases, put into rows, and an axis of time.

Theory of operation. `read` takes a history apart into visits, their phases and the critical path (`phases`). `rows`
puts the visits in order, what is inside a Map or Parallel state right after it, and where there are more than a picture
holds, first puts each iteration into one row and then leaves out those in the middle that are neither wrong nor long,
and says how many. `Axis` turns moments into places: a stretch in which everything only waits is drawn short where it
would leave no room for the rest. `gantt` draws it, `timeline` writes it as text; the live timeline (timeline.js) is
sent the same reading (`sent`) and has room for every row.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sflab.engine import history
from sflab.views import phases as phases_
from sflab.views.phases import WAITING, Phase
from sflab.views.progress import STATUS
from sflab.views.words import clean, count, duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sflab.asl.model import Definition
    from sflab.engine.history import Event, Visit

MOST = 60  # rows of a picture
BREAK = 40.0  # px: how long a stretch of mere waiting is drawn where it is cut
BREAKS = 6  # how many of them there are at most


@dataclass(frozen=True, slots=True)
class Reading:
    """A history as the timeline shows it: moments in epoch seconds, ``phases`` of each visit by its index.

    ``status`` is the execution's, "" where there is no event; ``idle`` the stretches that are drawn short.
    """

    visits: list[Visit]
    phases: list[list[Phase]]
    critical: frozenset[int]
    begun: float
    ended: float
    status: str
    idle: tuple[tuple[float, float], ...]

    @property
    def seconds(self) -> float:
        """Seconds from the first event to the last."""
        return self.ended - self.begun

    def end(self, visit: Visit) -> float:
        """When a visit ended, or now."""
        return max(visit.entered, self.ended if visit.exited is None else visit.exited)


def read(events: Iterable[Event], definition: Definition | None = None) -> Reading:
    """Read a history, in any of the shapes `history.normalise` takes. Raises DefinitionError where it is none."""
    ordered = history.normalise(list(events))
    return reading(ordered, history.visits(ordered, definition))


def reading(events: list[Event], visits: list[Visit]) -> Reading:
    """Read the *visits* of a history that is in order."""
    by_id = {e["id"]: e for e in events}
    begun, ended = (events[i]["timestamp"].timestamp() if events else 0.0 for i in (0, -1))
    stops = phases_.pauses(events)
    found = [phases_.phases(v, by_id, now=ended, stops=stops) for v in visits]
    status = STATUS.get(events[-1]["type"], "RUNNING") if events else ""
    on_path = frozenset(phases_.critical(visits, by_id))
    return Reading(visits, found, on_path, begun, ended, status, _idle(visits, found, begun, ended))


def sent(seen: Reading) -> dict[str, Any]:
    """What the live timeline is sent, times in seconds since the first event.

    ``visits``: the phases of each, as [kind, from, to, attempt, event id, error]; ``critical``: indexes of visits;
    ``idle``: what is drawn short; ``kinds``: what the kinds of phases are called.
    """
    after = functools.partial(since, seen.begun)
    return {
        "visits": [
            [[p.kind, after(p.start), after(p.end), p.attempt, p.id, p.error] for p in found] for found in seen.phases
        ],
        "critical": sorted(seen.critical),
        "idle": [[after(a), after(b)] for a, b in seen.idle],
        "kinds": phases_.WORDS,
    }


def since(begun: float, at: float) -> float:
    """Return the seconds from one moment to another, without the noise of floats."""
    return round(at - begun, 6)


def _idle(
    visits: Sequence[Visit], found: Sequence[list[Phase]], begun: float, ended: float
) -> tuple[tuple[float, float], ...]:
    """Return the stretches in which all that went on was waiting, and that dwarf all the rest together."""
    outer = {i for v in visits for i, _ in v.context}
    leaves = [p for v, each in zip(visits, found, strict=True) if v.index not in outer for p in each]
    busy = sorted((p.start, p.end) for p in leaves if p.kind not in WAITING and p.end > p.start)
    edges = sorted({begun, ended, *(t for p in leaves for t in (p.start, p.end))})
    gaps, i, until = [], 0, -math.inf
    for a, b in itertools.pairwise(edges):
        while i < len(busy) and busy[i][0] <= a:
            until = max(until, busy[i][1])
            i += 1
        if until <= a:
            gaps.append((a, b))
    gaps.sort(key=lambda gap: gap[0] - gap[1])
    rest, best = ended - begun, 0
    for n, (a, b) in enumerate(gaps[:BREAKS], 1):
        rest -= b - a
        if rest > 1e-6 and b - a > 3 * rest:
            best = n
    return tuple(sorted(gaps[:best]))


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Row(NamedTuple):
    """One row: a visit, the visits of one iteration or branch, or those for which there is no room (``more``)."""

    visits: tuple[int, ...]
    depth: int
    label: str
    more: bool = False


def rows(seen: Reading, most: int = MOST) -> list[Row]:
    """Return the rows of a picture, *most* of them or a few more."""
    return _Rows(seen).thread(_threads(seen.visits).get(None, {}).get(0, []), 0, most)


def _threads(visits: Iterable[Visit]) -> dict[int | None, dict[int, list[int]]]:
    """Return what is inside each visit (None: the execution), by iteration or branch."""
    out: dict[int | None, dict[int, list[int]]] = {}
    for visit in visits:
        outer, nth = visit.context[-1] if visit.context else (None, 0)
        out.setdefault(outer, {}).setdefault(nth, []).append(visit.index)
    return out


class _Rows:
    """Lays visits out in rows, with as much detail as there is room for."""

    def __init__(self, seen: Reading) -> None:
        self.seen, self.inside = seen, _threads(seen.visits)
        self.sizes = [1] * len(seen.visits)  # how many rows a visit takes with all that is in it
        for visit in reversed(seen.visits):
            if visit.context:
                self.sizes[visit.context[-1][0]] += self.sizes[visit.index]

    def thread(self, visits: list[int], depth: int, room: int) -> list[Row]:
        """Lay out visits that follow each other."""
        kept = self._cut([(i,) for i in visits], room)
        holders = [part[0] for part, more in kept if not more and part[0] in self.inside]
        whole = sum(self.sizes[i] for i in holders) - len(holders)
        left = max(0, room - len(kept))
        out: list[Row] = []
        for part, more in kept:
            out.append(self._row(part, depth, more=more))
            if not more and part[0] in self.inside:
                share = left if whole <= left else left // len(holders)
                out += self.threads(part[0], depth + 1, share)
        return out

    def threads(self, outer: int, depth: int, room: int) -> list[Row]:
        """Lay out what is inside a Map or Parallel state: row by row, a row for each iteration, or some of these."""
        threads = dict(sorted(self.inside[outer].items()))
        if self.sizes[outer] - 1 <= room:
            return [row for visits in threads.values() for row in self.thread(visits, depth, room)]
        if room < 1:
            return [self._row(tuple(i for visits in threads.values() for i in visits), depth, more=True)]
        lanes = [tuple(visits) for visits in threads.values()]
        return [self._row(part, depth, more=more) for part, more in self._cut(lanes, room)]

    def _cut(self, parts: list[tuple[int, ...]], room: int) -> list[tuple[tuple[int, ...], bool]]:
        """Keep what tells most: the first and the last, what went wrong, what was longest; the rest as ``more``."""
        room = max(room, 3)
        if len(parts) <= room:
            return [(part, False) for part in parts]
        last = len(parts) - 1
        ranked = sorted(range(len(parts)), key=lambda n: (self._rank(parts[n]), n))
        keep = {*range(max(1, room // 4)), last, *ranked[: room // 4]}
        gaps = itertools.pairwise(sorted(keep))  # saying that one or two are left out takes as much room as they do
        keep |= {n for a, b in gaps if b - a <= 3 for n in range(a + 1, b)}
        out: list[tuple[tuple[int, ...], bool]] = []
        for n, part in enumerate(parts):
            if n in keep:
                out.append((part, False))
            elif out and out[-1][1]:
                out[-1] = (out[-1][0] + part, True) if n - last else out[-1]
            else:
                out.append((part, True))
        return out

    def _rank(self, part: tuple[int, ...]) -> tuple[int, float]:
        wrong = any(self.seen.visits[i].status in ("FAILED", "CAUGHT") for i in part)
        took = sum(self.seen.end(self.seen.visits[i]) - self.seen.visits[i].entered for i in part)
        return (not wrong, -took)

    def _row(self, part: tuple[int, ...], depth: int, *, more: bool) -> Row:
        if more:
            return Row(part, depth, self._left_out(part), more=True)
        names = list(dict.fromkeys(clean(self.seen.visits[i].state) for i in part))
        first = self.seen.visits[part[0]]
        label = f"[{first.context[-1][1]}] " if first.context else ""
        return Row(part, depth, label + (names[0] if len(names) == 1 else f"{names[0]} → {names[-1]}"))

    def _left_out(self, part: tuple[int, ...]) -> str:
        threads = {self.seen.visits[i].context[-1] for i in part if self.seen.visits[i].context}
        if not threads:
            return f"… {count(len(part), 'more visit')}"
        noun = "branch" if self.seen.visits[next(iter(threads))[0]].type == "Parallel" else "iteration"
        n = len({nth for _, nth in threads})
        return f"… {n:,} more {noun}{'' if n == 1 else 'es' if noun == 'branch' else 's'}"


# ── the axis ─────────────────────────────────────────────────────────────────────────────────────────────────────────

#: Steps between ticks, in seconds.
_STEPS = (
    *(m * 10.0**e for e in range(-6, 0) for m in (1, 2, 5)), 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600,
    7200, 10800, 21600, 43200, 86400, 172800, 432000, 864000, 2592000, 8640000, 31536000,
)  # fmt: skip


class Axis:
    """Turns epoch seconds into places from 0 to *wide*; what is idle takes `BREAK` each."""

    def __init__(self, seen: Reading, wide: float, broken: float = BREAK) -> None:
        self.begun, self.ended = seen.begun, seen.ended
        idle = seen.idle
        left = seen.seconds - sum(b - a for a, b in idle)
        self.scale = (wide - broken * len(idle)) / left if left > 0 else 0.0  # px a second
        points, x, at = [(self.begun, 0.0)], 0.0, self.begun
        for a, b in idle:
            x += (a - at) * self.scale
            points += [(a, x), (b, x + broken)]
            x, at = x + broken, b
        self.points = [*points, (self.ended, wide if left > 0 else x)]
        self.idle = idle

    def __call__(self, at: float) -> float:
        """Return the place of a moment."""
        before = self.points[0]
        for point in self.points[1:]:
            if at <= point[0]:
                gap = point[0] - before[0]
                return before[1] + (point[1] - before[1]) * ((at - before[0]) / gap if gap > 0 else 0)
            before = point
        return before[1]

    def ticks(self, room: float) -> Iterator[tuple[float, str]]:
        """Yield (place, text) for round moments, at least *room* apart; after a break, from its end on."""
        if not self.scale:
            yield 0.0, duration(0)
            return
        step = next((s for s in _STEPS if s * self.scale >= room), _STEPS[-1])
        starts = [self.begun, *(b for _, b in self.idle)]
        for start, end in zip(starts, [*(a for a, _ in self.idle), self.ended], strict=True):
            since = start - self.begun
            n = 0
            while n * step <= end - start + step * 1e-9:
                text = duration(since + n * step) if start == self.begun or not n else f"+{duration(n * step)}"
                yield self(start + n * step), text
                n += 1


# ── in words ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def summary(seen: Reading, title: str) -> str:
    """The title, how it ended, how long it took and how many visits that were, in one line."""
    words = [clean(title), seen.status or "not started", duration(seen.seconds), count(len(seen.visits), "visit")]
    return ", ".join(words)


def notes(seen: Reading, found: Sequence[Row]) -> list[str]:
    """What the picture says in words: where the time went, what was drawn short, what was left out."""
    out = []
    if seen.critical and seen.seconds:
        outer = {i for v in seen.visits for i, _ in v.context}
        spent: dict[str, float] = {}
        for i in sorted(seen.critical - outer):
            v = seen.visits[i]
            spent[clean(v.state)] = spent.get(clean(v.state), 0.0) + seen.end(v) - v.entered
        top = sorted(spent.items(), key=lambda item: -item[1])[:3]
        parts = [f"{name} {duration(round(t, 6))} ({_share(t / seen.seconds)})" for name, t in top if t > 0]
        out.append(f"Most of the critical path: {', '.join(parts)}.")
    if seen.idle:
        cut = duration(sum(b - a for a, b in seen.idle))
        out.append(f"{cut} in which everything waited {'is' if len(seen.idle) == 1 else 'are'} drawn short.")
    hidden = sum(len(row.visits) for row in found if row.more)
    if hidden:
        out.append(f"{hidden:,} of {count(len(seen.visits), 'visit')} are not shown one by one; run.visits.df has all.")
    return out


def _share(part: float) -> str:
    return f"{part:.0%}" if part >= 0.01 else "under 1%"
