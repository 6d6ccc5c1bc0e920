"""What stages take of a configuration: each gets a value with what it uses, and none the configuration itself."""

from __future__ import annotations

from raymeter.attacks import regressors_of
from raymeter.config.load import AuditConfig
from raymeter.config.user_code import code_of
from raymeter.distributed.regressors import Regression
from raymeter.pipeline.memory_estimate import is_mapped
from raymeter.schema.dataset import Dataset
from raymeter.schema.split import Split
from raymeter.signals.plan import SignalPlan


def signal_plan(config: AuditConfig, dataset: Dataset, split: Split) -> SignalPlan:
    """How the signals of this audit are computed, kept and stored."""
    return SignalPlan(
        views=config.views(dataset.is_image),
        block=config.audit.batch_size,
        keep_logits=config.keeps_logits,
        mapped=is_mapped(config, dataset, split),
        input_shape=dataset.x.shape[1:],
        num_classes=dataset.num_classes,
        architecture=config.train.model_name,
        resources=config.train.resources_per_model,
        cluster=config.cluster,
        config=config.resolved(),
        code=target_code(config),
    )


def target_code(config: AuditConfig) -> dict[str, str]:
    """Digest of the user's code that builds a target from elsewhere, by its name; its answers need none."""
    target = config.audit.target
    if target is None or target.weights is None:
        return {}
    name = target.model or config.train.model_name
    return {name: code_of(name).digest} if ":" in name else {}


def regression(config: AuditConfig, dataset: Dataset) -> Regression:
    """The regressors that the attacks of this audit ask for, and what they are fitted with."""
    recipes = tuple(regressors_of(list(config.attacks.values())))
    return Regression(
        recipes=recipes,
        views=config.views(dataset.is_image),
        num_classes=dataset.num_classes,
        seed=config.run.random_seed,
        resources=config.train.resources_per_model,
        code=target_code(config) | {r.model: code_of(r.model).digest for r in recipes if ":" in r.model},
    )
