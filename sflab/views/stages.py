"""The data flow through one state, stage by stage, as a table: what each field was given and what it made of it.

Pure functions of the stages `sflab.engine.teststate` notes. Every stage is a row: the field, what the definition says
there, what came out, and in words what that changed. A stage that changed nothing says so in the place of its value, so
that the ones that did stand out; in HTML the members of an object that are new or different are set bold.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from sflab.views.words import clean, compact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sflab.engine.teststate import Stage

SAME = "same"
_WIDE, _NARROW = 400, 60  # characters of a value in HTML and in text


class Row(NamedTuple):
    """One stage: ``field`` is what the definition says, ``before`` what the value is compared with."""

    name: str
    field: str
    value: Any
    before: Any
    changed: bool
    words: str


def rows(stages: Sequence[Stage], *, after: str | None = None) -> list[Row]:
    """Return a row per stage; *after* is the state the output goes to, None where the test does not go on."""
    out: list[Row] = []
    first: Any = stages[0].value if stages else None
    before: Any = None
    for stage in stages:
        # ResultPath writes into the state's input, whatever was made of that on the way; Assign stands beside the flow.
        base = first if stage.name == "ResultPath" and stage.given and stage.field != "$" else before
        changed = stage.name not in ("input", "output") and (stage.name in _MADE or stage.value != base)
        field = clean(stage.field) if stage.given else ""
        out.append(Row(stage.name, field, stage.value, base, changed, _words(stage, after)))
        if stage.name != "Assign":
            before = stage.value
    return out


def _selects(field: Any, whole: str) -> str:
    return f"selects {clean(field)} of {whole}" if isinstance(field, str) else "selects nothing: {}"


def _result_path(field: Any) -> str:
    if field == "$":
        return "the result replaces the input"
    return f"writes the result into the input at {clean(field)}" if field else "drops the result: the input goes on"


def _count(value: Any, what: str) -> str:
    many = len(value) if isinstance(value, list) else 0
    return f"{many} {what}{'' if many == 1 else 's'}"


#: stage -> what it does, in words of (the field's definition, the value)
_WORDS: dict[str, Callable[[Any, Any], str]] = {
    "input": lambda _f, _v: "what the state is given",
    "InputPath": lambda f, _v: _selects(f, "the input"),
    "Parameters": lambda _f, _v: "builds what the work is given",
    "Arguments": lambda _f, _v: "builds what the work is given",
    "Result": lambda _f, _v: "a fixed result",
    "result": lambda _f, _v: "what the work answered",
    "error": lambda _f, _v: "what Retry and Catch are given",
    "ResultSelector": lambda _f, _v: "rebuilds the result",
    "ResultPath": lambda f, _v: _result_path(f),
    "OutputPath": lambda f, _v: _selects(f, "that"),
    "Output": lambda _f, _v: "builds the output",
    "Assign": lambda _f, v: "sets " + ", ".join(f"${name}" for name in v),
    "Items": lambda _f, v: _count(v, "item"),
    "ItemsPath": lambda _f, v: _count(v, "item"),
    "ItemReader": lambda _f, v: _count(v, "item") + " read",
    "ItemSelector": lambda _f, v: _count(v, "iteration input"),
    "ItemBatcher": lambda _f, v: _count(v, "batch").replace("batchs", "batches"),
}
_MADE = ("result", "Result", "error", "Assign")  # not made of the stage before


def _words(stage: Stage, after: str | None) -> str:
    if stage.name == "output":
        return f"goes to {clean(after)}" if after else "what the state gives"
    if stage.name == "ResultPath" and not stage.given:
        return _result_path("$")
    return _WORDS[stage.name](stage.field, stage.value)


def difference(before: Any, value: Any) -> set[str]:
    """Return the members of the object *value* that *before* does not have, or has differently."""
    if not isinstance(value, dict):
        return set()
    had = before if isinstance(before, dict) else {}
    return {name for name in value if name not in had or had[name] != value[name]}


def text(stages: Sequence[Stage], *, headline: str, after: str | None = None) -> str:
    """Return the table as text, under *headline*."""
    cells = [
        (
            ("→ " if row.changed else "  ") + row.name,
            _cut(row.field, _NARROW // 2),
            _brief(row, _NARROW) if _shown(row) else SAME,
            row.words if _shown(row) else "",
        )
        for row in rows(stages, after=after)
    ]
    widths = [max((len(line[i]) for line in cells), default=0) for i in range(3)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(line, widths, strict=False)), line[3]]) for line in cells]
    return "\n".join([headline, *(line.rstrip() for line in lines)])


def html(stages: Sequence[Stage], *, headline: str, after: str | None = None) -> str:
    """Return the table as HTML that needs no style sheet; everything is escaped."""
    body = "".join(
        f"<tr><td>{_bold(row.name) if row.changed else escape(row.name)}</td><td>{_code(row.field)}</td>"
        f"<td>{_value(row) if _shown(row) else SAME}</td><td>{escape(row.words) if _shown(row) else ''}</td></tr>"
        for row in rows(stages, after=after)
    )
    head = "".join(f"<th>{name}</th>" for name in ("stage", "definition", "value", "what it does"))
    return (
        f"<p>{escape(headline)}</p><table><thead><tr>{head}</tr></thead>"
        f'<tbody style="text-align:left">{body}</tbody></table>'
    )


def _shown(row: Row) -> bool:
    return row.changed or row.name in ("input", "output")


def _brief(row: Row, room: int) -> str:
    """Return the value on one line; where it is long, only the members of an object that are new or different."""
    whole, fresh = clean(compact(row.value)), difference(row.before, row.value)
    if len(whole) > room and 0 < len(fresh) < len(row.value):
        whole = "{…, " + clean(compact({name: row.value[name] for name in row.value if name in fresh}))[1:]
    return _cut(whole, room)


def _value(row: Row) -> str:
    """Return the value as HTML, its new and different members bold."""
    value, fresh = row.value, difference(row.before, row.value) if row.changed else set()
    if not 0 < len(fresh) < len(value or ()) or len(clean(compact(value))) > _WIDE:
        return _code(_brief(row, _WIDE))
    members = []
    for name, item in value.items():
        said = f"{clean(compact(name))}: {clean(compact(item))}"
        members.append(_bold(said) if name in fresh else escape(said))
    return f"<code>{{{', '.join(members)}}}</code>"


def _bold(said: str) -> str:
    return f"<b>{escape(said)}</b>"


def _code(said: str) -> str:
    return f"<code>{escape(said)}</code>" if said else ""


def _cut(said: str, room: int) -> str:
    return said if len(said) <= room else said[: room - 1] + "…"
