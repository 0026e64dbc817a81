"""What an ItemReader reads through the shell: objects, listings, compressed files, manifests, Parquet."""

import gzip
import io
import json

import pytest

import sflab as sf
from sflab.backends.buckets import LAST_MODIFIED, access
from sflab.engine.messages import ScheduleTask, TaskFailed, TaskSucceeded

ROWS = [{"id": 1, "name": "ä"}, {"id": 2, "name": "b"}]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
CSV = b"id,name\n1,\xc3\xa4\n2,b\n"


def zipped(data):
    return gzip.compress(data, mtime=0)  # the same bytes every time: they name a test


def parquet(rows):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def machine(reader, **fields):
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
        "StartAt": "Same",
        "States": {"Same": {"Type": "Pass", "End": True}},
    }
    state = {"Type": "Map", "ItemReader": reader, "ItemProcessor": processor, "End": True, **fields}
    return sf.StateMachine.load({"StartAt": "Each", "States": {"Each": state}})


def get(key, config=None, **parameters):
    given = {"Bucket": "lab", "Key": key, **parameters}
    return {"Resource": "arn:aws:states:::s3:getObject", "Parameters": given, "ReaderConfig": config or {}}


def listing(config=None, **parameters):
    given = {"Bucket": "lab", **parameters}
    return {"Resource": "arn:aws:states:::s3:listObjectsV2", "Parameters": given, "ReaderConfig": config or {}}


def run(reader, objects, **fields):
    return sf.Local(objects=objects).start_execution(machine(reader, **fields))


@pytest.mark.parametrize("kind", ["dict", "folder"])
@pytest.mark.parametrize(
    ("key", "content", "config"),
    [
        ("a.jsonl.gz", zipped(JSONL), {"InputType": "JSONL"}),
        ("a.csv.gzip", zipped(CSV), {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"}),
        ("a.csv", b"\xef\xbb\xbf" + CSV, {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"}),
        ("a.json", json.dumps(ROWS).encode(), {"InputType": "JSON"}),
        ("a.jsonl", JSONL.replace(b"\n", b"\r\n"), {"InputType": "JSONL"}),
    ],
)
def test_objects_are_read_as_their_endings_and_types_say(kind, key, content, config, tmp_path):
    (tmp_path / key).write_bytes(content)
    done = run(get(key, config), {"lab": {key: content} if kind == "dict" else tmp_path})
    assert [(str(item["id"]), item["name"]) for item in done.output] == [("1", "ä"), ("2", "b")]


@pytest.mark.parametrize("ending", ["zst", "zstd"])
def test_zstandard_is_read_with_pyarrow(ending, tmp_path):
    pa = pytest.importorskip("pyarrow")
    path = tmp_path / f"a.jsonl.{ending}"
    with pa.CompressedOutputStream(str(path), "zstd") as stream:
        stream.write(JSONL)
    assert run(get(path.name, {"InputType": "JSONL"}), {"lab": tmp_path}).output == ROWS


def test_parquet_is_read_with_types_json_knows():
    from datetime import date
    from decimal import Decimal

    rows = [{"i": 1, "f": 0.5, "s": "x", "n": None, "l": [1, 2], "d": date(2030, 1, 2), "m": Decimal("1.50")}]
    done = run(get("t.parquet", {"InputType": "PARQUET"}), {"lab": {"t.parquet": parquet(rows)}})
    assert done.output == [{"i": 1, "f": 0.5, "s": "x", "n": None, "l": [1, 2], "d": "2030-01-02", "m": "1.50"}]


@pytest.mark.parametrize(
    ("key", "content", "config", "parameters", "said"),
    [
        ("x.parquet", b"PAR1", {"InputType": "PARQUET"}, {}, "Unable to parse x.parquet as Parquet"),
        ("x.parquet", b"PAR1", {"InputType": "PARQUET"}, {"VersionId": "1"}, "VersionId is not supported"),
        ("x.gz", b"no gzip", {"InputType": "JSON"}, {}, "Unable to decompress x.gz"),
        ("x.gz", zipped(b"[1]")[:-9], {"InputType": "JSON"}, {}, "Unable to decompress x.gz"),
        ("x.zst", b"no zstd", {"InputType": "JSON"}, {}, "Unable to decompress x.zst"),
        ("x", b"[1]", {}, {"VersionId": "7"}, "The specified version does not exist: '7'"),
        ("x", b"[1]", {}, {"ExpectedBucketOwner": "999999999999"}, "Access Denied"),
        ("x", b"{}", {"InputType": "MANIFEST"}, {}, "x is not the manifest.json of an Amazon S3 inventory."),
        ("x", b'{"fileFormat":"ORC","fileSchema":"a","files":[]}', {"ManifestType": "S3_INVENTORY"}, {},
         "The output format of the Amazon S3 inventory report must be CSV."),
        ("x", b"nonsense\n", {"ManifestType": "ATHENA_DATA", "InputType": "JSONL"}, {}, "'nonsense' is no S3 URI"),
        ("x", b"s3://lab/gone\n", {"ManifestType": "ATHENA_DATA", "InputType": "JSONL"}, {},
         "The specified key does not exist: 'gone' in 'lab'."),
    ],
)  # fmt: skip
def test_what_cannot_be_read_fails_the_map_run_and_says_why(key, content, config, parameters, said):
    if key.endswith((".parquet", ".zst")):
        pytest.importorskip("pyarrow")
    done = run(get(key, config, **parameters), {"lab": {key: content}})
    assert (done.status, done.error) == ("FAILED", "States.ItemReaderFailed")
    assert said in done.cause
    assert done.map_runs[0].status == "FAILED"


@pytest.mark.parametrize("parameters", [{"VersionId": "null"}, {"ExpectedBucketOwner": "123456789012"}])
def test_the_only_version_and_the_right_owner_are_accepted(parameters):
    assert run(get("x", **parameters), {"lab": {"x": b"[1]"}}).output == [1]


def test_a_listing_takes_prefix_start_after_delimiter_and_max_items():
    objects = {"lab": {f"in/{i}.json": "[]" for i in range(5)} | {"in/": "", "in/deep/x": "", "other": ""}}

    def keys(reader):
        return [item["Key"] for item in run(reader, objects).output]

    assert keys(listing(Prefix="in/", Delimiter="/")) == ["in/", *(f"in/{i}.json" for i in range(5))]
    assert keys(listing(Prefix="in/", StartAfter="in/3.json")) == ["in/4.json", "in/deep/x"]
    assert keys(listing({"MaxItems": 2})) == ["in/", "in/0.json"]
    item = run(listing(Prefix="in/0"), objects).output[0]
    assert item == {
        "Etag": '"d751713988987e9331980363e24189ce"', "Key": "in/0.json", "LastModified": LAST_MODIFIED, "Size": 2,
        "StorageClass": "STANDARD",
    }  # fmt: skip


SELECT = {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "from.$": "$$.Map.Item.Source"}


def test_load_and_flatten_reads_what_is_listed_and_each_item_knows_its_source():
    objects = {"lab": {"in/": "", "in/a.jsonl": "1\n2\n", "in/b.jsonl.gz": zipped(b"3\n"), "c": "9\n"}}
    config = {"InputType": "JSONL", "Transformation": "LOAD_AND_FLATTEN"}
    done = run(listing(config, Prefix="in/"), objects, ItemSelector=SELECT)
    assert [(o["i"], o["v"], o["from"]) for o in done.output] == [
        (0, 1, "S3://lab/in/a.jsonl"),
        (1, 2, "S3://lab/in/a.jsonl"),
        (2, 3, "S3://lab/in/b.jsonl.gz"),
    ]
    assert run(listing({**config, "MaxItems": 2}, Prefix="in/"), objects).output == [1, 2]


def test_sources_are_the_bucket_the_object_or_the_state():
    objects = {"lab": {"k": "[5]"}}
    assert run(listing(), objects, ItemSelector=SELECT).output[0]["from"] == "S3://lab"
    assert run(get("k"), objects, ItemSelector=SELECT).output[0]["from"] == "S3://lab/k"
    raw = machine(get("k"), ItemSelector=SELECT).definition.raw
    del raw["States"]["Each"]["ItemReader"]
    assert sf.Local().start_execution(sf.StateMachine.load(raw), [5]).output[0]["from"] == "STATE_DATA"


@pytest.mark.parametrize("config", [{"InputType": "MANIFEST"}, {"ManifestType": "S3_INVENTORY"}])
def test_an_inventory_is_read_through_its_manifest(config):
    manifest = {
        "sourceBucket": "source",
        "destinationBucket": "arn:aws:s3:::inventory",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size",
        "files": [{"key": "data/1.csv.gz", "size": 1}, {"key": "data/2.csv.gz", "size": 1}],
    }
    files = {
        "data/1.csv.gz": zipped(b'"source","a b","0"\n"source","c","12"\n'),
        "data/2.csv.gz": zipped(b'"source","d","3"\n'),
    }
    objects = {"lab": {"m/manifest.json": json.dumps(manifest)}, "inventory": files}
    done = run(get("m/manifest.json", config), objects)
    assert [(o["Bucket"], o["Key"], o["Size"]) for o in done.output] == [
        ("source", "a b", "0"),
        ("source", "c", "12"),
        ("source", "d", "3"),
    ]


def test_an_athena_manifest_is_read_object_by_object():
    objects = {
        "lab": {"q-manifest.csv": '"s3://out/1"\ns3://out/2.gz\n'},
        "out": {"1": '{"n":1}\n', "2.gz": zipped(b'{"n":2}\n{"n":3}\n')},
    }
    config = {"ManifestType": "ATHENA_DATA", "InputType": "JSONL"}
    assert run(get("q-manifest.csv", config), objects).output == [{"n": 1}, {"n": 2}, {"n": 3}]
    config = {"ManifestType": "ATHENA_DATA", "InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["x"]}
    objects["out"] = {"1": "a\n", "2.gz": zipped(b"b\n")}
    assert run(get("q-manifest.csv", config), objects).output == [{"x": "a"}, {"x": "b"}]


class Kept:
    """A bucket that keeps its objects itself."""

    def __init__(self):
        self.objects = {}

    def read(self, key, version=None):
        return self.objects.get((key, version))

    def write(self, key, pieces):
        self.objects[key, None] = "".join(pieces).encode()

    def listing(self, prefix):
        return [{"Key": key, "Size": len(v)} for (key, _), v in sorted(self.objects.items()) if key.startswith(prefix)]


def test_a_bucket_may_keep_its_objects_itself_versions_too():
    bucket = Kept()
    bucket.objects = {("k", None): b"[2]", ("k", "v1"): b"[1]"}
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "lab", "Prefix": "out"}}
    assert run(get("k", VersionId="v1"), {"lab": bucket}).output == [1]
    done = run(get("k"), {"lab": bucket}, ResultWriter=writer)
    assert json.loads(bucket.objects[done.output["ResultWriterDetails"]["Key"], None])["DestinationBucket"] == "lab"


def test_a_key_never_leads_out_of_its_folder(tmp_path):
    command = ScheduleTask(1, "s", "", 1, "reader", "", "s3", "getObject", "", {"Bucket": "lab", "Key": "../x"})
    (tmp_path / "x").write_text("[1]")
    (tmp_path / "in").mkdir()
    assert isinstance(access({"lab": tmp_path / "in"}, command), TaskFailed)
    assert isinstance(access({"lab": tmp_path}, ScheduleTask(1, "s", "", 1, "reader", "", "s3", "listObjectsV2", "",
                                                             {"Bucket": "lab"})), TaskSucceeded)  # fmt: skip
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "lab", "Prefix": "../out"}}
    done = run(get("k"), {"lab": tmp_path / "in"}, ResultWriter=writer)
    assert done.error == "States.ItemReaderFailed"
    (tmp_path / "in" / "k").write_text("[1]")
    done = run(get("k"), {"lab": tmp_path / "in"}, ResultWriter=writer)
    assert (done.error, "leads out of the folder" in done.cause) == ("States.ResultWriterFailed", True)
    assert not (tmp_path / "out").exists()
