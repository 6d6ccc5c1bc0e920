"""Statistics of a membership audit: pure NumPy and SciPy, no Ray, no torch; higher scores mean member."""

from raymeter.schema import Interval, MeanInterval, TprEstimate
from raymeter.stats.auc import auc, auc_and_variance, auc_interval
from raymeter.stats.roc import roc_curve
from raymeter.stats.summary import dependent_targets, mean_over_targets, risk_rank, summarise
from raymeter.stats.tpr import clopper_pearson, threshold_at_fpr, tpr_at_fpr

__all__ = [
    "Interval",
    "MeanInterval",
    "TprEstimate",
    "auc",
    "auc_and_variance",
    "auc_interval",
    "clopper_pearson",
    "dependent_targets",
    "mean_over_targets",
    "risk_rank",
    "roc_curve",
    "summarise",
    "threshold_at_fpr",
    "tpr_at_fpr",
]
