"""What a Map Run gives: the state's result, and the files a ResultWriter writes.

``WriterConfig.Transformation`` decides how a child execution is shown: ``NONE``, with its metadata; ``COMPACT``, its
output; ``FLATTEN``, the elements of its output. One that failed is always shown with its metadata. Source:
https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sflab.asl.model import JSON, StatesError, compact
from sflab.engine.frames import iso
from sflab.engine.history import Joined
from sflab.engine.maprun import PENDING

if TYPE_CHECKING:
    from sflab.engine.maprun import MapRun

#: "Step Functions supports individual result files of up to 5 GB" (ResultWriter page).
MAX_FILE_BYTES = 5 * 1024**3
TRANSFORMATIONS = ("NONE", "COMPACT", "FLATTEN")
#: Which file tells of a child execution (ResultWriter page).
FILES = {
    "SUCCEEDED": "SUCCEEDED", "FAILED": "FAILED", "TIMED_OUT": "FAILED", "ABORTED": "FAILED", "PENDING": "PENDING",
}  # fmt: skip


def state_result(run: MapRun, config: dict[str, JSON] | None) -> JSON:
    """Return the result of a Map Run that writes no files; *config* is its WriterConfig, None without one."""
    if config is None:
        return Joined(r for r in run.results if r is not PENDING)
    out = Joined(_transformed(run, range(len(run.inputs)), _transformation(config)))
    if config.get("OutputType") == "JSONL":
        return "".join(compact(item) + "\n" for item in out)
    return out


class ResultFiles:
    """The files of a ResultWriter: iterate once for (key, pieces of text), and write each before asking for the next.

    ``manifest.json`` comes last: it names the other files with their sizes. Nothing is held but the piece at hand.
    """

    def __init__(
        self, run: MapRun, bucket: str, prefix: str, config: dict[str, JSON], *, most: int = MAX_FILE_BYTES
    ) -> None:
        self.run, self.bucket, self.config, self.most = run, bucket, config, most
        self.folder = f"{prefix.rstrip('/') + '/' if prefix else ''}{run.arn.rpartition(':')[2]}"
        transformation = config.get("Transformation", "NONE")
        if transformation not in TRANSFORMATIONS:
            raise StatesError(
                "States.ResultWriterFailed", f"Transformation must be one of {', '.join(TRANSFORMATIONS)}"
            )
        self.transformation = transformation

    @property
    def result(self) -> JSON:
        """The state's result."""
        details = {"Bucket": self.bucket, "Key": f"{self.folder}/manifest.json"}
        return {"MapRunArn": self.run.arn, "ResultWriterDetails": details}

    def __iter__(self) -> Iterator[tuple[str, Iterable[str]]]:
        listed: dict[str, list[JSON]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
        for outcome, files in listed.items():
            codes = [i for i in range(len(self.run.inputs)) if FILES.get(self.run.child_status(i)) == outcome]
            rest = (compact(item) for item in _transformed(self.run, codes, self.transformation))
            first = next(rest, None)
            while first is not None:
                key = f"{self.folder}/{outcome}_{len(files)}.json"
                pieces = _Pieces(first, rest, lines=self.config.get("OutputType") == "JSONL", most=self.most)
                yield key, pieces
                files.append({"Key": key, "Size": pieces.size})
                first = pieces.left
        manifest = {"DestinationBucket": self.bucket, "MapRunArn": self.run.arn, "ResultFiles": listed}
        yield f"{self.folder}/manifest.json", (compact(manifest),)


class _Pieces:
    """The text of one file, piece by piece, until it is full; ``left`` is what the next file begins with."""

    def __init__(self, first: str, rest: Iterator[str], *, lines: bool, most: int) -> None:
        self.first, self.rest, self.most = first, rest, most
        self.left: str | None = None
        self.size = 0
        self.before, self.between, self.after = ("", "\n", "\n") if lines else ("[", ",", "]")

    def __iter__(self) -> Iterator[str]:
        yield self._counted(self.before + self.first)
        for text in self.rest:
            if self.size + _bytes(text) + len(self.between + self.after) > self.most:
                self.left = text
                break
            yield self._counted(self.between + text)
        yield self._counted(self.after)

    def _counted(self, text: str) -> str:
        self.size += _bytes(text)
        return text


def _transformation(config: dict[str, JSON]) -> str:
    found = str(config.get("Transformation", "NONE"))
    if found not in TRANSFORMATIONS:
        raise StatesError("States.ResultWriterFailed", f"Transformation must be one of {', '.join(TRANSFORMATIONS)}")
    return found


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _transformed(run: MapRun, indexes: Iterable[int], transformation: str) -> Iterator[JSON]:
    for i in indexes:
        value = run.results[i]
        if transformation == "NONE" or value is PENDING:
            yield described(run, i)
        elif transformation == "FLATTEN" and isinstance(value, list):
            yield from value
        else:
            yield value


def described(run: MapRun, index: int) -> dict[str, JSON]:
    """Return a child execution as a result file shows it; of one that was not started, its input alone."""
    status, included = run.child_status(index), {"Included": True}
    said: dict[str, JSON] = {"Input": compact(run.inputs[index]), "InputDetails": included, "Status": status}
    if status == "PENDING":
        return said
    error, cause = run.errors.get(index, (None, None))
    done = status == "SUCCEEDED"
    said |= {
        "Cause": cause,
        "Error": error,
        "ExecutionArn": run.child_arn(index),
        "Name": run.name(index),
        "RedriveCount": run.redrive_count,
        "RedriveStatus": "NOT_REDRIVABLE" if done else "REDRIVABLE_BY_MAP_RUN",
        "RedriveStatusReason": f"Execution is {status} and cannot be redriven" if done else None,
        "StartDate": iso(run.starts[index]),
        "StateMachineArn": run.machine_arn,
        "StopDate": iso(run.stops[index]),
    }
    if done:
        said |= {"Output": compact(run.results[index]), "OutputDetails": included}
    return {name: said[name] for name in sorted(said) if said[name] is not None}
