"""A baseline that never sees a model: can a classifier find out who is a member from the records themselves?

Membership was drawn at random here, so it should not. Where it can, pool and population, or the two halves,
differ in what they are, and an attack may then be measuring that difference instead of leakage.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int64
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from raymeter.analysis.twins import Twins, exact_twins, near_twins
from raymeter.schema.dataset import Dataset
from raymeter.schema.results import BlindAnswer, BlindResult
from raymeter.schema.split import Split
from raymeter.stats import auc_interval

MOST_RECORDS = 10_000
COMPONENTS = 50
FOLDS = 3
LONGEST_SIDE = 32  # larger images are looked at in every k-th row and column
CONFIDENCE = 0.99


def blind_baseline(dataset: Dataset, split: Split, seed: int) -> BlindResult:
    """Ask a linear model and a small forest who is in the pool or the population, and IN or OUT of a target.

    The target is the split's first. Features are the record (images as pixels, at most 50 principal components) and
    its label. Scores are out of fold. The intervals of the four AUCs are widened to hold together at 99 %
    (Bonferroni): a warning that is wrong is rare.

    It also looks for twins: equal records among all that are audited, and nearly equal ones among the sampled.

    Returns:
        Four answers; `warns` says that at least one of them is better than chance; `twins` is a line about twins.

    Notes:
        At most 5,000 records of the pool and 5,000 of the population are used. Records that are read from files as
        they are needed are not looked through for exact twins.

    References:
        Duan et al., Do Membership Inference Attacks Work on Large Language Models?, COLM 2024,
        arXiv:2402.07841; Das, Zhang, Tramer, Blind Baselines Beat Membership Inference Attacks for Foundation
        Models, arXiv:2406.16201.
    """
    rng = np.random.default_rng(seed)
    pool, outside = _sample(len(dataset.y), rng), _sample(len(dataset.population_y), rng)
    x = np.concatenate([dataset.x[pool], dataset.population_x[outside]])
    y = np.concatenate([dataset.y[pool], dataset.population_y[outside]])
    features, target = _features(x, y, seed), int(split.targets[0])
    questions = {
        "pool from population": (features, np.arange(len(x)) < len(pool)),
        f"members from non-members of {split.name_of(target)}": (features[: len(pool)], split.member[pool, target]),
    }
    confidence = 1 - (1 - CONFIDENCE) / 4  # four AUCs
    answers = []
    for question, (records, truth) in questions.items():
        for name, scores in _out_of_fold_scores(records, truth, seed).items():
            answers.append(BlindAnswer(question, name, auc_interval(scores, truth, confidence), len(truth)))
    return BlindResult(
        tuple(answers),
        any(answer.auc.low > 0.5 for answer in answers),
        _twins(dataset, split, pool, features[: len(pool)]).line(),
    )


def _twins(dataset: Dataset, split: Split, pool: np.ndarray, features: np.ndarray) -> Twins:
    """Among the audited records; near ones by the features, the class among them."""
    audited = np.zeros(len(dataset.y), dtype=bool)
    audited[split.audit_ids] = True
    some = audited[pool]
    found = Twins(0, 0)
    if not dataset.is_streamed:
        found = exact_twins(dataset.x[split.audit_ids], split.member[split.audit_ids])
    near = near_twins(features[some], split.member[pool[some]])
    return replace(found, sampled=int(some.sum()), near=int(near.sum()))


def _sample(size: int, rng: np.random.Generator) -> Int64[np.ndarray, " chosen"]:
    most = MOST_RECORDS // 2
    chosen: np.ndarray = np.arange(size) if size <= most else np.sort(rng.choice(size, most, replace=False))
    return chosen


def _features(x: np.ndarray, y: Int64[np.ndarray, " records"], seed: int) -> Float[np.ndarray, "records features"]:
    """At most 50 principal components of the records, and one column per class; nothing here knows who is a member."""
    if x.ndim == 4:
        step = -(-max(x.shape[2:]) // LONGEST_SIDE)
        x = x[:, :, ::step, ::step]
    columns = _filled(x.reshape(len(x), -1).astype(np.float32))
    columns = columns[:, np.ptp(columns, axis=0) > 0]  # what is constant says nothing, and cannot be scaled
    if columns.shape[1] > COMPONENTS:
        reduce = PCA(min(COMPONENTS, len(columns)), svd_solver="randomized", random_state=seed % 2**32)
        columns = reduce.fit_transform(StandardScaler().fit_transform(columns))
    classes = (y[:, None] == np.unique(y)).astype(np.float32)
    return np.hstack([columns, classes])


def _filled(columns: Float[np.ndarray, "records features"]) -> Float[np.ndarray, "records features"]:
    """Gaps as the median of their column."""
    gaps = np.isnan(columns)
    if not gaps.any():
        return columns
    some = ~gaps.all(axis=0)
    median = np.zeros(columns.shape[1], columns.dtype)
    median[some] = np.nanmedian(columns[:, some], axis=0)
    return np.where(gaps, median, columns)


def _out_of_fold_scores(
    features: Float[np.ndarray, "records features"], truth: Bool[np.ndarray, " records"], seed: int
) -> dict[str, Float[np.ndarray, " records"]]:
    """Out-of-fold scores of both classifiers; all equal where a group is too small to be divided."""
    classifiers = {
        "linear classifier": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)),
        "random forest": ExtraTreesClassifier(50, min_samples_leaf=5, random_state=seed % 2**32),
    }
    folds = min(FOLDS, int(truth.sum()), int((~truth).sum()))
    if folds < 2:
        return {name: np.zeros(len(features)) for name in classifiers}
    divide = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)
    with np.errstate(invalid="ignore"):  # a BLAS may raise the flag in lanes that it does not use; results are finite
        return {
            name: cross_val_predict(classifier, features, truth, cv=divide, method="predict_proba")[:, 1]
            for name, classifier in classifiers.items()
        }
