"""The best frames of a chunk: exact scores, ties, and what becomes of frames that cannot be compared."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from airflow_provider_drivepipe.worker.answer_rows import response_columns
from airflow_provider_drivepipe.worker.frame_search import Comparison, SearchJob, best_frames, read_vector

KEYS = (("video_path", "string"), ("frame_time_ms", "bigint"))
JOB = SearchJob(3, 2, ("ab",), (), KEYS, ("video_path", "frame_time_ms"))
RESPONSE, SUCCESS = response_columns(0)
QUERY = json.dumps({"output": {"embeddings": [{"embedding": [1.0, 0.0]}]}})


def chunk(*rows, response=QUERY, success=True):
    names = ["video_path", "frame_time_ms", "image_embedding"]
    frame = pd.DataFrame([list(row) for row in rows], columns=names)
    same = {"status": "ok", "fingerprint": "f=1;image_embedding=ab;input=2", "label_text": '{"wet": true}'}
    return frame.assign(**same, **{RESPONSE: response, SUCCESS: success})


def hits(found):
    rows = found[found["kind"] == "hit"]
    return list(zip(rows["video_path"], rows["frame_time_ms"], rows["score"], strict=True))


def counts(found):
    rows = found[found["kind"] != "hit"]
    return dict(zip(rows["kind"], rows["frames"], strict=True))


def test_the_best_come_first_and_equal_scores_by_video_and_time():
    found = best_frames(
        chunk(
            ("b", 5, "[2, 0]"),
            ("b", None, "[4, 0]"),
            ("a", 7, "[8, 0]"),
            ("a", 9, "[0, 1]"),
            (None, 1, "[1, 0]"),
        ),
        JOB,
    )
    times = [None if pd.isna(time_ms) else time_ms for _, time_ms, _ in hits(found)]
    assert [video for video, _, _ in hits(found)] == [None, "a", "b"]
    assert times == [1, 7, None]
    assert counts(found) == {"searched": 5}


def test_equal_vectors_have_equal_scores_wherever_they_stand():
    random = np.random.default_rng(3)
    query, vector = random.normal(size=(2, 1024))
    response = json.dumps({"output": {"embeddings": [{"embedding": list(query)}]}})
    others = [("o", i, json.dumps(list(random.normal(size=1024)))) for i in range(5)]
    rows = [row for i in range(5) for row in (others[i], ("same", i, json.dumps(list(vector))))]
    job = SearchJob(10, None, ("ab",), (), KEYS, ("video_path",))
    found = hits(best_frames(chunk(*rows, response=response), job))
    scores = {score for video, _, score in found if video == "same"}
    assert len(scores) == 1
    expected = vector @ query / np.linalg.norm(vector) / np.linalg.norm(query)
    assert scores.pop() == pytest.approx(expected, abs=1e-14)


def test_frames_that_cannot_be_compared_are_counted():
    rows = chunk(
        *(
            ("a", i, v)
            for i, v in enumerate(["[1, 0]", None, "[0, 0]", "x", "[1]", "[1, 0]", "[1, 0]", "[1, 0]"])
        )
    )
    rows.loc[5, "status"] = "failed"
    rows.loc[6, "fingerprint"] = "image_embedding=cd"
    rows.loc[7, "label_text"] = "no JSON"
    job = SearchJob(3, 2, ("ab",), (Comparison("wet", True, "=", (True,)),), KEYS, ("video_path",))
    found = best_frames(rows, job)
    assert hits(found) == [("a", 0, 1.0)]
    assert counts(found) == {
        "searched": 1, "no_vector": 3, "other_length": 1, "not_ok": 1, "other_model": 1, "left_out": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("response", "success", "note"),
    [
        (
            '{"error": {"code": "Throttling", "message": "slow down"}}',
            False,
            "rate_limited Throttling: slow down",
        ),
        (QUERY.replace("[1.0, 0.0]", "[1.0]"), True, "dimension_mismatch 1 values, 2 wanted"),
        (QUERY.replace("[1.0, 0.0]", "[0.0, 0.0]"), True, "model_error the query's vector is zero"),
        ("{}", True, "empty_response the model returned no embedding"),
    ],
)
def test_without_a_vector_of_the_query_the_chunk_says_why(response, success, note):
    found = best_frames(chunk(("a", 1, "[1, 0]"), response=response, success=success), JOB)
    assert list(found["kind"]) == ["no_query"]
    assert list(found["note"]) == [note]


def test_an_empty_chunk_has_the_columns_all_the_same():
    found = best_frames(chunk(), JOB)
    assert list(found.columns) == ["kind", "frames", "note", "score", "video_path", "frame_time_ms"]
    assert len(found) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "3",
        '["a"]',
        "[1, null]",
        "[0, 0]",
        "[NaN]",
        "[1e308, -1e308, 1e308]",
        "[1e400]",
        "[" * 100_000,
    ],
)
def test_what_is_no_vector(text):
    assert read_vector(text) is None
