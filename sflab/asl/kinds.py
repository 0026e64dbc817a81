"""What the value of each kind of field must be: one small function a kind, in a table.

`sflab.asl.fields` says which field is of which kind; `sflab.asl.validate` walks a definition and calls these. The
messages are AWS's, as recorded or as users report them; what a hint adds is ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from sflab.asl import choice, fields, jsonata
from sflab.asl.fields import Field
from sflab.asl.intrinsics import IntrinsicSyntaxError, compile_call
from sflab.asl.model import JSON, TOKEN, step, unstep
from sflab.asl.paths import PathSyntaxError, compile_path, is_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_FUNCTION = re.compile(r"\s*States\.(\w+)\s*\(")
_VARIABLE = re.compile(r"[^\W\d]\w*")
_VARIABLE_LIMIT = 80  # characters (developer guide, "Variable name syntax")
_LABEL_LIMIT = 40
_NOT_IN_LABELS = re.compile(r"[\s?*<>{}\[\]\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]")
_READERS = re.compile(r"arn:[^:]+:states:[^:]*:[^:]*:s3:(getObject|listObjectsV2)")
_PATH_LIKE = re.compile(r"\$\$?(\.|\[).+|States\.\w+\s*\(.*\)\s*", re.DOTALL)


class Checker(Protocol):
    """One validation, as the functions here see it: what they found goes to it."""

    type: str

    def error(
        self, message: str, pointer: str, code: str = ..., *, hint: str = "", location: str | None = None
    ) -> None:
        """Add what AWS refuses; *hint* is ours, *location* where AWS points elsewhere."""

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

    def errors_of(self, items: list[JSON], pointer: str) -> None:
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


def _number(least: float, most: float | None, *, whole: bool) -> Callable[[Checker, JSON, str, str], None]:
    def check(c: Checker, value: JSON, pointer: str, _language: str) -> None:
        kinds = int if whole else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool):
            hint = "; a path to it goes into the field whose name ends with 'Path'" if looks_dynamic(value) else ""
            c.error(f"Expected value of type {'Integer' if whole else 'Number'}", pointer, hint=hint)
        elif value < least:
            c.error(f"Minimum value is {least}", pointer, hint=f", not {value}")
        elif most is not None and value > most:
            c.error(f"Maximum value is {most}", pointer, hint=f", not {value}")

    return check


def _flag(c: Checker, value: JSON, pointer: str, _language: str) -> None:
    if not isinstance(value, bool):
        c.error("Expected value of type Boolean", pointer)


def _one_of(*allowed: str) -> Callable[[Checker, JSON, str, str], None]:
    def check(c: Checker, value: JSON, pointer: str, _language: str) -> None:
        if not isinstance(value, str):
            c.error("Expected value of type [STRING]", pointer)
        elif value not in allowed:
            c.error(
                f"Value should be one of the following: [{', '.join(allowed)}]",
                pointer,
                hint=did_you_mean(value, allowed),
            )

    return check


def _label(c: Checker, value: JSON, pointer: str, language: str) -> None:
    _text(c, value, pointer, language)
    if isinstance(value, str) and len(value) > _LABEL_LIMIT:
        # A limit by the developer guide; yet definitions in production have longer ones.
        c.warn("LONG_LABEL", f"the label has {len(value)} characters; {_LABEL_LIMIT} is the documented limit", pointer)
    if isinstance(value, str) and not TOKEN.search(value) and (bad := _NOT_IN_LABELS.search(value)):
        c.error(f"A label cannot contain {bad.group()!r}", pointer)


def _reader(c: Checker, value: JSON, pointer: str, language: str) -> None:
    _text(c, value, pointer, language)
    if isinstance(value, str) and not _READERS.fullmatch(value):
        hint = ": arn:aws:states:::s3:getObject or arn:aws:states:::s3:listObjectsV2"
        c.error("The field 'Resource' does not match any of the allowed values", pointer, hint=hint)


def _path(c: Checker, value: JSON, pointer: str, _language: str) -> None:
    if value is None and unstep(pointer)[-1] in ("InputPath", "OutputPath"):
        return
    if not isinstance(value, str):
        c.error("Expected value of type String", pointer)
        return
    if value.lstrip().startswith("States.") and unstep(pointer)[-1] not in ("InputPath", "OutputPath"):
        _expression(c, value, pointer, _language)
        return
    try:
        compile_path(value)
    except PathSyntaxError as e:
        c.error("Value must be a valid JSONPath.", pointer, hint=f" {e}")


def _reference(c: Checker, value: JSON, pointer: str, _language: str) -> None:
    if value is None and unstep(pointer)[-1] == "ResultPath":
        return
    if not isinstance(value, str):
        c.error("Expected value of type String", pointer)
        return
    if unstep(pointer)[-1] in ("ResultPath", "ItemsPath") and not value.startswith("$"):
        c.error("Value must be a valid JSONPath.", pointer, hint=" a path begins with $")
        return
    if not value.startswith("$"):
        c.error("Value is not a Reference Path: Reference path didn't start with '$'", pointer)
        return
    try:
        path = compile_path(value)
        if not (is_reference(path) if unstep(pointer)[-1] == "ResultPath" else path.definite):
            c.error("Value is not a Reference Path", pointer, hint=": only names and indexes may follow $")
    except PathSyntaxError as e:
        c.error("Value is not a Reference Path", pointer, hint=f": {e}")


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
        bare = name.removesuffix(".$") if language == "JSONPath" else name
        if bare == "states":
            reserved = f"Cannot assign to reserved variable '${bare}'."
            c.error(reserved, pointer + step(name), "RESERVED_VARIABLE_NAME")
        elif "${" in bare:
            continue
        elif not _VARIABLE.fullmatch(bare):
            wrong = f"Invalid variable name '{bare}': the variable name contains invalid characters."
            hint = " Letters, digits and _ make a name, and a letter begins it."
            c.error(wrong, pointer + step(name), "INVALID_VARIABLE_NAME", hint=hint)
        elif len(bare) > _VARIABLE_LIMIT:
            wrong = f"Invalid variable name '{bare}': it has {len(bare)} characters; {_VARIABLE_LIMIT} is the limit."
            c.error(wrong, pointer + step(name), "INVALID_VARIABLE_NAME")
        elif language == "JSONata" and bare in jsonata.BUILT_IN:
            c.warn("HIDES_FUNCTION", f"after this ${bare} is the variable, not the function", pointer + step(name))
    if language == "JSONPath":
        c.template(value, pointer)


def _list(c: Checker, value: JSON, pointer: str) -> list[JSON]:
    if not isinstance(value, list):
        c.error("Expected value of type Array", pointer)
        return []
    return value


def _handlers(table: dict[str, Field]) -> Callable[[Checker, JSON, str, str], None]:
    """A Retry or Catch array, whose items have the fields of *table*."""

    def check(c: Checker, value: JSON, pointer: str, language: str) -> None:
        items = _list(c, value, pointer)
        for i, item in enumerate(items):
            if isinstance(item, dict):
                c.table(item, table, f"{pointer}/{i}", language)
            else:
                c.error("Expected value of type Object", f"{pointer}/{i}")
        c.errors_of(items, pointer)

    return check


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
        known = fields.BRANCH if unstep(pointer)[-2:-1] == ["Branches"] else fields.ITEM_PROCESSOR
        c.table(value, known, pointer, None)
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
    known = dict(fields.PROCESSOR)
    distributed = isinstance(value, dict) and value.get("Mode") == "DISTRIBUTED"
    if isinstance(value, dict) and value.get("Mode") == "INLINE":
        del known["ExecutionType"]
    elif distributed:
        known["ExecutionType"] = known["ExecutionType"]._replace(required=True)
    _part(known, "ProcessorConfig")(c, value, pointer, language)
    if distributed and c.type == "EXPRESS":
        said = "The field 'Mode' with value 'DISTRIBUTED' is not supported inside 'EXPRESS' state machines"
        c.error(said, f"{pointer}/Mode")


def _reader_config(c: Checker, value: JSON, pointer: str, language: str) -> None:
    _part(fields.READER_CONFIG, "ReaderConfig")(c, value, pointer, language)
    if not isinstance(value, dict):
        return
    kind, where = value.get("InputType"), value.get("CSVHeaderLocation")
    if kind == "CSV" and where is None:
        c.error("The field 'CSVHeaderLocation' is required", pointer, hint=": FIRST_ROW or GIVEN")
    if kind == "JSON" and where is not None:
        c.error(
            "Field 'CSVHeaderLocation' is not supported", f"{pointer}/CSVHeaderLocation", hint=": the input is JSON"
        )
    if where == "GIVEN" and "CSVHeaders" not in value:
        c.required(["CSVHeaders"], pointer)
    manifest, flattens = value.get("ManifestType"), value.get("Transformation") == "LOAD_AND_FLATTEN"
    if (flattens or manifest == "ATHENA_DATA") and kind is None:
        c.required(["InputType"], pointer)
    if manifest == "S3_INVENTORY" and kind not in (None, "MANIFEST"):
        c.error("Field 'InputType' is not supported", f"{pointer}/InputType", hint=": ManifestType is S3_INVENTORY")


def _item_batcher(c: Checker, value: JSON, pointer: str, language: str) -> None:
    _part(fields.ITEM_BATCHER, "ItemBatcher")(c, value, pointer, language)
    limits = [name for group in fields.EXCLUSIVE["ItemBatcher"] for name in group]
    if isinstance(value, dict) and not any(name in value for name in limits):
        c.warn("NO_BATCH_LIMIT", f"give one of {', '.join(limits)}, or a batch has every item", pointer)


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
    **{kind: _number(least, most, whole=whole) for kind, (least, most, whole) in fields.NUMBERS.items()},
    **{kind: _one_of(*words) for kind, words in fields.WORDS.items()},
    "text": _text,
    "type": _text,
    "states": _states,
    "flag": _flag,
    "path": _path,
    "reference": _reference,
    "expression": _expression,
    "text_expression": _text_expression,
    "timestamp": _timestamp,
    "template": _template,
    "any": _any,
    "assign": _assign,
    "retriers": _handlers(fields.RETRIER),
    "catchers": _handlers(fields.CATCHER),
    "errors": _errors,
    "rules": _rules,
    "branches": _branches,
    "item_processor": _processor_states,
    "processor": _processor,
    "label": _label,
    "item_reader": _part(fields.ITEM_READER, "ItemReader"),
    "reader": _reader,
    "reader_config": _reader_config,
    "texts": _texts,
    "item_batcher": _item_batcher,
    "batch_input": _batch_input,
    "result_writer": _result_writer,
    "writer_config": _part(fields.WRITER_CONFIG, "WriterConfig"),
    "credentials": _credentials,
}


def compiles(text: str) -> bool:
    """Whether *text* is a path or an intrinsic call."""
    try:
        (compile_call if text.lstrip().startswith("States.") else compile_path)(text)
    except (PathSyntaxError, IntrinsicSyntaxError):
        return False
    return True


def looks_dynamic(value: JSON) -> bool:
    """Whether a string is written as a path or an intrinsic call would be: ``$.a``, ``$$.Execution.Id``."""
    return isinstance(value, str) and bool(_PATH_LIKE.fullmatch(value)) and compiles(value)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the name that *name* is nearly, or nothing."""
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f" (did you mean {near[0]!r}?)" if near else ""
