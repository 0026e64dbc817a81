"""Colours, symbols and shapes: what the graph is painted with, in the notebook's saved picture and in the live one.

A drawing is a tree of `Element`s, plain data. `xml` writes it as SVG text, every attribute and text escaped; the widget
is sent the same tree as JSON and builds it node by node, so that no text of a definition is ever parsed as markup.

Colours are given as presentation attributes, which every SVG reader understands, for a light page; `STYLE` repaints the
same classes where the page is dark. No state is told by its colour alone: each status has a symbol of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from xml.sax.saxutils import escape

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"


class Element(NamedTuple):
    """``<tag attributes>children</tag>``; a child is an Element or a text."""

    tag: str
    attributes: dict[str, str | float]
    children: tuple[Any, ...] = ()


def el(tag: str, *children: Element | str | None, **attributes: str | float | None) -> Element:
    """Make an element; ``stroke_width`` stands for ``stroke-width``, ``class_`` for ``class``; None is left out."""
    named = {k.rstrip("_").replace("_", "-"): v for k, v in attributes.items() if v is not None}
    return Element(tag, named, tuple(c for c in children if c is not None))


def number(value: float) -> str:
    """A coordinate with at most one decimal: the same text on every machine."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def attribute(value: str | float) -> str:
    """An attribute's value as text."""
    return value if isinstance(value, str) else number(value)


def xml(element: Element) -> str:
    """The SVG text of *element*."""
    out: list[str] = []
    todo: list[Any] = [element]
    while todo:
        item = todo.pop()
        if isinstance(item, _Close):
            out.append(item)
        elif isinstance(item, str):
            out.append(escape(item))
        else:
            given = "".join(f' {k}="{escape(attribute(v), {chr(34): "&quot;"})}"' for k, v in item.attributes.items())
            out.append(f"<{item.tag}{given}>" if item.children else f"<{item.tag}{given}/>")
            if item.children:
                todo.append(_Close(f"</{item.tag}>"))
                todo += reversed(item.children)
    return "".join(out)


class _Close(str):
    """An end tag, told apart from a text."""

    __slots__ = ()


def plain(element: Element) -> list[Any]:
    """*element* as JSON: ``[tag, {attribute: text}, [children]]``."""
    return [
        element.tag,
        {k: attribute(v) for k, v in element.attributes.items()},
        [c if isinstance(c, str) else plain(c) for c in element.children],
    ]


# ── colours ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Look(NamedTuple):
    """How a state of some status is painted: fill, outline, and the symbol on its badge."""

    fill: str
    line: str
    symbol: str


#: What happened to a state → how it looks; "" is a definition nobody has run, IDLE a state a run has not reached (yet),
#: SKIPPED one that it had not reached when it ended: it looks the same, and its title tells.
LIGHT: dict[str, Look] = {
    "": Look("#ffffff", "#b6c2d1", ""),
    "IDLE": Look("#f6f8fa", "#cbd3dd", ""),
    "RUNNING": Look("#ddf0ff", "#0969da", "dots"),
    "RETRYING": Look("#fff4d6", "#0969da", "retry"),
    "SUCCEEDED": Look("#e2f6e7", "#1a7f37", "check"),
    "FAILED": Look("#ffe9e7", "#cf222e", "cross"),
    "TIMED_OUT": Look("#ffe9e7", "#cf222e", "clock"),
    "CAUGHT": Look("#fff2cf", "#9a6700", "bang"),
    "ABORTED": Look("#f0eafd", "#7c4ddb", "stop"),
    "CANCELLED": Look("#eef1f5", "#66758a", "slash"),
    "SKIPPED": Look("#f6f8fa", "#cbd3dd", "skip"),
}
DARK: dict[str, Look] = {
    "": Look("#1b232d", "#4a5768", ""),
    "IDLE": Look("#151b23", "#36414f", ""),
    "RUNNING": Look("#0c2d52", "#58a6ff", "dots"),
    "RETRYING": Look("#37290b", "#58a6ff", "retry"),
    "SUCCEEDED": Look("#11301d", "#3fb950", "check"),
    "FAILED": Look("#3d1719", "#ff7b72", "cross"),
    "TIMED_OUT": Look("#3d1719", "#ff7b72", "clock"),
    "CAUGHT": Look("#37290b", "#e3b341", "bang"),
    "ABORTED": Look("#2a1f47", "#bc8cff", "stop"),
    "CANCELLED": Look("#20262e", "#8b9bb0", "slash"),
    "SKIPPED": Look("#151b23", "#36414f", "skip"),
}

#: Everything else: role → (light, dark).
ROLES: dict[str, tuple[str, str]] = {
    "canvas": ("#ffffff", "#0f151c"),
    "frame": ("#e3e8ee", "#2a3441"),
    "name": ("#16202c", "#e8eef5"),
    "sub": ("#566577", "#a3b1c2"),
    "edge": ("#7d8da1", "#6f8095"),
    "faint": ("#c3ccd7", "#3a4552"),
    "taken": ("#22303f", "#dbe5f0"),
    "catch": ("#a4570b", "#e39a4b"),
    "tag": ("#f4f6f9", "#1b232d"),
    "box": ("#f6f8fb", "#141b24"),
    "lane": ("#fbfcfe", "#111820"),  # a branch inside a Parallel state
    "rule": ("#cdd6e0", "#313d4b"),  # around it
    "head": ("#e9eef5", "#1e2834"),
    "missing": ("#cf222e", "#ff7b72"),
    "ink": ("#22303f", "#dbe5f0"),  # start and end
    "paper": ("#ffffff", "#0f151c"),  # what is written on ink
    "key": ("#0550ae", "#79c0ff"),  # JSON: names, strings, numbers
    "str": ("#116329", "#7ee787"),
    "num": ("#953800", "#ffa657"),
}


def role(name: str) -> str:
    """The light colour of a role."""
    return ROLES[name][0]


def rules(scope: str, *, dark: bool) -> str:
    """The stylesheet that paints a drawing's classes, for what is inside *scope* (a CSS selector)."""
    looks = DARK if dark else LIGHT
    out = []
    for name, pair in ROLES.items():
        out.append(f"{scope} .f-{name}{{fill:{pair[dark]}}}{scope} .l-{name}{{stroke:{pair[dark]}}}")
    for status, look in looks.items():
        own = f"{scope} .s-{status.lower() or 'none'}"
        out.append(f"{own}>.body{{fill:{look.fill};stroke:{look.line}}}{own}>.line{{stroke:{look.line}}}"
                   f"{own}>.mark,{own}>.badge>.mark{{fill:{look.line}}}")  # fmt: skip
    # Letters and symbols on a badge: the bright badges of the dark page carry dark ones.
    sign = ROLES["canvas"][dark]
    out.append(f"{scope} .sign{{stroke:{sign}}}{scope} .count{{fill:{sign}}}")
    return "".join(out)


def variables(*, dark: bool) -> str:
    """The colours as CSS custom properties: ``--sf-edge``, ``--sf-failed`` (a line), ``--sf-failed-fill``."""
    roles = [f"--sf-{name}:{pair[dark]}" for name, pair in ROLES.items()]
    looks = (DARK if dark else LIGHT).items()
    lines = [
        f"--sf-{status.lower()}:{look.line};--sf-{status.lower()}-fill:{look.fill}" for status, look in looks if status
    ]
    return ";".join(roles + lines)


#: The stylesheet inside a static picture. Every rule is scoped, because nbconvert may put the picture into a page.
STYLE = "@media (prefers-color-scheme:dark){" + rules(".sflab-graph", dark=True) + "}"

# ── symbols, strokes on a 24 × 24 grid ───────────────────────────────────────────────────────────────────────────────

SYMBOLS: dict[str, str] = {
    "lambda": "M6 4h3.4l7 16H20M11.2 9.6L5.5 20",
    "database": "M5 6c0-1.7 3.1-3 7-3s7 1.3 7 3-3.1 3-7 3-7-1.3-7-3zM5 6v12c0 1.7 3.1 3 7 3s7-1.3 7-3V6M5 12c0 1.7 3.1 "
    "3 7 3s7-1.3 7-3",
    "bucket": "M4 6l2 13.5c0 .8 2.7 1.5 6 1.5s6-.7 6-1.5L20 6M4 6c0-1.4 3.6-2.5 8-2.5s8 1.1 8 2.5-3.6 2.5-8 2.5S4 7.4 "
    "4 6z",
    "message": "M3.5 6h17v12.5h-17zM4 6.5l8 6.5 8-6.5",
    "cube": "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
    "flow": "M9 3.5h6v5H9zM3.5 15.5h6v5h-6zM14.5 15.5h6v5h-6zM12 8.5V12M6.5 15.5V12h11v3.5",
    "spark": "M12 3l2.2 6.8L21 12l-6.8 2.2L12 21l-2.2-6.8L3 12l6.8-2.2z",
    "chart": "M4 20.5h16M7 17v-5M12 17V5M17 17v-8",
    "globe": "M12 3.5a8.5 8.5 0 100 17 8.5 8.5 0 000-17zM3.5 12h17M12 3.5c-4.7 4.6-4.7 12.4 0 17M12 3.5c4.7 4.6 4.7 "
    "12.4 0 17",
    "person": "M12 4a3.6 3.6 0 100 7.2A3.6 3.6 0 0012 4zM5 20.5c0-4 3-6 7-6s7 2 7 6",
    "gear": "M12 8.2a3.8 3.8 0 100 7.6 3.8 3.8 0 000-7.6zM12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.2 2.2M16.2 16.2l2.2 "
    "2.2M5.6 18.4l2.2-2.2M16.2 7.8l2.2-2.2",
    "key": "M8 11.5a4 4 0 100 8 4 4 0 000-8zM11 12.7L20 4M16.2 7.6l3 3",
    "arrow": "M4 12h15.5M13 5.5l6.5 6.5-6.5 6.5",
    "clock": "M12 3.5a8.5 8.5 0 100 17 8.5 8.5 0 000-17zM12 7.2V12l3.4 2.4",
    "fork": "M12 3v6M12 9l-6.5 6.5V20M12 9l6.5 6.5V20M2.8 17.5l2.7 2.7 2.7-2.7M15.8 17.5l2.7 2.7 2.7-2.7",
    "check": "M5 12.5l4.8 4.8L19 7.5",
    "cross": "M6.5 6.5l11 11M17.5 6.5l-11 11",
    "lanes": "M4 3.5h16M4 20.5h16M6.5 3.5v17M12 3.5v17M17.5 3.5v17",
    "stack": "M4 9.5h10.5V20H4zM9 9.5V4h11v10.5h-5.5",
    "question": "M8.4 9a3.6 3.6 0 116 2.7c-1.5 1.1-2.4 1.7-2.4 3.5M12 19.3v.2",
    "dots": "M5.5 12h.1M12 12h.1M18.5 12h.1",
    "bang": "M12 4.5v9.5M12 19v.2",
    "stop": "M8 8h8v8H8z",
    "slash": "M6 18L18 6",
    "skip": "M4 15c2-7 12-7 15-1M19.5 8.5V14H14",
    "retry": "M19.2 12a7.2 7.2 0 11-2.1-5.1L19.5 9M19.5 3.8V9h-5.2",
}

#: A state's type → the colour of its tile and the symbol on it.
TYPES: dict[str, tuple[str, str]] = {
    "Task": ("#54657a", "gear"),
    "Pass": ("#64748b", "arrow"),
    "Wait": ("#0f7a8a", "clock"),
    "Choice": ("#6d4fc4", "fork"),
    "Succeed": ("#1a7f37", "check"),
    "Fail": ("#cf222e", "cross"),
    "Parallel": ("#3b5b92", "lanes"),
    "Map": ("#3b5b92", "stack"),
}
UNKNOWN_TYPE = ("#cf222e", "question")

# The colours AWS gives its service groups, darkened where white on them would be hard to read.
_GROUPS: dict[tuple[str, str], str] = {
    ("#d45b07", "lambda"): "lambda",
    ("#d45b07", "cube"): "batch ecs eks ec2 fargate autoscaling apprunner emr-containers elasticbeanstalk",
    ("#b022a4", "database"): "dynamodb rds redshiftdata redshift neptune elasticache docdb timestream dax",
    ("#5d7f12", "bucket"): "s3 efs fsx backup glacier ebs datasync s3control",
    ("#d0126a", "message"): "sns sqs events eventbridge scheduler ses sesv2 pinpoint mq appsync pipes",
    ("#d0126a", "flow"): "states sfn swf",
    ("#01826e", "spark"): "bedrock bedrockagent bedrockagentruntime bedrockruntime sagemaker rekognition textract "
    "comprehend transcribe translate polly personalize forecast lex kendra",
    ("#7a3ff2", "chart"): "athena glue emr emr-serverless emrserverless databrew kinesis firehose quicksight appflow "
    "kinesisanalyticsv2 opensearch",
    ("#7a3ff2", "globe"): "apigateway http apigatewaymanagementapi route53 cloudfront elasticloadbalancingv2",
    ("#c7253a", "key"): "secretsmanager iam kms cognito cognitoidentityprovider sts guardduty securityhub",
    ("#54657a", "person"): "activity",
}
SERVICES: dict[str, tuple[str, str]] = {name: look for look, names in _GROUPS.items() for name in names.split()}


def symbol(
    name: str, x: float, y: float, size: float, colour: str, *, weight: float = 2, class_: str | None = None
) -> Element:
    """A symbol centred on (*x*, *y*), *size* wide."""
    scale = size / 24
    move = f"translate({number(x - size / 2)} {number(y - size / 2)}) scale({scale:.3g})"
    return el("path", d=SYMBOLS[name], transform=move, fill="none", stroke=colour, stroke_width=weight,
              stroke_linecap="round", stroke_linejoin="round", class_=class_)  # fmt: skip


def outline(type_: str, x: float, y: float, w: float, h: float, *, inset: float = 0) -> str:
    """The path around a state: each type has its own silhouette."""
    x, y, w, h = x + inset, y + inset, w - 2 * inset, h - 2 * inset
    match type_:
        case "Choice":
            return _polygon(x, y, [(14, 0), (w - 14, 0), (w, h / 2), (w - 14, h), (14, h), (0, h / 2)])
        case "Fail":
            right, low = w - 11, h - 11
            return _polygon(x, y, [(11, 0), (right, 0), (w, 11), (w, low), (right, h), (11, h), (0, low), (0, 11)])
        case "Pass":
            return _polygon(x, y, [(9, 0), (w, 0), (w - 9, h), (0, h)])
        case "Wait" | "Succeed":
            return _rounded(x, y, w, h, h / 2)
        case _:
            return _rounded(x, y, w, h, 8)


def _polygon(x: float, y: float, points: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{number(x + px)} {number(y + py)}" for px, py in points) + "Z"


def _rounded(x: float, y: float, w: float, h: float, r: float) -> str:
    across, down = number(w - 2 * r), number(h - 2 * r)
    r_, back, up = number(r), number(2 * r - w), number(2 * r - h)
    return (f"M{number(x + r)} {number(y)}h{across}a{r_} {r_} 0 0 1 {r_} {r_}v{down}a{r_} {r_} 0 0 1 -{r_} {r_}"
            f"h{back}a{r_} {r_} 0 0 1 -{r_} -{r_}v{up}a{r_} {r_} 0 0 1 {r_} -{r_}z")  # fmt: skip
