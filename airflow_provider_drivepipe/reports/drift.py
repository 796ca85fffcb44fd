"""Which shares of labels moved, compared with the partitions before, and whether that is more than chance.

Two things make shares differ: rows are a sample, and days differ. Rows of one video say much the same, so a
partition counts for as many rows as it would have if all were drawn alone (the *effective* ones). How much
days differ is taken from the partitions before. What is left over is compared with a t distribution. Many
values are looked at, so the false discovery rate is bounded (Benjamini and Hochberg). Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, variance

FEWEST_BEFORE = 4
"""Partitions that it takes to say how much days differ."""
FALSE_DISCOVERIES = 0.01
"""Largest share of false ones among the values that are said to have moved; where none has, how often a
partition says so all the same."""
_Z95 = 1.959964


@dataclass(frozen=True)
class Sums:
    """What SQL counts of one value in one partition.

    :param squares: of the rows of each video; ``hit_squares`` of those that have the value.
    :param products: of the two.
    """

    videos: int
    rows: int
    squares: int
    hits: int
    hit_squares: int
    products: int

    @property
    def alone(self) -> float:
        """The share's variance if each row were drawn alone."""
        share = self.hits / self.rows if self.rows else 0.0
        return share * (1 - share) / self.rows if self.rows else 0.0

    @property
    def of_videos(self) -> float:
        """The share's variance since rows come by videos."""
        if self.videos < 2 or not self.hits:
            return 0.0
        share = self.hits / self.rows
        residuals = self.hit_squares - 2 * share * self.products + share**2 * self.squares
        return self.videos / (self.videos - 1) * residuals / self.rows**2


def crowding(partitions: Iterable[Sums]) -> float:
    """Return how many rows say as much as one that is drawn alone: the design effect, 1 and up."""
    known = list(partitions)
    alone = sum(each.alone for each in known)
    return max(1.0, sum(each.of_videos for each in known) / alone) if alone else 1.0


@dataclass(frozen=True)
class Share:
    """How many of a partition's rows have a value.

    :param effective: rows that, drawn alone, would say as much.
    """

    rows: int
    hits: int
    effective: float

    @property
    def value(self) -> float:
        """The share itself."""
        return self.hits / self.rows if self.rows else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        n, p, z = self.effective, self.value, _Z95
        if not n:
            return 0.0, 1.0
        centre, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        return max(0.0, (centre - half) / (1 + z**2 / n)), min(1.0, (centre + half) / (1 + z**2 / n))

    @property
    def angle(self) -> float:
        """The share on a scale on which chance moves all shares alike (Anscombe's)."""
        return math.asin(math.sqrt((self.value * self.effective + 3 / 8) / (self.effective + 3 / 4)))


@dataclass(frozen=True)
class Change:
    """A value's share beside what the partitions before let expect.

    :param expected: where 95 % of shares would lie; None where too few partitions are before.
    :param probability: of a share that is as far from the usual, if nothing but chance moves it.
    :param moved: whether it is more than chance, with all values in view.
    """

    field: str
    value: str
    now: Share
    before: float | None = None
    expected: tuple[float, float] | None = None
    probability: float = 1.0
    moved: bool = False


def changes(field: str, now: Mapping[str, Sums], before: Sequence[Mapping[str, Sums]]) -> list[Change]:
    """Compare the shares of a field's values with those of the partitions before.

    Values that none of the partitions has are left out.
    """
    now = {v: sums for v, sums in now.items() if sums.hits or any(each[v].hits for each in before)}
    if not now:
        return []
    of_field = crowding(sums for partition in (now, *before) for sums in partition.values())
    shares: dict[str, list[Share]] = {}
    for value, sums in now.items():
        all_sums = [sums, *(partition[value] for partition in before if partition[value].rows)]
        rows_as_one = max(of_field, crowding(all_sums))
        shares[value] = [Share(s.rows, s.hits, s.rows / rows_as_one) for s in all_sums]
    usual = {
        value: mean(s.value for s in known[1:]) if known[1:] else None for value, known in shares.items()
    }
    if min(map(len, shares.values())) <= FEWEST_BEFORE or not min(s.rows for s in now.values()):
        return [Change(field, value, known[0], usual[value]) for value, known in shares.items()]
    of_days = {value: variance(s.angle for s in known[1:]) for value, known in shares.items()}
    typical = mean(of_days.values())
    return [
        _change(field, value, known[0], known[1:], usual[value], (of_days[value] + typical) / 2)
        for value, known in shares.items()
    ]


def _change(
    field: str, value: str, now: Share, before: Sequence[Share], usual: float | None, differ: float
) -> Change:
    """Compare a share; ``differ`` is the variance of the angles before."""
    sampled = mean(1 / (4 * share.effective) for share in before)
    of_days = max(0.0, differ - sampled)
    centre = mean(share.angle for share in before)
    spread = math.sqrt(of_days + 1 / (4 * now.effective) + (of_days + sampled) / len(before))
    # The value's own variance and its field's say as much as that of twice as many partitions.
    freedom = 2 * (len(before) - 1)
    half = _Z95 * spread * _t_over_normal(freedom)
    expected = tuple(math.sin(min(max(a, 0.0), math.pi / 2)) ** 2 for a in (centre - half, centre + half))
    probability = math.erfc(_normal(abs(now.angle - centre) / spread, freedom) / math.sqrt(2))
    return Change(field, value, now, usual, (expected[0], expected[1]), probability)


def mark_moved(changes: Sequence[Change]) -> list[Change]:
    """Return the changes, those marked that are more than chance."""
    tested = sorted(each.probability for each in changes if each.expected)
    passing = [p for rank, p in enumerate(tested, 1) if p <= FALSE_DISCOVERIES * rank / len(tested)]
    limit = max(passing, default=-1.0)
    return [replace(each, moved=each.expected is not None and each.probability <= limit) for each in changes]


def _normal(t: float, freedom: int) -> float:
    """Return the normal deviate that is as rare as a t value (Wallace's approximation, good to 0.02)."""
    return (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t**2 / freedom))


def _t_over_normal(freedom: int) -> float:
    """Return by how much the middle 95 % of a t distribution is wider than a normal one's."""
    z = _Z95 * (8 * freedom + 3) / (8 * freedom + 1)
    return math.sqrt(freedom * math.expm1(z**2 / freedom)) / _Z95
