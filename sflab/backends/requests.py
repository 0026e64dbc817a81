"""Requests to the Step Functions API: what may be in one, ARNs, names, pages, and how AWS words what it refuses.

Theory of operation. The shapes of requests and answers are botocore's own model of the service: `check` walks a request
along its shape and refuses it in the words of AWS's request validation, every problem in one message. A value of a
member the model calls sensitive is not repeated. What a request means is looked at afterwards, by the operations.
The texts are as recorded (conformance §8.2); values are written as Java writes them (``[Tag(key=a, value=b)]``).
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from sflab.asl import jackson
from sflab.asl.dataflow import MAX_BYTES, MAX_NESTING, too_deep
from sflab.asl.model import read_json
from sflab.errors import ApiError

Request = Mapping[str, Any]
T = TypeVar("T")

PAGE = 100  # "The default is 100 and the maximum allowed page size is 1000. A value of 0 uses the default."
#: "A name must not contain: white space; brackets < > { } [ ]; wildcard characters ? *; special characters
#: " # % \ ^ | ~ ` $ & , ; : /; control characters (U+0000-001F, U+007F-009F, U+FFFE-FFFF); surrogates (U+D800-DFFF);
#: invalid characters (U+10FFFF)" (API reference, CreateStateMachine)
_NO_NAME = re.compile('[\\s<>{}\\[\\]?*"#%\\\\^|~`$&,;:/\x00-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff\U0010ffff]')


@functools.cache
def service() -> Any:
    """Return botocore's model of the service."""
    import botocore.loaders
    import botocore.model

    loader = botocore.loaders.create_loader()
    return botocore.model.ServiceModel(loader.load_service_model("stepfunctions", "service-2"), "stepfunctions")


def invalid(message: str) -> ApiError:
    """``ValidationException``."""
    return ApiError("ValidationException", message)


# ── the model ────────────────────────────────────────────────────────────────────────────────────────────────────────


def check(operation: str, request: Any) -> dict[str, Any]:
    """Return the request with what the model knows of it; what is null or unknown is left out.

    Raises ApiError: ``SerializationException`` where a value has another type, ``ValidationException`` where the model
    does not allow it.
    """
    shape = service().operation_model(operation).input_shape
    known = _typed(request, shape)
    problems = list(_problems(known, shape, ""))
    if problems:
        many = "1 validation error" if len(problems) == 1 else f"{len(problems)} validation errors"
        raise invalid(f"{many} detected: {'; '.join(problems)}")
    return known  # type: ignore[no-any-return]


_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "list": (list,),
    "map": (dict,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
}
_TOKENS = {bool: "TRUE_VALUE", int: "NUMBER_VALUE", float: "NUMBER_VALUE", str: "STRING_VALUE"}
_JAVA = {"string": "String", "boolean": "Boolean", "integer": "Integer", "long": "Long", "float": "Float"}


def _typed(value: Any, shape: Any) -> Any:
    kind = shape.type_name
    fits = isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
    if not fits:
        if isinstance(value, dict | list):
            raise ApiError("SerializationException", "Unexpected token" if kind in _JAVA else "Expected list or null")
        if kind not in _JAVA:
            raise ApiError("SerializationException", "Expected list or null" if kind == "list" else "Expected null")
        word = "FALSE_VALUE" if value is False else _TOKENS[type(value)]
        raise ApiError("SerializationException", f"{word} cannot be converted to {_JAVA[kind]}")
    if kind == "structure":
        return {
            name: _typed(value[name], inner) for name, inner in shape.members.items() if value.get(name) is not None
        }
    if kind == "list":
        return [_typed(item, shape.member) for item in value if item is not None]
    return value


def _problems(value: Any, shape: Any, path: str) -> Iterator[str]:
    kind, limits = shape.type_name, shape.metadata
    if kind == "structure":
        for name in shape.required_members:
            if name not in value:
                at = f"{path}.{name}" if path else name
                yield f"Value null at '{at}' failed to satisfy constraint: Member must not be null"
        for name, item in value.items():
            yield from _problems(item, shape.members[name], f"{path}.{name}" if path else name)
        return
    shown = "" if limits.get("sensitive") else f" '{_java(value, shape)}'"
    for broken in _broken(value, kind, limits, getattr(shape, "enum", None)):
        yield f"Value{shown} at '{path}' failed to satisfy constraint: Member must {broken}"
    if kind == "list":
        for number, item in enumerate(value, 1):
            yield from _problems(item, shape.member, f"{path}.{number}.member")


def _broken(value: Any, kind: str, limits: Mapping[str, Any], enum: Sequence[str] | None) -> Iterator[str]:
    number = isinstance(value, int | float)
    measure, what = (value, "value") if number else (len(value), "length")
    if kind != "boolean" and "max" in limits and measure > limits["max"]:
        yield f"have {what} less than or equal to {limits['max']}"
    if kind != "boolean" and "min" in limits and measure < limits["min"]:
        yield f"have {what} greater than or equal to {limits['min']}"
    if "pattern" in limits and not re.fullmatch(limits["pattern"].replace(r"\p{ASCII}", r"[\x00-\x7f]"), value):
        yield f"satisfy regular expression pattern: {limits['pattern']}"
    if enum and value not in enum:
        yield f"satisfy enum value set: [{', '.join(enum)}]"


def _java(value: Any, shape: Any) -> str:
    if shape.type_name == "list":
        return f"[{', '.join(_java(item, shape.member) for item in value)}]"
    if shape.type_name == "structure":
        inside = (f"{name}={_java(value[name], inner)}" for name, inner in shape.members.items() if name in value)
        return f"{shape.name}({', '.join(inside)})"
    return str(value).lower() if isinstance(value, bool) else str(value)


def answer(response: Request) -> str:
    """Return the response as AWS writes it: JSON, moments in epoch seconds, without what is None."""
    return json.dumps(_plain(response), ensure_ascii=True, default=_seconds)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _seconds(value: Any) -> float:
    if isinstance(value, datetime):
        return round(value.timestamp(), 3)
    msg = f"{type(value).__name__} is no part of an answer"
    raise TypeError(msg)


def moment(at: float) -> datetime:
    """Return epoch seconds as a moment; AWS's are milliseconds."""
    return datetime.fromtimestamp(round(at, 3), UTC)


# ── names and ARNs ───────────────────────────────────────────────────────────────────────────────────────────────────


class Arn(NamedTuple):
    """``arn:aws:states:region:account:kind:name[:rest]``; *label* is of a Distributed Map, in ``name/label``."""

    text: str
    kind: str
    name: str
    label: str | None
    rest: str | None

    @property
    def number(self) -> int | None:
        """The version number at its end, None where there is none."""
        return int(self.rest) if re.fullmatch("[0-9]{1,18}", self.rest or "") else None  # type: ignore[arg-type]

    @property
    def machine(self) -> str:
        """The ARN of the state machine, without what qualifies it."""
        parts = self.text.split(":")
        return ":".join([*parts[:5], "stateMachine", self.name])


def arn(text: str, *kinds: str) -> Arn:
    """Read an ARN of one of *kinds*. Raises ApiError ``InvalidArn``."""
    parts = text.split(":", 7)
    if len(parts) < 7 or parts[0] != "arn" or parts[2] != "states" or not parts[6]:
        raise ApiError("InvalidArn", f"Invalid Arn: 'Invalid ARN prefix: {text}'")
    if kinds and parts[5] not in kinds:
        raise ApiError("InvalidArn", f"Invalid Arn: 'Resource type not valid in this context: {parts[5]}'")
    name, _, label = parts[6].partition("/")
    return Arn(text, parts[5], name, label or None, parts[7] if len(parts) > 7 else None)


def check_name(name: str) -> None:
    """Raises ApiError ``InvalidName``."""
    if _NO_NAME.search(name):
        raise ApiError("InvalidName", f"Invalid Name: '{name}'")


# ── JSON texts and pages ─────────────────────────────────────────────────────────────────────────────────────────────


def execution_input(text: str | None) -> str:
    """Return the input's text; none is ``{}``. Raises ApiError ``InvalidExecutionInput``."""
    if text is None:
        return "{}"
    said = None
    if not text.strip():
        said = "Invalid execution input."
    elif len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        said = f"The input is larger than {MAX_BYTES} bytes"
    else:
        try:
            deep = too_deep(read_json(text))
        except RecursionError:
            deep = True
        except ValueError as e:
            deep, found = False, jackson.problem(text)
            said = found.message if found else str(e)
        said = f"The input is nested deeper than {MAX_NESTING} levels" if deep else said
    if said is not None:
        raise ApiError("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{said}'")
    return text


def page(operation: str, request: Request, items: Sequence[T], key: Callable[[T], Any]) -> tuple[list[T], str | None]:
    """Return (the items of the page asked for, the token of the next one).

    A token is of one operation and of the arguments it came with; it names the last item seen, so that what comes or
    goes in the meantime shifts nothing. Raises ApiError ``InvalidToken``.
    """
    given = {name: value for name, value in request.items() if name not in ("nextToken", "maxResults")}
    asked = hashlib.sha256(json.dumps([operation, given], sort_keys=True).encode()).hexdigest()[:16]
    first = 0
    if token := request.get("nextToken"):
        first = _after(token, asked, items, key)
    last = first + (request.get("maxResults") or PAGE)
    following = None
    if last < len(items):
        seen = json.dumps([asked, last, key(items[last - 1])]).encode()
        following = base64.urlsafe_b64encode(hashlib.sha256(seen).digest()[:8] + seen).decode()
    return list(items[first:last]), following


def _after(token: str, asked: str, items: Sequence[T], key: Callable[[T], Any]) -> int:
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        sound = hashlib.sha256(raw[8:]).digest()[:8] == raw[:8]
        whose, position, last = json.loads(raw[8:]) if sound else (None, 0, None)
    except (ValueError, binascii.Error, UnicodeError):
        whose = None
    if whose != asked:
        raise ApiError("InvalidToken", "Invalid Token: 'Invalid token'")
    for index, item in enumerate(items):
        if key(item) == last:
            return index + 1
    return int(position)
