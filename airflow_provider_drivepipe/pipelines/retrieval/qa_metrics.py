"""The last step of this family: how well each arm answers, and what a correct answer costs.

Counts are made in MaxCompute, grouped by arm and category, so what comes to the client is small. A figure can
be traced: each count is a condition on rows of one table, see :func:`answers_sql` and its neighbours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason, Tokens
from airflow_provider_drivepipe.pipelines.retrieval.metrics import (
    ArmCounts,
    Interval,
    PairCounts,
    compare,
    figures,
)
from airflow_provider_drivepipe.pipelines.retrieval.options import QUERIES, Arm, QueryKind, query_kinds
from airflow_provider_drivepipe.scenario.options import PriceOptions
from airflow_provider_drivepipe.scenario.prices import cost_of
from airflow_provider_drivepipe.sql import quote_name, quote_text
from airflow_provider_drivepipe.stages.stage import InputColumn, Site, Stage, StageGuide

METRIC_COLUMNS: tuple[Column, ...] = (
    Column("arm", "string", "how the frames were chosen"),
    Column("other_arm", "string", "arm that it is compared with, empty in a row of the arm's own figures"),
    Column("category", "string", "of questions, empty for all"),
    Column("questions", "bigint", "questions with a known answer, also those that could not be asked"),
    Column("left_out", "bigint", "further ones that the arm is not for: oracle, without an annotated time"),
    Column("unjudged", "bigint", "further ones whose open answer nobody has judged"),
    Column("answered", "bigint", "questions with an answer that is right or wrong"),
    Column("abstained", "bigint", "questions to which the model said that it does not know"),
    Column("failed", "bigint", "all other questions: what went wrong stands in the row of the answer"),
    Column("correct", "bigint", "questions answered correctly"),
    Column("accuracy", "double", "correct / questions"),
    Column("accuracy_low", "double", "lower end of its 95 % interval (Wilson)"),
    Column("accuracy_high", "double", "upper end of its 95 % interval"),
    Column("accuracy_answered", "double", "correct / answered, NULL without answers: the flattering figure"),
    Column("accuracy_answered_low", "double", "lower end of its 95 % interval (Wilson)"),
    Column("accuracy_answered_high", "double", "upper end of its 95 % interval"),
    Column("f_score", "double", "2 * CGA * correct / (CGA + correct), of both accuracies"),
    Column("annotated", "bigint", "questions with an annotated time that the arm showed frames for"),
    Column("hits", "bigint", "those of which a frame is of that time"),
    Column("hit_rate", "double", "hits / annotated, NULL without annotated ones"),
    Column("input_tokens", "bigint", "that models read for this arm alone: plan and answer"),
    Column("output_tokens", "bigint", "that models wrote"),
    Column("embedding_tokens", "bigint", "of its queries"),
    Column("pictures", "bigint", "that were drawn for it"),
    Column("cost", "double", "of these, NULL without prices"),
    Column("currency", "string", "of the cost"),
    Column("cost_per_correct", "double", "cost / correct, NULL without either"),
    Column("difference", "double", "accuracy less that of the other arm, over the same questions"),
    Column("difference_low", "double", "lower end of its 95 % interval (paired bootstrap)"),
    Column("difference_high", "double", "upper end of its 95 % interval"),
)
_DIGITS = 6


@dataclass(frozen=True)
class MetricsOptions:
    """What is compared.

    :param questions: table of all questions.
    :param arms: ways to choose frames, in the order of the rows.
    :param plan: table of plans, None where no arm needs any.
    :param queries: table of queries with their vectors, None where no arm needs any.
    :param prices: what models cost; without them there is no cost.
    """

    questions: str
    arms: tuple[Arm, ...]
    plan: str | None = None
    queries: str | None = None
    prices: PriceOptions | None = None

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that are read beside that of the answers."""
        return tuple(table for table in (self.questions, self.plan, self.queries) if table)


@dataclass(frozen=True)
class QaMetrics(Stage):
    """Compares the arms; the last task of the family."""

    options: MetricsOptions

    name = "metrics"
    model = None

    def content(self, site: Site) -> Mapping[str, object]:  # noqa: ARG002 - the same for all stages
        """Return the options."""
        return asdict(self.options)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="counts how well each arm answers, with intervals, and what a correct answer costs",
            unit="answer",
            gives="figures by arm and category, and differences between arms",
            reads=(InputColumn("is_correct", True, "whether the answer is right"),),
            fails="A question without an answer counts as not correct, whatever the reason.",
            reasons=(),
            again="The figures are counted again; no model is called.",
        )


def questions_sql(options: MetricsOptions, partition_filter: str) -> str:
    """Return the query for category and number of questions: with a known answer, or refused before that."""
    return (
        "SELECT COALESCE(`category`, ''), COUNT(*) "
        f"FROM {quote_name(options.questions)} WHERE {partition_filter} "
        "AND (`status` <> 'ok' OR `answer` IS NOT NULL) GROUP BY COALESCE(`category`, '')"
    )


_OK = "a.`status` = 'ok' AND q.`answer` IS NOT NULL"
_COUNTED = {
    "answered": f"{_OK} AND NOT a.`abstained` AND a.`is_correct` IS NOT NULL",
    "abstained": f"{_OK} AND a.`abstained`",
    "correct": f"{_OK} AND a.`is_correct`",
    "unjudged": f"{_OK} AND NOT a.`abstained` AND a.`is_correct` IS NULL",
    "left_out": f"q.`answer` IS NOT NULL AND a.`error_type` = {quote_text(Reason.NO_EVIDENCE)}",
    "annotated": "a.`evidence_shown` IS NOT NULL",
    "hits": "a.`evidence_shown` = 1",
}
"""What counts, as conditions on rows of the answers ``a`` and their questions ``q``."""


def _answered(options: MetricsOptions, answers: str, partition_filter: str) -> str:
    """Answers with their questions: a row that was not tried holds nothing of its question."""
    of_both = [
        f"(SELECT * FROM {quote_name(table)} WHERE {partition_filter})"
        for table in (answers, options.questions)
    ]
    return (
        f"{of_both[0]} a JOIN {of_both[1]} q ON a.`question_id` = q.`question_id` WHERE a.`arm` IS NOT NULL"
    )


def answers_sql(options: MetricsOptions, answers: str, partition_filter: str) -> str:
    """Return the query for arm, category, the counts of ``_COUNTED``, and tokens."""
    counts = ", ".join(f"SUM(CASE WHEN {condition} THEN 1 ELSE 0 END)" for condition in _COUNTED.values())
    return (
        f"SELECT a.`arm`, COALESCE(q.`category`, ''), {counts}, "
        "SUM(COALESCE(a.`answer_input_token`, 0)), SUM(COALESCE(a.`answer_output_token`, 0)) "
        f"FROM {_answered(options, answers, partition_filter)} GROUP BY a.`arm`, COALESCE(q.`category`, '')"
    )


def pairs_sql(options: MetricsOptions, answers: str, partition_filter: str) -> str:
    """Return the query for two arms, category, and questions: right by both, by the first, by the second.

    Last come those that are not compared: one of the arms is not for them, or its answer is not judged.
    """
    rows = (
        "SELECT a.`question_id`, a.`arm`, COALESCE(q.`category`, '') AS `category`, "
        f"CASE WHEN {_COUNTED['correct']} THEN 1 ELSE 0 END AS `hit`, "
        f"CASE WHEN {_COUNTED['unjudged']} OR {_COUNTED['left_out']} THEN 0 ELSE 1 END AS `judged` "
        f"FROM {_answered(options, answers, partition_filter)}"
    )
    judged = "x.`judged` * y.`judged`"
    return (
        f"SELECT x.`arm`, y.`arm`, x.`category`, SUM({judged} * x.`hit` * y.`hit`), "
        f"SUM({judged} * x.`hit` * (1 - y.`hit`)), SUM({judged} * (1 - x.`hit`) * y.`hit`), "
        f"SUM(1 - {judged}) FROM ({rows}) x JOIN ({rows}) y ON x.`question_id` = y.`question_id` "
        "WHERE x.`arm` < y.`arm` GROUP BY x.`arm`, y.`arm`, x.`category`"
    )


def plans_sql(options: MetricsOptions, partition_filter: str) -> str:
    """Return the query for category and tokens of plans."""
    return (
        "SELECT COALESCE(`category`, ''), SUM(COALESCE(`plan_input_token`, 0)), "
        f"SUM(COALESCE(`plan_output_token`, 0)) FROM {quote_name(options.plan or '')} "
        f"WHERE {partition_filter} GROUP BY COALESCE(`category`, '')"
    )


def queries_sql(options: MetricsOptions, partition_filter: str) -> str:
    """Return the query for kind, category, tokens of queries and pictures that were drawn."""
    drawn = "SUM(CASE WHEN `draw_outcome` = 'drawn' THEN 1 ELSE 0 END)"
    return (
        "SELECT `query_kind`, COALESCE(`category`, ''), SUM(COALESCE(`query_embedding_total_token`, 0)), "
        f"{drawn if Arm.PLANNED_IMAGE in options.arms else '0'} FROM {quote_name(options.queries or '')} "
        f"WHERE {partition_filter} AND `query_kind` IS NOT NULL "
        "GROUP BY `query_kind`, COALESCE(`category`, '')"
    )


@dataclass
class Counts:
    """What was counted, by category, that of all questions under an empty one.

    ``right`` is by two arms: both, only the first, only the second, not compared.
    """

    questions: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    answers: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    right: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)
    plans: dict[str, list[int]] = field(default_factory=dict)
    queries: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        questions: Iterable[Sequence[Any]],
        answers: Iterable[Sequence[Any]],
        right: Iterable[Sequence[Any]],
        plans: Iterable[Sequence[Any]],
        queries: Iterable[Sequence[Any]],
    ) -> Counts:
        """Return the counts of the rows of the five queries, with those of all categories together."""
        found = cls()
        for category, number in questions:
            for each in {category, ""}:
                found.questions[each] += int(number)
        tables: tuple[tuple[dict[Any, list[int]], Iterable[Sequence[Any]], int], ...] = (
            (found.answers, answers, 2),
            (found.right, right, 3),
            (found.plans, plans, 1),
            (found.queries, queries, 2),
        )
        for target, rows, keys in tables:
            for row in rows:
                *others, category = row[:keys]
                numbers = [int(number or 0) for number in row[keys:]]
                for each in {category, ""}:
                    key = (*others, each) if others else each
                    before = target.get(key, [0] * len(numbers))
                    target[key] = [a + b for a, b in zip(before, numbers, strict=True)]
        return found


def metrics_of(counts: Counts, arms: Sequence[Arm], prices: PriceOptions | None) -> list[dict[str, Any]]:
    """Return the rows of the metrics: of each arm, then of each pair of arms, in all and by category."""
    rows = []
    categories = sorted(counts.questions)
    for arm in arms:
        rows += [_figures(counts, arm, category, prices) for category in categories]
    names = sorted(map(str, arms))
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            rows += [_difference(counts, first, second, category) for category in categories]
    return rows


def _figures(counts: Counts, arm: Arm, category: str, prices: PriceOptions | None) -> dict[str, Any]:
    *counted, read, written = counts.answers.get((str(arm), category), [0] * (len(_COUNTED) + 2))
    own = dict(zip(_COUNTED, counted, strict=True))
    left_out = own.pop("left_out")
    kinds = query_kinds((arm,)) if arm is not Arm.FUSED else tuple(QueryKind)
    of_queries = [counts.queries.get((str(kind), category), [0, 0]) for kind in kinds]
    plan = [0, 0]
    if any(kind is not QueryKind.TEXT for kind in QUERIES.get(arm, ())) or arm is Arm.FUSED:
        plan = counts.plans.get(category, plan)
    tokens = Tokens(read + plan[0], written + plan[1], sum(number for number, _ in of_queries))
    pictures = sum(drawn for _, drawn in of_queries)
    cost = None
    if prices is not None:
        cost = round(cost_of(tokens, prices) + pictures * (prices.picture or 0), _DIGITS)
    questions = counts.questions[category] - left_out - own["unjudged"]
    arm_counts = ArmCounts(questions, **own, cost=cost)
    found = figures(arm_counts)
    return {
        "arm": str(arm),
        "other_arm": "",
        "category": category,
        "questions": questions,
        "left_out": left_out,
        **own,
        "failed": arm_counts.failed,
        **_interval("accuracy", found.accuracy),
        **_interval("accuracy_answered", found.accuracy_answered),
        "f_score": found.f_score,
        "hit_rate": found.hit_rate.value if found.hit_rate else None,
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "embedding_tokens": tokens.embedding,
        "pictures": pictures,
        "cost": cost,
        "currency": prices.currency if prices else None,
        "cost_per_correct": found.cost_per_correct,
    }


def _difference(counts: Counts, first: str, second: str, category: str) -> dict[str, Any]:
    both, only_first, only_second, not_compared = counts.right.get((first, second, category), [0, 0, 0, 0])
    questions = counts.questions[category] - not_compared
    pair = PairCounts(both, only_first, only_second, questions - both - only_first - only_second)
    return {
        "arm": first,
        "other_arm": second,
        "category": category,
        "questions": questions,
        **_interval("difference", compare(pair)),
    }


def _interval(name: str, found: Interval | None) -> dict[str, float | None]:
    value, low, high = (found.value, found.low, found.high) if found else (None, None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
