"""YAML -> frozen configuration, checked as a whole; an unknown key is an error that names its path."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import PrivateAttr, ValidationError

from raymeter.attacks import Attack
from raymeter.config.attack_list import attack_settings, parse_attacks
from raymeter.config.messages import explain, first_mistake
from raymeter.config.sections import AuditSection, ClusterSection, DataSection, RunConfig, Section, TrainSection
from raymeter.config.shipped import find_config
from raymeter.config.yaml_files import read_sections
from raymeter.errors import ConfigError
from raymeter.schema.dataset import DataSpec, TableChoice
from raymeter.schema.signals import View

# Accepted so that a Privacy Meter file runs unchanged, and answered with one line.
NO_LONGER_USED = {
    "train.device": "Ray assigns devices; see train.resources_per_model",
    "audit.device": "Ray assigns devices; see train.resources_per_model",
    "train.type": "training is PyTorch",
}


class AuditConfig(Section):
    """One audit, complete and checked."""

    run: RunConfig
    audit: AuditSection = AuditSection()
    train: TrainSection = TrainSection()
    data: DataSection = DataSection()
    cluster: ClusterSection = ClusterSection()
    _attacks: dict[str, Attack] = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Read the list of attacks, which other files describe, once the sections are known to be right."""
        self._attacks = parse_attacks(self.audit.attacks, self.audit.algorithm)

    @property
    def num_models(self) -> int:
        """Models to train: 2 max(ceil(experiments / 2), k + 1), as in Privacy Meter.

        A target that was trained elsewhere has no twin, so 2k are enough for k pairs of references.
        """
        if self.audit.target is not None:
            return 2 * max(self.audit.num_ref_models, 2)
        return 2 * max(math.ceil((self.run.num_experiments or 1) / 2), self.audit.num_ref_models + 1)

    @property
    def attacks(self) -> Mapping[str, Attack]:
        """The attacks by label, in the order given."""
        return self._attacks

    @property
    def keeps_logits(self) -> bool:
        """Whether logits are collected: asked for, or needed by an attack."""
        return self.audit.logits or any(attack.needs_logits for attack in self.attacks.values())

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
            table=TableChoice(self.data.label, self.data.id, self.data.drop, self.data.categorical),
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
        notes = []
        for path, why in NO_LONGER_USED.items():
            section, key = path.split(".")
            if getattr(getattr(self, section), key) is not None:
                notes.append(f"{path} is accepted and not used: {why}")
        if self.audit.algorithm and self.audit.attacks is not None:
            notes.append("audit.algorithm is not used: audit.attacks says which attacks run")
        return notes

    def resolved(self) -> dict[str, Any]:
        """The whole configuration with its defaults, as plain values."""
        values = self.model_dump(mode="json")
        values["audit"]["attacks"] = [
            {"label": label, **attack_settings(attack)} for label, attack in self.attacks.items()
        ]
        return values


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> AuditConfig:
    """Read a YAML file, apply `section.key=value` overrides, check everything.

    Args:
        path: Of the file, or the name of one that comes with raymeter, such as `demo`.
        overrides: What stands on the command line.

    Raises:
        ConfigError: One line with the key path, the value and the remedy.
    """
    return build_config(read_sections(find_config(path), overrides, AuditConfig.model_fields))


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
        detail = first_mistake(details)
        raise ConfigError(explain(detail, _known_keys(detail["loc"][:-1])) + more) from None
    if config.data.path is not None and config.data.dataset != "arrays" and ":" not in config.data.dataset:
        raise ConfigError(
            f"data.path: is not read by dataset {config.data.dataset}; set data.dataset: arrays, or leave path out"
        )
    chosen = next((key for key in ("label", "id", "drop", "categorical") if getattr(config.data, key)), None)
    if chosen is not None and (config.data.dataset != "arrays" or str(config.data.path).endswith(".npz")):
        raise ConfigError(
            f"data.{chosen}: is about the columns of a table; set data.dataset: arrays and data.path to a .csv or "
            ".parquet file, or leave it out"
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


def _known_keys(location: tuple[int | str, ...]) -> set[str]:
    """The keys that the section at a location has."""
    model: Any = AuditConfig
    for part in location:
        fields_of_model = getattr(model, "model_fields", {})
        if part not in fields_of_model:
            return set()
        annotation = fields_of_model[part].annotation
        model = next((kind for kind in get_args(annotation) if hasattr(kind, "model_fields")), annotation)
    return set(getattr(model, "model_fields", {}))


def default_views(is_image: bool, mirrored_in_training: bool) -> tuple[View, ...]:
    """Identity, and the mirror image where the models were trained on mirror images.

    A view that a model never learned from is noise: it hides leakage (docs/attacks.md has figures).
    """
    return ("identity", "mirror") if is_image and mirrored_in_training else ("identity",)
