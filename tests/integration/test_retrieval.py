"""From questions and frames to answers, evidence and figures, with models whose answers the tests decide."""

from __future__ import annotations

import pytest

from tests.integration.reasoning_run import check_balance
from tests.integration.retrieval_run import Library, Models, library, models

pytestmark = pytest.mark.slow

__all__ = ["library", "models"]

X, Y, Z = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0)


def test_all_arms(library: Library, models: Models) -> None:
    library.frames({"red": [X, Y, Z, Y, X], "blue": [Y, Z, Z]})
    library.questions(
        ("q1", "red", "What colour?", ["red", "blue"], "A", "colour", 1000, 2000),
        ("q2", "blue", "Which way?", ["left", "right"], "B", "way", None, None),
    )
    models.vector = lambda text: Y if "planned" in text else X
    reports = library.run()
    check_balance({k: r for k, r in reports.items()})
    for r in reports.values():
        print(r["stage"], r["rows_in"], r["ok"], r["failures"], r["filtered_reasons"])
    print(models.asked())
    for row in library.rows(
        "evidence", "question_id, arm, `rank`, frame_idx, score, in_evidence, status, error_type"
    ):
        print(row)
    for row in library.rows(
        "answers",
        "question_id, arm, given_answer, is_correct, frames_count, evidence_shown, status, error_type",
    ):
        print(row)
    for row in library.rows(
        "metrics", "arm, other_arm, category, questions, answered, correct, accuracy, hits, input_tokens"
    ):
        print(row)
    library.run()
    assert not models.asked()
