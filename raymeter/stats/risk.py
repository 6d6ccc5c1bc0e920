"""Which records are at risk: the order in which they are named."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64

from raymeter.schema import RECORDS_AT_ONCE


def risk_rank(
    mean_in: Float[np.ndarray, " examples"], mean_out: Float[np.ndarray, " examples"]
) -> Int64[np.ndarray, " examples"]:
    """Rank of records by how much training on them raises their score (mean IN minus mean OUT), 1 first.

    Records that are only IN or only OUT of the targets have no difference (all records, when one target
    is attacked). They come after those that have: first the ones only IN, then the ones only OUT, each
    by mean score. Ties keep the order of the records.
    """
    only_in, only_out = np.isnan(mean_out), np.isnan(mean_in)
    if only_in.any() or only_out.any():
        tier = np.where(only_out, 2, np.where(only_in, 1, 0))
        key = np.where(only_out, mean_out, np.where(only_in, mean_in, mean_in - mean_out))
        order = np.lexsort((-key, tier))
    else:  # the same, sooner
        key = mean_in - mean_out
        order = np.argsort(-key, kind="stable")
    rank = np.empty(len(key), dtype=np.int64)
    rank[order] = np.arange(1, len(key) + 1)
    return rank


def mean_where(
    values: Float[np.ndarray, "examples targets"], mask: Bool[np.ndarray, "examples targets"]
) -> Float[np.ndarray, " examples"]:
    """Row means over a mask, NaN where the mask is empty."""
    means = np.full(len(values), np.nan)
    for start in range(0, len(values), RECORDS_AT_ONCE):
        rows = slice(start, start + RECORDS_AT_ONCE)
        count = mask[rows].sum(axis=1)
        total = np.where(mask[rows], values[rows], 0.0).sum(axis=1)
        np.divide(total, count, out=means[rows], where=count > 0)
    return means
