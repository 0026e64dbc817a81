"""What was found in a definition, as people read it: each with the line it is about, and a mark under the place."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from html import escape
from typing import Any

from sflab.asl.model import Diagnostic
from sflab.views.words import clean, count

_ROOM = 100  # characters of a line that are shown
_BEFORE = 60  # and of those, how many at most stand before the place
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[^\s,:{}\[\]]+|.')


class Findings(list[Diagnostic]):
    """The diagnostics of one definition, errors and warnings; *text* is what the definition was read from."""

    def __init__(self, found: Iterable[Diagnostic] = (), text: str = "") -> None:
        super().__init__(found)
        self.text = text

    @property
    def summary(self) -> str:
        """How many there are: ``2 errors, 1 warning``."""
        errors = sum(d.severity == "ERROR" for d in self)
        parts = [count(n, word) for n, word in ((errors, "error"), (len(self) - errors, "warning")) if n]
        return ", ".join(parts) or "no errors, no warnings"

    def lines(self, *, shift: int = 0, where: str = "") -> str:
        """Return each with its line and a mark under its place.

        *shift* lines stand above the text where people see it (in a cell, the magic's own); *where* names that place.
        """
        return "\n".join(pointed(d, self.text, shift=shift, where=where) for d in self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        head = clean(self.summary)
        rows = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align:left">{escape(clean(cell))}</td>'
                for cell in (d.severity, _line(d), _location(d), d.said or d.message, d.code)
            )
            + "</tr>"
            for d in self
        )
        names = "".join(f'<th style="text-align:left">{name}</th>' for name in ("", "line", "location", "what", "code"))
        table = f"<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>" if self else ""
        plain = f"{head}\n{self.lines()}" if self else head
        return {"text/plain": plain, "text/html": f"<div><b>{escape(head)}</b>{table}</div>"}


def _line(d: Diagnostic) -> str:
    return f"{d.line}:{d.column}" if d.line else ""


def _location(d: Diagnostic) -> str:
    """Return where in the definition; of a text that is none, AWS gives the place in the text."""
    return d.location if d.location and not d.location.startswith("[") else "/"


def pointed(d: Diagnostic, text: str, *, shift: int = 0, where: str = "") -> str:
    """Return a diagnostic with the line of *text* it is about, and a mark under the place; see `Findings.lines`."""
    said = f"{d.severity} {clean(_location(d))}: {clean(d.said or d.message)} [{d.code}]"
    lines = text.split("\n")
    if not d.line or not 0 < d.line <= len(lines):
        return f"{where}: {said}" if where else str(d)
    in_file = d.source and not where
    place = f"{d.source}:{d.line}:{d.column}" if in_file else f"line {d.line + shift}, column {d.column}"
    head = f"{where}, {place}" if where else place
    line, column = lines[d.line - 1].rstrip("\r"), (d.column or 1) - 1
    start = max(0, column - _BEFORE)
    token = _TOKEN.match(line, column) if column < len(line) else None
    end = min(token.end() if token else column + 1, start + _ROOM)
    before, under = _shown(line[start:column]), _shown(line[column:end])
    after = _shown(line[end : start + _ROOM]) + (" …" if len(line) > start + _ROOM else "")
    number, cut = f"{d.line + shift:>5} | ", "… " if start else ""
    mark = " " * (len(cut) + _width(before)) + "^" * max(1, _width(under))
    return f"{head}: {said}\n{number}{cut}{before}{under}{after}\n{' ' * (len(number) - 2)}| {mark}"


def _shown(text: str) -> str:
    """Return a piece of a line, its spaces kept, with nothing in it that moves the cursor or turns the text round."""
    return "".join(" " if c == "\t" else c if c == " " else clean(c) or " " for c in text)


def _width(text: str) -> int:
    """Return how many columns a terminal gives *text*."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)
