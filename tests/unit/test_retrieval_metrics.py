"""Figures of arms: against values worked out by hand, and the bootstrap against drawing rows."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_drivepipe.pipelines.retrieval.metrics import (
    ArmCounts,
    Interval,
    PairCounts,
    compare,
    cost_per_correct,
    f_score,
    figures,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_wilson_intervals_are_those_of_the_literature(successes, trials, low, high):
    interval = wilson(successes, trials)
    assert interval.value == successes / trials
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_share_is_within_its_interval(counts):
    interval = wilson(*counts)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1


def test_figures_of_an_arm():
    # Of 20 questions 10 are answered, 6 correctly; 4 abstain, 6 fail.
    counts = ArmCounts(20, 10, 4, 6, unjudged=3, annotated=8, hits=4, tokens=9000, cost=1.2)
    made = figures(counts)
    assert counts.failed == 6
    assert made.accuracy.value == 0.3
    assert made.accuracy_answered.value == 0.6
    assert made.f_score == pytest.approx(2 * 0.6 * 0.3 / 0.9)
    assert made.f_score == pytest.approx(0.4)
    assert made.hit_rate.value == 0.5
    assert made.cost_per_correct == pytest.approx(0.2)


def test_without_anything_to_divide_by_there_is_no_figure():
    assert figures(ArmCounts(0, 0, 0, 0)) == figures(ArmCounts(0, 0, 0, 0, cost=1.0))
    made = figures(ArmCounts(5, 0, 5, 0, cost=1.0))
    assert made.accuracy == Interval(0.0, 0.0, wilson(0, 5).high)
    assert (made.accuracy_answered, made.f_score, made.hit_rate, made.cost_per_correct) == (
        None,
        0.0,
        None,
        None,
    )
    assert f_score(0, 0, 0) is None
    assert cost_per_correct(None, 3) is None
    assert compare(PairCounts(0, 0, 0, 0)) is None


@pytest.mark.parametrize(
    "counts",
    [(2, 2, 1, 0), (2, 1, 0, 2), (2, 1, 0, -1), (2, 1, -1, 0), (2, 1, 0, 0, 0, 1, 2), (2, 1, 0, 0, -1)],
)
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(ValueError, match="do not fit together"):
        ArmCounts(*counts)


@pytest.mark.parametrize("counts", [(30, 12, 5, 13), (0, 9, 1, 0), (200, 40, 60, 100), (3, 0, 1, 6)])
def test_the_paired_bootstrap_is_that_of_drawing_questions(counts):
    first = np.repeat([1, 1, 0, 0], counts)
    second = np.repeat([1, 0, 1, 0], counts)
    random = np.random.default_rng(7)
    places = random.integers(0, len(first), (10_000, len(first)))
    drawn = (first[places] - second[places]).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    made = compare(PairCounts(*counts))
    assert made.value == pytest.approx((first - second).mean())
    # Differences are multiples of 1 / n; two samples of 10,000 draws may be one step apart.
    step = 1 / len(first) + 1e-9
    assert abs(made.low - low) <= step
    assert abs(made.high - high) <= step
    assert made == compare(PairCounts(*counts))


def test_the_sign_says_which_arm_is_better():
    better = compare(PairCounts(10, 40, 5, 45))
    assert 0 < better.low < better.value == 0.35 < better.high
    worse = compare(PairCounts(10, 5, 40, 45))
    assert worse.high < 0
    same = compare(PairCounts(10, 0, 0, 5))
    assert same == Interval(0.0, 0.0, 0.0)


def test_nothing_heavy_is_imported_with_it():
    program = (
        "import sys; import airflow_provider_drivepipe.pipelines.retrieval.metrics; "
        "print({'numpy', 'pandas', 'airflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
