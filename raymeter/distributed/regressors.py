"""QMIA's own stage: a quantile regressor for every target, each fitted in a Ray task of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import ray.exceptions
import torch
from jaxtyping import Float32

from raymeter.attacks.qmia import LEVELS, Qmia
from raymeter.distributed.device import device_of_worker
from raymeter.distributed.resources import count_slots, model_resources
from raymeter.distributed.tasks import abandon, root_cause
from raymeter.errors import RunError, SignalError, exit_refused
from raymeter.schema.model_record import ModelRecord
from raymeter.schema.reporter import Reporter
from raymeter.schema.seeds import seed_for
from raymeter.schema.signals import QuantilePrediction, Signals, View
from raymeter.signals.quantile_regressor import PublicRecords, fit_regressor
from raymeter.signals.records import RecordSet
from raymeter.storage.columns import load_column, save_column
from raymeter.storage.run_store import RunStore

REGRESSOR_VERSION = 2  # part of the key of stored predictions: raise it when the numbers change


@dataclass(frozen=True)
class Regression:
    """The regressors of one audit, and what they have in common.

    Args:
        recipes: One for each regressor that attacks ask for.
        views: Of every record, as the signals were computed on.
        num_classes: Of the dataset.
        seed: The run's random seed.
        resources: Ray resources of one regressor; None is one CPU, and one GPU where there are GPUs.
        code: Digest of the user's code that builds regressors, or a target from elsewhere, by its name.
    """

    recipes: tuple[Qmia, ...]
    views: tuple[View, ...]
    num_classes: int
    seed: int
    resources: Mapping[str, float] | None
    code: Mapping[str, str] = field(default_factory=dict)


def add_predictions(
    stage: Regression,
    signals: Signals,
    parts: tuple[RecordSet, RecordSet],
    models: Sequence[ModelRecord],
    store: RunStore,
    reporter: Reporter,
) -> Signals:
    """The signals with what every regressor of the stage predicts of the audited records.

    The regressor of a target is fitted on the population, which no model was trained on. The result does not
    depend on how many tasks run at once. Finished predictions are stored and reused.

    Raises:
        RunError: A regressor could not be fitted; the target and the reason are named.
    """
    predicted = {}
    targets = signals.audit["logit_gap"].targets
    attacked = [models[target] for target in targets]
    for recipe in stage.recipes:
        keys = [_key(recipe, stage, model, *parts) for model in attacked]
        abouts = [_about(recipe, model, *parts) for model in attacked]
        columns = [
            load_column(store, key, about=about, say=reporter.note) for key, about in zip(keys, abouts, strict=True)
        ]
        missing = [t for t, column in enumerate(columns) if column is None]
        public = {t: signals.population["logit_gap"].values[:, targets[t]] for t in missing}
        for t, column in _fit_missing(recipe, stage, parts, {t: attacked[t] for t in missing}, public):
            columns[t] = column
            save_column(store, keys[t], column, abouts[t])
            done = sum(column is not None for column in columns)
            reporter.progress(done, len(columns), "regressors")
        stacked = np.stack([column for column in columns if column is not None], axis=1)
        levels = LEVELS if recipe.head == "pinball" else ()
        predicted[recipe.regressor] = QuantilePrediction(recipe.head, stacked, levels, targets)
    return replace(signals, predicted=predicted)


def _about(recipe: Qmia, model: ModelRecord, audit: RecordSet, population: RecordSet) -> dict[str, Any]:
    """What the manifest of stored predictions says of them."""
    return {
        "model": model.index,
        "weights": model.sha256,
        "regressor": recipe.regressor,
        "records": [audit.fingerprint, population.fingerprint],
        "recipe": model.recipe,
        "data": model.data,
        "members": model.members,
    }


def _fit_missing(
    recipe: Qmia,
    stage: Regression,
    parts: tuple[RecordSet, RecordSet],
    models: Mapping[int, ModelRecord],
    signals: Mapping[int, Float32[np.ndarray, "population queries"]],
) -> Iterator[tuple[int, Float32[np.ndarray, "examples queries outputs"]]]:
    """Positions and predictions of the regressors of some targets, as they are done.

    Args:
        models: The targets by their positions.
        signals: The logit gaps of each on the population.
    """
    if not models:
        return
    audit, population = parts
    resources = model_resources(stage.resources)
    shared = ray.put({"public": (population.x, population.y), "audit": (audit.x, audit.y)})
    threads, slots = max(1, int(resources.get("CPU", 1))), count_slots(resources, len(models))
    task: Any = ray.remote(_fit_one).options(
        num_cpus=resources.get("CPU", 0),
        num_gpus=resources.get("GPU", 0),
        resources={name: amount for name, amount in resources.items() if name not in ("CPU", "GPU")},
    )
    waiting = list(models)
    running: dict[Any, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < slots:
                t = waiting.pop(0)
                seed = seed_for(stage.seed, "qmia", models[t].index)
                running[task.remote(shared, np.ascontiguousarray(signals[t]), recipe, stage, seed, threads)] = t
            (done,), _ = ray.wait(list(running), num_returns=1)
            t = running.pop(done)
            yield t, _result(done, models[t].index)
    finally:
        abandon(running)  # none, unless one has failed or the audit was interrupted


def _result(reference: Any, target: int) -> Float32[np.ndarray, "examples queries outputs"]:
    try:
        values: np.ndarray = ray.get(reference)
    except ray.exceptions.RayError as error:
        raise RunError(f"the QMIA regressor of model {target} could not be fitted: {root_cause(error)}") from error
    return values


def _fit_one(
    shared: Mapping[str, tuple[np.ndarray, np.ndarray]],
    signal: Float32[np.ndarray, "population queries"],
    recipe: Qmia,
    stage: Regression,
    seed: int,
    threads: int,
) -> Float32[np.ndarray, "examples queries outputs"]:
    """What one target's regressor predicts of the audited records; runs as a Ray task."""
    torch.set_num_threads(threads)  # the bits must not depend on how many tasks there are
    device = device_of_worker()
    public = PublicRecords(*shared["public"], signal)
    with exit_refused(SignalError, f"the model {recipe.model}"):
        regressor = fit_regressor(public, recipe, stage.views, stage.num_classes, device, seed)
        return regressor.predict(*shared["audit"], stage.views, device)


def _key(recipe: Qmia, stage: Regression, model: ModelRecord, audit: RecordSet, population: RecordSet) -> str:
    data = [audit.fingerprint, population.fingerprint]
    parts = [REGRESSOR_VERSION, recipe.regressor, model.sha256, data, list(stage.views), stage.seed]
    parts += [[name, stage.code[name]] for name in (recipe.model, model.architecture) if name in stage.code]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]
    return f"qmia_model_{model.index}_{digest}"
