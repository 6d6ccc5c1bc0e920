"""What a submitted job would not have: Ray packs a folder as its .gitignore and .rayignore say."""

from __future__ import annotations

import pytest
from ray._private.runtime_env.packaging import get_uri_for_directory

from raymeter.config.load import build_config, load_config
from raymeter.data import load_dataset
from raymeter.distributed.job_upload import left_out, will_be_lost
from raymeter.errors import ConfigError, DataError


def put(folder, **files):
    """Write files into a folder, by name and text."""
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def config_with(**sections):
    return build_config({"run": {"log_dir": "x"}, **sections})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a configuration, data and a module."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    put(tmp_path, **{"configs__mine.yaml": "", "data__mine.npz": "", "mymodel_for_upload.py": ""})
    return tmp_path


def test_nothing_is_left_out_without_ignore_files(folder):
    """The usual case: no line."""
    config = config_with(data={"dataset": "arrays", "path": "data/mine.npz"})
    assert left_out(config, "configs/mine.yaml", folder) == []


@pytest.mark.parametrize(
    ("holder", "rules", "lines"),
    [
        (".gitignore", "*.npz", ["data.path data/mine.npz: .gitignore"]),
        (".gitignore", "/data/", ["data.path data/mine.npz: .gitignore"]),
        (".gitignore", "data", ["data.path data/mine.npz: .gitignore"]),
        (".rayignore", "configs/*.yaml", ["the configuration configs/mine.yaml: .rayignore"]),
        ("data/.gitignore", "*", ["data.path data/mine.npz: data/.gitignore"]),
        (".gitignore", "mymodel*", ["mymodel_for_upload:build's module mymodel_for_upload.py: .gitignore"]),
        (".gitignore", "*.npz\n!mine.npz", []),
        (".gitignore", "other\n", []),
    ],
)
def test_hidden_files_are_named_with_the_file_that_hides_them(folder, holder, rules, lines):
    """Configuration, data and module; in any folder's ignore files; and Ray's own packing agrees."""
    config = config_with(
        data={"dataset": "arrays", "path": "data/mine.npz"}, train={"model_name": "mymodel_for_upload:build"}
    )
    before = get_uri_for_directory(folder, include_gitignore=True)
    (folder / holder).write_text(rules)
    assert left_out(config, "configs/mine.yaml", folder) == [
        f"ray job submit would not upload {line} names it" for line in lines
    ]
    with_rules = get_uri_for_directory(folder, include_gitignore=True)
    for path in ("configs/mine.yaml", "data/mine.npz", "mymodel_for_upload.py"):
        (folder / path).write_text("changed")
        seen = get_uri_for_directory(folder, include_gitignore=True) != with_rules
        assert seen == (not any(path in line for line in lines)), path
        (folder / path).write_text("")
    assert before != with_rules or lines


def test_data_dir_counts_where_it_is_there(folder):
    """A dataset that would be downloaded again, or missed, is told; one that is not here is not."""
    (folder / ".gitignore").write_text("/data/\n")
    config = config_with(data={"dataset": "cifar10", "data_dir": "data"})
    assert [line.split(":")[0] for line in left_out(config, "configs/mine.yaml", folder)] == [
        "ray job submit would not upload data.data_dir data/mine.npz"
    ]
    config = config_with(data={"dataset": "cifar10", "data_dir": "elsewhere"})
    assert left_out(config, "configs/mine.yaml", folder) == []


def test_a_job_that_writes_into_its_upload_says_so(monkeypatch):
    """Only in a job, and only where run.log_dir is relative."""
    places = ["demo", "/shared/demo", "~/demo", "s3://bucket/demo"]
    configs = [build_config({"run": {"log_dir": place}}) for place in places]
    assert [will_be_lost(config) for config in configs] == [[], [], [], []]
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert [len(will_be_lost(config)) for config in configs] == [1, 0, 0, 0]
    assert "demo lies in this job's copy of the working directory" in will_be_lost(configs[0])[0]


def test_missing_files_explain_themselves_in_a_job_only(tmp_path, monkeypatch):
    """The configuration and the data: one line more about uploads, where Ray says that this is a job."""
    data = config_with(data={"dataset": "arrays", "path": "nowhere.npz"}).data_spec()
    for job in (False, True):
        if job:
            monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
        with pytest.raises(ConfigError) as first:
            load_config(tmp_path / "nowhere.yaml")
        with pytest.raises(DataError) as second:
            load_dataset(data)
        for error in (first, second):
            assert (".gitignore or .rayignore name are not uploaded" in str(error.value)) is job
            assert "\n" not in str(error.value)
