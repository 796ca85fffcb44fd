"""What the video QA demo says and checks, and what its walkthrough says, without a run of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_drivepipe.cli.demo_qa import _page_problems, _sample
from airflow_provider_drivepipe.documents.walkthrough import walkthrough
from airflow_provider_drivepipe.pipelines.driving.models import image_embedding
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.pipelines.retrieval.questions import QuestionCheck
from airflow_provider_drivepipe.reports.evidence import ArmAnswer, EvidencePage, Frame, Outcome, Question
from airflow_provider_drivepipe.stages.content import Image
from airflow_provider_drivepipe.worker.image_preparation import INLINE_NAME

SCENARIO = load_scenario(Path(__file__).parents[2] / "dags" / "scenarios" / "video_qa_demo.yaml")


def answer(**changed: Any) -> dict[str, Any]:
    row = {
        "question_id": "q1", "arm": "text", "status": "ok", "video_path": "oss://e/b/trips/a/front.mp4",
        "question": "Light?", "options_text": "A. red\nB. green", "answer": "A", "given_answer": "A",
        "given_frames": "[1, 4]", "given_reasoning": "word " * 40, "frames_count": "3", "abstained": False,
        "is_correct": True,
    }  # fmt: skip
    return row | changed


def test_a_sample_cuts_no_word_and_shows_no_question_or_arm_twice():
    rows = [
        answer(),
        answer(question_id="q2", arm="fused"),
        answer(question_id="q3", question="Wet?"),
        answer(question_id="q4", question="Night?", arm="oracle", given_frames="[]", abstained=True),
    ]
    first, second = _sample(rows)
    lines = first.splitlines()
    assert lines[0] == "  a/front.mp4: Light? | A. red | B. green"
    assert lines[1].endswith("answers A, right is A; 3 frames shown, relied on 1, 4")
    assert max(map(len, lines)) <= 100
    assert {word for line in lines[2:] for word in line.split()} == {"word"}
    assert "does not know, right is A; 3 frames shown, relied on none" in second.replace("\n      ", " ")


def test_a_page_without_a_picture_an_arm_or_figures_is_named():
    frame = Frame(1, "00:01.0", 0.5, "data:image/jpeg;base64,x", "", relied=True, evidence=False)

    def problems(frames: list[Frame], figures: list[dict[str, Any]], arm: str = "text") -> list[str]:
        shown = Question(
            "q1", "", "v", "Light?", {}, "A", "", [ArmAnswer(arm, Outcome.RIGHT, "", "", frames)], ""
        )
        page = EvidencePage("s", "ds=1", ["text"], figures, 1, [shown])
        rows = [{"question_id": "q1", "arm": "text", "image_url": "oss://e/b/x.jpg"}]
        return list(_page_problems(page, {"answers": rows, "retrieve": rows}))

    assert problems([frame], [{"arm": "text"}]) == []
    assert problems([], [{"arm": "text"}]) == [
        "page of evidence: ('q1', 'text') has not all of its 1 pictures"
    ]
    assert problems([frame], []) == ["page of evidence: figures of 0 arms, not of 1"]
    assert "page of evidence: q1 lacks text" in problems([], [{"arm": "text"}], arm="blind")


def test_the_walkthrough_names_what_is_looked_up_and_offers_no_choice_of_jobs():
    text = walkthrough(SCENARIO, plan(SCENARIO))
    assert "One job or two" not in text
    assert (
        "| `video_qa_demo_questions`, `video_qa_demo_query_embeddings` | `video_qa_demo_evidence` |" in text
    )
    assert "per picture that is drawn 0.2" in " ".join(text.split())
    assert "`query_url` of each row, or `query_text` where it has none," in text


def test_frames_that_were_embedded_inline_are_taken():
    check = plan(SCENARIO).tasks[0].find(QuestionCheck)
    site: Any = SimpleNamespace(model_project=lambda: "models")
    made = image_embedding(SCENARIO.embedding_model, 256, Image(INLINE_NAME, inline=True)).hashes(site)
    assert made["image_embedding"] in check.content(site)["models"]
