"""Plans become requests, requests become queries: lenient where the meaning is certain, and none is lost."""

import json

import pandas as pd
import pytest

from airflow_provider_drivepipe.worker.retrieval.plans import REQUEST_COLUMNS, PlanJob, read_requests
from airflow_provider_drivepipe.worker.retrieval.queries import (
    QUERY_COLUMNS,
    QueryJob,
    make_queries,
    query_dtypes,
)
from airflow_provider_drivepipe.worker.rows import STATUS_NAMES, RowPart

SHOWN = "\n".join(f"Frame {n} (00:0{n // 2}.0)\toss://h/b/{n}.jpg" for n in (0, 4, 8, 12))
PART = RowPart("requests", tuple((c.name, c.type) for c in REQUEST_COLUMNS), "requests", ("need_more",))
LIST = '[{"reference_image_id": 4, "prompt": "a red light"}, {"reference_image_id": 8, "prompt": "a van"}]'


def read(*texts, status="ok", limit=4):
    rows = pd.DataFrame(
        {
            "plan_text": pd.Series(texts, dtype=object),
            "initial_frames": SHOWN,
            "status": status,
            "error_stage": "" if status == "ok" else "plan",
            "error_type": "" if status == "ok" else "timeout",
            "error_msg": "",
            "requests": pd.Series([None] * len(texts), dtype=object),
            "requests_moved": pd.array([None] * len(texts), dtype="Int64"),
            "need_more": 1,
        }
    ).set_axis([3] * len(texts), axis=0)
    return read_requests(rows, PlanJob(PART, max_requests=limit), tuple(rows.columns))


def requests(text, **more):
    row = read(text, **more).to_dict("records")[0]
    assert row["status"] == "ok"
    assert row["need_more"] == 1
    made = json.loads(row["requests"])
    for one in made:
        assert one["reference_url"] == f"oss://h/b/{one['reference_frame_idx']}.jpg"
    return [(one["reference_frame_idx"], one["prompt"]) for one in made], row["requests_moved"]


BOTH = [(4, "a red light"), (8, "a van")]


@pytest.mark.parametrize(
    "text",
    [
        f'{{"requests": {LIST}}}',
        LIST,
        f"```json\n{LIST}\n```",
        f"```\n{LIST}\n```",
        f"I would like to see:\n{LIST}\nThat is all.",
        f'Here:\n```json\n{{"requests": {LIST}}}\n```',
        LIST.replace(": 4", ': "4"').replace(": 8", ': "Frame 8"'),
        LIST.replace(": 8", ": 8.0").replace('"}]', '",},]'),
        '{"reference_image_id": 4, "prompt": "a red light"}\n{"reference_image_id": 8, "prompt": " a van "}',
        f"<think>frame 0? {LIST.replace('4', '0')}</think>{LIST}",
    ],
)
def test_plans_are_read_however_they_are_wrapped(text):
    assert requests(text) == (BOTH, 0)


@pytest.mark.parametrize(
    ("said", "nearest"), [(5, 4), (6, 4), (7, 8), (-3, 0), (999, 12), (10, 8), ("Frame 11", 12)]
)
def test_a_frame_that_was_not_shown_becomes_the_nearest_and_is_counted(said, nearest):
    text = json.dumps({"requests": [{"reference_image_id": said, "prompt": "x"}]})
    assert requests(text) == ([(nearest, "x")], 1)


def test_at_most_so_many_requests_none_twice_none_without_a_prompt():
    said = [
        {"reference_image_id": i, "prompt": p}
        for i, p in ((0, "a"), (0, "a"), (4, " "), (1, "a"), (8, "b"), (4, "c"))
    ]
    assert requests(json.dumps(said), limit=2) == ([(0, "a"), (8, "b")], 0)
    said = [
        {"reference_image_id": None, "prompt": "x"},
        {"reference_image_id": True, "prompt": "x"},
        *said[-1:],
    ]
    assert requests(json.dumps({"requests": said}))[0] == [(4, "c")]


@pytest.mark.parametrize(
    "text", [None, "", "no idea", "[]", '{"requests": []}', '{"requests": [7]}', '{"answer": "B"}']
)
def test_a_plan_without_a_request_fails(text):
    row = read(text).to_dict("records")[0]
    assert (row["status"], row["error_stage"], row["error_type"]) == (
        "failed",
        "requests",
        "schema_violation",
    )
    assert row["need_more"] == 0


def test_a_plan_that_failed_keeps_its_reason():
    row = read(None, status="failed").to_dict("records")[0]
    assert (row["error_stage"], row["error_type"]) == ("plan", "timeout")


def question(plan=LIST):
    made = None if plan is None else read(plan)["requests"].iloc[0]
    return {
        "question_id": "q",
        "question": "Which light?",
        "requests": made,
        "attempt": 1,
        "fingerprint": "f",
    }


def queries(*rows, kinds=("text", "planned_text", "planned_image")):
    return make_queries(pd.DataFrame(rows), QueryJob(kinds, ("question_id",)))


def test_queries_stand_in_one_order_whatever_is_asked_for():
    made = queries(question(), kinds=("planned_image", "text", "planned_text"))
    columns = ["query_number", "query_kind", "request_number", "query_text", "reference_url"]
    rows = made[columns].astype(object).where(made[columns].notna(), None).to_numpy().tolist()
    assert rows == [
        [0, "text", None, "Which light?", None],
        [1, "planned_text", 0, "a red light", "oss://h/b/4.jpg"],
        [2, "planned_text", 1, "a van", "oss://h/b/8.jpg"],
        [3, "planned_image", 0, "a red light", "oss://h/b/4.jpg"],
        [4, "planned_image", 1, "a van", "oss://h/b/8.jpg"],
    ]
    assert list(made.columns) == [*(c.name for c in QUERY_COLUMNS), "question_id", *STATUS_NAMES]
    assert {name: str(dtype) for name, dtype in made.dtypes.items()} == query_dtypes(
        {"question_id": str(made.dtypes["question_id"])}
    )


def test_a_question_without_a_plan_still_has_its_text():
    assert list(queries(question(None), question())["query_kind"])[:2] == ["text", "text"]


def test_a_question_without_any_query_is_a_row_that_says_so():
    made = queries(question(None), question(), kinds=("planned_text",)).to_dict("records")
    assert [row["query_number"] for row in made] == [-1, 0, 1]
    assert (made[0]["status"], made[0]["error_stage"], made[0]["error_type"]) == (
        "failed",
        "query_make",
        "no_query",
    )


@pytest.mark.parametrize("kinds", [(), ("caption",)])
def test_a_job_without_queries_is_refused(kinds):
    with pytest.raises(ValueError, match="queries are of one kind"):
        queries(question(), kinds=kinds)
