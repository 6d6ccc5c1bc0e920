"""For `raymeter compare`: how much more one result leaks than another, and which records moved; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int64

from raymeter.errors import DataError
from raymeter.schema.results import Difference, Interval
from raymeter.schema.scores import Scores
from raymeter.schema.signals import default_reference
from raymeter.stats import compare_attacks, dependent_targets
from raymeter.stats.figures import NORMAL_95
from raymeter.stats.paired import normal_difference

MOST_MOVED = 10


@dataclass(frozen=True)
class Outcome:
    """One finished result, as its report has it.

    Args:
        name: Where it is.
        attacks: `attacks` of metrics.json.
        scores: Of every attack, on all records and targets.
        at_risk: Per record whether it is named; None where the report does not say.
        data: Name and hash of the dataset; None where it is not known, as of scores that others made.
        places: Per record its place in the files of the data, and its class; None where they are not known.
        main: Label of the main attack; empty where an older report does not say.
        doubts: Why a report that found nothing is inconclusive; empty for every other.
    """

    name: str
    attacks: Mapping[str, Any]
    scores: Mapping[str, Scores]
    at_risk: Bool[np.ndarray, " records"] | None = None
    data: tuple[str, str] | None = None
    places: tuple[Int64[np.ndarray, " records"], Int64[np.ndarray, " records"]] | None = None
    main: str = ""
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttackComparison:
    """One attack in both results: B minus A, so that more than 0 is more leakage in B.

    `paired` says that both attacked the same members of the same records, which makes the difference much surer.
    """

    auc: Difference
    paired: bool
    a: Interval
    b: Interval


@dataclass(frozen=True)
class Movement:
    """How the records that both results have moved, by the main attack of A, or else of B, that both have.

    Args:
        attack: Which.
        records: How many both results have, with members and non-members among the targets.
        correlation: Spearman's, of the records' exposure.
        risen: Ids and standing (share of the records that are less exposed) in A and B of those that rose most.
        fallen: The same of those that fell most.
        named: Records named at risk in A, in B, in both; None where a report does not say.
    """

    attack: str
    records: int
    correlation: float
    risen: tuple[tuple[int | str, float, float], ...]
    fallen: tuple[tuple[int | str, float, float], ...]
    named: tuple[int, int, int] | None


@dataclass(frozen=True)
class RunComparison:
    """Everything that `raymeter compare` says.

    `settings` are those of attacks with one label that differ; `note` is what must be known of the records, or empty;
    `inconclusive` has a line for each of the two that found nothing without having been able to.
    """

    a: str
    b: str
    attacks: Mapping[str, AttackComparison]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    movement: Movement | None
    settings: tuple[str, ...] = ()
    note: str = ""
    inconclusive: tuple[str, ...] = ()


def compare_outcomes(a: Outcome, b: Outcome) -> RunComparison:
    """B against A, attack by attack.

    Where both have the same targets with the same members, differences are taken per target on the records that both
    have, see `compare_attacks`. Else the means are taken for independent, and their standard errors, from the intervals
    of the reports, are added as squares.

    Raises:
        DataError: No attack has the same label in both.
    """
    common = [label for label in a.attacks if label in b.attacks]
    if not common:
        raise DataError(
            f"no attack has the same label in both: {a.name} has {', '.join(a.attacks)}; {b.name} has "
            f"{', '.join(b.attacks)}"
        )
    a, b, note = with_common_ids(a, b)
    return RunComparison(
        a=a.name,
        b=b.name,
        attacks={label: _attack_comparison(label, a, b) for label in common},
        only_a=tuple(label for label in a.attacks if label not in b.attacks),
        only_b=tuple(label for label in b.attacks if label not in a.attacks),
        movement=_movement(next((label for label in (a.main, b.main) if label in common), common[0]), a, b),
        settings=tuple(
            text
            for label in common
            for text in settings_apart(label, a.scores[label].settings, b.scores[label].settings)
        ),
        note=note,
        inconclusive=tuple(
            f"{name} found nothing, and may have missed a leak: {'; '.join(of.doubts)}."
            for name, of in (("A", a), ("B", b))
            if of.doubts
        ),
    )


def with_common_ids(a: Outcome, b: Outcome) -> tuple[Outcome, Outcome, str]:
    """Both with ids that name the same record in both, and what must be said of that.

    Ids of an audit are places in its pool, which another seed or size draws anew from the same files. Scores that
    others made have ids that their user gave them.
    """
    if a.data is None or b.data is None or a.data == b.data:
        return a, b, ""
    if a.data[0] == b.data[0] and a.places is not None and b.places is not None:
        (rows_a, classes_a), (rows_b, classes_b) = a.places, b.places
        _, places_a, places_b = np.intersect1d(rows_a, rows_b, return_indices=True)
        if np.array_equal(classes_a[places_a], classes_b[places_b]):  # else the files themselves have changed
            note = "The pools differ: records are numbered as in the files of the data (row in records.parquet)."
            return _numbered(a, rows_a), _numbered(b, rows_b), note
    apart = _numbered(b, -1 - next(iter(b.scores.values())).ids)  # no id is in both
    return a, apart, f"The data differ ({a.data[0]} against {b.data[0]}): no record is in both."


def _numbered(outcome: Outcome, ids: Int64[np.ndarray, " records"]) -> Outcome:
    return replace(outcome, scores={label: replace(scores, ids=ids) for label, scores in outcome.scores.items()})


def settings_apart(label: str, settings_a: Mapping[str, Any], settings_b: Mapping[str, Any]) -> Iterator[str]:
    """Settings of one attack that both results have and that differ; not those that were chosen for each target."""
    for name in (name for name in settings_a if name in settings_b):
        value_a, value_b = _shared_value(settings_a[name]), _shared_value(settings_b[name])
        if value_a != value_b and not isinstance(value_a, list) and not isinstance(value_b, list):
            yield f"{label}.{name}: {value_a} against {value_b}"


def _shared_value(value: Any) -> Any:
    """The value that all targets have where there is one per target; else what was given."""
    one = isinstance(value, list) and bool(value) and all(item == value[0] for item in value)
    return value[0] if one else value


def exposure(scores: Scores) -> Float[np.ndarray, " records"]:
    """How much higher a record stands where it was a member: mean standing as a member minus as none.

    Standings are taken within each target (share of its records that score lower), so that targets count alike.
    NaN where a record was a member of every target, or of none.
    """
    standing = np.stack([_standing(column) for column in scores.values.T], axis=1)
    member = scores.member
    with np.errstate(invalid="ignore"):
        inside = (standing * member).sum(axis=1) / member.sum(axis=1)
        outside = (standing * ~member).sum(axis=1) / (~member).sum(axis=1)
    exposures: Float[np.ndarray, " records"] = inside - outside
    return exposures


def _attack_comparison(label: str, a: Outcome, b: Outcome) -> AttackComparison:
    auc_a, auc_b = _interval(a.attacks[label]["auc"]), _interval(b.attacks[label]["auc"])
    scores_a, scores_b = _on_common_records(a.scores[label], b.scores[label])
    member = scores_a.member
    alike = np.array_equal(scores_a.targets, scores_b.targets) and np.array_equal(member, scores_b.member)
    if alike and _has_both_sides(member):
        same = np.unique(member, axis=1, return_inverse=True)[1]
        reference = default_reference(member) & (same[:, None] != same)
        clusters = dependent_targets(reference, np.arange(len(reference)))
        return AttackComparison(compare_attacks([scores_b, scores_a], clusters)[0].auc, True, auc_a, auc_b)
    return AttackComparison(_independent_difference(auc_a, auc_b), False, auc_a, auc_b)


def _has_both_sides(member: Bool[np.ndarray, "records targets"]) -> bool:
    return len(member) > 0 and bool((member.any(axis=0) & ~member.all(axis=0)).all())


def _independent_difference(a: Interval, b: Interval) -> Difference:
    """B minus A from their 95 % intervals, as though they were independent."""
    error_a, error_b = ((interval.high - interval.low) / (2 * NORMAL_95) for interval in (a, b))
    estimate = b.estimate - a.estimate
    return normal_difference(estimate, float(np.hypot(error_a, error_b)), float(estimate == 0))


def _movement(label: str, a: Outcome, b: Outcome) -> Movement | None:
    scores_a, scores_b = _on_common_records(a.scores[label], b.scores[label])
    exposure_a, exposure_b = exposure(scores_a), exposure(scores_b)
    known = np.isfinite(exposure_a) & np.isfinite(exposure_b)
    if known.sum() < 2:
        return None
    ids, standing_a, standing_b = scores_a.ids[known], _standing(exposure_a[known]), _standing(exposure_b[known])
    change = standing_b - standing_a
    order = np.argsort(change, kind="stable")

    def moved(positions: Sequence[np.intp]) -> tuple[tuple[int | str, float, float], ...]:
        return tuple((ids[p].item(), float(standing_a[p]), float(standing_b[p])) for p in positions)

    named = None
    if a.at_risk is not None and b.at_risk is not None:
        in_a = a.at_risk[np.isin(a.scores[label].ids, ids)].sum()
        in_b = b.at_risk[np.isin(b.scores[label].ids, ids)].sum()
        in_both = np.intersect1d(a.scores[label].ids[a.at_risk], b.scores[label].ids[b.at_risk])
        named = (int(in_a), int(in_b), int(np.isin(in_both, ids).sum()))
    varied = np.ptp(standing_a) > 0 and np.ptp(standing_b) > 0
    return Movement(
        attack=label,
        records=int(known.sum()),
        correlation=float(scipy.stats.spearmanr(standing_a, standing_b).statistic) if varied else float("nan"),
        risen=moved([p for p in order[::-1][:MOST_MOVED] if change[p] > 0]),
        fallen=moved([p for p in order[:MOST_MOVED] if change[p] < 0]),
        named=named,
    )


def _standing(values: Float[np.ndarray, " records"]) -> Float[np.ndarray, " records"]:
    """Share of the records that are lower, in (0, 1); ties share their middle."""
    standing: Float[np.ndarray, " records"] = (scipy.stats.rankdata(values) - 0.5) / len(values)
    return standing


def _on_common_records(a: Scores, b: Scores) -> tuple[Scores, Scores]:
    _, rows_a, rows_b = np.intersect1d(a.ids, b.ids, return_indices=True)
    return _cut(a, rows_a), _cut(b, rows_b)


def _cut(scores: Scores, rows: Int64[np.ndarray, " some"]) -> Scores:
    return replace(scores, values=scores.values[rows], member=scores.member[rows], ids=scores.ids[rows])


def _interval(figure: Mapping[str, Any]) -> Interval:
    return Interval(figure["estimate"], figure["low"], figure["high"])
