"""From questions and frames to answers, evidence and figures, with models whose answers the tests decide."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from airflow_provider_drivepipe.cli.local import connections
from maxcompute_local.models.scripted import Step
from maxcompute_local.server import LocalCloud
from tests.integration.operator_context import Run
from tests.integration.reasoning_run import check_balance
from tests.integration.retrieval_run import ARMS, BLOCKED, Call, Library, Models, library, models

pytestmark = pytest.mark.slow

__all__ = ["library", "models"]

X, Y, Z = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0)
COLOUR, WAY = "What colour?", "Which way?"
DRAWS = {"image_model": "qwen-image-edit", "image_conn_id": "drivepipe_images"}
BUSY = Step(status=429, retry_after=3600)


@pytest.fixture(autouse=True)
def pictures(local_cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the connection drivepipe_images to the local cloud."""
    name = "AIRFLOW_CONN_DRIVEPIPE_IMAGES"
    monkeypatch.setenv(name, connections(local_cloud.settings)[name])


def shown(library: Library, question: str) -> dict[str, list[int]]:
    """Return the numbers of the frames that each arm shows of a question, in order of time."""
    found: dict[str, list[int]] = {}
    where = f"AND question_id = '{question}' AND status = 'ok'"
    for arm, _, frame in library.rows("evidence", "arm, evidence_number, frame_idx", where):
        found.setdefault(arm, []).extend([] if frame is None else [frame])
    return {arm: sorted(frames) for arm, frames in found.items()}


def figures(library: Library, columns: str) -> dict[str, tuple[object, ...]]:
    """Return figures of all questions, by arm."""
    where = "AND category = '' AND other_arm = ''"
    return {arm: tuple(rest) for arm, *rest in library.rows("metrics", f"arm, {columns}", where)}


def test_arms_side_by_side_and_nothing_is_paid_twice(library: Library, models: Models) -> None:
    library.frames({"red": [X, Y, Z, Y, X], "blue": [Y, Z, Z]})
    library.questions(
        ("q1", "red", COLOUR, ["red", "blue"], "A", "colour", 1000, 2000),
        ("q2", "blue", WAY, ["left", "right"], "B", "way", None, None),
    )
    # What is planned looks like Y, questions look like X, what is drawn like Z.
    models.vector = lambda text: Y if "planned" in text else Z if text == "image" else X
    models.answer = lambda call: json.dumps({"answer": "unknown"}) if call.kind == "blind" else None
    arms = [*ARMS, "planned_image"]
    reports = library.run(arms=arms, **DRAWS)
    check_balance(reports)

    assert shown(library, "q1") == {
        "blind": [],
        "uniform": [0, 2],
        "text": [0, 4],
        "planned_text": [1, 3],
        "planned_image": [0, 2],
        "fused": [0, 1],
        "coverage": [0, 4],
        "oracle": [1, 2],
    }
    assert "oracle" not in shown(library, "q2"), "nothing is annotated"
    asked = models.asked()
    once = {("plan", COLOUR), ("plan", WAY), ("blind", COLOUR), ("blind", WAY)}
    once |= {(kind, f"{text} planned") for kind in ("embed", "draw") for text in (COLOUR, WAY)}
    once |= {("embed", COLOUR), ("embed", WAY)}
    assert asked == Counter(once) + Counter(
        {("embed", "image"): 2, ("answer", COLOUR): len(arms) - 1, ("answer", WAY): len(arms) - 2}
    )
    # All say A: right for q1, wrong for q2, which the arm oracle is not for.
    right = dict.fromkeys(arms, (2, 0, 2, 0, 1)) | {"blind": (2, 0, 0, 2, 0), "oracle": (1, 1, 1, 0, 1)}
    assert figures(library, "questions, left_out, answered, abstained, correct") == right
    [(hits, rate)] = library.rows("metrics", "hits, hit_rate", "AND arm = 'text' AND category = 'colour'")[:1]
    assert (hits, rate) == (0, 0.0)
    assert figures(library, "annotated, hits")["planned_text"] == (1, 1)
    assert figures(library, "pictures")["planned_image"] == (2,)
    assert set(library.rows("evidence", "trip, question_id")) == {
        ("trip of red", "q1"),
        ("trip of blue", "q2"),
    }

    again = library.run(Run(run_id="again"), arms=arms, **DRAWS)
    assert not models.asked()
    assert {task: report["carried_over"] for task, report in again.items() if report["models"]} == {
        task: report["ok"] for task, report in reports.items() if report["models"]
    }
    # Other frames for one arm pay for its answers alone.
    library.run(Run(run_id="more"), arms=arms, min_gap_ms=3000, **DRAWS)
    assert set(models.asked()) <= {("answer", COLOUR), ("answer", WAY)}


def test_what_fails_is_a_row_with_its_reason_and_clear_pays_for_it_alone(
    library: Library, models: Models
) -> None:
    names = ("good", "garbage", "undrawn", "unembedded", "prose", "busy", "declined")
    library.frames({**{name: [X, Y, Z] for name in names}, "lost": [None, None]})
    library.questions(
        *((name, name, f"<{name}>?", ["red", "blue"], "A", "c", None, None) for name in (*names, "lost")),
        ("odd", "good", "<odd>?", ["red", "red"], "A", "c", None, None),
    )
    broken = True

    def answer(call: Call) -> str | Step | None:
        name = call.question.strip("<>?")
        if call.kind == "plan":
            return "I cannot plan." if name == "garbage" and broken else None
        said = {"prose": "It could be either.", "busy": BUSY, "declined": BLOCKED}
        return said.get(name) if broken else None

    models.answer = answer
    models.draw = lambda prompt: Step(status=400) if "undrawn" in prompt else None
    models.vector = lambda text: BLOCKED if text == "<unembedded>?" and broken else X
    options = {"arms": ["text", "planned_text", "planned_image"], **DRAWS}
    run = Run()
    reports = library.run(run, **options)
    check_balance(reports)
    reasons = "question_id, status, error_stage, error_type"
    assert library.rows("questions", reasons, "AND status <> 'ok'") == [
        ("lost", "failed", "question_check", "no_frames"),
        ("odd", "failed", "question_check", "invalid_question"),
    ]
    assert ("garbage", "failed", "plan", "invalid_json") in library.rows("plan", reasons)
    drawn = library.rows("queries", "draw_outcome, query_url = reference_url", "AND question_id = 'undrawn'")
    assert drawn == [("not_asked", None), ("not_asked", None), ("reference", True)]
    failed = {
        (question, arm): (stage, reason)
        for question, arm, stage, reason in library.rows(
            "answers", "question_id, arm, error_stage, error_type", "AND status <> 'ok' AND arm IS NOT NULL"
        )
    }
    arms = ("text", "planned_text", "planned_image")
    assert failed == {
        **{("garbage", arm): ("retrieve", "no_query") for arm in arms[1:]},
        ("unembedded", "text"): ("retrieve", "no_query"),
        **{("prose", arm): ("answer", "invalid_json") for arm in arms},
        **{("busy", arm): ("answer", "rate_limited") for arm in arms},
        **{("declined", arm): ("answer", "content_blocked") for arm in arms},
    }
    # Nine questions count, whatever became of them.
    assert figures(library, "questions, answered, failed, correct") == {
        "text": (9, 3, 6, 3),
        "planned_text": (9, 3, 6, 3),
        "planned_image": (9, 3, 6, 3),
    }
    models.asked()

    broken = False
    check_balance(library.run(run, try_number=2, **options))
    paid = models.asked()
    told = {question for kind, question in paid if kind == "answer"}
    assert told == {f"<{name}>?" for name in ("garbage", "unembedded", "prose", "busy", "declined")}
    assert {call for call in paid if call[0] == "plan"} == {("plan", "<garbage>?")}
    assert {call for call in paid if call[0] == "draw"} == {("draw", "<garbage>? planned")}
    assert paid["answer", "<unembedded>?"] == 1
    assert figures(library, "questions, answered, failed, correct")["text"] == (9, 7, 2, 7)


@pytest.mark.parametrize("change", ["model", "dimension"])
def test_frames_of_another_model_are_refused_before_anything_is_paid(
    library: Library, models: Models, change: str
) -> None:
    made = "image_embedding=0123456789abcdef" if change == "model" else None
    library.frames({"red": [X, Y]}, made)
    library.questions(("q1", "red", COLOUR, ["red", "blue"], "A", "colour", None, None))
    keys = {"embedding_dim": 4 if change == "model" else 8}
    with pytest.raises(Exception, match=r"100.0% of the input failed.*_mismatch"):
        library.run(keys={**keys, "max_failure_rate": 0.5}, arms=["uniform", "text"])
    assert not models.asked()
