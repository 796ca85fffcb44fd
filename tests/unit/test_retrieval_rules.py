"""What a scenario of questions about videos may not say."""

from __future__ import annotations

import pytest

from airflow_provider_drivepipe.pipelines.retrieval.rules import combination_problems

GOOD = {
    "scenario_name": "s",
    "input_shape": "question_table",
    "targets": ["video-qa"],
    "source_table": "q",
    "frames_table": "f",
    "vlm_model": "v",
    "embedding_model": "e",
}


@pytest.mark.parametrize(
    ("retrieval", "problems"),
    [
        ({}, []),
        ({"top_k": 20}, ["max_frames: 16 is less than top_k (20)"]),
        ({"top_k": 20, "max_frames": 20}, []),
        ({"image_model": "m"}, ["image_model: has no effect without the arm planned_image"]),
        (
            {"arms": ["planned_image"]},
            ["image_model: missing: image model that draws", "image_conn_id: missing:", "missing: bucket"],
        ),
    ],
)
def test_what_does_not_go_together_is_said_with_what_to_do(retrieval: dict, problems: list[str]) -> None:
    found = [message for _, message in combination_problems({**GOOD, "retrieval": retrieval})]
    assert len(found) == len(problems)
    assert all(said in message for said, message in zip(problems, found, strict=True))
