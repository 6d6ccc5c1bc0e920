"""Whole objects in a bucket: patience with what passes, one line for what does not, and no keys anywhere."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from buckets import SECRET, Bucket, s3_server
from pyarrow import parquet
from pyarrow import table as arrow_table

from raymeter.config.load import build_config
from raymeter.data import load_dataset
from raymeter.data.groups import load_groups
from raymeter.errors import ConfigError, DataError, StoreError
from raymeter.schema import ModelRecord
from raymeter.schema.model_record import Origin
from raymeter.storage import buckets as places
from raymeter.storage.addresses import inside, shown
from raymeter.storage.buckets import open_place, read_object, write_object
from raymeter.storage.local_files import sha256
from raymeter.storage.model_store import ModelStore, weights_path
from raymeter.storage.run_store import RunStore


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One S3 server for the module."""
    with s3_server(tmp_path_factory.mktemp("moto") / "log") as bucket:
        yield bucket


@pytest.fixture
def bucket(server: Bucket, monkeypatch):
    """The bucket without faults, and short pauses between tries."""
    monkeypatch.setattr(places, "PAUSES", (0.02, 0.02, 0.02))
    server.fault = lambda method, path, count: None
    server.asked.clear()
    return server


def test_objects_are_written_read_listed_and_deleted(bucket):
    """The same through a RunStore as in a directory; what is not there is None, and deleting it is no error."""
    store = RunStore.at(bucket.address("basics"))
    assert store.read("a/b.json") is None and store.list("a") == []
    store.delete("a/b.json")
    store.write_json("a/b.json", {"x": 1})
    store.write("a/large.bin", b"0123456789" * 1_200_000)  # in several parts
    assert store.read_json("a/b.json") == {"x": 1}
    assert store.list("a") == ["b.json", "large.bin"]
    assert store.read("a/large.bin") == b"0123456789" * 1_200_000
    store.delete("a/b.json")
    assert store.read("a/b.json") is None


@pytest.mark.parametrize("fault", [500, 503, "reset"])
def test_a_write_that_fails_for_a_while_is_made_up_for(bucket, fault):
    """The first tries fail; the object is there as a whole in the end."""
    bucket.fault = lambda method, path, count: fault if method == "PUT" and count <= 2 else None
    write_object(bucket.address(f"patient_{fault}"), b"content")
    assert read_object(bucket.address(f"patient_{fault}")) == b"content"


@pytest.mark.parametrize("fault", [503, "reset", "cut"])
def test_a_read_that_fails_for_a_while_is_made_up_for(bucket, fault):
    """Also where the connection breaks in the middle of the body."""
    write_object(bucket.address("read"), bytes(range(256)) * 40)
    bucket.fault = lambda method, path, count: fault if method == "GET" and count <= 2 else None
    assert read_object(bucket.address("read")) == bytes(range(256)) * 40


def test_a_storage_that_stays_down_is_one_line(bucket, monkeypatch):
    """It names the object, the reason and what to do; nothing of the object is there."""
    monkeypatch.setattr(places, "PAUSES", (0.02,))
    bucket.fault = lambda method, path, count: 503 if method in ("PUT", "POST") else None
    with pytest.raises(StoreError) as error:
        RunStore.at(bucket.address("down")).write("models/model_0.json", b"x")
    text = str(error.value)
    assert text.startswith("s3://audits/down/models/model_0.json cannot be written (")
    assert text.endswith("tried 2 times); see whether the storage is well, then start again")
    assert "\n" not in text and SECRET not in text and "endpoint" not in text.partition("(")[0]
    bucket.fault = lambda method, path, count: None
    assert read_object(bucket.address("down/models/model_0.json")) is None


def test_a_refusal_is_not_tried_again(bucket):
    """Access denied, or a bucket that there is not: at once, and one line."""
    address = bucket.address("denied")
    bucket.fault = lambda method, path, count: 403
    start = time.monotonic()
    with pytest.raises(StoreError, match="s3://audits/denied cannot be read .*; check the address and the keys"):
        read_object(address)
    bucket.fault = lambda method, path, count: None
    with pytest.raises(StoreError, match="s3://nowhere/x cannot be written .*; check the address and the keys"):
        write_object(address.replace("audits/denied", "nowhere/x"), b"")
    assert time.monotonic() - start < 5


def test_an_upload_that_breaks_off_leaves_nothing(bucket, monkeypatch):
    """A large object whose second part fails for good: it is not visible, not even in part."""
    monkeypatch.setattr(places, "PAUSES", ())
    bucket.fault = lambda method, path, count: 503 if method == "PUT" and "partNumber=2" in path else None
    with pytest.raises(StoreError, match="large cannot be written"):
        write_object(bucket.address("broken/large"), b"x" * 12_000_000)
    bucket.fault = lambda method, path, count: None
    assert read_object(bucket.address("broken/large")) is None


def test_a_model_counts_although_no_listing_shows_it(bucket, monkeypatch):
    """Its marker is read by its name: listings that lag behind neither lose nor repeat work."""
    monkeypatch.setattr(places, "PAUSES", ())
    bucket.fault = lambda method, path, count: 503 if "list-type" in path else None
    store = RunStore.at(bucket.address("lagging"))
    data = b"weights"
    record = ModelRecord(
        0, 7, weights_path(0), sha256(data), "recipe", 0.0, 0.0, 0.0, 0.0, 0.0, data="data", members="members"
    )
    ModelStore(store).save(record, data)
    assert ModelStore(store).load(0, Origin("recipe", 7, "data", "members")) == (record, "")
    with pytest.raises(StoreError, match="cannot be listed"):
        store.list("models")


@pytest.mark.parametrize(
    "address",
    [
        f"s3://AKIA123:{SECRET}@bucket/run",
        f"s3://bucket/run?access_key=AKIA123&secret_key={SECRET}",
        f"gs://{SECRET}@bucket/run",
    ],
)
def test_keys_in_an_address_are_refused_and_not_shown(address):
    """In the configuration and wherever a run directory is opened: the line does not repeat them."""
    sections = {"run": {"log_dir": address}}
    others = {"run": {"log_dir": "x"}, "data": {"dataset": "arrays", "path": address}}
    groups = {"run": {"log_dir": "x"}, "audit": {"groups": address}}
    configs = [lambda values=values: build_config(values) for values in (sections, others, groups)]
    for work in (*configs, lambda: RunStore.at(address)):
        with pytest.raises((ConfigError, StoreError), match="put keys into the environment") as error:
            work()
        assert SECRET not in str(error.value) and "AKIA123" not in str(error.value)


def test_downloads_stay_on_this_machine():
    """data_dir is a directory; the line says what an address is for."""
    with pytest.raises(ConfigError, match="data.data_dir: downloads are kept on this machine's disk.*got s3://b/x"):
        build_config({"run": {"log_dir": "x"}, "data": {"dataset": "fashion_mnist", "data_dir": "s3://b/x"}})


def test_addresses_keep_their_options_at_the_end():
    """What is inside a place has the same options; what is shown has none."""
    assert inside("s3://b/run?region=x", "models/a") == "s3://b/run/models/a?region=x"
    assert inside("/tmp/run", "a?b") == "/tmp/run/a?b"
    assert shown("s3://b/run?region=x") == "s3://b/run"


@pytest.mark.parametrize("address", ["s4://bucket/run", "s3://", "s3://bucket/run?endpoint_override=x&scheme=ftp"])
def test_addresses_that_mean_nothing_are_one_line(address):
    """No storage of that name, no bucket, no such scheme."""
    with pytest.raises(StoreError, match="cannot be|no keys and no options|names no bucket") as error:
        RunStore.at(address).write("x", b"")
    assert "\n" not in str(error.value)


def test_google_cloud_goes_the_same_way():
    """gs:// opens pyarrow's GcsFileSystem; the path is bucket and object."""
    filesystem, path = open_place("gs://bucket/audits/run")
    assert filesystem.type_name == "gcs" and path == "bucket/audits/run"


def test_records_and_groups_are_read_from_a_bucket(bucket):
    """An .npz, a Parquet file, a directory of them, and a CSV of groups."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)).astype(np.float32), np.arange(40) % 2
    npz, rows = io.BytesIO(), io.BytesIO()
    np.savez(npz, x=x, y=y)
    parquet.write_table(arrow_table({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": y}), rows)
    write_object(bucket.address("data/all.npz"), npz.getvalue())
    write_object(bucket.address("data/rows/part_0.parquet"), rows.getvalue())
    for path in ("data/all.npz", "data/rows/part_0.parquet", "data/rows"):
        section = {"dataset": "arrays", "path": bucket.address(path)}
        config = build_config({"run": {"log_dir": "x"}, "audit": {"population_size": 4}, "data": section})
        dataset = load_dataset(config.data_spec())
        assert sorted(dataset.y.tolist() + dataset.population_y.tolist()) == sorted(y.tolist())
    write_object(bucket.address("data/groups.csv"), b"id,group\n0,a\n1,b\n")
    assert load_groups(bucket.address("data/groups.csv"), np.array([1, 0])).tolist() == ["b", "a"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("none.npz", None), ("none.parquet", None), ("text.npz", b"hello"), ("half.npz", b"PK\x03\x04half")],
)
def test_data_that_are_not_there_or_damaged_are_one_line(bucket, name, content):
    """The address without its options, and the reason."""
    if content is not None:
        write_object(bucket.address(name), content)
    config = build_config({"run": {"log_dir": "x"}, "data": {"dataset": "arrays", "path": bucket.address(name)}})
    with pytest.raises(DataError, match=rf"s3://audits/{name} (not found|cannot be read)") as error:
        load_dataset(config.data_spec())
    assert "\n" not in str(error.value) and "endpoint_override" not in str(error.value)
