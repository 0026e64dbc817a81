"""What the value of each kind of field must be: one small function a kind, in a table.

`sflab.asl.fields` says which field is of which kind; `sflab.asl.validate` walks a definition and calls these.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from sflab.asl import choice, fields, jsonata
from sflab.asl.fields import Field
from sflab.asl.intrinsics import IntrinsicSyntaxError, compile_call
from sflab.asl.model import JSON, step, unstep
from sflab.asl.paths import PathSyntaxError, compile_path, is_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_FUNCTION = re.compile(r"\s*States\.(\w+)\s*\(")
_VARIABLE = re.compile(r"[^\W\d]\w{0,79}")


class Checker(Protocol):
    """One validation, as the functions here see it: what they found goes to it."""

    def error(self, message: str, pointer: str, code: str = ...) -> None:
        """Add what AWS refuses."""

    def warn(self, code: str, message: str, pointer: str) -> None:
        """Add what a person would want to know."""

    def required(self, names: Iterable[str], pointer: str) -> None:
        """Add that fields are missing."""

    def table(self, value: dict[str, JSON], known: dict[str, Field], pointer: str, language: str | None) -> None:
        """Check the fields of an object."""

    def one_each(self, value: dict[str, JSON], groups: str, pointer: str) -> None:
        """Check that no two fields of a group of `fields.EXCLUSIVE` are given."""

    def template(self, value: JSON, owner: str) -> None:
        """Check a payload template."""

    def errors_of(self, items: list[JSON], pointer: str, what: str) -> None:
        """Check the order of retriers or catchers."""

    def rule(self, rule: JSON, pointer: str, language: str, depth: int = 0) -> None:
        """Check a choice rule."""


def _text(c: Checker, value: JSON, pointer: str, _language: str) -> None:
    if not isinstance(value, str):
        c.error("Expected value of type String", pointer)


def _states(c: Checker, value: JSON, pointer: str, _language: str) -> None:
    if not isinstance(value, dict):
        c.error("Expected value of type Object", pointer)
    elif not value:
        c.error("Value cannot be empty", pointer)


def _number(least: float, most: float, *, whole: bool = True) -> Callable[[Checker, JSON, str, str], None]:
    def check(c: Checker, value: JSON, pointer: str, _language: str) -> None:
        kinds = int if whole else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool):
            c.error(f"Expected value of type {'Integer' if whole else 'Number'}", pointer)
        elif not least <= value <= most:
            c.error(f"Value must be between {least:g} and {most:g}, not {value}", pointer)

    return check


def _flag(c: Checker, value: JSON, pointer: str, _language: str) -> None:
    if not isinstance(value, bool):
        c.error("Expected value of type Boolean", pointer)


def _one_of(*allowed: str) -> Callable[[Checker, JSON, str, str], None]:
    def check(c: Checker, value: JSON, pointer: str, _language: str) -> None:
        if value not in allowed:
            c.error(
                f"The field '{unstep(pointer)[-1]}' should have one of these values: [{', '.join(allowed)}]", pointer
            )

    return check


def _path(c: Checker, value: JSON, pointer: str, _language: str) -> None:
    if value is None and unstep(pointer)[-1] in ("InputPath", "OutputPath"):
        return
    if not isinstance(value, str):
        c.error("Expected value of type String", pointer)
        return
    if value.lstrip().startswith("States.") and unstep(pointer)[-1] not in ("InputPath", "OutputPath", "Variable"):
        _expression(c, value, pointer, _language)
        return
    try:
        compile_path(value)
    except PathSyntaxError as e:
        c.error(f"Value is not a valid JSONPath: {e}", pointer)


def _reference(c: Checker, value: JSON, pointer: str, _language: str) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        c.error("Expected value of type String", pointer)
        return
    try:
        if not is_reference(compile_path(value)):
            c.error("Value is not a Reference Path: only names and indexes may follow $", pointer)
    except PathSyntaxError as e:
        c.error(f"Value is not a Reference Path: {e}", pointer)


def _expression(c: Checker, value: JSON, pointer: str, _language: str) -> None:
    if not isinstance(value, str) or not compiles(value):
        c.error("Value must be a valid JSONPath or a valid intrinsic function call", pointer)


def _text_expression(c: Checker, value: JSON, pointer: str, language: str) -> None:
    """A path, or a call of a function that gives a string."""
    _expression(c, value, pointer, language)
    name = _FUNCTION.match(value) if isinstance(value, str) else None
    if name and name[1] not in fields.GIVE_TEXT:
        c.error("Value must be a valid JSONPath or an intrinsic function that gives a string", pointer)


def _timestamp(c: Checker, value: JSON, pointer: str, language: str) -> None:
    if (
        language == "JSONata"
        and isinstance(value, str)
        and jsonata.is_expression(value)
        and pointer.endswith("/Timestamp")
    ):
        return
    if choice.timestamp(value) is None:
        c.error("String does not match RFC3339 timestamp", pointer)


def _template(c: Checker, value: JSON, pointer: str, _language: str) -> None:
    c.template(value, pointer)


def _any(c: Checker, value: JSON, pointer: str, language: str) -> None:
    if language == "JSONPath" and unstep(pointer)[-1] == "ItemSelector":
        c.template(value, pointer)


def _assign(c: Checker, value: JSON, pointer: str, language: str) -> None:
    if not isinstance(value, dict):
        c.error("Expected value of type Object", pointer)
        return
    for name in value:
        bare = name.removesuffix(".$")
        if bare == "states" or not (_VARIABLE.fullmatch(bare) or "${" in bare):
            c.error(f"'{bare}' is not a valid variable name", pointer + step(name))
    if language == "JSONPath":
        c.template(value, pointer)


def _list(c: Checker, value: JSON, pointer: str) -> list[JSON]:
    if not isinstance(value, list):
        c.error("Expected value of type Array", pointer)
        return []
    return value


def _retriers(c: Checker, value: JSON, pointer: str, language: str) -> None:
    items = _list(c, value, pointer)
    for i, item in enumerate(items):
        if isinstance(item, dict):
            c.table(item, fields.RETRIER, f"{pointer}/{i}", language)
        else:
            c.error("Expected value of type Object", f"{pointer}/{i}")
    c.errors_of(items, pointer, "retrier")


def _catchers(c: Checker, value: JSON, pointer: str, language: str) -> None:
    items = _list(c, value, pointer)
    for i, item in enumerate(items):
        if isinstance(item, dict):
            c.table(item, fields.CATCHER, f"{pointer}/{i}", language)
        else:
            c.error("Expected value of type Object", f"{pointer}/{i}")
    c.errors_of(items, pointer, "catcher")


def _errors(c: Checker, value: JSON, pointer: str, _language: str) -> None:
    items = _list(c, value, pointer)
    if isinstance(value, list) and not value:
        c.error("Value cannot be empty", pointer)
    for i, name in enumerate(items):
        if not isinstance(name, str):
            c.error("Expected value of type String", f"{pointer}/{i}")
        elif name.startswith("States.") and name not in fields.PREDEFINED_ERRORS and not name.startswith("States.Http"):
            c.warn("UNKNOWN_ERROR_NAME", f"there is no predefined error {name}", f"{pointer}/{i}")


def _rules(c: Checker, value: JSON, pointer: str, language: str) -> None:
    items = _list(c, value, pointer)
    if isinstance(value, list) and not value:
        c.error("Value cannot be empty", pointer)
    for i, rule in enumerate(items):
        c.rule(rule, f"{pointer}/{i}", language)


def _branches(c: Checker, value: JSON, pointer: str, language: str) -> None:
    items = _list(c, value, pointer)
    if isinstance(value, list) and not value:
        c.error("Value cannot be empty", pointer)
    for i, branch in enumerate(items):
        _processor_states(c, branch, f"{pointer}/{i}", language)


def _processor_states(c: Checker, value: JSON, pointer: str, _language: str) -> None:
    if isinstance(value, dict):
        c.table(value, fields.TOP_LEVEL, pointer, None)
    else:
        c.error("Expected value of type Object", pointer)


def _credentials(c: Checker, value: JSON, pointer: str, _language: str) -> None:
    if not isinstance(value, dict):
        c.error("Expected value of type Object", pointer)
    elif "RoleArn" not in value and "RoleArn.$" not in value:
        c.error("The field 'RoleArn' is required but was missing", pointer)


# ── the parts of a Distributed Map ───────────────────────────────────────────────────────────────────────────────────


def _part(known: dict[str, Field], name: str) -> Callable[[Checker, JSON, str, str], None]:
    def check(c: Checker, value: JSON, pointer: str, language: str) -> None:
        if not isinstance(value, dict):
            c.error("Expected value of type Object", pointer)
            return
        c.table(value, known, pointer, language)
        c.one_each(value, name, pointer)

    return check


def _processor(c: Checker, value: JSON, pointer: str, language: str) -> None:
    _part(fields.PROCESSOR, "ProcessorConfig")(c, value, pointer, language)
    if isinstance(value, dict) and value.get("Mode") == "DISTRIBUTED" and "ExecutionType" not in value:
        c.required(["ExecutionType"], pointer)


def _item_batcher(c: Checker, value: JSON, pointer: str, language: str) -> None:
    _part(fields.ITEM_BATCHER, "ItemBatcher")(c, value, pointer, language)
    limits = [name for group in fields.EXCLUSIVE["ItemBatcher"] for name in group]
    if isinstance(value, dict) and not any(name in value for name in limits):
        c.error(f"One of these fields is required: [{', '.join(limits)}]", pointer)


def _batch_input(c: Checker, value: JSON, pointer: str, language: str) -> None:
    if not isinstance(value, dict):
        c.error("Expected value of type Object", pointer)
    elif language == "JSONPath":
        c.template(value, pointer)


def _result_writer(c: Checker, value: JSON, pointer: str, language: str) -> None:
    """Where results go needs a Resource; how they are written stands alone as well."""
    _part(fields.RESULT_WRITER, "ResultWriter")(c, value, pointer, language)
    if isinstance(value, dict) and "Resource" not in value and "WriterConfig" not in value:
        c.required(["Resource"], pointer)


def _texts(c: Checker, value: JSON, pointer: str, _language: str) -> None:
    for i, item in enumerate(_list(c, value, pointer)):
        _text(c, item, f"{pointer}/{i}", _language)


KINDS: dict[str, Callable[[Checker, Any, str, str], None]] = {
    "text": _text,
    "type": _text,
    "states": _states,
    "count": _number(0, 2**31),
    "positive": _number(1, 99_999_999),
    "seconds": _number(0, 99_999_999),
    "percentage": _number(0, 100, whole=False),
    "rate": _number(1, 1e9, whole=False),
    "flag": _flag,
    "language": _one_of("JSONPath", "JSONata"),
    "jitter": _one_of("FULL", "NONE"),
    "path": _path,
    "reference": _reference,
    "expression": _expression,
    "text_expression": _text_expression,
    "timestamp": _timestamp,
    "template": _template,
    "any": _any,
    "assign": _assign,
    "retriers": _retriers,
    "catchers": _catchers,
    "errors": _errors,
    "rules": _rules,
    "branches": _branches,
    "processor_states": _processor_states,
    "processor": _processor,
    "mode": _one_of("INLINE", "DISTRIBUTED"),
    "execution_type": _one_of("STANDARD", "EXPRESS"),
    "item_reader": _part(fields.ITEM_READER, "ItemReader"),
    "reader_config": _part(fields.READER_CONFIG, "ReaderConfig"),
    "input_type": _one_of("CSV", "JSON", "JSONL", "MANIFEST", "PARQUET"),
    "reader_transformation": _one_of("NONE", "LOAD_AND_FLATTEN"),
    "csv_header_location": _one_of("FIRST_ROW", "GIVEN"),
    "csv_delimiter": _one_of("COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB"),
    "manifest_type": _one_of("ATHENA_DATA", "S3_INVENTORY"),
    "texts": _texts,
    "item_batcher": _item_batcher,
    "batch_input": _batch_input,
    "bytes": _number(0, 256 * 1024),
    "result_writer": _result_writer,
    "writer_config": _part(fields.WRITER_CONFIG, "WriterConfig"),
    "writer_transformation": _one_of("NONE", "COMPACT", "FLATTEN"),
    "output_type": _one_of("JSON", "JSONL"),
    "credentials": _credentials,
}


def compiles(text: str) -> bool:
    try:
        (compile_call if text.lstrip().startswith("States.") else compile_path)(text)
    except (PathSyntaxError, IntrinsicSyntaxError):
        return False
    return True
