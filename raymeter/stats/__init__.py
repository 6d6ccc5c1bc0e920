"""Statistics of a membership audit: pure NumPy and SciPy, no Ray, no torch; higher scores mean member."""

from raymeter.schema import Interval, MeanInterval, TprEstimate
from raymeter.stats.auc import auc, auc_and_variance, auc_interval
from raymeter.stats.bootstrap import bootstrap_tpr, cluster_bootstrap_mean, pooled_auc, pooled_roc
from raymeter.stats.compare import Difference, auc_difference
from raymeter.stats.roc import roc_curve
from raymeter.stats.summary import dependent_targets, mean_over_targets, risk_rank, summarise
from raymeter.stats.thresholds import ThresholdRates, ppv, ppv_interval, rates_at_threshold, transferred_threshold
from raymeter.stats.tpr import clopper_pearson, threshold_at_fpr, tpr_at_fpr

__all__ = [
    "Difference",
    "Interval",
    "MeanInterval",
    "ThresholdRates",
    "TprEstimate",
    "auc",
    "auc_and_variance",
    "auc_difference",
    "auc_interval",
    "bootstrap_tpr",
    "clopper_pearson",
    "cluster_bootstrap_mean",
    "dependent_targets",
    "mean_over_targets",
    "pooled_auc",
    "pooled_roc",
    "ppv",
    "ppv_interval",
    "rates_at_threshold",
    "risk_rank",
    "roc_curve",
    "summarise",
    "threshold_at_fpr",
    "tpr_at_fpr",
    "transferred_threshold",
]
