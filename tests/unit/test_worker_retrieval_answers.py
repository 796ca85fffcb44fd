"""Answers are read in every form that is certain, and in no other: each class of them, and never a guess."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_drivepipe.worker.answers import Failure
from airflow_provider_drivepipe.worker.retrieval.answers import (
    READING_COLUMNS,
    Reading,
    ReadingJob,
    grade_answers,
    read_answer,
)
from airflow_provider_drivepipe.worker.rows import RowPart

OPTIONS = {"A": "red", "B": "green", "C": "it is off", "D": "A car is visible"}
CHINESE = {"A": "红灯", "B": "绿灯", "C": "无法判断", "D": "没有灯"}
UNKNOWN = "(abstained)"


def said(text, options=OPTIONS):
    """The letter, ``UNKNOWN``, or the reason of the failure."""
    read = read_answer(text, options)
    if isinstance(read, Failure):
        return str(read.reason)
    return UNKNOWN if read.abstained else read.answer


CASES = {
    "fenced JSON": {
        '```json\n{"answer": "B"}\n```': "B",
        'First I look.\n```json\n{"answer": "B"}\n```\nDone.': "B",
        '```\n{"answer": "b"}\n```': "B",
        '```JSON\n{"Answer": "B"}```': "B",
    },
    "bare JSON": {
        '{"answer": "B"}': "B",
        '{"reasoning": "The answer is not A.", "answer": "B", "frames": [1]}': "B",
        '{"reasoning": "Option A shows red.", "answer": "(b)"}': "B",
        '{"answer": ["B"]}': "B",
        "{'answer': 'B',}": "B",
        '{"Final Answer": "B"}': "B",
        '"{\\"answer\\": \\"B\\"}"': "B",
        '{"answer": "Ｂ"}': "B",
        '{"answer": "B. green"}': "B",
        '{"answer": "B: the light has changed"}': "B",
        '{"answer": "Option B"}': "B",
        '{"answer": "The answer is B."}': "B",
        '{"answer": "A"} and again {"answer": "A"}': "A",
        '<think>{"answer": "A"}</think>{"answer": "B"}': "B",
    },
    "JSON with prose around": {
        'The light is red in Frame 3, so: {"answer": "A", "frames": [3]}. I hope this helps.': "A",
        'Frames {3, 4} show it.\n{"answer": "A"}': "A",
    },
    "JSON that was cut off": {
        '{"reasoning": "it turns", "answer": "B", "fra': "B",
        '{"reasoning": "it turns': "invalid_json",
    },
    "a letter alone": {
        "B": "B",
        "b": "B",
        " (B) ": "B",
        "B.": "B",
        "**B**": "B",
        "Ｂ": "B",
        "“B”": "B",
        "\\boxed{B}": "B",
        "B. green": "B",
        "B) green": "B",
        "b. green": "B",
        "Option B": "B",
        "option 2": "B",
        "the second option": "B",
        "A": "A",
        "a": "A",
    },
    "a letter in prose": {
        "The answer is (B).": "B",
        "The light changes at 6 s. The correct answer is **B**.": "B",
        "**Answer: B**": "B",
        "Answer: B. green": "B",
        "I would choose option B because the light changes.": "B",
        "Option A shows red, which it is not. Therefore B is correct.": "B",
        "The correct option is B": "B",
        "The car does not stop, so B is the right one.\n\nB": "B",
        "It turns.\nSo the final answer is \\boxed{B}": "B",
        "The answer is A because it is red.": "A",
        "The answer is A\nIt is red.": "A",
        "the answer is b.": "B",
        "The second option is correct.": "B",
    },
    "an option's text": {
        "green": "B",
        "Green.": "B",
        "The answer is green.": "B",
        '{"answer": "GREEN"}': "B",
        '{"answer": "It is  off"}': "C",
        "A car is visible": "D",
        '{"answer": "A car is visible."}': "D",
    },
    "abstention": {
        "unknown": UNKNOWN,
        "Unknown.": UNKNOWN,
        '{"answer": "unknown"}': UNKNOWN,
        '{"answer": "Unknown", "frames": []}': UNKNOWN,
        '{"answer": "cannot tell"}': UNKNOWN,
        "I cannot tell from these frames.": UNKNOWN,
        "From these frames, one can't say which it is.": UNKNOWN,
        "It is impossible to determine the colour.": UNKNOWN,
        "I'm unable to determine the colour of the light.": UNKNOWN,
        "It cannot be determined.": UNKNOWN,
        "The answer is unknown.": UNKNOWN,
        "There is not enough information.": UNKNOWN,
        "The frames do not show the light.": UNKNOWN,
        "I don't know": UNKNOWN,
        '{"abstain": true}': UNKNOWN,
        "无法判断": UNKNOWN,
        "答案：无法判断": UNKNOWN,
        "抱歉，我无法确定灯的颜色。": UNKNOWN,
        "从画面中无法看清": UNKNOWN,
        "不知道": UNKNOWN,
        '{"answer": "未知"}': UNKNOWN,
    },
    "several letters": {
        "A, C": "ambiguous_answer",
        "A and C": "ambiguous_answer",
        "AC": "ambiguous_answer",
        '{"answer": "B or D"}': "ambiguous_answer",
        '{"answer": ["A", "B"]}': "ambiguous_answer",
        "A、C": "ambiguous_answer",
        "The answer is either A or C.": "ambiguous_answer",
        "The answer is A. No, the answer is B.": "ambiguous_answer",
        '{"answer": "A"} or rather {"answer": "B"}': "ambiguous_answer",
        '{"answer": "A", "answer": "B"}': "ambiguous_answer",
        '{"answer": "B. red"}': "ambiguous_answer",
        "A\nB": "ambiguous_answer",
        "答案是A和C": "ambiguous_answer",
    },
    "no option": {
        "E": "answer_outside_options",
        "I": "answer_outside_options",
        "The answer is F.": "answer_outside_options",
        '{"answer": "E"}': "answer_outside_options",
        '{"answer": "blue"}': "answer_outside_options",
        '{"answer": 2}': "answer_outside_options",
        '{"answer": "a car"}': "answer_outside_options",
        '{"answer": "I think it is fine"}': "answer_outside_options",
    },
    "refusal": {
        "I'm sorry, but I can't help with that.": "refusal",
        "I cannot view images.": "refusal",
        '{"answer": "I\'m sorry, I cannot assist with that."}': "refusal",
        '{"error": "I cannot see the image."}': "refusal",
        "作为一个人工智能，我不便回答。": "refusal",
    },
    "nothing": {
        "": "empty_response",
        " \n": "empty_response",
        '{"answer": ""}': "empty_response",
        '{"answer": null}': "empty_response",
        "<think>B?": "empty_response",
        '{"reasoning": "It is red."}': "schema_violation",
        '{"answer": {"A": 1}}': "schema_violation",
    },
    "words that are no letters": {
        "A car stops at the light.": "invalid_json",
        "I see a bus.": "invalid_json",
        "The answer is a matter of taste.": "invalid_json",
        "The answer is A car.": "invalid_json",
        "Answer: I think it rains": "invalid_json",
        "The answer is not B.": "invalid_json",
        "Neither A nor B is correct.": "invalid_json",
        "If B is correct, it turns.": "invalid_json",
        "Option A shows a bus.": "invalid_json",
        "The light is green.": "invalid_json",
        "The car is in lane B": "invalid_json",
        "It hits the B-pillar; the answer is B-pillar": "invalid_json",
        "plan A": "invalid_json",
    },
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [(text, expected) for cases in CASES.values() for text, expected in cases.items()],
    ids=[f"{name}: {text}" for name, cases in CASES.items() for text in cases],
)
def test_each_class_of_answers(text, expected):
    assert said(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "答案是B": "B",
        "答案：B": "B",
        "正确答案为Ｂ。": "B",
        "选B": "B",
        "应选B，因为灯变绿了。": "B",
        "我选择B": "B",
        "选项B": "B",
        "选项B是正确的": "B",
        "选项二": "B",
        "答案是选项二": "B",
        "第二个选项": "B",
        "绿灯": "B",
        "答案是绿灯。": "B",
        '{"答案": "B"}': "B",
        "无法判断": "C",
        '{"answer": "无法判断"}': "C",
        "不选A，应选B": "B",
        "答案不是A": "invalid_json",
        "不应选A": "invalid_json",
        "选项A显示红灯": "invalid_json",
        "答案是A车道": "invalid_json",
        "答案是E": "answer_outside_options",
        "看不清": UNKNOWN,
    }.items(),
)
def test_chinese_answers(text, expected):
    assert said(text, CHINESE) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        '{"answer": "a bus", "frames": [3]}': "a bus",
        "A bus turns left.": "A bus turns left.",
        '{"answer": "B"}': "B",
        '{"answer": 3}': "3",
        '{"answer": "none"}': "none",
        "The driver could not know that the bus stops.": "The driver could not know that the bus stops.",
        "unknown": UNKNOWN,
        '{"answer": "cannot tell"}': UNKNOWN,
        "I'm sorry, I can't help with that.": "refusal",
        '{"reasoning": "x"}': "schema_violation",
        '{"answer": "a bus': "invalid_json",
        "": "empty_response",
    }.items(),
)
def test_open_answers(text, expected):
    assert said(text, {}) == expected


@given(st.text(), st.sampled_from([OPTIONS, CHINESE, {}]))
def test_no_text_breaks_the_reading(text, options):
    for one in (text, json.dumps({"answer": text}), f"The answer is {text}"):
        read = read_answer(one, options)
        if options and isinstance(read, Reading):
            assert read.answer is None or read.answer in options


@given(st.sampled_from("ABCD"), st.sampled_from("ABCD"))
def test_two_claims_are_never_one_answer(one, other):
    expected = one if one == other else "ambiguous_answer"
    assert said(f"The answer is {one}. Well, the answer is {other}.") == expected


FRAMES = "\n".join(f"Frame {n} (00:0{n // 2}.0)\toss://h/b/{n}.jpg" for n in (2, 4, 10))
PART = RowPart("reading", tuple((c.name, c.type) for c in READING_COLUMNS), "abstained")


def grade(*answers, **row):
    base = {
        "options": json.dumps(OPTIONS),
        "answer": "B",
        "frames": FRAMES,
        "evidence_frames": "4,10",
        "evidence_start_ms": 1500,
        "status": "ok",
        "error_stage": "",
        "error_type": "",
        "error_msg": "",
        **{column.name: None for column in READING_COLUMNS},
    }
    rows = pd.DataFrame([{**base, "answer_text": text, **row} for text in answers], dtype=object)
    made = grade_answers(rows, ReadingJob(PART), tuple(rows.columns))
    return made.astype(object).where(made.notna(), None).to_dict("records")


def cells(row, *names):
    return tuple(row[name] for name in names)


def test_a_row_says_what_was_answered_and_on_which_frames():
    text = json.dumps({"reasoning": " It turns. ", "answer": "B", "frames": [10, "Frame 4 (00:02.0)", 99, 4]})
    [row] = grade(text)
    names = [column.name for column in READING_COLUMNS]
    assert cells(row, *names) == ("B", "It turns.", "[4, 10]", False, True, True)
    assert row["status"] == "ok"


def test_right_wrong_and_unknown():
    texts = ['{"answer": "B"}', '{"answer": "A"}', '{"answer": "unknown"}', "E"]
    rows = grade(*texts)
    assert [row["is_correct"] for row in rows] == [True, False, False, None]
    assert [row["abstained"] for row in rows] == [False, False, True, None]
    assert [row["error_type"] for row in rows] == ["", "", "", "answer_outside_options"]
    assert [row["error_stage"] for row in rows][-1] == "reading"
    assert [row["is_correct"] for row in grade(*texts, answer=None)] == [None] * 4


def test_another_text_of_an_open_answer_is_not_judged():
    rows = grade("A Ｂus.", "a coach", "unknown", options="", answer="a bus")
    assert [row["is_correct"] for row in rows] == [True, None, False]


@pytest.mark.parametrize(
    ("frames", "row", "expected"),
    [
        ([4], {}, ("[4]", True)),
        (["Frame 2"], {}, ("[2]", False)),
        ("Frame 4, Frame 10", {}, ("[4, 10]", True)),
        (4, {}, ("[4]", True)),
        (4.0, {}, ("[4]", True)),
        ([], {}, ("[]", False)),
        (None, {}, ("[]", False)),
        (True, {}, ("[]", False)),
        ([5], {}, ("[]", False)),
        ([4], {"evidence_start_ms": None}, ("[4]", None)),
        ([4], {"evidence_frames": None}, ("[4]", False)),
        ([4], {"frames": None}, ("[]", None)),
    ],
)
def test_frames_that_were_not_shown_count_for_nothing(frames, row, expected):
    [made] = grade(json.dumps({"answer": "B", "frames": frames}), **row)
    assert cells(made, "given_frames", "relied_on_evidence") == expected


def test_a_row_that_failed_before_keeps_its_reason():
    [row] = grade(None, status="failed", error_stage="answer", error_type="timeout")
    assert cells(row, "error_stage", "error_type", "given_answer") == ("answer", "timeout", None)
