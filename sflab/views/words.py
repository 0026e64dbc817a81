"""What a state says of itself in a few words, and how wide those words are.

The graph, the timeline, the tables and the text outlines all name things through this one file, so a Choice rule, a
service or a duration reads the same wherever it is shown. Everything takes any JSON, however broken the definition is,
and answers with text that is fit to be shown: cleaned, and shortened only where the caller asks for it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, NamedTuple

# ── text and its width ───────────────────────────────────────────────────────────────────────────────────────────────

# Advance widths of the characters 32..126 in 1/1000 em: for each the wider of Verdana and DejaVu Sans, the widest fonts
# that browsers show interface text in. What is measured with these fits whatever font is there.
_PLAIN = (
    352, 401, 460, 838, 636, 1076, 780, 275, 454, 454, 636, 838, 364, 454, 364, 454, 636, 636, 636, 636, 636, 636, 636,
    636, 636, 636, 454, 454, 838, 838, 838, 545, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 421, 455, 693, 557, 863,
    748, 787, 603, 787, 695, 684, 616, 732, 684, 989, 685, 615, 685, 454, 454, 454, 838, 636, 636, 613, 635, 550, 635,
    615, 352, 635, 634, 278, 344, 592, 278, 974, 634, 612, 635, 635, 427, 521, 394, 634, 592, 818, 592, 592, 525, 636,
    454, 636, 838,
)  # fmt: skip
_BOLD = (
    348, 456, 587, 867, 711, 1272, 872, 332, 543, 543, 711, 867, 380, 480, 380, 689, 711, 711, 711, 711, 711, 711, 711,
    711, 711, 711, 402, 402, 867, 867, 867, 617, 1000, 776, 762, 734, 830, 683, 683, 821, 837, 546, 555, 775, 637, 995,
    847, 850, 733, 850, 782, 720, 682, 812, 774, 1128, 771, 737, 725, 543, 689, 543, 867, 711, 711, 675, 716, 593, 716,
    678, 435, 716, 712, 343, 403, 671, 343, 1058, 712, 687, 716, 716, 497, 595, 478, 712, 652, 979, 669, 652, 597, 712,
    543, 712, 867,
)  # fmt: skip

_ZERO_WIDTH = frozenset(("Mn", "Me", "Cf"))
# Controls are not XML 1.0 characters; surrogates are not UTF-8; the directional embeddings and isolates reorder the
# text around them, so that a name could be made to read as another.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")


def clean(value: Any) -> str:
    """*value* as one line of text that may stand in XML: JSON if it is no string, what cannot be shown as U+FFFD."""
    text = value if isinstance(value, str) else compact(value)
    return _UNSHOWABLE.sub("\ufffd", " ".join(text.split()))


def compact(value: Any) -> str:
    """*value* as JSON on one line."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (RecursionError, ValueError):
        return "…"


def width(text: str, size: float, *, bold: bool = False) -> float:
    """How wide *text* is at most, in the unit of *size* (the font's size)."""
    table = _BOLD if bold else _PLAIN
    thousandths = 0
    for c in text:
        code = ord(c)
        if 32 <= code < 127:
            thousandths += table[code - 32]
        elif unicodedata.category(c) in _ZERO_WIDTH:
            continue
        elif unicodedata.east_asian_width(c) in "WF":
            thousandths += 1000 if code < 0x1F000 else 1380  # ideographs fill the em, colour emoji overflow it
        else:
            thousandths += 1240 if c.isupper() else 1000 if c.isalpha() else 900
    return thousandths * size / 1000


def shorten(text: str, room: float, size: float, *, bold: bool = False, keep_end: bool = False) -> str:
    """Cut *text* with an ellipsis so that it is at most *room* wide; *keep_end* cuts in the middle."""
    if width(text, size, bold=bold) <= room:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest cut that fits
        middle = (low + high + 1) // 2
        if width(_cut(text, middle, keep_end=keep_end), size, bold=bold) <= room:
            low = middle
        else:
            high = middle - 1
    return _cut(text, low, keep_end=keep_end)


def _cut(text: str, length: int, *, keep_end: bool) -> str:
    tail = length // 3 if keep_end else 0
    return text[: length - tail].rstrip() + "…" + (text[len(text) - tail :].lstrip() if tail else "")


_WIDE = "[\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef]"  # scripts that have no spaces break anywhere
_HUMPS = re.compile(rf"(?<=[\-_./:])|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<={_WIDE})(?={_WIDE})")


def wrap(text: str, room: float, size: float, *, bold: bool = False, lines: int = 2) -> tuple[str, ...]:
    """Break *text* into at most *lines* lines no wider than *room*: at spaces, and too long a word at its humps."""
    if width(text, size, bold=bold) <= room:
        return (text,)
    pieces: list[str] = []
    for word in re.findall(r"\S*\s*", text):
        fits = width(word.rstrip(), size, bold=bold) <= room
        pieces += [word] if fits else _HUMPS.split(word)
    done: list[str] = []
    current = ""
    for piece in filter(None, pieces):
        if current and width((current + piece).strip(), size, bold=bold) > room:
            if len(done) == lines - 1:
                break
            done.append(current)
            current = ""
        current += piece
    rest = text[sum(map(len, done)) :]
    return (*(shorten(line.strip(), room, size, bold=bold) for line in done),
            shorten(rest.strip(), room, size, bold=bold, keep_end=True))  # fmt: skip


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_UNITS = (("day", 86400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: float | None) -> str:
    """A length of time in its two largest units: ``3 days``, ``2 h 5 min``, ``1.25 s``, ``40 ms``."""
    if seconds is None:
        return ""
    if seconds < 0 or seconds != seconds or seconds > 1e12:  # noqa: PLR0124 - NaN
        return f"{seconds:g} s"
    if seconds < 1:
        return f"{round(seconds * 1000)} ms" if seconds >= 0.001 or not seconds else f"{seconds * 1000:.2g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    left = round(seconds)
    parts = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}")
    return " ".join(parts[:2])


def count(number: int, noun: str) -> str:
    """``1 event``, ``2 events``, ``1,200 events``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Service(NamedTuple):
    """What a Task calls: ``lambda``, ``ReserveStock``, ``callback``; ``name`` is empty where only a token is known."""

    name: str
    action: str
    pattern: str  # "", "sync" or "callback"

    @property
    def text(self) -> str:
        """``lambda: ReserveStock``."""
        return f"{self.name}: {self.action}" if self.name and self.action else self.name or self.action


_PATTERNS = {"sync": "sync", "sync:2": "sync", "waitForTaskToken": "callback"}


def service(state: dict[str, Any]) -> Service:
    """Read a Task's Resource: an integration, a Lambda function, an activity, or whatever else stands there."""
    resource = clean(state.get("Resource", ""))
    parts = resource.split(":")
    head = ":".join(parts[:6])
    if resource.startswith("arn:") and len(parts) > 5 and parts[2] == "states" and not parts[4].strip():
        name, action, pattern = _integration(parts[5:])
        called = _function(state) if name == "lambda" and action == "invoke" else ""
        return Service(name, called or action, pattern)
    if resource.startswith("arn:") and len(parts) > 6 and parts[5] == "function":
        return Service("lambda", ":".join(p for p in parts[6:] if p != "$LATEST"), "")
    if resource.startswith("arn:") and len(parts) > 6 and parts[5] == "activity":
        return Service("activity", ":".join(parts[6:]), "")
    if resource.startswith("arn:") and len(parts) > 5:
        return Service(parts[2], resource[len(head) + 1 :] or parts[5], "")
    return Service("", resource, "")


def _integration(parts: list[str]) -> tuple[str, str, str]:
    """Read ``aws-sdk:s3:getObject``, ``glue:startJobRun.sync``, ``states:startExecution.sync:2``."""
    if parts[0] == "aws-sdk":
        parts = parts[1:]
    action, _, pattern = ":".join(parts[1:]).partition(".")
    return (parts[0] if parts else ""), action, _PATTERNS.get(pattern, pattern)


def _function(state: dict[str, Any]) -> str:
    """Return the function that a ``lambda:invoke`` names, without the rest of its ARN."""
    for field in ("Parameters", "Arguments"):
        given = state.get(field)
        if not isinstance(given, dict):
            continue
        for key in ("FunctionName", "FunctionName.$"):
            if key in given:
                name = expression(given[key])
                parts = name.split(":")
                at = parts.index("function") + 1 if "function" in parts else 0
                return ":".join(p for p in parts[at:] if p != "$LATEST") or name
    return ""


def expression(value: Any) -> str:
    """A value as a reader wants it: JSONata without its ``{% %}``, a string without quotes, other JSON compact."""
    text = clean(value)
    if text.startswith("{%") and text.endswith("%}") and len(text) > 3:
        return text[2:-2].strip()
    return text


# ── what stands on a state's second line ─────────────────────────────────────────────────────────────────────────────


def subtitle(state: dict[str, Any]) -> str:
    """One line about *state*: the service it calls, how long it waits, what it fails with, how many branches it has."""
    match state.get("Type"):
        case "Task":
            return service(state).text
        case "Wait":
            return _wait(state)
        case "Fail":
            return next((expression(state[f]) for f in ("Error", "ErrorPath", "Cause", "CausePath") if f in state), "")
        case "Pass":
            assigned = state.get("Assign")
            if not isinstance(assigned, dict) or not assigned:
                return ""
            return "assigns " + ", ".join(clean(k.removesuffix(".$")) for k in assigned)
        case "Parallel":
            branches = state.get("Branches")
            return _plural(len(branches) if isinstance(branches, list) else 0, "branch", "branches")
        case "Map":
            return _map(state)
    return ""


def _plural(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _wait(state: dict[str, Any]) -> str:
    seconds = state.get("Seconds")
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool):
        return duration(seconds)
    if seconds is not None:
        return f"{expression(seconds)} s"
    if "SecondsPath" in state:
        return f"{expression(state['SecondsPath'])} s"
    return next((f"until {expression(state[f])}" for f in ("Timestamp", "TimestampPath") if f in state), "")


def _map(state: dict[str, Any]) -> str:
    """``each of $.items · 5 at once · distributed``."""
    config = (state.get("ItemProcessor") or {}) if isinstance(state.get("ItemProcessor"), dict) else {}
    config = config.get("ProcessorConfig") if isinstance(config.get("ProcessorConfig"), dict) else {}
    items = next((expression(state[f]) for f in ("ItemsPath", "Items") if f in state), "")
    if not items and isinstance(state.get("ItemReader"), dict):
        items = service(state["ItemReader"]).text
    limit = next((state[f] for f in ("MaxConcurrency", "MaxConcurrencyPath") if f in state), 0)
    words = [f"each of {items}" if items else "each item"]
    if limit:
        words.append(f"{expression(limit)} at once")
    if config and config.get("Mode") == "DISTRIBUTED":
        words.append("distributed")
    return " · ".join(words)


# ── choices ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_SIGNS = {"Equals": "=", "LessThan": "<", "GreaterThan": ">", "LessThanEquals": "≤", "GreaterThanEquals": "≥",
          "Matches": "matches"}  # fmt: skip
_OPPOSITES = {"=": "≠", "<": "≥", ">": "≤", "≤": ">", "≥": "<"}
_KINDS = {"IsNull": "null", "IsPresent": "present", "IsNumeric": "a number", "IsString": "a string",
          "IsBoolean": "a boolean", "IsTimestamp": "a timestamp"}  # fmt: skip
_COMPARISON = re.compile(r"(String|Numeric|Boolean|Timestamp)(\w+?)(Path)?")


def condition(rule: Any, depth: int = 0) -> str:
    """A Choice rule in words: ``$.paid = true``, ``$.a is present and $.n > 5``; any JSON gives some text."""
    if not isinstance(rule, dict):
        return expression(rule)
    if depth > 8:
        return "…"
    if "Condition" in rule:
        literal = rule["Condition"]
        return {True: "always", False: "never"}[literal] if isinstance(literal, bool) else _jsonata(literal)
    for joiner, word in (("And", " and "), ("Or", " or ")):
        if isinstance(rule.get(joiner), list):
            parts = [condition(r, depth + 1) for r in rule[joiner]]
            mixed = [isinstance(r, dict) and ("Or" if joiner == "And" else "And") in r for r in rule[joiner]]
            return word.join(f"({p})" if m else p for p, m in zip(parts, mixed, strict=True)) or "?"
    if "Not" in rule:
        return _negated(rule["Not"], depth)
    return _comparison(rule, positive=True) or "?"


_QUOTED = re.compile(r"""\"(?:[^"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`""")
_PATH = r"[\w.$\[\]\x00]+"  # \x00 stands for a text in quotes
#: JSONata → words; what is not here is shown as it is written.
_PHRASES = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"\$states\.(input|result|context|errorOutput)\b", r"\1"),
        (rf"\$not\(\s*\$exists\(\s*({_PATH})\s*\)\s*\)", r"\1 is not present"),
        (rf"\$exists\(\s*({_PATH})\s*\)", r"\1 is present"),
        (rf"\$contains\(\s*({_PATH})\s*,\s*({_PATH})\s*\)", r"\1 contains \2"),
        (rf"\$boolean\(\s*({_PATH})\s*\)", r"\1"),
        (r"\$not\(", "not ("),
        (r"!=", "≠"),
        (r">=", "≥"),
        (r"<=", "≤"),
    )
)


def _jsonata(condition_: Any) -> str:
    """Return a JSONata condition in words: ``input.total > 100 and input.coupon is present``."""
    text = expression(condition_)
    if text == clean(condition_):  # without {% %}: no JSONata
        return text
    quoted = _QUOTED.findall(text)
    text = _QUOTED.sub("\x00", text)
    for pattern, words in _PHRASES:
        text = pattern.sub(words, text)
    pieces = text.split("\x00")
    return pieces[0] + "".join(map("".join, zip(quoted, pieces[1:], strict=True)))


def _negated(rule: Any, depth: int) -> str:
    if isinstance(rule, dict) and (words := _comparison(rule, positive=False)):
        return words
    return f"not ({condition(rule, depth + 1)})"


def _comparison(rule: dict[str, Any], *, positive: bool) -> str:
    variable = expression(rule.get("Variable", "?"))
    for key, value in rule.items():
        if key in _KINDS:
            right = _KINDS[key]
            yes = (value is not False) == positive
            return f"{variable} is {'' if yes else 'not '}{right}"
        if (m := _COMPARISON.fullmatch(key)) and m[2] in _SIGNS:
            sign = _SIGNS[m[2]]
            if not positive:
                sign = _OPPOSITES.get(sign, f"does not {sign.removesuffix('es')}")
            is_text = isinstance(value, str) and not m[3] and m[1] == "String"
            return f"{variable} {sign} {compact(clean(value)) if is_text else expression(value)}"
    return ""


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def entries(state: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """Return the objects in a list field (Retry, Catch, Choices); whatever else stands there is passed over."""
    value = state.get(field)
    return [e for e in value if isinstance(e, dict)] if isinstance(value, list) else []


def errors(catcher: dict[str, Any]) -> str:
    """Return the error names of a retrier or catcher: ``CardDeclined, States.Timeout``."""
    names = catcher.get("ErrorEquals")
    return ", ".join(clean(n) for n in names) if isinstance(names, list) and names else "?"


def retries(state: dict[str, Any]) -> tuple[int, str]:
    """How often a state may be tried again at most, over all its retriers, and each of them in words."""
    total, words = 0, []
    for retrier in entries(state, "Retry"):
        most = retrier.get("MaxAttempts", 3)  # 3 is the States Language's default
        most = most if isinstance(most, int) and not isinstance(most, bool) and most >= 0 else 3
        total += most
        words.append(f"{errors(retrier)}: {_plural(most, 'retry', 'retries')}")
    return total, "; ".join(words)
