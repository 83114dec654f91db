"""Alerts of one cause: the group whose number of alerting members is least likely by chance.

Each alert has attributes (gateway, firmware, region, satellite). A group is all subjects that
share the value of one attribute; the fleet's description says how many that are. If its m subjects
alert independently, each with probability p within the window that is looked at (p follows from
the budget of false alerts), then k or more of them alert with the binomial tail P(X >= k), X ~
Bin(m, p). The group with the smallest tail is named as the cause, if the tail keeps to ``max_tail``
after Bonferroni's correction for all groups that were looked at. Its members are taken out and
what is left is looked at again, as for the most likely and the secondary clusters of the scan
statistic (M. Kulldorff, A spatial scan statistic, Commun. Stat. Theory Methods 26, 1997).

The smallest tail is the narrowest group that explains most: of two groups with the same alerting
members the smaller has the smaller tail, and a wider one wins only with so many more members that
they outweigh those of it that are quiet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from sightline.decide.alerting.alert import Alert
from sightline.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupingRule:
    """When alerts have a common cause.

    Attributes:
        population: subjects by (attribute, value); a group that is not in it is never named.
        member_probability: that a subject alerts by itself within ``hold_ns``, above 0, below 1.
        max_tail: the most a corrected tail may be, above 0.
        min_members: subjects that must alert, 2 or more.

    Raises:
        UsageError: a number out of its range.
    """

    population: Mapping[tuple[str, str], int] = field(default_factory=lambda: MappingProxyType({}))
    member_probability: float = 1e-3
    max_tail: float = 1e-3
    min_members: int = 3

    def __post_init__(self) -> None:
        if not (
            0 < self.member_probability < 1
            and self.max_tail > 0
            and self.min_members >= 2
            and all(count >= 1 for count in self.population.values())
        ):
            raise UsageError(
                expected="0 < member_probability < 1, max_tail > 0, min_members >= 2, "
                "populations of 1 or more",
                got=f"{self.member_probability}, {self.max_tail}, {self.min_members}",
                where="grouping rule",
                action="take the probability from the budget: rate of false alerts times hold",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonCause:
    """A named group.

    Attributes:
        attribute, value: what the members share.
        members: positions of its alerts.
        subjects: distinct subjects among them.
        population: subjects that share the value.
        tail: corrected binomial tail, at most 1.
    """

    attribute: str
    value: str
    members: tuple[int, ...]
    subjects: int
    population: int
    tail: float

    @property
    def label(self) -> str:
        return f"{self.attribute}={self.value}"


def common_causes(rule: GroupingRule, alerts: Sequence[Alert]) -> list[CommonCause]:
    """The groups that explain alerts, most surprising first; each alert in one at most.

    >>> from sightline.records.decision import Severity
    >>> alerts = [Alert(alert_id=str(i), subject=f"sat-{i}", code="LOSS", kind="loss", event_ns=0,
    ...                 severity=Severity.WARNING, attributes=(("gateway", "g-1"), ("region", "r")))
    ...           for i in range(4)]
    >>> rule = GroupingRule(population={("gateway", "g-1"): 5, ("region", "r"): 100})
    >>> [(cause.label, len(cause.members)) for cause in common_causes(rule, alerts)]
    [('gateway=g-1', 4)]
    """
    left = dict(enumerate(alerts))
    found: list[CommonCause] = []
    while len(left) >= rule.min_members:
        groups: dict[tuple[str, str], list[int]] = {}
        for position, alert in left.items():
            for pair in alert.attributes:
                if pair in rule.population:
                    groups.setdefault(pair, []).append(position)
        best = _least_likely(rule, groups, left)
        if best is None:
            break
        found.append(best)
        for position in best.members:
            del left[position]
    return found


def _least_likely(
    rule: GroupingRule, groups: Mapping[tuple[str, str], list[int]], alerts: Mapping[int, Alert]
) -> CommonCause | None:
    if not groups:
        return None
    pairs = sorted(groups)
    subjects = np.array([len({alerts[i].subject for i in groups[pair]}) for pair in pairs])
    # More subjects than described: the description is old, and all of the group alerts.
    population = np.maximum([rule.population[pair] for pair in pairs], subjects)
    # Imported here: it costs a process half a second at its start, and few have alerts to group.
    from scipy.special import betainc  # noqa: PLC0415

    # P(X >= k) is the regularised incomplete beta function (DLMF 8.17.5). 0 is below a double.
    with np.errstate(divide="ignore"):
        log_tail = np.log(betainc(subjects, population - subjects + 1, rule.member_probability))
    log_tail = np.where(subjects >= rule.min_members, log_tail + math.log(len(pairs)), 0.0)
    # Equal tails (two groups with the same members): the smaller one, then the first by name.
    at = min(range(len(pairs)), key=lambda i: (log_tail[i], population[i], pairs[i]))
    if subjects[at] < rule.min_members or log_tail[at] > math.log(rule.max_tail):
        return None
    attribute, value = pairs[at]
    return CommonCause(
        attribute=attribute,
        value=value,
        members=tuple(groups[pairs[at]]),
        subjects=int(subjects[at]),
        population=int(population[at]),
        tail=min(1.0, math.exp(log_tail[at])),
    )
