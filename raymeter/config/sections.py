"""The sections of a configuration: every key with its default, its limits and its meaning.

Sections `run`, `audit`, `train` and `data` keep the keys and meanings of Privacy Meter; `cluster` is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from raymeter.config.ray_address import address_problem
from raymeter.schema.recipe import Augment, Recipe
from raymeter.schema.signals import View
from raymeter.storage.addresses import is_remote, shown, without_keys

MOST_MODELS = 10_000  # far above any audit so far; a slip of the finger is more


TAKEN = ("models", "signals", "run.json", "code.json")  # names in a run directory that have their own use
LONGEST_NAME = 200  # bytes: file systems allow 255, and files are written under a longer name first


class Section(BaseModel):
    """A frozen section of which every key is known and every number finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class WeightsTarget:
    """A model that was trained elsewhere and whose weights are known, see `TargetSection`."""

    members: str
    weights: str
    model: str | None


@dataclass(frozen=True)
class QueryTarget:
    """A model that was trained elsewhere and only answers, see `TargetSection`."""

    members: str
    query: str
    batch_size: int
    calls_per_second: float | None
    max_queries: int | None
    attempts: int
    timeout: float


class TargetSection(Section):
    """A model that was trained elsewhere: its weights, or a function that asks it; and who its members are."""

    members: str = Field(
        min_length=1, description="Rows of the dataset that it was trained on: .npy, .npz, .csv, .parquet or .txt"
    )
    weights: str | None = Field(None, min_length=1, description="Its state dict: .safetensors, or torch.save's .pt")
    model: str | None = Field(None, description="What builds it, as train.model; by default train.model")
    query: str | None = Field(None, description="module:function that maps a batch of records to probabilities")
    batch_size: int = Field(100, ge=1, description="Records per call of query")
    calls_per_second: float | None = Field(None, gt=0, description="At most so many calls; by default no limit")
    max_queries: int | None = Field(
        None, ge=1, description="Records that may be sent in all, over all runs of this directory; by default no limit"
    )
    attempts: int = Field(5, ge=1, description="How often a call that fails is made, with growing pauses")
    timeout: float = Field(600.0, gt=0, le=86_400, description="Seconds that a call may take; then it counts as failed")

    @field_validator("members", "weights")
    @classmethod
    def _no_keys(cls, path: str | None) -> str | None:
        return path if path is None else without_keys(path)

    @field_validator("query")
    @classmethod
    def _function(cls, query: str | None) -> str | None:
        return query if query is None else _module_function(query)

    @model_validator(mode="after")
    def _one_way(self) -> TargetSection:
        if (self.weights is None) == (self.query is None):
            raise ValueError("give either weights, or query for a model that can only be asked")
        if self.model is not None and self.query is not None:
            raise ValueError("model says what the weights are of, and there are none with query; leave it out")
        return self

    def kind(self) -> WeightsTarget | QueryTarget:
        """What this section describes, with the keys that belong to it."""
        if self.weights is not None:
            return WeightsTarget(self.members, self.weights, self.model)
        assert self.query is not None  # one of the two is given, see `_one_way`
        names = [field.name for field in fields(QueryTarget)]
        return QueryTarget(**{name: getattr(self, name) for name in names})


def _module_function(name: str) -> str:
    if not all(name.partition(":")):
        raise ValueError("must be module:function")
    return name


class RunConfig(Section):
    """Where results go and what makes them repeatable."""

    log_dir: str = Field(min_length=1, description="Run directory (path, s3:// or gs://); finished models are reused")
    random_seed: int = Field(0, ge=0, description="Every random choice derives from this number")
    num_experiments: int | None = Field(
        None,
        ge=1,
        le=MOST_MODELS,
        description="How many models are attacked and reported (more than 2k + 2 trains more); by default all",
    )
    time_log: bool = Field(True, description="Write log_time_analysis.log with the seconds of every stage")

    @field_validator("log_dir")
    @classmethod
    def _no_null(cls, log_dir: str) -> str:
        if "\0" in log_dir:
            raise ValueError("must not contain a null character")
        return without_keys(log_dir)


class AuditSection(Section):
    """What is asked of the trained models."""

    num_ref_models: int = Field(
        7,
        ge=1,
        le=MOST_MODELS,
        description="k pairs of reference models per target; 2k + 2 models are trained",
    )
    privacy_game: Literal["privacy_loss_model"] = Field(
        "privacy_loss_model", description="The only game so far: was this record in the target's training set?"
    )
    algorithm: Literal["RMIA", "LOSS"] | None = Field(
        None, description="Privacy Meter's name for one attack; attacks says more and wins when both are given"
    )
    attacks: tuple[Any, ...] | None = Field(
        None,
        strict=False,
        description="List of attacks, each a name or {name, label, settings...}; by default loss, rmia and lira",
    )
    data_size: int | None = Field(None, ge=2, description="Number of pool records to audit; by default all")
    population_size: int | None = Field(
        None, ge=1, description="Number of records that no model trains on; by default at most 10000"
    )
    target: TargetSection | None = Field(
        None, description="A model that was trained elsewhere, attacked in place of the audit's own; see below"
    )
    groups: str | None = Field(
        None,
        min_length=1,
        description="CSV or Parquet file with columns id and group: risk per group as well as per class",
    )
    power_curve: bool = Field(True, description="Also say what fewer reference models would have found")
    blind_baseline: bool = Field(True, description="Also ask a model-free classifier, and warn where it beats chance")
    views: tuple[View, ...] | None = Field(
        None,
        strict=False,
        min_length=1,
        description="Views per record; by default identity, and mirror where train.augment mirrors",
    )
    logits: bool = Field(
        False,
        description="Keep all logits next to the signals (classes times larger); attacks that need them turn it on",
    )
    batch_size: int = Field(1000, ge=1, description="Records per block when signals are computed")
    report_log: str = Field("report", min_length=1, description="Directory of the report inside run.log_dir")
    device: str | None = Field(None, description="Accepted from Privacy Meter and not used")

    @field_validator("groups")
    @classmethod
    def _no_keys(cls, groups: str | None) -> str | None:
        return groups if groups is None else without_keys(groups)

    @field_validator("report_log")
    @classmethod
    def _inside(cls, report_log: str) -> str:
        path = PurePosixPath(report_log)
        if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0] in TAKEN:
            raise ValueError(f"must be a directory inside run.log_dir, other than {', '.join(TAKEN)}")
        if not report_log.isprintable() or any(len(part.encode()) > LONGEST_NAME for part in path.parts):
            raise ValueError(f"names of directories are at most {LONGEST_NAME} bytes, without control characters")
        return report_log

    @field_validator("views")
    @classmethod
    def _views_differ(cls, views: tuple[View, ...] | None) -> tuple[View, ...] | None:
        if views is not None and len(set(views)) != len(views):
            raise ValueError("each view may be listed once")
        return views


class TrainSection(Section):
    """How one model is trained, and what it may use."""

    model_name: str = Field("cnn", description="A name from the models table, or module:function")
    fit: str | None = Field(None, description="Your own training function, module:function; model is model_name too")
    optimizer: Literal["SGD", "Adam", "AdamW"] = Field("SGD", description="Optimizer")
    learning_rate: float = Field(0.1, gt=0, description="Peak learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay")
    batch_size: int = Field(256, ge=1, description="Records per optimizer step")
    epochs: int = Field(100, ge=1, description="Passes over the training half")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="cos(7 pi t / 16), or constant")
    warmup: float = Field(0.01, ge=0, lt=1, description="Share of all steps with a linearly rising learning rate")
    augment: Augment = Field("none", description="none, mirror, or mirror_crop (images only)")
    ema: float | None = Field(None, gt=0, lt=1, description="Decay of a moving average of the weights, kept instead")
    precision: Literal["float32", "bf16"] = Field("float32", description="bf16 autocasts on CUDA")
    resources_per_model: dict[str, float] | None = Field(
        None, description="Ray resources of one model in training; by default CPU: 1, and GPU: 1 where there are GPUs"
    )
    workers_per_model: int = Field(
        1, ge=1, description="Workers that train one model together, each with resources_per_model"
    )
    max_attempts: int = Field(
        3, ge=1, description="How often a model that fails by itself is started before the audit goes on without it"
    )
    checkpoint_interval: float = Field(
        10.0, ge=0, description="Seconds between checkpoints, taken at the end of an epoch; 0 saves every epoch"
    )
    device: str | None = Field(None, description="Accepted from Privacy Meter and not used")
    type: str | None = Field(None, description="Accepted from Privacy Meter and not used")

    @model_validator(mode="before")
    @classmethod
    def _model(cls, values: Any) -> Any:
        """`model` is another word for model_name, which is Privacy Meter's."""
        if isinstance(values, dict) and "model" in values:
            if "model_name" in values:
                raise ValueError("give model or model_name, not both")
            values = {**values, "model_name": values["model"]}
            del values["model"]
        return values

    @field_validator("fit")
    @classmethod
    def _fit(cls, fit: str | None) -> str | None:
        return fit if fit is None else _module_function(fit)

    @field_validator("resources_per_model")
    @classmethod
    def _resources(cls, resources: dict[str, float] | None) -> dict[str, float] | None:
        for name, amount in (resources or {}).items():
            if not amount > 0:
                raise ValueError(f"{name} must be above 0; leave it out instead")
        return resources

    def recipe(self) -> Recipe:
        """The part of this section that decides what a trained model is."""
        names = [f.name for f in fields(Recipe) if f.name != "model"]
        return Recipe(model=self.model_name, **{name: getattr(self, name) for name in names})


class DataSection(Section):
    """Which records."""

    dataset: str = Field("digits", description="A name from the datasets table, or module:function")
    data_dir: str = Field("data", description="Where dataset files are looked for and downloaded to")
    path: str | None = Field(
        None, description="The .csv, .parquet or .npz of dataset: arrays, or a directory (or URI) of Parquet files"
    )
    label: str | None = Field(None, description="Column of the classes in a table; by default y or label")
    id: str | None = Field(None, description="Column that names the records of a table, no feature")
    drop: tuple[str, ...] = Field((), strict=False, description="Columns of a table that are no features")
    categorical: tuple[str, ...] = Field(
        (), strict=False, description="Columns of numbers that are categories; texts are anyway"
    )
    pool_size: int | None = Field(
        None, ge=4, description="Records that may train a model, even; by default all but the population"
    )
    download: bool = Field(True, description="Download missing public datasets")
    in_memory_limit: int = Field(
        4 * 2**30,
        ge=0,
        description="Bytes; larger Parquet data are streamed, larger signals kept in files and attacked in blocks",
    )

    @field_validator("pool_size")
    @classmethod
    def _even(cls, pool_size: int | None) -> int | None:
        if pool_size is not None and pool_size % 2:
            raise ValueError("must be even, so that both halves of a pair are equal")
        return pool_size

    @field_validator("path")
    @classmethod
    def _no_keys(cls, path: str | None) -> str | None:
        return path if path is None else without_keys(path)

    @field_validator("data_dir")
    @classmethod
    def _is_local(cls, data_dir: str) -> str:
        if is_remote(data_dir):
            raise ValueError(
                "downloads are kept on this machine's disk; give a directory, or data.dataset: arrays with data.path "
                f"at that address, got {shown(data_dir)}"
            )
        return data_dir


class ClusterSection(Section):
    """Where the work runs; without an address and without RAY_ADDRESS an embedded Ray starts by itself."""

    address: str | None = Field(None, description="Address of a running Ray cluster; RAY_ADDRESS is used otherwise")
    num_cpus: int | None = Field(None, ge=1, description="CPUs of the embedded Ray; by default all cores")
    max_slots: int | None = Field(
        None,
        ge=1,
        description="Most models in training at once, what a growing cluster is asked for; by default what fits",
    )

    @field_validator("address")
    @classmethod
    def _is_rays(cls, address: str | None) -> str | None:
        if address is not None and (problem := address_problem(address)):
            raise ValueError(problem)
        return address
