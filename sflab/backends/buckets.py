"""S3 for Distributed Maps: buckets that are folders, dicts or `Store`s, read by ItemReader, written by ResultWriter.

What an ItemReader asks for may be many objects: those a prefix lists (``LOAD_AND_FLATTEN``), the files an S3 inventory
or an Athena manifest names. They are read here, one `Part` each, decompressed where the key says so (``.gz``,
``.gzip``, ``.zst``, ``.zstd``), and decoded where the format needs a library: Parquet, with pyarrow or fastparquet.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, runtime_checkable

from sflab.asl.model import JSON, StatesError
from sflab.backends.callbacks import ACCOUNT
from sflab.engine.items import Part, decode, reader_failed
from sflab.engine.messages import Reply, ScheduleTask, TaskFailed, TaskSucceeded

LAST_MODIFIED = 1_893_456_000  # 2030-01-01: a listing says the same every time, whenever the files were made


@runtime_checkable
class Store(Protocol):
    """A bucket that is neither a folder nor a dict, such as one of an S3 that runs in this process."""

    def read(self, key: str, version: str | None = None) -> bytes | None:
        """Return an object's bytes; None if there is none."""

    def write(self, key: str, pieces: Iterable[str]) -> None:
        """Make an object of pieces of text."""

    def listing(self, prefix: str) -> Iterable[dict[str, Any]]:
        """Return ``Etag, Key, LastModified, Size, StorageClass`` of each object, every page, in the order of keys."""


#: A bucket: a folder, whose files' paths are the keys; texts or bytes by key; or something that keeps objects itself.
Bucket = str | os.PathLike[str] | dict[str, str] | dict[str, bytes] | dict[str, str | bytes] | Store


def access(buckets: Mapping[str, Bucket], command: ScheduleTask) -> Reply:
    """Answer what an ItemReader or a ResultWriter asks, or fail as S3 does."""
    given = command.parameters if isinstance(command.parameters, dict) else {}
    try:
        store = _bucket(buckets, given)
        if command.kind == "writer":
            for key, pieces in given["Files"]:
                store.write(key, pieces)
            return TaskSucceeded(command.token, given["Result"])
        config = command.config if isinstance(command.config, dict) else {}
        return TaskSucceeded(command.token, _dataset(buckets, store, command.action, given, config))
    except StatesError as e:
        return TaskFailed(command.token, e.error, e.cause)
    except OSError as e:
        return TaskFailed(command.token, None, f"{e.strerror or e}: {e.filename}")


def _bucket(buckets: Mapping[str, Bucket], given: Mapping[str, Any]) -> Store:
    name = str(given.get("Bucket"))
    if name not in buckets:
        known = ", ".join(sorted(buckets)) or "none"
        make = f"local.session.client('s3').create_bucket(Bucket={name!r})"
        give = f"Give it to sf.Local(objects={{…}}), or {make}"
        cause = f"The specified bucket does not exist: {name!r}. {give}; there is {known}."
        raise StatesError(None, cause)
    owner = given.get("ExpectedBucketOwner")
    if owner is not None and str(owner) != ACCOUNT:
        raise StatesError(None, f"Access Denied: the bucket {name!r} is owned by {ACCOUNT}, not by {owner}.")
    bucket = buckets[name]
    if isinstance(bucket, dict):
        return _Dict(bucket)
    return _Folder(Path(bucket)) if isinstance(bucket, str | os.PathLike) else bucket


# ── what an ItemReader reads ─────────────────────────────────────────────────────────────────────────────────────────


def _dataset(
    buckets: Mapping[str, Bucket], store: Store, action: str, given: Mapping[str, Any], config: dict[str, JSON]
) -> Any:
    """Return the body of an object, a listing, or the parts a dataset of many objects has."""
    bucket = str(given.get("Bucket"))
    if action == "listObjectsV2":
        listed = [entry for entry in store.listing(str(given.get("Prefix") or "")) if _listed(entry["Key"], given)]
        if config.get("Transformation") != "LOAD_AND_FLATTEN":
            return listed
        # A folder made in the console is an empty object whose key ends in a slash: it holds nothing to load.
        keys = [entry["Key"] for entry in listed if not (entry["Key"].endswith("/") and not entry["Size"])]
        return tuple(_part(store, bucket, key, config) for key in keys)
    key, version = str(given.get("Key")), given.get("VersionId")
    kind, manifest = config.get("InputType"), config.get("ManifestType")
    if manifest == "ATHENA_DATA":
        return tuple(_athena(buckets, store, bucket, key, config))
    if manifest == "S3_INVENTORY" or kind == "MANIFEST":
        return tuple(_inventory(buckets, store, bucket, key, config))
    if kind == "PARQUET" and version is not None:
        raise reader_failed("VersionId is not supported for the input type PARQUET.")
    return (_part(store, bucket, key, config, None if version is None else str(version)),)


def _listed(key: str, given: Mapping[str, Any]) -> bool:
    """Whether ListObjectsV2 tells of an object: after StartAfter, and not rolled up behind a Delimiter."""
    prefix, delimiter = str(given.get("Prefix") or ""), given.get("Delimiter")
    return key > str(given.get("StartAfter") or "") and not (delimiter and str(delimiter) in key[len(prefix) :])


def _part(store: Store, bucket: str, key: str, config: dict[str, JSON], version: str | None = None) -> Part:
    content = _content(store, bucket, key, version)
    source = f"S3://{bucket}/{key}"
    return Part(source, _parquet(content, key) if config.get("InputType") == "PARQUET" else _expanded(content, key))


def _content(store: Store, bucket: str, key: str, version: str | None = None) -> bytes:
    content = store.read(key, version)
    if content is None and version is not None and store.read(key) is not None:
        raise StatesError(None, f"The specified version does not exist: {version!r} of {key!r} in {bucket!r}.")
    if content is None:
        raise StatesError(None, f"The specified key does not exist: {key!r} in {bucket!r}.")
    return content


def _inventory(
    buckets: Mapping[str, Bucket], store: Store, bucket: str, key: str, config: dict[str, JSON]
) -> Iterator[Part]:
    """Give the files of an S3 inventory: CSV without a header, whose columns the manifest names."""
    try:
        manifest = json.loads(_expanded(_content(store, bucket, key), key))
        columns = [name.strip() for name in manifest["fileSchema"].split(",")]
        keys = [str(file["key"]) for file in manifest["files"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise reader_failed(f"{key} is not the manifest.json of an Amazon S3 inventory.") from None
    if manifest.get("fileFormat", "CSV") != "CSV":
        raise reader_failed("The output format of the Amazon S3 inventory report must be CSV.")
    destination = str(manifest.get("destinationBucket") or bucket).rpartition(":")[2]
    files = _bucket(buckets, {"Bucket": destination}) if destination in buckets else store
    rows = {**config, "InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": columns}
    for name in keys:
        body = _expanded(_content(files, destination, name), name)
        yield Part(f"S3://{destination}/{name}", list(decode(body, rows)))


def _athena(
    buckets: Mapping[str, Bucket], store: Store, bucket: str, key: str, config: dict[str, JSON]
) -> Iterator[Part]:
    """Give the objects an UNLOAD query wrote, which its manifest lists: an ``s3://bucket/key`` a line."""
    text = _expanded(_content(store, bucket, key), key).decode("utf-8-sig", "replace")
    for line in text.splitlines():
        where = line.strip().strip('"')
        if where:
            name, _, path = where.removeprefix("s3://").removeprefix("S3://").partition("/")
            if not path:
                raise reader_failed(f"{key} is not an Athena data manifest: {where!r} is no S3 URI.")
            yield _part(_bucket(buckets, {"Bucket": name}), name, path, config)


def _expanded(content: bytes, key: str) -> bytes:
    """Undo the compression that the key's ending tells of: "GZIP, ZSTD", as ``myObject.jsonl.gz``."""
    try:
        if key.endswith((".gz", ".gzip")):
            return gzip.decompress(content)
        if key.endswith((".zst", ".zstd")):
            return _zstd(content)
    except (OSError, EOFError, zlib.error) as e:
        raise reader_failed(f"Unable to decompress {key}: {e}.") from None
    return content


def _zstd(content: bytes) -> bytes:
    try:
        import pyarrow as pa
    except ImportError:
        raise _missing("a ZSTD-compressed file", "pyarrow") from None
    with pa.input_stream(io.BytesIO(content), compression="zstd") as stream:
        return bytes(stream.read())


def _parquet(content: bytes, key: str) -> list[JSON]:
    """Return the rows of a Parquet file; values JSON has no type for become text."""
    try:
        import pyarrow.parquet
    except ImportError:
        return _fastparquet(content, key)
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content))
    except (pyarrow.ArrowInvalid, OSError) as e:
        raise reader_failed(f"Unable to parse {key} as Parquet: {e}") from None
    return [_plain(row) for row in table.to_pylist()]


def _fastparquet(content: bytes, key: str) -> list[JSON]:
    try:
        import fastparquet
    except ImportError:
        raise _missing("a Parquet file", "pyarrow or fastparquet") from None
    try:
        frame = fastparquet.ParquetFile(io.BytesIO(content)).to_pandas()
    except Exception as e:  # noqa: BLE001 - it has no error of its own
        raise reader_failed(f"Unable to parse {key} as Parquet: {e}") from None
    return [_plain(row) for row in frame.astype(object).where(frame.notna(), None).to_dict("records")]


def _missing(what: str, library: str) -> StatesError:
    return reader_failed(f"Reading {what} here needs {library}: pip install 'sflab[parquet]'")


def _plain(value: Any) -> JSON:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value - value == 0 else None  # JSON has no NaN and no infinity
        case dict():
            return {str(k): _plain(v) for k, v in value.items()}
        case list() | tuple():
            return [_plain(v) for v in value]
        case bytes():
            return value.decode("utf-8", "replace")
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else str(value)


# ── buckets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Dict:
    """A bucket that is a dict: texts or bytes by key. There is one version of each object, ``null``, as in S3."""

    def __init__(self, objects: dict[str, Any]) -> None:
        self.objects = objects

    def read(self, key: str, version: str | None = None) -> bytes | None:
        found = self.objects.get(key) if version in (None, "null") else None
        return found.encode("utf-8", "surrogatepass") if isinstance(found, str) else found

    def write(self, key: str, pieces: Iterable[str]) -> None:
        self.objects[key] = "".join(pieces)

    def listing(self, prefix: str) -> Iterator[dict[str, Any]]:
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield _entry(key, self.read(key) or b"")


class _Folder:
    """A bucket that is a folder: a file's path inside it is its key."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, key: str) -> Path | None:
        """Return the file of *key*; None for a key that would lead out of the folder."""
        parts = PurePosixPath(key).parts
        return None if ".." in parts or PurePosixPath(key).is_absolute() else Path(self.root, *parts)

    def read(self, key: str, version: str | None = None) -> bytes | None:
        path = self._path(key) if version in (None, "null") else None
        return path.read_bytes() if path is not None and path.is_file() else None

    def write(self, key: str, pieces: Iterable[str]) -> None:
        path = self._path(key)
        if path is None:
            raise StatesError(None, f"The key {key!r} leads out of the folder {self.root}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
            file.writelines(pieces)

    def listing(self, prefix: str) -> Iterator[dict[str, Any]]:
        found = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())
        for key in sorted(key for key in found if key.startswith(prefix)):
            yield _entry(key, (self.root / key).read_bytes())


def _entry(key: str, content: bytes) -> dict[str, Any]:
    return {
        "Etag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"',
        "Key": key,
        "LastModified": LAST_MODIFIED,
        "Size": len(content),
        "StorageClass": "STANDARD",
    }
