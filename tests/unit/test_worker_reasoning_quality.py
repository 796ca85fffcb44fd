"""What is measured of items: lengths, language, hashes, and what is answered right without the video."""

import json

import pandas as pd
import pytest

from airflow_provider_drivepipe.worker.reasoning.qa_items import ItemsJob, parse_items
from airflow_provider_drivepipe.worker.reasoning.quality import (
    BlindJob,
    QualityRules,
    blind_right,
    judge_blind,
    language_of,
    token_f1,
)
from airflow_provider_drivepipe.worker.rows import RowPart

OPEN = {
    "question": "Why does the bus stop?",
    "answer": "The light is red.",
    "reasoning": "The bus brakes at the line.",
    "start_mmss": "00:05",
    "end_mmss": "00:09",
}
MCQ = {**OPEN, "options": ["The light is red", "A car brakes", "It turns", "It waits"], "answer": "It turns"}
PART = RowPart("blind_check", (("blind_answerable", "boolean"),), "blind_answerable")


def parse(*answers, rules=None):
    """Items of (video, type, what the model said)."""
    rows = pd.DataFrame(
        {
            "video_id": [video for video, _, _ in answers],
            "qa_type": [type_ for _, type_, _ in answers],
            "qa_text": [json.dumps(said, ensure_ascii=False) for _, _, said in answers],
            "duration_ms": 20_000,
        }
    )
    return parse_items(rows, ItemsJob("qa_text", ("video_id",), quality=rules or QualityRules()))


def one(said, rules=None, type_="open_qa"):
    return parse(("v", type_, said), rules=rules).to_dict("records")[0]


def test_lengths_are_counted_and_held_against_limits():
    row = one(OPEN)
    assert (row["question_chars"], row["answer_chars"], row["length_ok"]) == (22, 17, True)
    assert one(OPEN, QualityRules(question_chars=(5, 21)))["length_ok"] is False
    assert one(OPEN, QualityRules(answer_chars=(18, 99)))["length_ok"] is False
    assert pd.isna(one(OPEN, QualityRules(question_chars=None, answer_chars=None))["length_ok"])
    times = one(OPEN, QualityRules(answer_chars=(18, 99)), "temporal_localization")
    assert times["length_ok"] is True
    assert pd.isna(times["answer_chars"])


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (("The bus stops at 00:05.",), "en"),
        (("前车急刹，SUV 避让。",), "zh"),
        (("The bus stops.", "公交车停了。"), "mixed"),
        (("Автобус стоит",), "other"),
        (("バスがとまる",), "other"),
        (("00:05", ""), None),
        ((), None),
    ],
)
def test_language_goes_by_script(texts, language):
    assert language_of(texts) == language


def test_the_language_that_was_asked_for():
    assert one(OPEN, QualityRules(language="en"))["language_ok"] is True
    assert (
        one({**OPEN, "reasoning": "公交车在路口停下。"}, QualityRules(language="en"))["language_ok"] is False
    )
    assert pd.isna(one(OPEN)["language_ok"])


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("According to the caption, it stops.", True),
        ("The dense captions agree.", True),
        ("The detailed description states that it stops.", True),
        ("As mentioned in the description, it stops.", True),
        ("根据视频描述，车停了。", True),
        ("描述中提到车停了。", True),
        ("The bus stops in the right lane.", False),
        ("The driver's description of the van is painted on it.", False),
        ("车停在路口。", False),
    ],
)
def test_items_that_speak_of_captions_are_marked(text, mentions):
    for where in ("question", "answer", "reasoning"):
        assert one({**OPEN, where: text})["mentions_source"] is mentions


def test_the_same_question_has_a_hash_within_a_video_and_with_its_answer_one_across_videos():
    made = parse(
        ("v1", "open_qa", OPEN),
        ("v1", "open_qa", {**OPEN, "question": "why does  the bus stop", "answer": "A car brakes."}),
        ("v2", "open_qa", {**OPEN, "question": "WHY does the bus stop?", "reasoning": "Other."}),
        ("v2", "causal_linkage", OPEN),
        ("v3", "open_qa", {**OPEN, "answer": "A cyclist falls."}),
        ("v4", "open_qa", {"question": ""}),
    )
    first, reworded, other_video, other_task, other_answer, _ = made["question_hash"]
    assert len({first, other_video, other_task, other_answer}) == 4
    assert first == reworded
    first, reworded, other_video, other_task, other_answer, _ = made["text_hash"]
    assert len({first, reworded, other_task, other_answer}) == 4
    assert first == other_video
    assert made[["question_hash", "text_hash"]].iloc[-1].isna().all()


def test_the_order_of_options_does_not_matter():
    turned = {**MCQ, "options": MCQ["options"][::-1]}
    made = parse(*((f"v{n}", "mcq", turned if n % 2 else MCQ) for n in range(12)))
    assert made["answer_short"].nunique() > 1
    assert made["text_hash"].nunique() == 1


def test_localizations_of_other_times_are_others():
    later = {**OPEN, "start_mmss": "00:06"}
    made = parse(("v1", "temporal_localization", OPEN), ("v2", "temporal_localization", later))
    assert made["text_hash"].nunique() == 2


@pytest.mark.parametrize(
    ("type_", "said", "right"),
    [
        ("mcq", "{letter}", True),
        ("mcq", "{letter}. It turns", True),
        ("mcq", "it turns", True),
        ("mcq", "It waits", False),
        ("mcq", "I do not know", False),
        ("bcq", "**Yes**", True),
        ("bcq", "是", True),
        ("bcq", "No", False),
        ("bcq", "It cannot be told.", False),
        ("temporal_localization", "00:05 - 00:10", True),
        ("temporal_localization", '{{"start": "00:05", "end": "00:08"}}', True),
        ("temporal_localization", "00:07 - 00:09", False),
        ("temporal_localization", "00:05", False),
        ("open_qa", "Because the light was red", True),
        ("open_qa", "A pedestrian crosses", False),
        ("open_qa", "The light cannot be determined, the light is red", False),
    ],
)
def test_without_the_video_an_answer_is_right_or_not(type_, said, right):
    answers = {"mcq": MCQ, "bcq": [{**OPEN, "answer": "Yes."}]}
    row = one(answers.get(type_, OPEN), type_=type_)
    assert row["error_type"] == ""
    assert blind_right(row, said.format(letter=row["answer_short"])) is right


def test_words_are_compared_without_articles_and_case_and_chinese_by_character():
    assert token_f1("The light is red.", "light IS red") == 1
    assert token_f1("前车急刹", "前车刹车") == pytest.approx(0.75)
    assert token_f1("", "") == token_f1("...", "red") == 0


def test_the_blind_answers_of_rows_are_judged_and_rows_without_one_fail():
    rows = parse(*(("v", "open_qa", {**OPEN, "question": f"Why is it {n}?"}) for n in range(5)))
    rows = rows.assign(
        blind_text=pd.Series(
            ['{"answer": "The light is red"}', "The light is red", '{"answer": 3}', None, " "], dtype=object
        ),
        status=["ok"] * 3 + ["ok", "failed"],
        error_stage=[""] * 4 + ["blind"],
    )
    columns = ["item_id", "blind_answerable", "status", "error_stage", "error_type", "error_msg"]
    judged = judge_blind(rows.assign(blind_answerable=None), BlindJob(PART, "blind_text"), columns)
    assert [None if pd.isna(cell) else bool(cell) for cell in judged["blind_answerable"]] == [
        *(True, True, False),
        *(None, None),
    ]
    assert list(judged["error_stage"]) == ["", "", "", "blind_check", "blind"]
    assert list(judged["error_type"])[3] == "empty_input"
