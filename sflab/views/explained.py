"""An explanation of one state's expressions as a table: where each stands, what it reads, what it comes to and why."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from sflab.views.words import clean, compact, count

if TYPE_CHECKING:
    import pandas as pd

    from sflab.asl.explain import Explained

_WIDE, _NARROW = 400, 70  # characters of a value in HTML and in text


class Explanation:
    """What every expression of a state reads and comes to, for one input. As a cell's value it is a table.

    ``rows`` holds `Explained` tuples (field, expression, reads, value, error, decisions); ``df`` has them as a frame.
    """

    def __init__(self, state: str, rows: list[Explained]) -> None:
        self.state, self.rows = state, tuple(rows)

    @property
    def df(self) -> pd.DataFrame:
        """A row for each expression; ``reads`` and ``decisions`` are tuples, ``error`` is None beside a value."""
        import pandas as pd

        columns = ("field", "expression", "reads", "value", "error", "decisions")
        return pd.DataFrame({name: [getattr(row, name) for row in self.rows] for name in columns}, dtype=object)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, field: str) -> Explained:
        """Return the row of a field, as ``explanation["Output/total"]``."""
        for row in self.rows:
            if row.field == field:
                return row
        raise KeyError(f"{field!r}; there are {', '.join(row.field for row in self.rows) or 'no expressions'}")

    def __repr__(self) -> str:
        failing = sum(row.error is not None for row in self.rows)
        failed = f", {failing} without a value" if failing else ""
        return f"Explanation({self.state!r}: {count(len(self.rows), 'expression')}{failed})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self._text(), "text/html": self._html()}

    def _text(self) -> str:
        lines = [repr(self)]
        for row in self.rows:
            lines.append(f"  {clean(row.field)}")
            lines.append(f"    {_cut(clean(row.expression), _NARROW)}  =  {_cut(_outcome(row), _NARROW)}")
            if row.reads:
                lines.append(f"    reads {_cut(', '.join(map(clean, row.reads)), _NARROW)}")
            lines += [f"    {_cut(clean(line), _WIDE)}" for line in row.decisions]
        return "\n".join(lines)

    def _html(self) -> str:
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in ("field", "expression", "reads", "value"))
        body = "".join(
            f"<tr>{_cell(clean(row.field))}{_cell(_cut(clean(row.expression), _WIDE))}"
            f"{_cell(', '.join(map(clean, row.reads)))}{_value(row)}</tr>"
            for row in self.rows
        )
        return f"<p>{escape(repr(self))}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _outcome(row: Explained) -> str:
    return clean(row.error) if row.error is not None else clean(compact(row.value))


def _cell(said: str) -> str:
    return f"<td style='text-align:left;vertical-align:top'><code>{escape(said)}</code></td>"


def _value(row: Explained) -> str:
    said = escape(_cut(_outcome(row), _WIDE))
    shown = said if row.error is not None else f"<code>{said}</code>"
    why = "".join(f"<br><small>{escape(_cut(clean(line), _WIDE))}</small>" for line in row.decisions)
    return f"<td style='text-align:left;vertical-align:top'>{shown}{why}</td>"


def _cut(said: str, room: int) -> str:
    return said if len(said) <= room else said[: room - 1] + "…"
