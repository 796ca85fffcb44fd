"""Answers become items: each checked, none lost, and no refusal among the training data."""

import json
import re
import subprocess
import sys

import cloudpickle
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_drivepipe import contracts, worker
from airflow_provider_drivepipe.worker.reasoning.letters import relettered
from airflow_provider_drivepipe.worker.reasoning.qa_items import (
    ITEM_COLUMNS,
    TASKS,
    ItemsJob,
    TypesJob,
    item_dtypes,
    parse_items,
    qa_types,
    type_dtypes,
)
from airflow_provider_drivepipe.worker.reasoning.words import lacks_answer, read_yes_no

TIMES = {"start_mmss": "00:05", "end_mmss": "00:09"}
OPTIONS = ["A red car brakes", "A bus\nturns left", "A cyclist falls", "A van stops"]
MCQ = {
    "question": "What happens?",
    "options": OPTIONS,
    "answer": "A bus\nturns left",
    "reasoning": "It turns.",
    **TIMES,
}
OPEN = {
    "question": "What happens between 00:05 and 00:09?",
    "answer": "A bus turns.",
    "reasoning": "x",
    **TIMES,
}
PAIR = {
    "yes": {"question": "Does it stop?", "explanation": "The bus halts.", "reasoning": "x", **TIMES},
    "no": {"question": "Does it turn?", "explanation": "It goes straight on.", "reasoning": "x", **TIMES},
}
LINEAGE = ("video_id", "qa_type", "duration_ms", "car")


def table(*answers, duration_ms=20_000):
    """Answers as (type, what the model said); ``car`` is lineage, an integer with NULLs."""
    said = [one if isinstance(one, str | None) else json.dumps(one, ensure_ascii=False) for _, one in answers]
    return pd.DataFrame(
        {
            "video_id": "v1",
            "qa_type": [type_ for type_, _ in answers],
            "qa_text": pd.Series(said, dtype=object),
            "duration_ms": pd.array([duration_ms] * len(answers), dtype="Int64"),
            "car": pd.array([None] * len(answers), dtype="Int64"),
            "attempt": 2,
            "fingerprint": "f",
        }
    ).set_axis([7] * len(answers), axis=0)


def parse(*answers, language="en", **more):
    return parse_items(table(*answers, **more), ItemsJob("qa_text", LINEAGE, language))


def item(type_, said, **more):
    return parse((type_, said), **more).to_dict("records")[0]


def reason(type_, said, **more):
    row = item(type_, said, **more)
    assert row["status"] == ("failed" if row["error_type"] else "ok")
    return row["error_type"]


def test_each_type_gives_its_items():
    made = parse(
        ("mcq", MCQ),
        ("bcq", PAIR),
        *((type_, OPEN) for type_ in ("open_qa", "causal_linkage", "temporal_event_desc")),
        ("temporal_localization", {**OPEN, "answer": None}),
        (
            "scene_description",
            {"question": "Describe the scene.", "answer": "A street; the sign shows 17:30."},
        ),
        ("event_summary", {"question": "Sum up.", "answer": "A bus turns at 00:05."}),
    )
    assert list(made["task"]) == [
        "mcq",
        "bcq",
        "bcq",
        *list(TASKS.values())[2:4],
        "temporal_description",
        *(["temporal_localization", "scene_description", "video_summarization"]),
    ]
    assert list(made["item_number"]) == [0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert set(made["status"]) == {"ok"}
    assert made["item_said"].isna().all()
    assert made["item_id"].is_unique
    assert list(made["start_ms"].dropna().unique()) == [5000]
    assert list(made["end_ms"].dropna().unique()) == [9000]
    assert list(made["start_ms"].isna()) == [False] * 7 + [True] * 2
    assert list(made["answer"].isna()) == [False] * 6 + [True] + [False] * 2
    assert list(made["answer"][1:3]) == ["Yes. The bus halts.", "No. It goes straight on."]
    assert list(made["answer_short"][1:3]) == ["Yes", "No"]
    assert list(made["qa_type"]) == [
        "mcq",
        "bcq",
        "bcq",
        *list(TASKS)[2:4],
        "temporal_event_desc",
        *(["temporal_localization", "scene_description", "event_summary"]),
    ]
    assert made["car"].isna().all()
    lineage = {name: made.dtypes[name] for name in LINEAGE}
    assert dict(made.dtypes.astype(str)) == {k: str(v) for k, v in item_dtypes(lineage).items()}
    assert set(made["attempt"]) == {2}
    assert set(made["fingerprint"]) == {"f"}


def test_the_same_answer_gives_the_same_items_and_another_video_others():
    first, again = parse(("mcq", MCQ), ("bcq", PAIR)), parse(("mcq", MCQ), ("bcq", PAIR))
    pd.testing.assert_frame_equal(first, again)
    assert first["item_id"][0] == "cdcc4de68583754d"
    other = parse_items(table(("mcq", MCQ)).assign(video_id="v2"), ItemsJob("qa_text", LINEAGE))
    assert other["item_id"][0] != first["item_id"][0]


@given(
    st.lists(st.text("ABCabc 红蓝车\n'", min_size=1), min_size=2, max_size=6).filter(
        lambda texts: all("".join(text.split()).strip("'") for text in texts)
    ),
    st.integers(0, 5),
)
def test_defect_6_the_answer_is_the_right_option_in_any_order(words, at):
    options = [f"{number} {text}x" for number, text in enumerate(words)]
    right = options[at % len(options)]
    row = item("mcq", {**MCQ, "options": options, "answer": right})
    assume(row["error_type"] != "names_option_letter")
    shown = json.loads(row["options"])
    assert sorted(shown) == sorted(option.strip() for option in options)
    assert row["answer"] == f"{row['answer_short']}. {right.strip()}"
    assert shown["ABCDEFGH".index(row["answer_short"])] == right.strip()


def test_letters_are_spread_evenly():
    rows = [item("mcq", {**MCQ, "question": f"What happens at place {n}?"}) for n in range(200)]
    shares = pd.Series([row["answer_short"] for row in rows]).value_counts()
    assert set(shares.index) == set("ABCD")
    assert shares.min() > 30


def test_defect_6_letters_in_the_reasoning_move_with_the_options():
    said = "Option B is right: it turns. Options A, C and D are wrong. A car brakes later than vehicle B."
    row = item("mcq", {**MCQ, "reasoning": said})
    shown = json.loads(row["options"])
    letter = dict(zip(shown, "ABCD", strict=True))
    named = re.findall(r"\b[A-D]\b", row["reasoning"])
    assert named == [*(letter[OPTIONS[place]] for place in (1, 0, 2, 3)), "A", "B"]
    assert row["answer_short"] == named[0]
    assert [letter[option] for option in OPTIONS] != list("ABCD")


MOVES = {"A": "C", "B": "A", "C": "D", "D": "B"}


@pytest.mark.parametrize(
    ("said", "now"),
    [
        ("The correct answer is B.", "The correct answer is A."),
        ("**Option B** (not option C) fits.", "**Option A** (not option D) fits."),
        ("Option B's claim holds.", "Option A's claim holds."),
        ("选项B正确，A项错误，故选B。", "选项A正确，C项错误，故选A。"),
        ("答案是B，因为前车刹车", "答案是A，因为前车刹车"),
        ("A car hits vehicle B behind the B-pillar.", "A car hits vehicle B behind the B-pillar."),
        ("Answer: A car stops.", "Answer: A car stops."),
        ("车辆A撞上车辆B，时速60公里以上", "车辆A撞上车辆B，时速60公里以上"),
        ("", ""),
        ("Option A is right.", None),
        ("答案是A", None),
        ("Option E fits.", None),
        ("B is wrong.", None),
        ("It is (C).", None),
        ("option b fits", None),
        ("The first option fits.", None),
        ("第二个选项正确", None),
        ("B和C都不对", None),
        ("None of the above fits.", None),
        ("以上都不对", None),
    ],
)
def test_defect_6_letters_are_changed_only_where_it_is_certain_what_they_mean(said, now):
    assert relettered(said, MOVES, "B") == now


@pytest.mark.parametrize(
    "changed",
    [
        {"reasoning": "B is the one."},
        {"options": [*OPTIONS[:3], "Both A and B"]},
        {"options": [*OPTIONS[:3], "All of the above"]},
        {"question": "Which fits, option A or another?"},
    ],
)
def test_defect_6_stale_letters_never_become_training_data(changed):
    row = item("mcq", {**MCQ, **changed})
    assert row["error_type"] == "names_option_letter"
    assert row["question"] is None
    assert json.loads(row["item_said"]) == {**MCQ, **changed}


@pytest.mark.parametrize(
    "answer", ["B", "(b)", "Option B", "a bus turns left.", "B. A bus turns left", "选项B"]
)
def test_an_answer_by_letter_or_in_other_spelling_is_the_option(answer):
    assert item("mcq", {**MCQ, "answer": answer})["answer"].endswith("A bus\nturns left")


def test_letters_before_options_are_taken_off():
    lettered = [f"{letter}. {text}" for letter, text in zip("DCBA", OPTIONS, strict=True)]
    row = item("mcq", {**MCQ, "options": lettered, "answer": "C", "reasoning": "Option C it is."})
    assert sorted(json.loads(row["options"])) == sorted(OPTIONS)
    assert row["answer"] == f"{row['answer_short']}. A bus\nturns left"
    assert row["reasoning"] == f"Option {row['answer_short']} it is."


def test_defect_14_options_of_several_lines_stay_whole():
    row = item("mcq", MCQ)
    assert "A bus\nturns left" in json.loads(row["options"])
    assert row["answer"] == f"{row['answer_short']}. A bus\nturns left"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("A tram", "answer_outside_options"),
        ("E", "answer_outside_options"),
        ("C. A bus turns left", "answer_outside_options"),
        ("Not visible in the video.", "not_visible"),
        ("I'm sorry, I cannot help with that.", "refusal"),
        ("", "schema_violation"),
    ],
)
def test_an_answer_that_is_no_option_fails_its_item(answer, error):
    assert reason("mcq", {**MCQ, "answer": answer}) == error


@pytest.mark.parametrize(
    "options", [None, "A. x", [], ["x"], ["x", "X "], ["x", 3], ["A. x", "B. "], [f"o{n}" for n in range(9)]]
)
def test_options_that_are_none_fail_their_item(options):
    assert reason("mcq", {**MCQ, "options": options, "answer": "x"}) == "schema_violation"


def test_an_option_that_says_nothing_can_be_seen_is_no_right_answer():
    options = [*OPTIONS[:3], "Not visible in the video"]
    assert reason("mcq", {**MCQ, "options": options, "answer": options[3]}) == "not_visible"
    assert reason("mcq", {**MCQ, "options": options}) == ""


YES_NO = {"question": "Does it stop?", "reasoning": "x", **TIMES}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("Not visible in the video.", "not_visible"),
        ("Nothing indicates a stop.", "not_visible"),
        ("No. It cannot be determined whether it stops.", "not_visible"),
        ("没有迹象表明停车", "not_visible"),
        ("Yesterday it stopped.", "answer_outside_options"),
        ("No vehicle is there to tell.", "answer_outside_options"),
        ("Yes/No", "answer_outside_options"),
        ("As an AI language model, no.", "refusal"),
        ("请提供视频", "refusal"),
        ("", "schema_violation"),
    ],
)
def test_defect_13_a_refusal_is_no_label(answer, error):
    row = item("bcq", [{**YES_NO, "answer": answer}])
    assert (row["error_type"], row["answer_short"]) == (error, None)
    explained = {**YES_NO, "explanation": answer}
    if error != "answer_outside_options":
        assert reason("bcq", {"no": explained}) == error


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("Yes", True),
        ("**Yes**", True),
        ("Answer: Yes", True),
        ("The answer is no.", False),
        ("No, it goes on.", False),
        ("NO – the car goes on", False),
        ("No it does not", False),
        ("答案：是。车停了", True),
        ("否", False),
        ("没有。", False),
        ("不知道", None),
        ("No-one stops", None),
        ("Yes or no", None),
        ("Not visible", None),
        ("", None),
    ],
)
def test_defects_10_and_13_yes_and_no_are_words_of_their_own(said, read):
    assert read_yes_no(said) is read


def test_one_of_a_pair_fails_alone_and_the_place_says_which_it_is():
    odd = {**PAIR, "yes": {**PAIR["yes"], "explanation": "No, it goes on."}}
    made = parse(("bcq", odd))
    assert list(made["error_type"]) == ["answer_outside_options", ""]
    assert list(made["item_number"]) == [0, 1]
    assert made["answer_short"][1] == "No"
    chinese = parse(("bcq", {**PAIR, "yes": {**PAIR["yes"], "explanation": "是，车停了。"}}), language="zh")
    assert list(chinese["answer"]) == ["是，车停了。", "否。It goes straight on."]
    assert list(chinese["answer_short"]) == ["是", "否"]


@pytest.mark.parametrize(
    ("start", "end", "times"),
    [
        ("00:05", "00:09", (5000, 9000)),
        ("00:15", "00:21", (15_000, 20_000)),
        ("00:05", "00:22", None),
        ("00:09", "00:05", None),
        ("00:05", "00:05", None),
        ("soon", "later", None),
        (None, None, None),
    ],
)
def test_times_are_in_the_video_and_start_before_they_end(start, end, times):
    row = item("open_qa", {**OPEN, "start_mmss": start, "end_mmss": end})
    assert row["error_type"] == ("" if times else "time_outside_video")
    assert times is None or (row["start_ms"], row["end_ms"]) == times


@pytest.mark.parametrize("where", ["question", "answer", "reasoning"])
def test_a_clock_behind_the_end_fails_its_item(where):
    assert (
        reason("open_qa", {**OPEN, where: "It is seen at 00:20, and again at 01:21."}) == "time_outside_video"
    )


def test_defect_12_a_localization_in_the_prompts_literal_form_has_its_times():
    said = {
        **YES_NO,
        "start_mmss": None,
        "end_mmss": None,
        "answer": "Start_Time: [00:05], End_Time: [00:09]",
    }
    row = item("temporal_localization", said)
    assert (row["start_ms"], row["end_ms"], row["answer"], row["error_type"]) == (5000, 9000, None, "")


def test_the_question_of_a_description_names_the_times_of_its_item():
    for question in ("What happens?", "What happens between 00:12 and 00:15?"):
        assert reason("temporal_event_desc", {**OPEN, "question": question}) == "time_outside_video"


@pytest.mark.parametrize("type_", list(TASKS))
@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"question": "I'm sorry, I cannot help with that."}, "refusal"),
        ({"question": "Please provide the video description first."}, "refusal"),
        ({"question": " "}, "schema_violation"),
        ({"question": None}, "schema_violation"),
        ({"question": ["x"]}, "schema_violation"),
    ],
)
def test_no_type_takes_a_refusal_or_an_item_without_a_question(type_, changed, error):
    said = {**MCQ, **changed} if type_ == "mcq" else {**OPEN, **changed}
    assert reason(type_, said) == error


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("I cannot answer: I'm unable to see it.", "refusal"),
        ("我无法回答这个问题", "refusal"),
        ("The plate is not visible in the video.", "not_visible"),
        ("Unknown.", "not_visible"),
        ("视频中没有显示原因。", "not_visible"),
        ("无法判断", "not_visible"),
        ("The bus brakes. Why is not visible in the video.", None),
        ("The truck changes lanes with no indication of a reason to.", None),
        ("The driver cannot see the cyclist.", None),
        ("公交车在路口左转。", None),
        ("", None),
    ],
)
def test_defect_13_what_answers_nothing_is_told_apart_from_a_detail_that_is_not_seen(text, why):
    assert lacks_answer(text) == why
    assert reason("open_qa", {**OPEN, "answer": text or "x"}) == (why or "")


@pytest.mark.parametrize(
    ("type_", "said", "error"),
    [
        ("mcq", None, "empty_input"),
        ("mcq", " ", "empty_input"),
        ("mcq", "What happens?", "invalid_json"),
        ("mcq", "[" * 100_000, "invalid_json"),
        ("mcq", "[]", "schema_violation"),
        ("mcq", "{}", "schema_violation"),
        ("mcq", "null", "schema_violation"),
        ("riddle", MCQ, "schema_violation"),
        (None, MCQ, "schema_violation"),
        ("mcq", {"abstain": True}, "not_visible"),
    ],
)
def test_an_answer_without_items_fails_as_a_whole_and_is_not_lost(type_, said, error):
    made = parse((type_, said), ("open_qa", OPEN))
    assert list(made["item_number"]) == [-1, 0]
    assert list(made["error_type"]) == [error, ""]
    assert list(made["error_stage"]) == ["qa_parse", ""]
    assert made["item_id"].isna().tolist() == [True, False]
    assert list(made["video_id"]) == ["v1", "v1"]


@pytest.mark.parametrize("duration_ms", [None, 0, -5])
def test_without_a_duration_no_time_can_be_checked(duration_ms):
    row = item("mcq", MCQ, duration_ms=duration_ms)
    assert (row["item_number"], row["error_type"]) == (-1, "invalid_duration")


def test_an_item_in_a_list_that_is_none_fails_alone():
    made = parse(("bcq", ["x", None, {**YES_NO, "answer": "Yes"}]))
    assert list(made["error_type"]) == ["schema_violation", "schema_violation", ""]
    assert json.loads(made["item_said"][0]) == {"": "x"}


def test_halves_of_characters_and_chinese_are_kept_as_a_table_can_hold_them():
    said = json.dumps({**OPEN, "answer": "前车\ud83d急刹"}, ensure_ascii=True)
    assert item("open_qa", said)["answer"] == "前车\ufffd急刹"
    failed = json.dumps({**OPEN, "answer": "\ud83d", "question": ""})
    assert item("open_qa", failed)["item_said"].encode()


def test_no_rows_give_no_rows_of_the_same_types():
    some, none = parse(("mcq", MCQ)), parse()
    assert list(none.columns) == list(some.columns)
    names = [column.name for column in ITEM_COLUMNS]
    assert none[names].dtypes.equals(some[names].dtypes)


def videos(*texts):
    return pd.DataFrame(
        {
            "video_id": [f"v{n}" for n in range(len(texts))],
            "mode": pd.Series(["anomaly", None, "odd"][: len(texts)], dtype=object),
            "description_text": pd.Series(texts, dtype=object),
            "attempt": 1,
            "fingerprint": "f",
        }
    )


def test_a_video_gives_a_row_for_each_wanted_type_with_the_key_of_its_prompt():
    job = TypesJob(("mcq", "event_summary"), "description_text", ("video_id", "mode"))
    made = qa_types(videos("a", "描述", "c"), job)
    assert list(made["qa_key"]) == [
        *("qa.mcq.anomaly", "qa.event_summary.anomaly"),
        *["qa.mcq.normal", "qa.event_summary.normal"] * 2,
    ]
    assert list(made["qa_type"]) == ["mcq", "event_summary"] * 3
    assert list(made["item_number"]) == [0, 1] * 3
    assert list(made["video_id"]) == ["v0", "v0", "v1", "v1", "v2", "v2"]
    lineage = {name: made.dtypes[name] for name in ("video_id", "mode")}
    assert dict(made.dtypes.astype(str)) == {k: str(v) for k, v in type_dtypes(lineage).items()}


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_a_video_without_a_description_keeps_a_row(text):
    made = qa_types(videos("a", text), TypesJob(("mcq",), "description_text", ("video_id",)))
    assert list(made["item_number"]) == [0, -1]
    assert list(made["error_type"]) == ["", "empty_input"]
    assert list(made["error_stage"]) == ["", "qa_types"]
    assert made["qa_type"].isna().tolist() == [False, True]


def test_workers_need_nothing_of_ours(tmp_path):
    cloudpickle.register_pickle_by_value(worker)
    cloudpickle.register_pickle_by_value(contracts)
    call = (parse_items, table(("mcq", MCQ)), ItemsJob("qa_text", LINEAGE))
    (tmp_path / "udf").write_bytes(cloudpickle.dumps(call))
    program = (
        "import sys, pickle; sys.modules['airflow_provider_drivepipe'] = None\n"
        "call, rows, job = pickle.load(open(sys.argv[1], 'rb')); print(call(rows, job)['status'][0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "udf")], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "ok"
