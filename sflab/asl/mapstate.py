"""What a Map state does with its items: where they come from, what an iteration gets, how many run, what may fail."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sflab.asl import dataflow, jsonata
from sflab.asl.model import JSON, Resource, compact, resource, runtime_error
from sflab.asl.paths import Scope

if TYPE_CHECKING:
    Closure = Callable[[JSON, Scope], JSON]


@dataclass(frozen=True, slots=True)
class Access:
    """An ItemReader or a ResultWriter: what it calls, with what, and its configuration with its paths resolved.

    ``resource`` is None where a ResultWriter formats the state's result and writes no files.
    """

    resource: Resource | None
    parameters: Closure
    config: Closure


@dataclass(frozen=True, slots=True)
class MapFields:
    """A Map state.

    ``items`` gives its array (or object, where it is distributed), ``select`` an iteration's input, ``limit`` how many
    run at once.
    """

    items: Closure
    select: Closure | None
    limit: Closure
    tolerated: Closure  # (count, percentage); raises where they are out of range
    distributed: bool
    execution_type: str
    reader: Access | None
    writer: Access | None
    batcher: Closure | None  # (most items, most bytes, extra input)


def compile_map(raw: dict[str, JSON], *, jsonata_: bool) -> MapFields:
    """Compile what a Map state does with its items."""
    processor = raw.get("ItemProcessor") or raw.get("Iterator") or {}
    config = processor.get("ProcessorConfig", {})
    distributed = config.get("Mode") == "DISTRIBUTED"
    # "Step Functions will iterate directly over the elements of an array, or the key-value pairs of a JSON object"
    # (ItemReader page, of Distributed Maps); an inline Map refuses an object (recorded 2024-11).
    kinds: tuple[type, ...] = (list, dict) if distributed else (list,)
    select = raw.get("ItemSelector", raw.get("Parameters"))
    compiled = None
    if select is not None:
        compiled = jsonata.evaluated(select, "ItemSelector") if jsonata_ else dataflow.template(select)
    return MapFields(
        items=_items_jsonata(raw, kinds) if jsonata_ else _items(raw, kinds),
        select=compiled,
        limit=_concurrency(raw, jsonata_=jsonata_),
        tolerated=_tolerations(raw, jsonata_=jsonata_),
        distributed=distributed,
        execution_type=config.get("ExecutionType", "STANDARD"),
        reader=_access(raw, "ItemReader", "ReaderConfig", jsonata_=jsonata_),
        writer=_access(raw, "ResultWriter", "WriterConfig", jsonata_=jsonata_),
        batcher=_batcher(raw, jsonata_=jsonata_),
    )


def _items(raw: dict[str, JSON], kinds: tuple[type, ...]) -> Closure:
    text = raw.get("ItemsPath", "$")
    path = dataflow.path_field(text)

    def items(value: JSON, scope: Scope) -> JSON:
        found = path(value, scope) if path else value
        if not isinstance(found, kinds):
            shown = text.removeprefix("$") if text.startswith("$$") else text  # recorded: "$.Execution.Input"
            raise runtime_error(f'Reference path "{shown}" must point to array.')
        return found

    return items


def _items_jsonata(raw: dict[str, JSON], kinds: tuple[type, ...]) -> Closure:
    if "Items" in raw:
        strict = jsonata.evaluated(raw["Items"], "Items", "array")
        if dict not in kinds:
            return strict
        evaluate = jsonata.evaluated(raw["Items"], "Items")

        def evaluated(value: JSON, scope: Scope) -> JSON:
            found = evaluate(value, scope)
            return found if isinstance(found, kinds) else strict(value, scope)  # whose error says what is wrong

        return evaluated

    def items(value: JSON, _scope: Scope) -> JSON:
        if not isinstance(value, kinds):
            raise jsonata.query_error(f"Map state input must be an array but was: {compact(value)}", "")
        return value

    return items


def _concurrency(raw: dict[str, JSON], *, jsonata_: bool) -> Closure:
    if jsonata_ and "MaxConcurrency" in raw:
        evaluate = jsonata.evaluated(raw["MaxConcurrency"], "MaxConcurrency", "number")

        def evaluated(value: JSON, scope: Scope) -> JSON:
            found = evaluate(value, scope)
            if not isinstance(found, int):
                cause = f"The MaxConcurrency field must be a whole number: {dataflow.bare(found)}"
                raise jsonata.query_error(cause, "MaxConcurrency")
            return found

        return evaluated
    if "MaxConcurrencyPath" not in raw:
        return dataflow.constant(raw.get("MaxConcurrency") or 0)
    text = raw["MaxConcurrencyPath"]
    path = dataflow.path_field(text)

    def limit(value: JSON, scope: Scope) -> JSON:
        found = path(value, scope) if path else value
        if not isinstance(found, int) or isinstance(found, bool):
            shown = f'"{dataflow.bare(found)}"'
            raise runtime_error(
                f"The MaxConcurrencyPath field refers to value {shown} which is not a valid integer: {text}"
            )
        return found

    return limit


#: field, what its value must parse as, the words for that, the bounds and the words for those
_Rule = tuple[str, Callable[[str], float], str, float, float, str]
_TOLERATED: tuple[_Rule, ...] = (
    ("ToleratedFailureCount", int, "integer", 0, math.inf, "cannot be negative"),
    ("ToleratedFailurePercentage", float, "float", 0, 100, "must be between 0 and 100"),
)


def _tolerated(raw: dict[str, JSON], rule: _Rule) -> Closure:
    name, cast, kind, least, most, words = rule
    text = raw[f"{name}Path"]
    path = dataflow.path_field(text)

    def check(value: JSON, scope: Scope) -> JSON:
        found = path(value, scope) if path else value
        try:
            number = cast(dataflow.bare(found))
        except ValueError:
            cause = f'The {name}Path field refers to value "{dataflow.bare(found)}" which is not a valid {kind}: {text}'
            raise runtime_error(cause) from None
        if not least <= number <= most:
            raise runtime_error(f"{name} {words}.")
        return number

    return check


def _tolerations(raw: dict[str, JSON], *, jsonata_: bool) -> Closure:
    """(ToleratedFailureCount, ToleratedFailurePercentage), from a number, a path or an expression."""
    parts = []
    for rule in _TOLERATED:
        if f"{rule[0]}Path" in raw:
            parts.append(_tolerated(raw, rule))
        elif jsonata_ and rule[0] in raw:
            parts.append(jsonata.evaluated(raw[rule[0]], rule[0], "number"))
        else:
            parts.append(dataflow.constant(raw.get(rule[0], 0)))
    return lambda value, scope: tuple(part(value, scope) for part in parts)


def _access(owner: dict[str, JSON], name: str, config: str, *, jsonata_: bool) -> Access | None:
    raw = owner.get(name)
    if not raw or ("Resource" not in raw and (name == "ItemReader" or config not in raw)):
        return None
    given = raw.get("Arguments" if jsonata_ else "Parameters", {})
    parameters = jsonata.evaluated(given, f"{name}/Arguments") if jsonata_ else dataflow.template(given)
    return Access(
        resource(raw["Resource"]) if "Resource" in raw else None,
        parameters,
        _resolved(raw.get(config, {}), f"{name}/{config}", jsonata_=jsonata_),
    )


def _resolved(raw: dict[str, JSON], field: str, *, jsonata_: bool) -> Closure:
    """Return an object with its ``…Path`` fields (whole numbers) and expressions resolved."""
    if jsonata_:
        return jsonata.evaluated(raw, field)
    paths = {name: (text, dataflow.path_field(text)) for name, text in raw.items() if name.endswith("Path")}
    fixed = {name: item for name, item in raw.items() if name not in paths}

    def resolve(value: JSON, scope: Scope) -> JSON:
        out = dict(fixed)
        for name, (text, path) in paths.items():
            found = path(value, scope) if path else value
            try:
                out[name.removesuffix("Path")] = int(dataflow.bare(found))
            except ValueError:
                cause = (
                    f'The {name} field refers to value "{dataflow.bare(found)}" which is not a valid integer: {text}'
                )
                raise runtime_error(cause) from None
        return out

    return resolve


_BATCH_LIMITS = ("MaxItemsPerBatch", "MaxInputBytesPerBatch")


def _positive(value: JSON) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _batcher(owner: dict[str, JSON], *, jsonata_: bool) -> Closure | None:
    raw = owner.get("ItemBatcher")
    if not raw:
        return None
    limits = _resolved({n: v for n, v in raw.items() if n != "BatchInput"}, "ItemBatcher", jsonata_=jsonata_)
    extra = raw.get("BatchInput")
    field = "ItemBatcher/BatchInput"
    build = None if extra is None else jsonata.evaluated(extra, field) if jsonata_ else dataflow.template(extra)

    def batcher(value: JSON, scope: Scope) -> JSON:
        found = limits(value, scope)
        for name in _BATCH_LIMITS:
            if name in found and not _positive(found[name]):
                raise runtime_error(f"{name} must be a positive integer, not {dataflow.bare(found[name])}.")
        most, size = (found.get(name, 0) for name in _BATCH_LIMITS)
        return most, size, build(value, scope) if build else None

    return batcher
