"""The map run of a Distributed Map: reading items, making batches, counting what failed, writing the results.

Pure functions and one record. The machine asks the world for an object or a listing and hands it to `read`; each
batch becomes the input of a child execution; `MapRun` counts them. Where the items are decoded from a file the
rules are those AWS recorded (``test_map_item_reader_*``): with given headers a row's further fields are dropped
and missing ones are empty. Source: https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
and its pages on ItemReader, ItemBatcher and ResultWriter.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sflab.asl.dataflow import size
from sflab.asl.intrinsics import java_order
from sflab.asl.model import JSON, StatesError, compact

if TYPE_CHECKING:
    from sflab.engine.frames import Run

MAX_CONCURRENCY = 10_000  # "maximum number of parallel child executions" (quotas page)
KEPT = 1_000  # child executions whose histories are kept; the counts are always right

INPUT_TYPES = ("CSV", "JSON", "JSONL", "MANIFEST", "PARQUET")
_DELIMITERS = {"COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "SPACE": " ", "TAB": "\t"}


@dataclass(slots=True, repr=False)
class MapRun:
    """One run of a Distributed Map. ``total`` counts child executions; an item is in exactly one of them."""

    arn: str
    type: str  # of the child executions: STANDARD or EXPRESS
    label: str
    count: int  # tolerated failures
    percentage: float
    total: int = 0
    items: int = 0
    succeeded: int = 0
    failed: int = 0
    status: str = "RUNNING"
    children: list[Run] = field(default_factory=list)
    started: int = 0  # the id of its MapStateStarted event, which each redrive points at
    redrives: int = 0
    inputs: list[JSON] = field(default_factory=list)  # of the child executions, and what they gave; until it succeeds
    results: list[JSON] = field(default_factory=list)
    earlier: dict[int, Run] = field(default_factory=dict)  # child executions to be redriven, by index

    def __repr__(self) -> str:
        counts = f"{self.succeeded} succeeded, {self.failed} failed, {self.pending} pending"
        return f"MapRun({self.status}, {self.items} items in {self.total} child executions: {counts})"

    @property
    def exceeded(self) -> bool:
        """Whether more failed than is tolerated: above the count or above the percentage, where either is given."""
        if not self.failed:
            return False
        by_count = self.failed > self.count
        by_share = self.failed * 100 > self.percentage * self.total
        if self.count and self.percentage:
            return by_count or by_share
        return by_share if self.percentage else by_count

    @property
    def pending(self) -> int:
        """How many child executions have not ended."""
        return self.total - self.succeeded - self.failed


def reader_failed(cause: str) -> StatesError:
    """``States.ItemReaderFailed``."""
    return StatesError("States.ItemReaderFailed", cause)


def read(body: JSON, config: dict[str, JSON], action: str) -> list[JSON]:
    """Return the items of an object's text (getObject) or of a listing (listObjectsV2), at most ``MaxItems`` of them.

    *config* is the ReaderConfig with its paths resolved. Raises StatesError ``States.ItemReaderFailed``.
    """
    limit = config.get("MaxItems") or 0
    if limit < 0:
        raise reader_failed("field MaxItems must be positive")
    items: Iterable[JSON]
    if action == "listObjectsV2":
        items = body if isinstance(body, list) else body.get("Contents", []) if isinstance(body, dict) else []
    else:
        kind = config.get("InputType", "JSON")
        if kind not in _DECODERS:
            raise reader_failed(f"The input type {kind} cannot be read here; convert it to CSV, JSON or JSONL.")
        text = body.decode("utf-8-sig", "replace") if isinstance(body, bytes) else body
        items = _DECODERS[kind](text if isinstance(text, str) else compact(text), config)
    out: list[JSON] = []
    for item in items:
        if limit and len(out) >= limit:
            break
        out.append(item)
    return out


def _json(text: str, config: dict[str, JSON]) -> Iterable[JSON]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise reader_failed("Unable to parse the input file as JSON.") from None
    for name in str(config.get("ItemsPointer", "")).split("/")[1:]:
        key = name.replace("~1", "/").replace("~0", "~")
        if not isinstance(value, dict) or key not in value:
            raise reader_failed(f"ItemsPointer {config['ItemsPointer']} does not point to an array.")
        value = value[key]
    if not isinstance(value, list):
        raise reader_failed("Attempting to map over non-iterable node.")
    return value


def _jsonl(text: str, _config: dict[str, JSON]) -> Iterator[JSON]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                raise reader_failed(f"Unable to parse line {number} of the input file as JSON.") from None


def _csv(text: str, config: dict[str, JSON]) -> Iterator[JSON]:
    delimiter = _DELIMITERS.get(config.get("CSVDelimiter", "COMMA"), ",")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    given = config.get("CSVHeaderLocation") == "GIVEN"
    headers = list(config.get("CSVHeaders") or ()) if given else next(rows, [])
    if len(set(headers)) < len(headers):
        raise reader_failed("CSV headers cannot contain duplicates.")
    places = {name: i for i, name in enumerate(headers)}
    order = [(name, places[name]) for name in java_order(headers)]  # an item's keys are a HashMap's (recorded)
    for row in rows:
        if row:
            yield {name: row[i] if i < len(row) else "" for name, i in order}


_DECODERS: dict[str, Any] = {"JSON": _json, "JSONL": _jsonl, "CSV": _csv}


def batches(items: list[JSON], most: int, most_bytes: int, extra: JSON) -> Iterator[JSON]:
    """Group items into ``{"BatchInput": …, "Items": […]}`` of *most* items, *most_bytes* bytes; 0 is no limit."""
    head: dict[str, JSON] = {} if extra is None else {"BatchInput": extra}
    room = most_bytes - size({**head, "Items": []}) if most_bytes else 0
    batch: list[JSON] = []
    used = 0
    for item in items:
        weight = size(item) + 1 if most_bytes else 0
        if batch and ((most and len(batch) >= most) or (most_bytes and used + weight > room)):
            yield {**head, "Items": batch}
            batch, used = [], 0
        batch.append(item)
        used += weight
    if batch:
        yield {**head, "Items": batch}


def result_files(run: MapRun, bucket: str, prefix: str) -> tuple[JSON, dict[str, str]]:
    """Return what a ResultWriter gives as the state's result, and the files it writes, by key, in AWS's layout.

    ``manifest.json`` names a file for each outcome there is; each holds a description of every child execution.
    """
    folder = f"{prefix.rstrip('/') + '/' if prefix else ''}{run.arn.rpartition(':')[2]}"
    files: dict[str, str] = {}
    manifest: dict[str, list[JSON]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
    for outcome, listed in manifest.items():
        children = [_described(child) for child in run.children if _outcome(child) == outcome]
        if children:
            key, text = f"{folder}/{outcome}_0.json", compact(children)
            files[key] = text
            listed.append({"Key": key, "Size": len(text.encode())})
    files[f"{folder}/manifest.json"] = compact(
        {"DestinationBucket": bucket, "MapRunArn": run.arn, "ResultFiles": manifest}
    )
    details = {"Bucket": bucket, "Key": f"{folder}/manifest.json"}
    return {"MapRunArn": run.arn, "ResultWriterDetails": details}, files


def _outcome(child: Run) -> str:
    return "SUCCEEDED" if child.status == "SUCCEEDED" else "PENDING" if child.status == "RUNNING" else "FAILED"


def _described(child: Run) -> dict[str, JSON]:
    said: dict[str, JSON] = {
        "ExecutionArn": child.arn,
        "Input": compact(child.input),
        "InputDetails": {"Included": True},
        "Name": child.name,
        "StateMachineArn": child.machine_arn,
        "Status": child.status,
    }
    if child.output is not None:
        said |= {"Output": child.output, "OutputDetails": {"Included": True}}
    if child.error is not None:
        said |= {"Error": child.error}
    if child.cause is not None:
        said |= {"Cause": child.cause}
    return dict(sorted(said.items()))
