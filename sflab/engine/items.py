"""The items of a Map Run: what an ItemReader makes of an object, a listing, or many objects, and how they are batched.

Pure functions. The world hands over what it read: the text or bytes of an object, the listing of a bucket, or, where
there are many objects (``LOAD_AND_FLATTEN``, manifests) or the format needs a library (Parquet), a tuple of `Part`.
What was recorded decides (``test_map_item_reader_*``): a row's further fields are dropped, missing ones are empty, an
item's keys are in the order of a HashMap; else the ItemReader page of the Step Functions guide:
https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html
"""

from __future__ import annotations

import csv
import io
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sflab.asl.dataflow import MAX_BYTES, size
from sflab.asl.intrinsics import java_order
from sflab.asl.model import JSON, StatesError, compact

STATE_DATA = "STATE_DATA"  # $$.Map.Item.Source of items that come from the state's input (context object page)
DELIMITERS = {"COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "SPACE": " ", "TAB": "\t"}
MAX_HEADER_BYTES = 10 * 1024  # "Step Functions supports headers of up to 10 KiB" (ItemReader page)

_DECODE = json.JSONDecoder().raw_decode  # half the time of `json.loads`, which a million lines feel

csv.field_size_limit(8 * 1024 * 1024)  # "reading an item of up to 8 MB" (ItemReader page); the default is 128 KiB


@dataclass(frozen=True, slots=True)
class Part:
    """One object: where it is (``S3://bucket/key``), and its text or bytes, or the rows its format holds."""

    source: str
    body: str | bytes | list[JSON]


@dataclass(slots=True)
class Items:
    """Items in their order. ``keys`` are the names of a JSON object's members; ``sources`` (first index, source)."""

    values: list[JSON]
    keys: list[str] | None = None
    sources: list[tuple[int, str]] = field(default_factory=lambda: [(0, STATE_DATA)])

    @classmethod
    def of(cls, data: JSON) -> Items:
        """Items from the state's own data: the elements of an array or the members of an object."""
        return cls(list(data.values()), list(data)) if isinstance(data, dict) else cls(data)

    def source(self, index: int) -> str:
        """Return where the item comes from, as ``$$.Map.Item.Source`` says it."""
        place = bisect_right(self.sources, index, key=lambda s: s[0]) - 1
        return self.sources[max(place, 0)][1]

    def inputs(self) -> list[JSON]:
        """Return what an iteration is given of each: the item, or the key and the value of an object's member."""
        if self.keys is None:
            return self.values
        return [{"key": k, "value": v} for k, v in zip(self.keys, self.values, strict=True)]


def reader_failed(cause: str) -> StatesError:
    """``States.ItemReaderFailed``."""
    return StatesError("States.ItemReaderFailed", cause)


def read(body: Any, config: dict[str, JSON], action: str, bucket: str = "", key: str = "") -> Items:
    """Return the items in what the world read with *action*, at most ``MaxItems`` of them.

    *config* is the ReaderConfig with its paths resolved. Raises StatesError ``States.ItemReaderFailed``.
    """
    limit = config.get("MaxItems") or 0
    if not isinstance(limit, int) or limit < 0:
        raise reader_failed("field MaxItems must be positive")
    if isinstance(body, tuple):
        parts: Iterable[Part] = body
    elif action == "listObjectsV2":
        listed = body if isinstance(body, list) else body.get("Contents", []) if isinstance(body, dict) else []
        parts = (Part(f"S3://{bucket}", listed),)
    else:
        parts = (Part(f"S3://{bucket}/{key}", body if isinstance(body, str | bytes) else compact(body)),)
    out = Items([], None, [])
    for part in parts:
        out.sources.append((len(out.values), part.source))
        rows = part.body if isinstance(part.body, list) else decode(part.body, config)
        if isinstance(rows, dict):
            out.keys = [*(out.keys or []), *rows]
            rows = rows.values()
        for row in rows:
            if limit and len(out.values) >= limit:
                break
            out.values.append(row)
    if out.keys is not None:
        del out.keys[len(out.values) :]
    return out


def decode(body: str | bytes, config: dict[str, JSON]) -> Iterable[JSON]:
    """Return the rows of one object's content; of a JSON object, itself."""
    kind = str(config.get("InputType", "JSON"))
    if kind not in _DECODERS:
        raise reader_failed(f"The input type {kind} needs the content of an S3 object, which was not given.")
    text = body.decode("utf-8-sig", "replace") if isinstance(body, bytes) else body.removeprefix("\ufeff")
    found: Iterable[JSON] = _DECODERS[kind](text, config)
    return found


def _json(text: str, config: dict[str, JSON]) -> Iterable[JSON]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise reader_failed("Unable to parse the input file as JSON.") from None
    pointer = str(config.get("ItemsPointer") or "")
    for name in pointer.split("/")[1:]:  # a JSON Pointer, RFC 6901
        value = _member(value, name.replace("~1", "/").replace("~0", "~"), pointer)
    if isinstance(value, dict) and pointer:
        return value
    if not isinstance(value, list):
        raise reader_failed("Attempting to map over non-iterable node.")
    return value


def _member(value: JSON, name: str, pointer: str) -> JSON:
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    if isinstance(value, dict) and name in value:
        return value[name]
    raise reader_failed(f"ItemsPointer {pointer} does not point to an array or an object.")


def _jsonl(text: str, _config: dict[str, JSON]) -> Iterator[JSON]:
    for number, line in enumerate(io.StringIO(text), 1):
        said = line.strip()
        if said:
            try:
                value, end = _DECODE(said)
            except (ValueError, RecursionError):
                end = -1
            if end != len(said):
                raise reader_failed(f"Unable to parse line {number} of the input file as JSON.")
            yield value


def _csv(text: str, config: dict[str, JSON]) -> Iterator[JSON]:
    rows = _csv_rows(text, config)
    given = config.get("CSVHeaderLocation") == "GIVEN"
    headers = [str(name) for name in config.get("CSVHeaders") or ()] if given else next(rows, [])
    if len(set(headers)) < len(headers):
        raise reader_failed("CSV headers cannot contain duplicates.")
    if sum(len(name.encode()) for name in headers) > MAX_HEADER_BYTES:
        raise reader_failed(f"CSV headers cannot be larger than {MAX_HEADER_BYTES} bytes.")
    places = {name: i for i, name in enumerate(headers)}
    order = [(name, places[name]) for name in java_order(headers)]  # an item's keys are a HashMap's (recorded)
    for row in rows:
        if len(row) < len(headers):
            row.extend([""] * (len(headers) - len(row)))
        yield {name: row[i] for name, i in order}


def _csv_rows(text: str, config: dict[str, JSON]) -> Iterator[list[str]]:
    """Give the records; empty lines are none. A backslash escapes what follows it and is itself removed."""
    delimiter = DELIMITERS.get(str(config.get("CSVDelimiter")), ",")
    source = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, escapechar="\\")
    try:
        for row in source:
            if row:
                yield row
    except csv.Error as e:
        raise reader_failed(f"Unable to parse line {source.line_num} of the input file as CSV: {e}.") from None


_DECODERS: dict[str, Any] = {"JSON": _json, "JSONL": _jsonl, "CSV": _csv, "MANIFEST": _csv}


def batches(items: list[JSON], most: int, most_bytes: int, extra: JSON) -> Iterator[JSON]:
    """Group items into ``{"BatchInput": …, "Items": […]}`` of *most* items, *most_bytes* bytes; 0 is no limit.

    No batch is larger than an execution's input may be, 256 KiB: "the interpreter processes as many items as it can
    process up to 256 KB in each child workflow execution". An item too large for it stands alone.
    """
    head: dict[str, JSON] = {} if extra is None else {"BatchInput": extra}
    room = min(most_bytes or MAX_BYTES, MAX_BYTES)
    if most and not most_bytes:  # the usual case: one size a batch instead of one an item
        for start in range(0, len(items), most):
            batch = {**head, "Items": items[start : start + most]}
            yield from (batch,) if _bytes(batch) <= room else _packed(batch["Items"], head, most, room)
        return
    yield from _packed(items, head, most, room)


def _bytes(value: JSON) -> int:
    text = compact(value)
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _packed(items: list[JSON], head: dict[str, JSON], most: int, room: int) -> Iterator[JSON]:
    free = room - size({**head, "Items": []}) + 1  # an item is counted with its comma; the first has none
    batch: list[JSON] = []
    used = 0
    for item in items:
        weight = size(item) + 1
        if batch and ((most and len(batch) >= most) or used + weight > free):
            yield {**head, "Items": batch}
            batch, used = [], 0
        batch.append(item)
        used += weight
    if batch:
        yield {**head, "Items": batch}
