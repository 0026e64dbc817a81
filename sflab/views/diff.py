"""The differences between two executions as people read them: lines, and a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, overload

from sflab.asl.model import JSON, compact
from sflab.engine.diff import Difference

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 20  # lines
_ROOM = 60  # characters of a value
_WORDS = {"extra": "only here", "missing": "only there", "changed": "differs"}


class Diff(Sequence[Difference]):
    """What differs between two executions; empty, and false, where nothing does.

    A value that differs is handed on from state to state: shown is where it first differs. ``df`` has every difference:

    ========== ======== ===============================================================================================
    column     dtype    what it holds
    ========== ======== ===============================================================================================
    branch     string   the Map iteration or Parallel branch, as ``Ship[2] / Pack[0]``; empty for the execution's own
    kind       category changed; extra: only here; missing: only in the other
    event      category the event's type
    state      category the state it belongs to
    id         Int64    the event's id here
    other_id   Int64    the event's id in the other
    where      string   the place in the event's details, as a JSON pointer
    here       string   what stands there, as JSON
    other      string   what stands there in the other
    carried    bool     whether the same values differed at an event before: they are handed on, not new
    ========== ======== ===============================================================================================
    """

    def __init__(self, found: Iterable[Difference]) -> None:
        self.items = tuple(found)
        seen: set[tuple[str, str, str]] = set()
        self.carried: list[bool] = []
        for each in self.items:
            key = each.where.rsplit("/", 1)[-1], compact(each.mine), compact(each.theirs)
            self.carried.append(each.kind == "changed" and key in seen)
            seen.add(key)

    @overload
    def __getitem__(self, index: int) -> Difference: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Difference, ...]: ...
    def __getitem__(self, index: int | slice) -> Difference | tuple[Difference, ...]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def df(self) -> pd.DataFrame:
        """A row per difference, those that are handed on too; columns and dtypes as described above."""
        import pandas as pd

        def texts(values: Iterable[JSON | None]) -> Any:
            return pd.Series(list(values), dtype="string")

        return pd.DataFrame(
            {
                "branch": texts(d.branch for d in self),
                "kind": pd.Series(pd.Categorical([d.kind for d in self], categories=list(_WORDS))),
                "event": pd.Series(pd.Categorical([d.event for d in self])),
                "state": pd.Series(pd.Categorical([d.state for d in self])),
                "id": pd.Series([d.mine_id for d in self], dtype="Int64"),
                "other_id": pd.Series([d.theirs_id for d in self], dtype="Int64"),
                "where": texts(d.where for d in self),
                "here": texts(None if d.kind == "missing" else compact(d.mine) for d in self),
                "other": texts(None if d.kind == "extra" else compact(d.theirs) for d in self),
                "carried": pd.Series(self.carried, dtype="bool"),
            }
        )

    def _rows(self) -> tuple[list[tuple[str, str, str, str]], str]:
        """Return (where, what, here, there) of the differences that are new, and a line about the rest."""
        new = [d for d, carried in zip(self, self.carried, strict=True) if not carried]
        rows = []
        for d in new[:_SHOWN]:
            ids = ", ".join(f"{'its ' * (n == 1)}#{i}" for n, i in enumerate((d.mine_id, d.theirs_id)) if i)
            place = " · ".join(part for part in (d.branch, d.state, f"{d.event} {ids}") if part)
            mine = "" if d.kind == "missing" else _brief(d.mine)
            theirs = "" if d.kind == "extra" else _brief(d.theirs)
            rows.append((place, d.where or _WORDS[d.kind], mine, theirs))
        left, carried = len(new) - len(rows), sum(self.carried)
        rest = [f"{left} more" if left else "", f"{carried} that hand these on" if carried else ""]
        return rows, " and ".join(part for part in rest if part)

    def __repr__(self) -> str:
        if not self.items:
            return "Diff(the executions did the same)"
        rows, rest = self._rows()
        lines = [f"Diff({len(self)} differences)"]
        for place, what, mine, theirs in rows:
            lines.append(f"  {place}: {what}" + "".join(f"\n    {m} {v}" for m, v in (("-", mine), ("+", theirs)) if v))
        return "\n".join([*lines, *([f"  … {rest}: .df has them all"] if rest else [])])

    def _repr_html_(self) -> str:
        if not self.items:
            return f"<p>{escape(repr(self))}</p>"
        rows, rest = self._rows()
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        more = f"<p>… {escape(rest)}: <code>.df</code> has them all</p>" if rest else ""
        head = "<tr><th>event</th><th>what</th><th>here</th><th>other</th></tr>"
        return f"<p>{len(self)} differences</p><table><thead>{head}</thead><tbody>{body}</tbody></table>{more}"


def _brief(value: JSON) -> str:
    text = compact(value)
    return text if len(text) <= _ROOM else f"{text[: _ROOM - 1]}…"
