"""Which record trains which model: complementary pairs, decided by the seed alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int64

from raymeter.errors import SplitError
from raymeter.schema.seeds import seed_for
from raymeter.schema.split import Split


def make_split(
    *,
    pool: int,
    population: int,
    models: int,
    targets: int | None,
    examples: int | None,
    seed: int,
) -> Split:
    """Assign every pool record to exactly one model of each complementary pair.

    Pair j permutes the pool with a generator that depends on (seed, j) only; the first half trains
    model 2j, the rest trains model 2j+1. Both margins are exact: every model has half of the pool,
    and every record is in half of the models. Going from 8 to 64 models leaves the first 8 as they were.

    Args:
        pool: Number of records that may train a model, even.
        population: Number of records that no model trains on.
        models: Number of models, even and at least 4 (a target without its own pair needs a reference).
        targets: Number of models to attack, the first ones; None attacks all.
        examples: Number of pool records to audit, drawn without replacement; None audits all.
        seed: The run's random seed.

    Raises:
        SplitError: A number is odd, too small or too large; it is named with the remedy.

    References:
        Carlini et al., Membership Inference Attacks From First Principles, S&P 2022, section VI-A
        (half-and-half design). Dropping the complement of a target keeps the in and out counts equal.
    """
    if models % 2 or models < 4:
        raise SplitError(f"models must be even and at least 4 (two complementary pairs), got {models}")
    if pool < 2 or pool % 2:
        raise SplitError(f"pool must be even and at least 2 so that halves are equal, got {pool}")
    if examples is not None and not 1 <= examples <= pool:
        raise SplitError(f"cannot audit {examples} of {pool} pool records; ask for at most {pool}")
    if targets is not None and not 1 <= targets <= models:
        raise SplitError(f"cannot attack {targets} of {models} models; ask for at most {models}")
    member = np.empty((pool, models), dtype=bool)
    for pair in range(models // 2):
        member[:, 2 * pair] = _first_half(pool, seed, pair)
        member[:, 2 * pair + 1] = ~member[:, 2 * pair]
    attacked = np.arange(models if targets is None else targets, dtype=np.int64)
    return Split(
        member=member,
        reference=pair_reference(models)[attacked],
        targets=attacked,
        audit_ids=_audit_ids(pool, examples, seed),
        population_ids=np.arange(population, dtype=np.int64),
        seed=seed,
    )


def with_foreign_target(
    split: Split, member: Bool[np.ndarray, " pool"], population_member: Bool[np.ndarray, " population"]
) -> Split:
    """The same models as references of a target that was trained elsewhere, which becomes the last column.

    No half depends on who its members are. Population records among them are left out, for the population is
    what no model was trained on; so is a reference with exactly its members, or exactly the others.

    Args:
        member: Whether the target was trained on each pool record.
        population_member: The same for the population.

    Raises:
        SplitError: Nothing is left of the population.
    """
    outside = split.population_ids[~population_member[split.population_ids]]
    if not len(outside):
        raise SplitError(
            f"all {len(population_member)} records of the population are members of the target; give a dataset with "
            "more records that are not"
        )
    agreeing = (split.member == member[:, None]).mean(axis=0)
    judges = (agreeing > 0) & (agreeing < 1)
    models = split.member.shape[1]
    return replace(
        split,
        member=np.column_stack([split.member, member]),
        reference=np.append(judges, False)[None],
        targets=np.array([models], dtype=np.int64),
        population_ids=outside,
        models=np.append(split.models, split.models.max() + 1),
        has_foreign_target=True,
    )


def pair_reference(models: int) -> Bool[np.ndarray, "models models"]:
    """Every model may judge every model of another pair."""
    pair = np.arange(models) // 2
    reference: np.ndarray = pair[:, None] != pair[None, :]
    return reference


def _first_half(pool: int, seed: int, pair: int) -> Bool[np.ndarray, " pool"]:
    order = np.random.default_rng(seed_for(seed, "pair", pair)).permutation(pool)
    half = np.zeros(pool, dtype=bool)
    half[order[: pool // 2]] = True
    return half


def _audit_ids(pool: int, examples: int | None, seed: int) -> Int64[np.ndarray, " examples"]:
    if examples is None or examples == pool:
        return np.arange(pool, dtype=np.int64)
    chosen = np.random.default_rng(seed_for(seed, "audit")).choice(pool, size=examples, replace=False)
    return np.sort(chosen).astype(np.int64)
