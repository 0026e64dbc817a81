"""Long work tells how far it is: a widget in a notebook, one line in a terminal, nothing anywhere else.

`Bar` is the one seam. It is a context manager, and a callable ``progress(done, total)`` that can be handed to code that
knows nothing of where it runs; `tracked` is the same around a loop. Nothing shows before half a second has passed, or
under ``SFLAB_HEADLESS=1``, so that what takes no time leaves no trace and a notebook's outputs stay the same. There is
no thread: who works says so, as often as they like, and most of these calls cost a look at the clock.

The stop button and Ctrl-C raise KeyboardInterrupt wherever the work is. What was done until then is not lost: long
calls raise `sflab.errors.Interrupted` in its place, which has it as ``partial``.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TextIO, TypeVar

from sflab.views.words import clean, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from threading import Event
    from types import TracebackType
    from typing import Self

    from sflab.backends.local import LocalExecution

T = TypeVar("T")

PATIENCE = 0.5  # seconds before anything shows
PACE = 0.1  # seconds between two drawings
UNFINISHED = (0, 1)  # codes of `MapRun.codes`: pending and running


class Surface(Protocol):
    """Where progress shows: `draw` with a share from 0 to 1 (None: not known), `close` with the last words."""

    def draw(self, share: float | None, words: str) -> None:
        """Show how far it is."""

    def close(self, words: str) -> None:
        """Take it away, or leave one line."""


class Bar:
    """Progress of one piece of work; ``bar(done, total)`` says how far it is, *total* once is enough.

    *label* says what is being done, *unit* what is counted. *surface* makes what it shows on (default: whatever this
    process has, see `surface_here`), *now* is a clock.
    """

    def __init__(
        self,
        label: str,
        total: float | None = None,
        *,
        unit: str = "",
        surface: Callable[[], Surface | None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label, self.total, self.unit, self.done, self.note = clean(label), total, unit, 0.0, ""
        self._make, self._now = surface or surface_here, now
        self._surface: Surface | None = None
        self._begun = now()
        self._due = self._begun + PATIENCE

    def __call__(self, done: float, total: float | None = None, note: str = "") -> None:
        """Say that *done* of *total* are done; *note* is added to the words."""
        self.done, self.note = done, note
        if total is not None:
            self.total = total
        if self._now() >= self._due:
            self._draw()

    @property
    def due(self) -> bool:
        """Whether it is time to draw: for work that has to count before it can say how far it is."""
        return self._now() >= self._due

    @property
    def words(self) -> str:
        """What it says: ``comparing: 120 of 1,000 executions, 3.2 s, about 23 s left``."""
        spent = self._now() - self._begun
        whole = f" of {self.total:,.0f}" if self.total else ""
        counted = f"{self.done:,.0f}{whole} {self.unit}".strip() if self.done or self.total else ""
        left = ""
        if self.total and 0 < self.done < self.total:
            left = f"about {duration(_rough(spent * (self.total - self.done) / self.done))} left"
        said = ", ".join(filter(None, [counted, self.note, duration(_rough(spent)), left]))
        return f"{self.label}: {said}"

    def _draw(self) -> None:
        if self._surface is None:
            self._surface = self._make()
        if self._surface is None:
            self._due = float("inf")
            return
        share = min(1.0, self.done / self.total) if self.total else None
        self._surface.draw(share, self.words)
        self._due = self._now() + PACE

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._surface is not None:
            self._surface.close(("stopped: " if kind else "") + self.words.partition(", about ")[0])
            self._surface = None


def tracked(items: Iterable[T], label: str, *, unit: str = "") -> Iterator[T]:
    """Give *items* out and tell how many have been, by the time the next is asked for."""
    total = len(items) if isinstance(items, Sized) else None
    with Bar(label, total, unit=unit) as bar:
        for n, item in enumerate(items):
            bar(n)
            yield item
        bar(total or 0)


@contextmanager
def shown(execution: LocalExecution) -> Iterator[None]:
    """Show how far an execution in virtual time is, while it is seen through."""
    run, clock = execution.run, execution.drive.clock
    with Bar(str(execution)) as bar:

        def tell() -> None:
            if not bar.due:
                return
            if total := sum(len(record.codes) for record in run.map_runs):
                left = sum(record.codes.count(code) for record in run.map_runs for code in UNFINISHED)
                bar.unit = "child executions"
                bar(total - left, total)
            else:
                bar.unit = "events"
                bar(len(run.log), note=f"{duration(run.now - execution.drive.start)} of its time")

        clock.watch = tell
        try:
            yield
        finally:
            clock.watch = None


def awaited(execution: LocalExecution, ended: Event, timeout: float | None) -> None:
    """Wait for the end of an execution that goes on elsewhere, at most *timeout* seconds, and show that."""
    due = math.inf if timeout is None else time.monotonic() + timeout
    with Bar(f"waiting for {execution}", unit="events") as bar:
        while not ended.wait(max(0.0, min(PACE, due - time.monotonic()))) and time.monotonic() < due:
            bar(len(execution.run.log))


def _rough(seconds: float) -> float:
    """A length of time as people say it: nobody reads milliseconds off a moving bar."""
    return round(seconds, 1) if seconds < 10 else float(round(seconds))


# ── where it shows ───────────────────────────────────────────────────────────────────────────────────────────────────


def surface_here() -> Surface | None:
    """Return where this process shows progress: a notebook's cell, the terminal's line, or None.

    Only the main thread has somebody who waits for it: a server's or a worker's threads show nothing.
    """
    if os.environ.get("SFLAB_HEADLESS") == "1" or threading.current_thread() is not threading.main_thread():
        return None
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is not None:
        return Cell()
    if sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return Line(sys.stderr)
    return None


class Line:
    """The last line of a terminal, drawn over and over, and gone in the end."""

    def __init__(self, out: TextIO) -> None:
        self.out = out

    def draw(self, share: float | None, words: str) -> None:
        """Write over the line."""
        import shutil  # imported here: it loads compression, and most runs show nothing

        wide = shutil.get_terminal_size().columns - 1
        bar = "" if share is None else f"{'#' * round(20 * share):.<20} {share:4.0%} "
        self.out.write(f"\r\x1b[K{(bar + words)[:wide]}")
        self.out.flush()

    def close(self, words: str) -> None:  # noqa: ARG002 - a terminal keeps what the program prints, not how it got there
        """Leave the line as it was."""
        self.out.write("\r\x1b[K")
        self.out.flush()


class Cell:
    """A bar below a notebook's cell; in the end one line of text takes its place."""

    def __init__(self) -> None:
        import ipywidgets
        from IPython.display import display

        self.bar = ipywidgets.FloatProgress(min=0.0, max=1.0, layout={"width": "220px"})
        self.text = ipywidgets.Label()
        self.box = ipywidgets.HBox([self.bar, self.text])
        self.handle: Any = display(self.box, display_id=True)  # type: ignore[no-untyped-call]

    def draw(self, share: float | None, words: str) -> None:
        """Move the bar; it stands full and striped where nobody knows how much there is to do."""
        self.bar.bar_style = "info" if share is None else ""
        self.bar.value = 1.0 if share is None else share
        self.text.value = words

    def close(self, words: str) -> None:
        """Put the words there, so that a saved notebook has no widget that is dead."""
        self.handle.update({"text/plain": words}, raw=True)
        for widget in (self.box, self.bar, self.text):
            widget.close()
