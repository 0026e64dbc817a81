"""S3 for Distributed Maps: buckets that are folders or dicts, read by ItemReader and written by ResultWriter."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from sflab.engine.messages import Reply, ScheduleTask, TaskFailed, TaskSucceeded

#: A bucket: a folder, whose files' paths are the keys, or texts by key.
Bucket = str | os.PathLike[str] | dict[str, str]

LAST_MODIFIED = 1_893_456_000  # 2030-01-01: a listing says the same every time, whenever the files were made


def access(buckets: Mapping[str, Bucket], command: ScheduleTask) -> Reply:
    """Answer what an ItemReader or a ResultWriter asks, or fail as S3 does."""
    given = command.parameters if isinstance(command.parameters, dict) else {}
    name = str(given.get("Bucket"))
    if name not in buckets:
        known = ", ".join(sorted(buckets)) or "none"
        cause = f"The specified bucket does not exist: {name!r}. Known to sf.Local(objects={{…}}): {known}."
        return TaskFailed(command.token, None, cause)
    bucket = buckets[name]
    if command.kind == "writer":
        for key, text in given["Files"].items():
            _write(bucket, key, text)
        return TaskSucceeded(command.token, given["Result"])
    if command.action == "listObjectsV2":
        return TaskSucceeded(command.token, list(_listing(bucket, given.get("Prefix") or "")))
    text = _read(bucket, str(given.get("Key")))
    if text is None:
        return TaskFailed(command.token, None, f"The specified key does not exist: {given.get('Key')!r} in {name!r}.")
    return TaskSucceeded(command.token, text)


def _path(folder: Any, key: str) -> Path | None:
    """Return the file of *key* inside *folder*; None for a key that would lead out of it."""
    parts = PurePosixPath(key).parts
    return None if ".." in parts or PurePosixPath(key).is_absolute() else Path(folder, *parts)


def _read(bucket: Bucket, key: str) -> str | None:
    if isinstance(bucket, dict):
        return bucket.get(key)
    path = _path(bucket, key)
    return path.read_text("utf-8-sig") if path is not None and path.is_file() else None


def _write(bucket: Bucket, key: str, text: str) -> None:
    if isinstance(bucket, dict):
        bucket[key] = text
        return
    path = _path(bucket, key)
    if path is None:
        raise ValueError(f"the key {key!r} leads out of the folder {os.fspath(bucket)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _listing(bucket: Bucket, prefix: str) -> Iterator[dict[str, Any]]:
    """Return what listObjectsV2 gives of each object, in the order of their keys."""
    if isinstance(bucket, dict):
        found = {key: text.encode() for key, text in bucket.items()}
    else:
        root = Path(bucket)
        found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    for key in sorted(key for key in found if key.startswith(prefix)):
        yield {
            "Etag": f'"{hashlib.md5(found[key], usedforsecurity=False).hexdigest()}"',
            "Key": key,
            "LastModified": LAST_MODIFIED,
            "Size": len(found[key]),
            "StorageClass": "STANDARD",
        }
