"""What runs in workers gets there: they have neither this package nor Airflow."""

import subprocess
import sys

import cloudpickle
import pandas as pd

from airflow_provider_drivepipe import contracts, worker
from airflow_provider_drivepipe.worker.retrieval.answers import READING_COLUMNS, ReadingJob, grade_answers
from airflow_provider_drivepipe.worker.retrieval.drawing import DRAW_COLUMNS, DrawJob, draw_images
from airflow_provider_drivepipe.worker.retrieval.plans import REQUEST_COLUMNS, PlanJob, read_requests
from airflow_provider_drivepipe.worker.retrieval.queries import QueryJob, make_queries
from airflow_provider_drivepipe.worker.retrieval.questions import QuestionJob, check_questions
from airflow_provider_drivepipe.worker.retrieval.retrieve import ARMS, RetrieveJob, retrieve
from airflow_provider_drivepipe.worker.rows import RowPart

PROGRAM = """
import pickle, sys
sys.modules['airflow_provider_drivepipe'] = None
for call, *arguments in pickle.load(open(sys.argv[1], 'rb')):
    print(','.join(call(*arguments)['status']))
"""
STATUS = {
    "status": "ok",
    "error_stage": "",
    "error_type": "",
    "error_msg": "",
    "attempt": 1,
    "fingerprint": "f",
}


def row(**cells):
    return pd.DataFrame([{**cells, **STATUS}], dtype=object)


def part(stage, columns, result):
    return RowPart(stage, tuple((column.name, column.type) for column in columns), result)


def test_all_functions_travel_by_value(tmp_path):
    asked = row(question_id="q", question="Red?", options=None, frames_listed="0|0|oss://h/b/0.jpg")
    plan = '[{"reference_image_id": 0, "prompt": "red"}]'
    planned = row(plan_text=plan, initial_frames="Frame 0\toss://h/b/0.jpg")
    query = row(query_kind="text", query_text="Red?", reference_url=None)
    answered = row(answer_text="B", options='{"A": "x", "B": "y"}', answer="B", frames="")
    frame = {
        "frame_idx": 0,
        "frame_time_ms": 0,
        "image_id": "0",
        "image_url": "u",
        "image_embedding": "[1, 0]",
    }
    question = {"queries": "0|text|[1, 1]", "evidence_start_ms": None, "evidence_end_ms": None}
    group = pd.DataFrame(
        [
            {"drivepipe_kind": "frame", "v": "1", **frame},
            {"drivepipe_kind": "question", "v": "1", **question},
        ],
        dtype=object,
    )
    draw = DrawJob(
        part=part("draw", DRAW_COLUMNS, "draw_outcome"),
        base_url="http://127.0.0.1:9",
        api_key="",
        model="m",
        size="1x1",
        oss_root="oss://h/b",
        mount_path=str(tmp_path),
        output_prefix="out",
    )
    calls = [
        (check_questions, asked, QuestionJob((), ("oss://h/b",))),
        (
            read_requests,
            planned,
            PlanJob(part("requests", REQUEST_COLUMNS, "requests")),
            tuple(planned.columns),
        ),
        (make_queries, row(question="Red?", requests=None), QueryJob(("text",), ())),
        (draw_images, query, draw, tuple(query.columns)),
        (
            grade_answers,
            answered,
            ReadingJob(part("reading", READING_COLUMNS, "abstained")),
            tuple(answered.columns),
        ),
        (retrieve, group, RetrieveJob(ARMS[:3], "v", ())),
    ]
    cloudpickle.register_pickle_by_value(worker)
    cloudpickle.register_pickle_by_value(contracts)
    (tmp_path / "udf").write_bytes(cloudpickle.dumps(calls))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "udf")], capture_output=True, text=True, check=True
    )
    said = [line for line in done.stdout.splitlines() if not line.endswith(" s")]
    assert said == ["ok", "ok", "ok", "ok", "ok", "ok,ok,ok"]
