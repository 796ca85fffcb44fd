"""The figures of video QA are those that anybody can count in the tables of answers, plans and queries."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import pytest

from maxcompute_local.models.scripted import Step
from tests.integration.reasoning_run import check_balance
from tests.integration.retrieval_run import BLOCKED, Call, Library, Models, library, models
from tests.integration.test_retrieval import DRAWS, X, Y, Z, pictures

pytestmark = pytest.mark.slow

__all__ = ["library", "models", "pictures"]

ARMS = ["blind", "text", "planned_text", "planned_image", "oracle"]
PRICES = {
    "currency": "CNY",
    "per_tokens": 1000,
    "input": 2.0,
    "output": 6.0,
    "embedding": 0.5,
    "picture": 0.2,
}
AB = ["yes", "no"]
QUESTIONS: Mapping[str, tuple[Any, ...]] = {
    "right": ("red", "<right>?", AB, "A", "light", 0, 500),
    "wrong": ("red", "<wrong>?", AB, "B", "light", 1000, 1500),
    "unknown": ("blue", "<unknown>?", AB, "A", "light", None, None),
    "refused": ("blue", "<refused>?", ["yes", "yes"], "A", "light", None, None),
    "no_answer_known": ("blue", "<no_answer_known>?", AB, None, "light", 0, 900),
    "garbage": ("red", "<garbage>?", AB, "A", "way", 0, 5000),
    "by_frames": ("blue", "<by_frames>?", AB, "B", "way", 1000, 1000),
    "no_frames": ("lost", "<no_frames>?", AB, "A", "way", None, None),
    "open_same": ("red", "<open_same>?", None, "a red bus", "open", None, None),
    "open_other": ("red", "<open_other>?", None, "a truck", "open", 0, 900),
    "no_vector": ("blue", "<no_vector>?", AB, "A", None, 0, 900),
}
SAID: Mapping[str, Callable[[Sequence[int]], str]] = {
    "unknown": lambda _: "unknown",
    "by_frames": lambda frames: "B" if 1 in frames else "A",
    "open_same": lambda _: "A red bus.",
    "open_other": lambda _: "a lorry",
}
REFUSED = ("refused", "no_frames")
PLANNED = ("planned_text", "planned_image")
Row = Mapping[str, Any]


def answer(call: Call) -> str | None:
    name = call.question.strip("<>?")
    if call.kind == "plan":
        return None
    if name == "garbage" and call.kind != "blind":
        return "It could be either."
    said = SAID.get(name, lambda _: "A")(call.frames)
    return json.dumps({"reasoning": "It shows.", "answer": said, "frames": []})


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The bounds of a share, as the roots of (p - s/n)² = z² p (1 - p) / n."""
    square = 1.959963984540054**2
    a, b, c = trials + square, -(2 * successes + square), successes**2 / trials
    root = math.sqrt(b * b - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def records(library: Library, table: str, columns: str, where: str = "") -> list[Row]:
    names = columns.split(", ")
    return [dict(zip(names, row, strict=True)) for row in library.rows(table, columns, where)]


class Counted:
    """What the tables say, one by one."""

    def __init__(self, library: Library) -> None:
        tokens = "answer_input_token, answer_output_token"
        columns = f"question_id, arm, status, error_type, abstained, is_correct, evidence_shown, {tokens}"
        self.answers = records(library, "answers", columns, "AND arm IS NOT NULL")
        self.plans = records(library, "plan", "question_id, plan_input_token, plan_output_token")
        columns = "question_id, query_kind, query_embedding_total_token, draw_outcome"
        self.queries = records(library, "query_embeddings", columns, "AND query_kind IS NOT NULL")

    def of(self, arm: str, question: str) -> Row | None:
        found = [row for row in self.answers if (row["arm"], row["question_id"]) == (arm, question)]
        assert len(found) == (0 if question in REFUSED else 1), "no row vanishes, none is there twice"
        return found[0] if found else None

    @staticmethod
    def fate(row: Row | None) -> str:
        if row is not None and row["error_type"] == "no_evidence":
            return "left_out"
        if row is None or row["status"] != "ok":
            return "failed"
        if row["abstained"]:
            return "abstained"
        return {True: "correct", False: "wrong", None: "unjudged"}[row["is_correct"]]

    def arm(self, arm: str, names: Sequence[str]) -> dict[str, Any]:
        known = [name for name in names if QUESTIONS[name][3] is not None]
        fates = [self.fate(self.of(arm, name)) for name in known]
        count = {
            fate: fates.count(fate) for fate in ("failed", "left_out", "abstained", "correct", "unjudged")
        }
        questions = len(known) - count["left_out"] - count["unjudged"]
        answered = count["correct"] + fates.count("wrong")
        shown = [row["evidence_shown"] for n in names if (row := self.of(arm, n))]
        shown = [value for value in shown if value is not None]
        rows = [row for n in names if (row := self.of(arm, n))]
        plans = [row for row in self.plans if row["question_id"] in names and arm in PLANNED]
        queries = [row for row in self.queries if row["question_id"] in names and row["query_kind"] == arm]
        tokens = [
            sum(row[f"answer_{way}_token"] or 0 for row in rows)
            + sum(row[f"plan_{way}_token"] or 0 for row in plans)
            for way in ("input", "output")
        ]
        embedded = sum(row["query_embedding_total_token"] or 0 for row in queries)
        drawn = sum(row["draw_outcome"] == "drawn" for row in queries)
        cost = (2.0 * tokens[0] + 6.0 * tokens[1] + 0.5 * embedded) / 1000 + 0.2 * drawn
        correct = count["correct"]
        return {
            "questions": questions,
            **count,
            "answered": answered,
            "accuracy": correct / questions if questions else None,
            "accuracy_answered": correct / answered if answered else None,
            "f_score": 2 * correct / (answered + questions) if questions else None,
            "annotated": len(shown),
            "hits": sum(shown),
            "hit_rate": sum(shown) / len(shown) if shown else None,
            "input_tokens": tokens[0],
            "output_tokens": tokens[1],
            "embedding_tokens": embedded,
            "pictures": drawn,
            "cost": cost,
            "cost_per_correct": cost / correct if correct else None,
        }

    def pair(self, first: str, second: str, names: Sequence[str]) -> dict[str, Any]:
        differences = []
        for name in names:
            fates = [self.fate(self.of(arm, name)) for arm in (first, second)]
            if QUESTIONS[name][3] is not None and not {"left_out", "unjudged"} & set(fates):
                differences.append((fates[0] == "correct") - (fates[1] == "correct"))
        value = sum(differences) / len(differences) if differences else None
        return {"questions": len(differences), "difference": value}


def test_every_figure_can_be_counted_in_the_tables(library: Library, models: Models) -> None:
    library.frames({"red": [X, Y, Z, Y], "blue": [Y, X, Z], "lost": [None]})
    library.questions(*((name, *rest) for name, rest in QUESTIONS.items()))
    models.answer = answer
    models.vector = lambda text: (
        BLOCKED if text == "<no_vector>?" else Y if "planned" in text else Z if text == "image" else X
    )
    models.draw = lambda prompt: Step(status=400) if "wrong" in prompt else None
    check_balance(library.run(keys={"prices": PRICES}, arms=ARMS, **DRAWS))

    counted = Counted(library)
    fates = {arm: [counted.fate(counted.of(arm, name)) for name in QUESTIONS] for arm in ARMS}
    assert {fate for of_arm in fates.values() for fate in of_arm} == {
        "correct", "wrong", "abstained", "failed", "left_out", "unjudged",
    }  # fmt: skip
    figures = {
        (row["arm"], row["other_arm"], row["category"]): row
        for row in records(
            library,
            "metrics",
            "arm, other_arm, category, questions, left_out, unjudged, answered, abstained, failed, correct, "
            "accuracy, accuracy_low, accuracy_high, accuracy_answered, accuracy_answered_low, "
            "accuracy_answered_high, f_score, annotated, hits, hit_rate, input_tokens, output_tokens, "
            "embedding_tokens, pictures, cost, currency, cost_per_correct, difference, difference_low, "
            "difference_high",
        )
    }
    categories = {"": list(QUESTIONS)}
    for name, (*_, category, _, _) in QUESTIONS.items():
        if category:
            categories.setdefault(category, []).append(name)
    pairs = [tuple(sorted(pair)) for pair in combinations(ARMS, 2)]
    assert set(figures) == {
        (*arms, category) for category in categories for arms in (*((arm, "") for arm in ARMS), *pairs)
    }
    for category, names in categories.items():
        for arm in ARMS:
            row = figures[arm, "", category]
            for name, value in counted.arm(arm, names).items():
                assert row[name] == pytest.approx(value, abs=1e-6), (arm, category, name)
            for share, trials in (("accuracy", "questions"), ("accuracy_answered", "answered")):
                if row[trials]:
                    bounds = row[f"{share}_low"], row[f"{share}_high"]
                    assert bounds == pytest.approx(wilson(row["correct"], row[trials]), abs=1e-9)
            assert row["currency"] == "CNY"
        for first, second in pairs:
            row = figures[first, second, category]
            for name, value in counted.pair(first, second, names).items():
                assert row[name] == pytest.approx(value), (first, second, category, name)
            if row["questions"]:
                assert row["difference_low"] <= row["difference"] <= row["difference_high"]
    # Nothing that failed leaves the stricter figure: two refused, one in prose, one without a vector.
    whole = figures["text", "", ""]
    assert (whole["questions"], whole["failed"], whole["unjudged"]) == (9, 4, 1)
    assert whole["accuracy"] < whole["accuracy_answered"]
    assert figures["planned_image", "", ""]["pictures"] == 8
