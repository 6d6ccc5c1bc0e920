"""True-positive rate at a fixed false-positive rate, with an interval for both uncertainties in it."""

from __future__ import annotations

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int64

from raymeter.errors import SignalError
from raymeter.schema.results import Interval, TprEstimate
from raymeter.stats.roc import divide

DRAWS = 4000
DRAW_SEED = 20221
# 1 / sqrt(pi) = 0.56 for a normal K; less, found by simulation, as it covered 92 % with 10 members per non-member
EXCESS = 0.45


def check_rate(name: str, rate: float) -> None:
    """Raise SignalError unless a rate lies in [0, 1]; NaN does not."""
    if not 0 <= rate <= 1:
        raise SignalError(f"{name} must be in [0, 1], got {rate}")


def check_confidence(confidence: float) -> None:
    """Raise SignalError unless a confidence lies in (0, 1): 95 % is 0.95."""
    if not 0 < confidence < 1:
        raise SignalError(f"confidence must be in (0, 1), got {confidence}")


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Exact interval of a binomial proportion (Clopper and Pearson, Biometrika 26, 1934).

    Examples:
        >>> none = clopper_pearson(0, 10)
        >>> none.estimate, none.low, round(none.high, 3)  # 1 - 0.025 ** (1 / 10)
        (0.0, 0.0, 0.308)
    """
    if not 0 <= successes <= trials or trials < 1:
        raise SignalError(f"successes must be in 0..trials, got {successes} of {trials}")
    alpha = 1 - confidence
    low = scipy.stats.beta.ppf(alpha / 2, successes, trials - successes + 1) if successes else 0.0
    high = scipy.stats.beta.ppf(1 - alpha / 2, successes + 1, trials - successes) if successes < trials else 1.0
    return Interval(successes / trials, float(low), float(high))


def allowed_false_positives(fpr: float, non_members: int) -> int:
    """floor(fpr * n), with a product that is whole up to rounding taken as whole."""
    return int(np.floor(fpr * non_members * (1 + 1e-12)))


def chance_rate(fpr: float, non_members: int) -> float:
    """The TPR that scores which say nothing reach on average at `threshold_at_fpr`: (k + 1) / (n + 1), k allowed of n.

    The threshold is a score of the sample, and a record exceeds it as often as it is above the (k + 1)-th largest of n
    others.

    Examples:
        >>> chance_rate(0.01, 99), chance_rate(0.01, 999)
        (0.01, 0.01)
        >>> chance_rate(0.01, 100), round(chance_rate(0.01, 150), 4)
        (0.019801980198019802, 0.0132)
    """
    return (allowed_false_positives(fpr, non_members) + 1) / (non_members + 1)


def threshold_at_fpr(non_members: Float[np.ndarray, " non_members"], fpr: float) -> float:
    """The score that a record must exceed so that at most floor(fpr * n) non-members do.

    Examples:
        >>> threshold_at_fpr(np.array([0.0, 1.0, 2.0, 3.0]), 0.25)  # one of the four exceeds it
        2.0
    """
    allowed = allowed_false_positives(fpr, len(non_members))
    if allowed >= len(non_members):
        return -np.inf
    return float(np.partition(non_members, len(non_members) - 1 - allowed)[len(non_members) - 1 - allowed])


def tpr_at_fpr(
    scores: Float[np.ndarray, " examples"],
    member: Bool[np.ndarray, " examples"],
    fpr: float,
    confidence: float = 0.95,
) -> TprEstimate:
    """Share of members above the lowest threshold with at most floor(fpr * non-members) false positives.

    Step rule, no interpolation; tied scores stand or fall together, so fewer false positives than
    allowed may be achieved. The interval is for the rate at a *true* false-positive rate of fpr, and
    covers the threshold's uncertainty as well as the members' (see `_rate_draws`).
    Where 0 < fpr * n < 1 the sample says nothing about how far up the threshold is, so `low` is 0.
    At fpr = 0 the rate meant is the expected share of members above n other non-members, which depends
    on n (a true rate of 0 cannot be seen in a sample).
    Simulated coverage of the nominal 95 %, Gaussian scores: 94.5-96.5 % where fpr * n >= 5 (300 + 3,000 to
    5,000 + 5,000 records, shifts .3 and 1, fpr .1 % and 1 %), up to 98 % below, more than 99 % at fpr = 0,
    where the interval is wide.

    Args:
        fpr: In [0, 1]; 0 asks for members above every non-member.

    Returns:
        The estimate with its interval; `resolvable` is False where 0 < fpr * non-members < 1.

    Raises:
        SignalError: A score is NaN, a group is empty, or fpr is not in [0, 1].

    Examples:
        >>> scores, member = np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False])
        >>> [tpr_at_fpr(scores, member, fpr).estimate for fpr in (0.0, 0.5)]  # above 2, above 0
        [0.5, 1.0]
    """
    check_rate("fpr", fpr)
    members, non_members = divide(scores, member)
    return tpr_of_ascending(np.sort(members), np.sort(non_members), fpr, confidence)


def tpr_of_ascending(
    members: Float[np.ndarray, " members"],
    non_members: Float[np.ndarray, " non_members"],
    fpr: float,
    confidence: float = 0.95,
) -> TprEstimate:
    """`tpr_at_fpr` of scores that are sorted already, both ascending, for those who ask for several rates."""
    n1, n0 = len(members), len(non_members)
    allowed = allowed_false_positives(fpr, n0)
    threshold = float(non_members[n0 - 1 - allowed]) if allowed < n0 else -np.inf
    true_positives = n1 - int(np.searchsorted(members, threshold, side="right"))
    false_positives = n0 - int(np.searchsorted(non_members, threshold, side="right"))
    estimate = true_positives / n1
    resolvable = fpr == 0 or allowed >= 1
    if allowed >= n0:
        low, high = clopper_pearson(true_positives, n1, confidence).low, 1.0
    else:
        draws = _rate_draws(members, non_members, fpr)
        low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
        if not resolvable:
            low = 0.0
    return TprEstimate(
        estimate=estimate,
        low=float(min(low, estimate)),
        high=float(max(high, estimate)),
        false_positives=false_positives,
        resolvable=resolvable,
    )


def _rate_draws(
    members: Float[np.ndarray, " members"], non_members: Float[np.ndarray, " non_members"], fpr: float
) -> Float[np.ndarray, " draws"]:
    """Draws of the true-positive rate at a true false-positive rate below one; both samples ascend.

    The number K of non-members above the true threshold is Binomial(n0, fpr), so the threshold lies
    between the K-th and the (K+1)-th largest of them (uniform in between); the rate above a given
    threshold is Beta(tp + 1/2, n1 - tp + 1/2). At fpr = 0, K of ours exceed the largest of as many others
    with probability 2 ** -(K + 1), for large n0.

    Counts read off the sample at the K-th step also carry their own noise around the smooth curve, which
    the Beta law has in it already. On a random walk it adds r = E|K - K'| / 2 sd(K) ** 2 to a variance of 1
    per squared step, so K is drawn closer to its mean by the c with c ** 2 + r * c = 1.
    """
    n1, n0 = len(members), len(non_members)
    rng = np.random.default_rng(DRAW_SEED)
    exceed = rng.binomial(n0, fpr, DRAWS) if fpr else np.minimum(rng.geometric(0.5, DRAWS) - 1, n0)
    step = exceed + rng.random(DRAWS)
    if allowed_false_positives(fpr, n0) >= 1:
        excess = EXCESS / np.sqrt(n0 * fpr * (1 - fpr))
        centre = n0 * fpr + 0.5
        step = centre + (step - centre) * (np.sqrt(excess**2 + 4) - excess) / 2
    step = np.clip(step, 0, n0 + 1)
    below = np.minimum(step.astype(np.int64), n0)
    low, high = (_members_above(members, non_members, steps) for steps in (below, below + 1))
    above = (high - low) * (step - below) + low
    draws: np.ndarray = rng.beta(above + 0.5, n1 - above + 0.5)
    return draws


def _members_above(
    members: Float[np.ndarray, " members"],
    non_members: Float[np.ndarray, " non_members"],
    steps: Int64[np.ndarray, " some"],
) -> Int64[np.ndarray, " some"]:
    """How many members are above the k-th largest non-member: none above the 0-th, all above the last but one."""
    n1, n0 = len(members), len(non_members)
    thresholds = non_members[n0 - np.clip(steps, 1, n0)]
    counts: np.ndarray = n1 - np.searchsorted(members, thresholds, side="right")
    counts[steps == 0], counts[steps == n0 + 1] = 0, n1
    return counts
