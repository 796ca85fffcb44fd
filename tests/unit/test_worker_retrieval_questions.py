"""Questions: what may be asked, and which frames are shown first; every refusal says what to do."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_drivepipe.worker.retrieval.frames import frame_numbers, shown_frames, spread
from airflow_provider_drivepipe.worker.retrieval.questions import (
    QUESTION_COLUMNS,
    QuestionJob,
    check_questions,
    question_dtypes,
)
from airflow_provider_drivepipe.worker.rows import STATUS_NAMES

ROOT = "oss://host/bucket"
OPTIONS = ["red", "green", "yellow"]


def listed(count, step_ms=500, root=ROOT):
    return "\n".join(f"{n}|{n * step_ms}|{root}/frames/x_{n:04d}.jpg" for n in range(count))


def questions(*rows):
    base = {
        "question_id": "q1",
        "question": "Which colour is the light?",
        "options": json.dumps(OPTIONS),
        "answer": "B",
        "category": "lights",
        "evidence_start_ms": None,
        "evidence_end_ms": None,
        "video_id": "v1",
        "frames_listed": listed(20),
        "frames_version": "f1",
        "frames_dimensions": "4",
        "frames_models": "",
        "attempt": 2,
        "fingerprint": "f",
    }
    made = pd.DataFrame([{**base, **row} for row in rows], dtype=object)
    return made.assign(car=pd.array([None] * len(rows), dtype="Int64")).set_axis([7] * len(rows), axis=0)


def check(*rows, **job):
    return check_questions(questions(*rows), QuestionJob(("video_id", "car"), (ROOT,), **job))


def one(row=None, **job):
    return check(row or {}, **job).to_dict("records")[0]


def reason(row, **job):
    made = one(row, **job)
    assert made["status"] == ("failed" if made["error_type"] else "ok")
    assert made["error_stage"] == ("question_check" if made["error_type"] else "")
    return made["error_type"]


def test_a_question_gets_its_first_frames_in_order_of_time():
    made = one()
    assert made["status"] == "ok"
    assert made["error_msg"] == ""
    assert json.loads(made["options"]) == {"A": "red", "B": "green", "C": "yellow"}
    assert made["options_text"] == "A. red\nB. green\nC. yellow"
    assert (made["answer"], made["category"], made["frames_count"], made["frames_version"]) == (
        "B",
        "lights",
        20,
        "f1",
    )
    lines = made["initial_frames"].split("\n")
    assert lines[1] == f"Frame 2 (00:01.0)\t{ROOT}/frames/x_0002.jpg"
    assert list(shown_frames(made["initial_frames"])) == [int(i * 20 / 8) for i in range(8)]
    assert made["initial_count"] == "8"
    chinese = one({}, language="zh")["initial_frames"]
    assert chinese.split("\t")[0] == "第 0 帧 (00:00.0)"
    assert list(shown_frames(chinese)) == list(shown_frames(made["initial_frames"]))


def test_a_short_video_shows_no_frame_twice():
    made = one({"frames_listed": listed(3)})
    assert list(shown_frames(made["initial_frames"])) == [0, 1, 2]
    assert made["initial_count"] == "3"


@given(st.integers(1, 400), st.integers(1, 40))
def test_frames_are_spread_as_evenly_as_the_formula_says(count, wanted):
    k = min(count, wanted)
    assert spread(count, wanted) == [int(i * count / k) for i in range(k)]
    assert len(set(spread(count, wanted))) == k


def test_frames_without_times_are_in_order_of_their_numbers():
    urls = [f"10||{ROOT}/b|c.jpg", f"2||{ROOT}/a.jpg"]
    made = one({"frames_listed": "\n".join(urls)})
    assert made["initial_frames"] == f"Frame 2\t{ROOT}/a.jpg\nFrame 10\t{ROOT}/b|c.jpg"


def test_rows_keep_their_form():
    made = check({}, {"frames_listed": None}, {"answer": None, "category": " "})
    names = [column.name for column in QUESTION_COLUMNS]
    assert list(made.columns) == [*names, "video_id", "car", *STATUS_NAMES]
    dtypes = question_dtypes({"video_id": "object", "car": "Int64"})
    assert {name: str(dtype) for name, dtype in made.dtypes.items()} == dtypes
    assert list(made["status"]) == ["ok", "failed", "ok"]
    assert made["answer"].isna().tolist() == [False, False, True]
    assert made["category"].isna().tolist() == [False, False, True]
    assert set(made["attempt"]) == {2}
    assert set(made["fingerprint"]) == {"f"}
    assert check_questions(questions({}).iloc[:0], QuestionJob(("car",), (ROOT,))).empty


@pytest.mark.parametrize(
    ("options", "answer", "letters", "letter"),
    [
        ('["red", "green"]', "b", "AB", "B"),
        ('["A. red", "B. green"]', "(B)", "AB", "B"),
        ('["1) red", "2) green"]', "green", "AB", "B"),
        ('["一、红", "二、绿"]', "绿", "AB", "B"),
        ('{"a": "red", "b": "green"}', "GREEN.", "AB", "B"),
        ('{"Ａ": "红", "Ｂ": "绿"}', "Ｂ", "AB", "B"),
        ('{"一": "红", "二": "绿"}', "二", "AB", "B"),
        ('{"甲": "红", "乙": "绿"}', "选项B", "AB", "B"),
        ('{"1": "red", "2": "green"}', "2", "AB", "B"),
        ('{"(A)": "red", "(B)": "green"}', "B. green", "AB", "B"),
        ('{"B": "green", "A": "red"}', "答案是B", "AB", "B"),
        ('{"A": "red", "C": "green"}', "C", "AC", "C"),
        ('{"A": "B", "B": "A"}', "A", "AB", "A"),
        ("[1, 2.5]", "2.5", "AB", "B"),
    ],
)
def test_options_and_answers_are_read_in_their_usual_forms(options, answer, letters, letter):
    made = one({"options": options, "answer": answer})
    assert made["error_msg"] == ""
    assert "".join(json.loads(made["options"])) == letters
    assert made["answer"] == letter
    first = made["options_text"].split("\n")[0]
    assert first in ("A. red", "A. 红", "A. B", "A. 1")


def test_options_may_stand_in_columns_of_their_own():
    row = {"options": None, "option_a": "red", "option_b": "green", "option_c": None, "option_d": ""}
    made = one({**row, "answer": "green"})
    assert json.loads(made["options"]) == {"A": "red", "B": "green"}
    assert made["answer"] == "B"


def test_options_may_stand_in_the_question():
    question = "Which light is on?\nA. red\nB) green\nＣ：yellow"
    made = one({"question": question, "options": None, "answer": "C"})
    assert made["question"] == "Which light is on?"
    assert json.loads(made["options"]) == {"A": "red", "B": "green", "C": "yellow"}
    kept = "Explain:\nB. what\nC. happens"
    assert one({"question": kept, "options": None, "answer": "x"})["question"] == kept


def test_an_open_question_keeps_its_answer():
    made = one({"options": None, "answer": " a bus "})
    assert (made["options"], made["options_text"], made["answer"]) == ("", "", "a bus")
    for options in ("[]", "{}", "null"):
        assert one({"options": options, "answer": "a bus"})["options"] == ""


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": " "}, "no text in question"),
        ({"question": float("nan")}, "no text in question"),
        ({"question_id": None}, "no question_id"),
        ({"options": '["red"]'}, "only one option"),
        ({"options": '["red", "Red."]'}, "two options are the same"),
        ({"options": '["red", ""]'}, "an option is empty"),
        ({"options": "red, green"}, "no JSON list"),
        ({"options": "7"}, "no JSON list"),
        ({"options": '["red", {"b": 1}]'}, "an option is no text"),
        ({"options": '{"A": "red", "Ａ": "green"}'}, "same letter"),
        ({"options": '{"colour": "red", "B": "green"}'}, "no letter of an option"),
        ({"answer": "D"}, "none of the options A, B, C"),
        ({"answer": "blue"}, "none of the options"),
        ({"answer": "A, B"}, "none of the options"),
        ({"answer": "2"}, "none of the options"),
        ({"evidence_start_ms": 5, "evidence_end_ms": 4}, "ends at 4 ms, before it starts at 5 ms"),
        ({"evidence_start_ms": 5}, "only one of"),
        ({"evidence_start_ms": "soon", "evidence_end_ms": 4}, "whole milliseconds"),
        ({"evidence_start_ms": -1, "evidence_end_ms": 4}, "whole milliseconds"),
        ({"question": "A. red\nB. green", "options": None, "answer": None}, "nothing but options"),
    ],
)
def test_a_question_that_cannot_be_right_is_refused(row, said):
    made = one(row)
    assert (made["status"], made["error_type"]) == ("failed", "invalid_question")
    assert said in made["error_msg"]


def test_evidence_may_be_a_moment():
    made = one({"evidence_start_ms": 4.0, "evidence_end_ms": 4})
    assert (made["evidence_start_ms"], made["evidence_end_ms"]) == (4, 4)


@pytest.mark.parametrize(
    ("row", "job", "expected"),
    [
        ({"frames_listed": None}, {}, "no_frames"),
        ({"frames_dimensions": "4,8"}, {}, "dimension_mismatch"),
        ({"frames_dimensions": "8"}, {"dimension": 4}, "dimension_mismatch"),
        ({"frames_dimensions": "4"}, {"dimension": 4}, ""),
        ({"frames_dimensions": "4"}, {}, ""),
        ({"frames_models": "aa"}, {"models": ("bb", "cc")}, "model_mismatch"),
        ({"frames_models": "bb,aa"}, {"models": ("bb",)}, "model_mismatch"),
        ({"frames_models": "bb"}, {"models": ("cc", "bb")}, ""),
        ({"frames_models": ""}, {"models": ("bb",)}, ""),
        ({"frames_listed": listed(2, root="oss://host/other")}, {}, "path_outside_root"),
        ({"frames_listed": listed(1) + f"\n1|5|{ROOT}/../x.jpg"}, {}, "path_traversal"),
        ({"frames_listed": listed(1) + f"\n1|5|{ROOT}/a\nb.jpg"}, {}, "path_traversal"),
    ],
)
def test_frames_that_cannot_be_compared_or_shown_are_refused_before_anything_is_paid(row, job, expected):
    assert reason(row, **job) == expected


def test_a_refusal_says_what_to_do():
    assert "embed its frames" in one({"frames_listed": ""})["error_msg"]
    assert "embedding_dim" in one({"frames_dimensions": "8"}, dimension=4)["error_msg"]
    assert "embedding_model" in one({"frames_models": "aa"}, models=("bb",))["error_msg"]
    outside = one({"frames_listed": listed(2, root="oss://host/other")})["error_msg"]
    assert "frame 0" in outside
    assert ROOT in outside


def test_questions_of_one_video_do_not_share_what_is_wrong_with_another():
    made = check({}, {"frames_listed": listed(2, root="oss://host/other")}, {}, {"frames_listed": None})
    assert list(made["error_type"]) == ["", "path_outside_root", "", "no_frames"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Frame 12", [12]),
        ("Frame 12 (00:06.0), Frame 15 (00:07.5)", [12, 15]),
        ("12, 15 and 3", [12, 15, 3]),
        ("第 12 帧 (00:06.0)", [12]),
        ("frame 4 at 2.0 s", [4]),
        ("at 00:06.5 in frame 13", [13]),
        ("none", []),
    ],
)
def test_numbers_of_frames_are_no_times(text, numbers):
    assert frame_numbers(text) == numbers
