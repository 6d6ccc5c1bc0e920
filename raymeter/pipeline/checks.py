"""What is found out before any work: data, model, views and attacks that do not suit the audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from raymeter.attacks import regressors_of, require_blind
from raymeter.attacks.common.blocks import works_in_blocks
from raymeter.attacks.qmia import LEVELS
from raymeter.config.load import AuditConfig
from raymeter.data.groups import load_groups
from raymeter.errors import ConfigError, RunError, SignalError, exit_refused
from raymeter.models import build_model
from raymeter.models.inputs import as_tensor, normalise
from raymeter.models.outputs import wrong_output
from raymeter.models.tabular import fills_gaps
from raymeter.pipeline.memory_estimate import is_mapped
from raymeter.schema.dataset import Dataset
from raymeter.schema.signals import KINDS, QuantilePrediction, SignalMatrix, Signals
from raymeter.schema.split import Split
from raymeter.signals.targets.members import load_members
from raymeter.training.augment import CROP_PADDING
from raymeter.training.split import make_split, with_foreign_target
from raymeter.training.user_trainer import load_fit

CHECKED_RECORDS = 500
FEWEST_TO_FIT = 20  # population records for a regressor


def make_audit_split(config: AuditConfig, dataset: Dataset) -> Split:
    """The membership design that the configuration asks for."""
    split = make_split(
        pool=len(dataset.y),
        population=len(dataset.population_y),
        models=config.num_models,
        targets=None if config.audit.target else config.run.num_experiments,
        examples=config.audit.data_size,
        seed=config.run.random_seed,
    )
    if config.audit.target is not None:
        members = load_members(config.audit.target.members, dataset.total)
        split = with_foreign_target(split, members[dataset.rows], members[dataset.population_rows])
    audited = split.member[split.audit_ids][:, split.targets]
    one_sided = np.flatnonzero(audited.all(axis=0) | ~audited.any(axis=0))
    if one_sided.size:
        name = split.name_of(int(split.targets[one_sided[0]]))
        remedy = "audit records of both kinds" if split.has_foreign_target else "raise it"
        key = "audit.target.members" if split.has_foreign_target else "audit.data_size"
        raise ConfigError(
            f"{key}: the {len(audited)} audited records are all members, or all non-members, of {name}; {remedy}"
        )
    return split


def without_missing_models(config: AuditConfig, dataset: Dataset, split: Split, present: Sequence[int]) -> Split:
    """The design of the models that could be trained.

    Raises:
        RunError: Too few are left for an attack that is asked for.
    """
    if len(present) == len(split.here):
        return split
    smaller = split.only([*present, *np.delete(split.models, split.here)])
    try:
        if not len(smaller.targets):
            raise ConfigError("none of the models to attack is left")
        _check_attacks(config, smaller, dataset.num_classes)
    except ConfigError as error:
        missing = ", ".join(str(model) for model in split.models if model not in present)
        raise RunError(
            f"the audit cannot go on without model {missing}, which could not be trained: {error}. Finished models "
            "are kept; fix the cause and start the same command again."
        ) from None
    return smaller


def check_fit(config: AuditConfig, dataset: Dataset, split: Split) -> None:
    """Find out before any work what would fail after it: a model, views or attacks that do not suit the audit."""
    config.views(dataset.is_image)
    if is_mapped(config, dataset, split):
        for label, attack in config.attacks.items():
            if not works_in_blocks(attack):
                raise ConfigError(
                    f"audit.attacks: {label} needs all records at once, and they are beyond data.in_memory_limit "
                    f"({config.data.in_memory_limit} bytes); set audit.data_size to audit a sample, or raise the limit"
                )
    if config.audit.groups:
        load_groups(config.audit.groups, split.audit_ids)
    if config.train.augment != "none" and not dataset.is_image:
        raise ConfigError(f"train.augment: {config.train.augment} is for images; use none with {dataset.name}")
    if config.train.augment == "mirror_crop" and min(dataset.x.shape[2:]) <= CROP_PADDING:
        side = CROP_PADDING + 1
        raise ConfigError(f"train.augment: mirror_crop needs images of at least {side}x{side}; use mirror")
    _check_model(config.train.model_name, dataset, dataset.num_classes)
    _check_own_fit(config, dataset)
    for recipe in regressors_of(list(config.attacks.values())):
        if len(dataset.population_y) < FEWEST_TO_FIT:
            raise ConfigError(
                f"audit.population_size: qmia fits its regressors on the population, at least {FEWEST_TO_FIT} records, "
                f"got {len(dataset.population_y)}; raise it"
            )
        try:
            _check_model(recipe.model, dataset, dataset.num_classes * recipe.outputs)
        except ConfigError as error:
            reason = str(error).removeprefix("train.model_name: ")
            raise ConfigError(f"audit.attacks: the model of qmia cannot be used ({reason})") from None
    _check_attacks(config, split, dataset.num_classes)


def _check_own_fit(config: AuditConfig, dataset: Dataset) -> None:
    """See that the user's training function is there, and that nothing is asked that it cannot have."""
    train = config.train
    if train.fit is None:
        return
    load_fit(train.fit)
    if dataset.is_streamed:
        raise ConfigError("train.fit: gets its records in memory, and these are streamed; raise data.in_memory_limit")
    for key, usual in (("workers_per_model", 1), ("ema", None), ("augment", "none")):
        if getattr(train, key) != usual:
            raise ConfigError(f"train.{key}: is for raymeter's own training; leave it out, or do it in {train.fit}")


def _check_model(name: str, dataset: Dataset, outputs: int) -> None:
    """Build the model once, and see that the user's own gives as many outputs as are asked of it."""
    if ":" not in name:
        with torch.device("meta"):  # takes no memory
            model = build_model(name, dataset.x.shape[1:], outputs)
        _check_gaps(name, model, dataset)
        return
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        model = build_model(name, dataset.x.shape[1:], outputs).eval()
        _check_gaps(name, model, dataset)
        try:
            with exit_refused(ConfigError, f"train.model_name: {name}"):
                logits = model(normalise(as_tensor(dataset.x[:2])))
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"train.model_name: {name} fails on two records ({error})") from error
    wrong = wrong_output(logits, 2, outputs, "a logit per class" if outputs == dataset.num_classes else "as asked for")
    if wrong:
        raise ConfigError(f"train.model_name: {name} {wrong}")


def _check_gaps(name: str, model: nn.Module, dataset: Dataset) -> None:
    """See that gaps are filled where there are any, and that what fills them can see the members."""
    if dataset.has_gaps and not fills_gaps(model):
        raise ConfigError(
            f"train.model_name: records have gaps, which {name} does not fill; use tabular, put "
            "raymeter.models.tabular.Standardise into your model, or drop these records or columns"
        )
    if dataset.is_streamed and fills_gaps(model):
        raise ConfigError(
            f"train.model_name: {name} learns medians and means from records in memory, and these are streamed; raise "
            "data.in_memory_limit, or use mlp"
        )


def _check_attacks(config: AuditConfig, split: Split, num_classes: int) -> None:
    """Run every attack on a few records with the true masks and made-up signals.

    Too few models show here, and so does an attack that chooses anything with the labels of its target.
    """
    signals = _made_up_signals(split, num_classes if config.keeps_logits else None)
    shape = (*signals.audit["logit_gap"].member[:, split.targets].shape, 1)
    guesses = {
        recipe.regressor: QuantilePrediction(
            recipe.head,
            np.zeros((*shape, recipe.outputs), dtype=np.float32),
            LEVELS if recipe.head == "pinball" else (),
            split.targets,
        )
        for recipe in regressors_of(list(config.attacks.values()))
    }
    signals = replace(signals, predicted=guesses)
    for label, attack in config.attacks.items():
        try:
            require_blind(attack, signals)
        except SignalError as error:
            raise ConfigError(f"audit.attacks: {label} cannot run with {len(split.here)} models ({error})") from None


def _made_up_signals(split: Split, num_classes: int | None) -> Signals:
    member = split.member[split.audit_ids[:CHECKED_RECORDS]]
    nobody = np.zeros((8, member.shape[1]), dtype=bool)
    rng = np.random.default_rng(0)

    def made_up(kind: str, member: np.ndarray) -> SignalMatrix:
        values = -rng.exponential(size=(*member.shape, 1)).astype(np.float32)
        labels = np.zeros(len(member), dtype=np.int64)
        return SignalMatrix(kind, values, member, split.reference, labels=labels, targets=split.targets)

    audit, population = ({kind: made_up(kind, part) for kind in KINDS} for part in (member, nobody))
    if num_classes is None:
        return Signals(audit, population)
    logits = [rng.normal(size=(*part.shape, 1, num_classes)).astype(np.float32) for part in (member, nobody)]
    return Signals(audit, population, audit_logits=logits[0], population_logits=logits[1])
