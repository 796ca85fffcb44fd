"""What the answers of an arm are worth: shares with intervals, differences, cost. Counts in, figures out.

Two figures stand beside each other. The strict one divides by all questions with a known answer: what failed
and what abstained counts as wrong. The other divides by what was answered, and flatters an arm that answers
only what is easy. Open answers that nobody has judged are in neither; they are counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LEVEL_Z = 1.959963984540054
"""Quantile of the normal distribution for intervals of 95 %."""
DRAWS = 10_000
SEED = 20_261_201


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ArmCounts:
    """What became of the questions with a known answer in one arm, and in one category or all.

    :param questions: with a known answer, without those in ``unjudged``.
    :param answered: that gave an answer which is judged.
    :param abstained: that said that they cannot tell.
    :param correct: of the answered.
    :param unjudged: open answers that differ from the known one and that nobody has judged.
    :param annotated: of all these, those with annotated evidence; ``hits`` of them were shown a frame inside.
    :param tokens: that models took, the arm's share of what arms share included.
    :param cost: of them, None without prices.
    """

    questions: int
    answered: int
    abstained: int
    correct: int
    unjudged: int = 0
    annotated: int = 0
    hits: int = 0
    tokens: int = 0
    cost: float | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for counts that cannot be."""
        parts = (self.correct, self.abstained, self.unjudged, self.hits, self.tokens)
        if min(parts) < 0 or self.correct > self.answered or self.failed < 0 or self.hits > self.annotated:
            raise ValueError(f"these counts do not fit together: {self}")

    @property
    def failed(self) -> int:
        """Questions that gave neither an answer nor an abstention, whatever failed."""
        return self.questions - self.answered - self.abstained


@dataclass(frozen=True)
class ArmFigures:
    """The figures of an arm; None where there is nothing to divide by.

    :param accuracy: correct of all questions, the strict figure.
    :param accuracy_answered: correct of the answered.
    :param f_score: see :func:`f_score`.
    :param hit_rate: questions that were shown a frame of their evidence, of those with annotated evidence.
    :param cost_per_correct: cost of all questions over the correct answers.
    """

    accuracy: Interval | None
    accuracy_answered: Interval | None
    f_score: float | None
    hit_rate: Interval | None
    cost_per_correct: float | None


@dataclass(frozen=True)
class PairCounts:
    """How two arms did on the same questions with a known answer.

    :param both: that both answered correctly.
    :param only_first: that the first alone did.
    :param only_second: that the second alone did.
    :param neither: that neither did, for whatever reason.
    """

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def questions(self) -> int:
        """All of them."""
        return self.both + self.only_first + self.only_second + self.neither


def figures(counts: ArmCounts) -> ArmFigures:
    """Return the figures of an arm."""
    return ArmFigures(
        accuracy=wilson(counts.correct, counts.questions),
        accuracy_answered=wilson(counts.correct, counts.answered),
        f_score=f_score(counts.correct, counts.answered, counts.questions),
        hit_rate=wilson(counts.hits, counts.annotated),
        cost_per_correct=cost_per_correct(counts.cost, counts.correct),
    )


def wilson(successes: int, trials: int) -> Interval | None:
    """Return a share with its 95 % score interval (Wilson 1927), None for no trials.

    With p the share, n the trials, z the normal quantile: (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n).
    It stays within 0 and 1, and holds for few trials, where p ± z √(p(1−p)/n) does neither.
    """
    if trials == 0:
        return None
    share, square = successes / trials, LEVEL_Z**2
    centre = share + square / (2 * trials)
    half = LEVEL_Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    scale = 1 + square / trials
    # The bounds of nothing and of everything are exact; floats would miss them by a hair.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == trials else (centre + half) / scale
    return Interval(share, low, high)


def f_score(correct: int, answered: int, questions: int) -> float | None:
    """Return the harmonic mean of correct of the answered and correct of all, None for no questions.

    As VideoSimpleQA (arXiv 2503.18923) has it: F = 2 · CGA · c / (CGA + c), with CGA = correct / answered and
    c = correct / questions. Who abstains instead of guessing loses less than in the strict accuracy.
    """
    if questions == 0:
        return None
    if correct == 0:
        return 0.0
    given, strict = correct / answered, correct / questions
    return 2 * given * strict / (given + strict)


def cost_per_correct(cost: float | None, correct: int) -> float | None:
    """Return what a correct answer costs, None where no price is known or none is correct."""
    return None if cost is None or correct == 0 else cost / correct


def compare(counts: PairCounts) -> Interval | None:
    """Return how much better the first arm's strict accuracy is, with a paired bootstrap 95 % interval.

    Questions are drawn with replacement, each with what both arms made of it (Efron 1979); as only the four
    counts matter, a draw is one of the multinomial distribution over them. The bounds are the quantiles 2.5 %
    and 97.5 % of 10,000 draws from a fixed seed. None for no questions.
    """
    import numpy as np

    total = counts.questions
    if total == 0:
        return None
    shares = np.array([counts.only_first, counts.only_second, counts.both + counts.neither]) / total
    draws = np.random.default_rng(SEED).multinomial(total, shares, DRAWS)
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / total, (0.025, 0.975))
    return Interval((counts.only_first - counts.only_second) / total, float(low), float(high))
