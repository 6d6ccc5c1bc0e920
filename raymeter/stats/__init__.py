"""Statistics of a membership audit: pure NumPy and SciPy, no Ray, no torch; higher scores mean member."""

from raymeter.schema.results import Comparison, Difference, Interval, MeanInterval, ThresholdRates, TprEstimate
from raymeter.stats.auc import auc, auc_and_variance, auc_interval
from raymeter.stats.bootstrap import bootstrap_tpr, cluster_bootstrap_mean
from raymeter.stats.figures import Figure, auc_figure, rate_figure, tpr_figure
from raymeter.stats.group_tests import holm
from raymeter.stats.groups import group_metrics
from raymeter.stats.means import dependent_targets, difference_over_targets, mean_over_targets
from raymeter.stats.paired import auc_difference, compare_attacks
from raymeter.stats.pooled import pooled_auc, pooled_roc
from raymeter.stats.records import (
    benjamini_hochberg,
    caught_counts,
    coin_flip,
    flip_rate,
    rank_intervals,
    risk_rank,
    top_overlap,
)
from raymeter.stats.roc import roc_curve
from raymeter.stats.summary import summarise
from raymeter.stats.thresholds import (
    PRIORS,
    compare_thresholds,
    ppv,
    ppv_interval,
    rates_at_threshold,
    transferred_threshold,
)
from raymeter.stats.tpr import clopper_pearson, threshold_at_fpr, tpr_at_fpr

__all__ = [
    "Comparison",
    "Difference",
    "Figure",
    "Interval",
    "MeanInterval",
    "PRIORS",
    "ThresholdRates",
    "TprEstimate",
    "auc",
    "auc_and_variance",
    "auc_difference",
    "auc_figure",
    "auc_interval",
    "benjamini_hochberg",
    "bootstrap_tpr",
    "caught_counts",
    "clopper_pearson",
    "cluster_bootstrap_mean",
    "coin_flip",
    "compare_attacks",
    "compare_thresholds",
    "dependent_targets",
    "difference_over_targets",
    "flip_rate",
    "group_metrics",
    "holm",
    "mean_over_targets",
    "pooled_auc",
    "pooled_roc",
    "ppv",
    "ppv_interval",
    "rank_intervals",
    "rate_figure",
    "rates_at_threshold",
    "risk_rank",
    "roc_curve",
    "summarise",
    "threshold_at_fpr",
    "top_overlap",
    "tpr_at_fpr",
    "tpr_figure",
    "transferred_threshold",
]
