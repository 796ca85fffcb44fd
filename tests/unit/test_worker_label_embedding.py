"""Labels as input of a text model: what is sent, and what becomes of the answers."""

import json

import pandas as pd
import pytest

from airflow_provider_drivepipe.contracts import LABEL_EMBEDDING_COLUMNS, Reason, Stage
from airflow_provider_drivepipe.worker import label_embedding
from airflow_provider_drivepipe.worker.assemble import AssembleJob, assemble, assemble_dtypes
from airflow_provider_drivepipe.worker.label_embedding import (
    EMBED_TEXT,
    VECTOR_RESPONSE,
    VECTOR_SUCCESS,
    add_label_vectors,
    mark_label_texts,
)

STATUS = ("status", "error_stage", "error_type", "error_msg")
VECTOR = json.dumps({"data": [{"embedding": [0.5, 1.0]}], "usage": {"total_tokens": 7}})


def final_rows(*rows, index=None):
    """Final rows of label text and status, as the stages before leave them."""
    names = ("label_text", *STATUS)
    frame = pd.DataFrame([dict(zip(names, row, strict=True)) for row in rows], index=index, dtype=object)
    return frame.assign(
        label_embedding=pd.Series([None] * len(rows), index=frame.index, dtype=object),
        label_embedding_total_token=pd.Series([None] * len(rows), index=frame.index, dtype="Int64"),
        frame_idx=pd.Series([None, *range(1, len(rows))][: len(rows)], index=frame.index, dtype="Int64"),
    )


OK = ("ok", "", "", "")


def test_names_and_reasons_are_those_of_the_contracts():
    assert [c.name for c in LABEL_EMBEDDING_COLUMNS] == ["label_embedding", "label_embedding_total_token"]
    assert label_embedding.STAGE == Stage.LABEL_EMBEDDING
    assert Reason("no_label") == "no_label"


def test_good_labels_are_sent_as_they_are_and_nothing_else():
    rows = mark_label_texts(
        final_rows(
            ('{"a": "{b}"} ', *OK),
            ("bad", "failed", "label", "schema_violation", "x"),
            ("fine", "failed", "image_embedding", "timeout", "x"),
            (None, *OK),
            (" \n", *OK),
            (float("nan"), *OK),
            (None, "failed", "image_embedding", "timeout", "x"),
            ("left", "skipped", "label", "limit", "x"),
            ("dark", "filtered", "frame_extraction", "too_dark", "x"),
            index=[4, 9, 2, 3, 8, 7, 6, 5, 1],
        )
    )
    assert list(rows[EMBED_TEXT]) == ['{"a": "{b}"} ', "", "fine", "", "", "", "", "", ""]
    assert list(rows.index) == [4, 9, 2, 3, 8, 7, 6, 5, 1]
    failures = list(rows[["status", "error_stage", "error_type"]].itertuples(index=False, name=None))
    no_label = ("failed", "label_embedding", "no_label")
    assert failures == [
        ("ok", "", ""),
        ("failed", "label", "schema_violation"),
        ("failed", "image_embedding", "timeout"),
        no_label,
        no_label,
        no_label,
        ("failed", "image_embedding", "timeout"),
        ("skipped", "label", "limit"),
        ("filtered", "frame_extraction", "too_dark"),
    ]
    assert str(rows["frame_idx"].dtype) == "Int64"
    assert len(mark_label_texts(rows.iloc[:0])) == 0


@pytest.mark.parametrize(
    ("response", "success", "dimension", "reason"),
    [
        (VECTOR, True, 2, ""),
        (VECTOR, True, None, ""),
        (VECTOR, True, 3, "dimension_mismatch"),
        ('{"error": {"code": "429", "message": "slow down"}}', False, 2, "rate_limited"),
        ("", True, 2, "model_error"),
        (None, None, 2, "model_error"),
        ('{"data": []}', True, 2, "empty_response"),
        ('{"data": [{"embedding": [1, NaN]}]}', True, 2, "model_error"),
    ],
)
def test_answers_become_vectors_or_reasons(response, success, dimension, reason):
    answered = final_rows(("a", *OK), ("b", "failed", "image_embedding", "timeout", "x")).assign(
        **{EMBED_TEXT: ["a", "b"], VECTOR_RESPONSE: [response] * 2, VECTOR_SUCCESS: [success] * 2}
    )
    rows = add_label_vectors(answered, dimension)
    assert EMBED_TEXT not in rows
    assert VECTOR_RESPONSE not in rows
    assert list(rows["error_type"]) == [reason, "timeout"]
    assert list(rows["error_stage"]) == ["label_embedding" if reason else "", "image_embedding"]
    vectors = [v and json.loads(v) for v in rows["label_embedding"]]
    assert vectors == ([None, None] if reason else [[0.5, 1.0]] * 2)
    paid = [7, 7] if response == VECTOR else [0, 0]
    assert list(rows["label_embedding_total_token"]) == paid


def test_rows_of_a_job_that_embeds_labels_have_its_columns_empty_before():
    job = AssembleJob(
        ("image_url", "label_text", "label_embedding", "label_embedding_total_token", *STATUS),
        labels=False,
        embedding=False,
        label_embedding=True,
    )
    given = pd.DataFrame({"image_url": ["u"], "label_text": ["t"]})
    rows = assemble(given, job)
    assert list(rows.iloc[0])[:2] == ["u", "t"]
    assert rows["label_embedding"].isna().all()
    assert str(rows["label_embedding_total_token"].dtype) == "Int64"
    assert {k: str(v) for k, v in assemble_dtypes(job, dict(given.dtypes)).items()} == {
        name: str(dtype) for name, dtype in rows.dtypes.items()
    }
