"""QMIA's own stage: a quantile regressor for every target, each fitted in a Ray task of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray.exceptions
import torch
from jaxtyping import Float32

from raymeter.attacks import regressors_of
from raymeter.attacks.qmia import LEVELS, Qmia
from raymeter.config.load import AuditConfig
from raymeter.distributed.resources import count_slots, model_resources
from raymeter.distributed.tasks import abandon, root_cause
from raymeter.errors import RunError
from raymeter.schema.dataset import Dataset
from raymeter.schema.model_record import ModelRecord
from raymeter.schema.reporter import Reporter
from raymeter.schema.seeds import seed_for
from raymeter.schema.signals import QuantilePrediction, Signals, View
from raymeter.signals.quantile_regressor import PublicRecords, fit_regressor
from raymeter.signals.records import Records
from raymeter.storage.run_store import RunStore


@dataclass(frozen=True)
class Regression:
    """What regressors of one audit have in common."""

    views: tuple[View, ...]
    num_classes: int
    seed: int
    resources: Mapping[str, float] | None


REGRESSOR_VERSION = 2  # part of the key of stored predictions: raise it when the numbers change


def add_predictions(
    config: AuditConfig,
    dataset: Dataset,
    signals: Signals,
    parts: tuple[Records, Records],
    models: Sequence[ModelRecord],
    store: RunStore,
    reporter: Reporter,
) -> Signals:
    """The signals with what every regressor that the attacks ask for predicts, see `predict_signals`."""
    stage = Regression(
        views=config.views(dataset.is_image),
        num_classes=dataset.num_classes,
        seed=config.run.random_seed,
        resources=config.train.resources_per_model,
    )
    recipes = regressors_of(list(config.attacks.values()))
    predicted = {
        recipe.regressor: predict_signals(recipe, stage, signals, parts, models, store, reporter) for recipe in recipes
    }
    return replace(signals, predicted=predicted)


def predict_signals(
    recipe: Qmia,
    stage: Regression,
    signals: Signals,
    parts: tuple[Records, Records],
    models: Sequence[ModelRecord],
    store: RunStore,
    reporter: Reporter,
) -> QuantilePrediction:
    """What each target's regressor expects of the audited records; finished predictions are stored and reused.

    The regressor of a target is fitted on the population, which no model was trained on. The result does not
    depend on how many tasks run at once.

    Raises:
        RunError: A regressor could not be fitted; the target and the reason are named.
    """
    audit, population = parts
    matrix = signals.population["logit_gap"]
    targets = signals.audit["logit_gap"].targets
    keys = [_key(recipe, stage, models[target], audit, population) for target in targets]
    found = [store.load_column(key) for key in keys]
    missing = [t for t, values in enumerate(found) if values is None]
    resources = model_resources(stage.resources)
    shared = ray.put({"public": (population.x, population.y), "audit": (audit.x, audit.y)}) if missing else None
    task: Any = ray.remote(_fit_one).options(
        num_cpus=resources.get("CPU", 0),
        num_gpus=resources.get("GPU", 0),
        resources={name: amount for name, amount in resources.items() if name not in ("CPU", "GPU")},
    )
    waiting = list(missing)
    running: dict[Any, int] = {}
    slots = count_slots(resources, max(1, len(missing)))
    try:
        while waiting or running:
            while waiting and len(running) < slots:
                t = waiting.pop(0)
                signal = np.ascontiguousarray(matrix.values[:, targets[t]])
                threads = max(1, int(resources.get("CPU", 1)))
                seed = seed_for(stage.seed, "qmia", models[targets[t]].index)
                running[task.remote(shared, signal, recipe, stage.views, stage.num_classes, seed, threads)] = t
            (done,), _ = ray.wait(list(running), num_returns=1)
            t = running.pop(done)
            index = models[targets[t]].index
            found[t] = values = _result(done, index)
            store.save_column(keys[t], values, {"model": index, "regressor": recipe.regressor})
            reporter.progress(sum(each is not None for each in found), len(found), "regressors")
    finally:
        abandon(running)  # none, unless one has failed or the audit was interrupted
    stacked = np.stack([values for values in found if values is not None], axis=1)
    return QuantilePrediction(recipe.head, stacked, LEVELS if recipe.head == "pinball" else (), targets)


def _result(reference: Any, target: int) -> Float32[np.ndarray, "examples queries outputs"]:
    try:
        values: np.ndarray = ray.get(reference)
    except ray.exceptions.RayError as error:
        raise RunError(f"the QMIA regressor of model {target} could not be fitted: {root_cause(error)}") from error
    return values


def _fit_one(
    shared: dict[str, tuple[np.ndarray, np.ndarray]],
    signal: np.ndarray,
    recipe: Qmia,
    views: tuple[View, ...],
    num_classes: int,
    seed: int,
    threads: int,
) -> np.ndarray:
    torch.set_num_threads(threads)  # the bits must not depend on how many tasks there are
    device = torch.device("cuda" if torch.cuda.is_available() and ray.get_gpu_ids() else "cpu")
    public = PublicRecords(*shared["public"], signal)
    regressor = fit_regressor(public, recipe, views, num_classes, device, seed)
    return regressor.predict(*shared["audit"], views, device)


def _key(recipe: Qmia, stage: Regression, model: ModelRecord, audit: Records, population: Records) -> str:
    data = [audit.fingerprint, population.fingerprint]
    parts = [REGRESSOR_VERSION, recipe.regressor, model.sha256, data, list(stage.views), stage.seed]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]
    return f"qmia_model_{model.index}_{digest}"
