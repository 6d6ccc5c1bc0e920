"""YAML -> frozen configuration: every default lives here, an unknown key is an error that names its path.

Sections `run`, `audit`, `train` and `data` keep the keys and meanings of Privacy Meter; `cluster` is ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from raymeter.attacks import ATTACKS, Attack
from raymeter.data import DataSpec
from raymeter.errors import ConfigError
from raymeter.explain import explain, read_sections, show, suggest
from raymeter.fit import Augment, Recipe
from raymeter.places import is_remote, shown, without_keys
from raymeter.signals import View, default_views

PRIVACY_METER_ATTACKS: dict[str, tuple[str, ...]] = {"RMIA": ("rmia", "loss"), "LOSS": ("loss",)}
DEFAULT_ATTACKS = ("loss", "rmia", "lira")
# Accepted so that a Privacy Meter file runs unchanged, and answered with one line.
NO_LONGER_USED = {
    "train.device": "Ray assigns devices; see train.resources_per_model",
    "audit.device": "Ray assigns devices; see train.resources_per_model",
    "train.type": "training is PyTorch",
}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


MOST_MODELS = 10_000  # far above any audit so far; a slip of the finger is more


class TargetSection(_Section):
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


def _module_function(name: str) -> str:
    if not all(name.partition(":")):
        raise ValueError("must be module:function")
    return name


class RunConfig(_Section):
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


class AuditSection(_Section):
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
        description="Keep all logits beside the signals (classes times larger); attacks that need them turn it on",
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
        if path.is_absolute() or ".." in path.parts or path.parts[:1] in ((), ("models",), ("signals",)):
            raise ValueError("must be a directory inside run.log_dir, other than models and signals")
        return report_log

    @field_validator("views")
    @classmethod
    def _views_differ(cls, views: tuple[View, ...] | None) -> tuple[View, ...] | None:
        if views is not None and len(set(views)) != len(views):
            raise ValueError("each view may be listed once")
        return views


class TrainSection(_Section):
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


class DataSection(_Section):
    """Which records."""

    dataset: str = Field("digits", description="A name from the datasets table, or module:function")
    data_dir: str = Field("data", description="Where dataset files are looked for and downloaded to")
    path: str | None = Field(
        None, description="The .npz or Parquet file of dataset: arrays, or a directory (or URI) of Parquet files"
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


class ClusterSection(_Section):
    """Where the work runs; without an address and without RAY_ADDRESS an embedded Ray starts by itself."""

    address: str | None = Field(None, description="Address of a running Ray cluster; RAY_ADDRESS is used otherwise")
    num_cpus: int | None = Field(None, ge=1, description="CPUs of the embedded Ray; by default all cores")
    max_slots: int | None = Field(
        None,
        ge=1,
        description="Most models in training at once, what a growing cluster is asked for; by default what fits",
    )


class AuditConfig(_Section):
    """One audit, complete and checked."""

    run: RunConfig
    audit: AuditSection = AuditSection()
    train: TrainSection = TrainSection()
    data: DataSection = DataSection()
    cluster: ClusterSection = ClusterSection()

    @property
    def num_models(self) -> int:
        """Models to train: 2 max(ceil(experiments / 2), k + 1), as in Privacy Meter.

        A target that was trained elsewhere has no twin, so 2k are enough for k pairs of references.
        """
        if self.audit.target is not None:
            return 2 * max(self.audit.num_ref_models, 2)
        return 2 * max(math.ceil((self.run.num_experiments or 1) / 2), self.audit.num_ref_models + 1)

    @property
    def attacks(self) -> dict[str, Attack]:
        """The attacks by label, in the order given."""
        return _attacks(self.audit)

    @property
    def keeps_logits(self) -> bool:
        """Whether logits are collected: asked for, or needed by an attack."""
        return self.audit.logits or any(getattr(attack, "needs_logits", False) for attack in self.attacks.values())

    def data_spec(self) -> DataSpec:
        """What the dataset loaders are asked for."""
        return DataSpec(
            dataset=self.data.dataset,
            data_dir=self.data.data_dir,
            path=self.data.path,
            pool_size=self.data.pool_size,
            population_size=self.audit.population_size,
            seed=self.run.random_seed,
            download=self.data.download,
            in_memory_limit=self.data.in_memory_limit,
        )

    def views(self, is_image: bool) -> tuple[View, ...]:
        """The views to compute; mirroring makes sense for images only."""
        if self.audit.views is None:
            return default_views(is_image, self.train.augment != "none")
        if "mirror" in self.audit.views and not is_image:
            raise ConfigError(f"audit.views: mirror is for images, and {self.data.dataset} has none; use [identity]")
        return self.audit.views

    def notes(self) -> list[str]:
        """One line for every key that was accepted and is not used."""
        lines = []
        for path, why in NO_LONGER_USED.items():
            section, key = path.split(".")
            if getattr(getattr(self, section), key) is not None:
                lines.append(f"{path} is accepted and not used: {why}")
        if self.audit.algorithm and self.audit.attacks is not None:
            lines.append("audit.algorithm is not used: audit.attacks says which attacks run")
        return lines

    def resolved(self) -> dict[str, Any]:
        """The whole configuration with its defaults, as plain values."""
        values = self.model_dump(mode="json")
        values["audit"]["attacks"] = [
            {"label": label, **attack_settings(attack)} for label, attack in self.attacks.items()
        ]
        return values


def attack_settings(attack: Attack) -> dict[str, Any]:
    """The name of an attack in the attacks table and its settings, as YAML would give them."""
    name = next(name for name, kind in ATTACKS.items() if isinstance(attack, kind))
    settings = {field.name: getattr(attack, field.name) for field in fields(attack)}
    return {"name": name} | {
        key: [attack_settings(part) for part in value] if name == "stack" and key == "of" else value
        for key, value in settings.items()
    }


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> AuditConfig:
    """Read a YAML file, apply `section.key=value` overrides, check everything.

    Raises:
        ConfigError: One line with the key path, the value and the remedy.
    """
    return build_config(read_sections(path, overrides, AuditConfig.model_fields))


def build_config(values: Mapping[str, Any]) -> AuditConfig:
    """Check plain values, as they come from YAML.

    Raises:
        ConfigError: One line with the key path, the value and the remedy.
    """
    sections = {key: {} if section is None else section for key, section in values.items()}
    try:
        config = AuditConfig.model_validate(sections)
    except ValidationError as error:
        details = error.errors()
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        raise ConfigError(explain(details[0], _known_keys(details[0]["loc"][:-1])) + more) from None
    config.attacks  # noqa: B018 - checks the list of attacks
    if config.data.path is not None and config.data.dataset != "arrays" and ":" not in config.data.dataset:
        raise ConfigError(
            f"data.path: is not read by dataset {config.data.dataset}; set data.dataset: arrays, or leave path out"
        )
    if config.audit.target is not None and config.run.num_experiments not in (None, 1):
        raise ConfigError(
            f"run.num_experiments: with audit.target one model is attacked, got {config.run.num_experiments}; "
            "leave it out"
        )
    if config.audit.data_size and config.data.pool_size and config.audit.data_size > config.data.pool_size:
        raise ConfigError(
            f"audit.data_size: cannot audit {config.audit.data_size} of {config.data.pool_size} records; "
            "lower it or raise data.pool_size"
        )
    return config


def _attacks(section: AuditSection) -> dict[str, Attack]:
    entries = section.attacks
    if entries is None:
        entries = PRIVACY_METER_ATTACKS[section.algorithm] if section.algorithm else DEFAULT_ATTACKS
    attacks: dict[str, Attack] = {}
    for index, entry in enumerate(entries):
        label, attack = _attack(entry, f"audit.attacks[{index}]")
        if label in attacks:
            raise ConfigError(f"audit.attacks[{index}]: a second attack called {label!r}; give it a label of its own")
        attacks[label] = attack
    if not attacks:
        raise ConfigError(f"audit.attacks: the list is empty; name at least one of {', '.join(ATTACKS)}")
    return attacks


def _attack(entry: Any, path: str) -> tuple[str, Attack]:
    settings = {"name": entry} if isinstance(entry, str) else entry
    if not isinstance(settings, dict) or not isinstance(settings.get("name"), str):
        raise ConfigError(f"{path}: expected a name such as rmia or a mapping with a name, got {show(entry)}")
    settings = dict(settings)
    name = settings.pop("name")
    label = settings.pop("label", name)
    if name not in ATTACKS:
        raise ConfigError(f"{path}.name: unknown attack {name!r}; {suggest(name, ATTACKS)}")
    if not isinstance(label, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", label):
        raise ConfigError(f"{path}.label: got {show(label)}; use letters, digits, _ and -")
    if name == "stack" and "of" in settings:
        if not isinstance(settings["of"], list):
            raise ConfigError(f"{path}.of: expected a list of attacks, got {show(settings['of'])}")
        if any(part == "stack" or (isinstance(part, dict) and part.get("name") == "stack") for part in settings["of"]):
            raise ConfigError(f"{path}.of: a stack cannot be part of a stack; list its attacks")
        parts = [_attack(part, f"{path}.of[{index}]")[1] for index, part in enumerate(settings["of"])]
        settings["of"] = tuple(parts)
    for key, value in settings.items():
        if isinstance(value, bool):
            raise ConfigError(f"{path}.{key}: no setting is true or false, got {value}; see configs/README.md")
    try:
        attack: Attack = TypeAdapter(ATTACKS[name]).validate_python(settings)
    except ValidationError as error:
        known = {"label", *(f.name for f in fields(ATTACKS[name]))}
        raise ConfigError(explain(error.errors()[0], known, path)) from None
    return label, attack


def _known_keys(location: tuple[int | str, ...]) -> set[str]:
    """The keys that the section at a location has."""
    model: Any = AuditConfig
    for part in location:
        fields_of_model = getattr(model, "model_fields", {})
        if part not in fields_of_model:
            return set()
        annotation = fields_of_model[part].annotation
        model = next((each for each in get_args(annotation) if hasattr(each, "model_fields")), annotation)
    return set(getattr(model, "model_fields", {}))
