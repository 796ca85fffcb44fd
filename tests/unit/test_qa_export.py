"""Which items become training data, and what the files of the export say of them."""

import json
from datetime import date

import pytest
from pyarrow import parquet

from airflow_provider_drivepipe.pipelines.reasoning.export import (
    ITEMS_JSONL,
    ITEMS_PARQUET,
    TASKS,
    TASKS_OF,
    ExportOptions,
    QaItem,
    UnfitItem,
    write_set,
)

ROOT = "oss://oss.example/bucket/trips"
DAY = date(2026, 11, 20)
ROW = {
    "item_id": "item-1",
    "video_path": f"{ROOT}/a/front.mp4",
    "qa_type": "open_qa",
    "question": "Why does the car stop?",
    "options": None,
    "answer": "A van cuts in.",
    "reasoning": "The van changes lanes first.",
    "start_ms": 5200,
    "end_ms": 9400,
}
OPTIONS = ["It turns left.", "It brakes.", "It parks."]


def item(**more):
    return QaItem.of_row({**ROW, **more})


def mcq(options=OPTIONS, answer="B", **more):
    return item(qa_type="mcq", options=json.dumps(options), answer=answer, **more)


def entries(each):
    """Return what the files have of an item, by task."""
    made = {task.name: task.entry(each, ROOT) for task in TASKS_OF[each.qa_type]}
    return {name: entry for name, entry in made.items() if entry is not None}


def unfit(reason, **more):
    with pytest.raises(UnfitItem) as caught:
        item(**more)
    assert caught.value.reason == reason
    return str(caught.value)


def test_ten_tasks_of_eight_types():
    assert [task.name for task in TASKS] == [
        "mcq",
        "mcq_openended",
        "bcq",
        "bcq_openended",
        "open_qa",
        "causal_linkage",
        "temporal_localization",
        "temporal_description",
        "scene_description",
        "video_summarization",
    ]
    assert len(TASKS_OF) == 8


def test_an_item_can_be_traced_back():
    assert entries(item()) == {
        "open_qa": {
            "video_id": "a/front.mp4",
            "question": "Why does the car stop?",
            "answer": "A van cuts in.",
            "reasoning": "The van changes lanes first.",
            "item_index": "item-1",
            "video_path": f"{ROOT}/a/front.mp4",
        }
    }
    assert "reasoning" not in entries(item(reasoning=None))["open_qa"]


def test_multiple_choice_becomes_two_items():
    shown = "Why does the car stop?\nA. It turns left.\nB. It brakes.\nC. It parks.\n"
    made = entries(mcq())
    assert made["mcq"]["question"] == shown + "Answer with a single letter."
    assert made["mcq"]["answer"] == "B"
    assert made["mcq_openended"]["question"] == (
        shown + "Answer with the correct option letter followed by a brief explanation."
    )
    assert made["mcq_openended"]["answer"] == "B. It brakes."


def test_defect_6_options_and_letters_stay_as_the_reasoning_knows_them():
    """The original shuffled options when it wrote the files, and left the letters in the reasoning stale."""
    for number, letter in enumerate("ABC"):
        made = entries(mcq(answer=letter, reasoning=f"Option {letter} is what is seen."))
        assert made["mcq"]["answer"] == letter
        assert f"\n{letter}. {OPTIONS[number]}\n" in made["mcq"]["question"]
        assert made["mcq_openended"]["answer"] == f"{letter}. {OPTIONS[number]}"
        assert made["mcq"]["reasoning"] == f"Option {letter} is what is seen."


@pytest.mark.parametrize("answer", ["D", "b", "AB", "It brakes.", ""])
def test_an_answer_outside_the_options_is_refused(answer):
    unfit("schema_violation", qa_type="mcq", options=json.dumps(OPTIONS), answer=answer)


@pytest.mark.parametrize(
    "options", [None, "[]", '["one"]', '["same", "Same "]', '["a", " "]', '"text"', "[1, 2]", "no JSON"]
)
def test_options_that_are_none_are_refused(options):
    unfit("schema_violation", qa_type="mcq", options=options, answer="A")


def test_defect_14_an_option_of_two_lines_keeps_its_second_line():
    made = entries(mcq(["It turns\nleft at the light.", "It brakes."], "A"))
    assert "\nA. It turns left at the light.\nB. It brakes.\n" in made["mcq"]["question"]
    assert made["mcq_openended"]["answer"] == "A. It turns left at the light."


@pytest.mark.parametrize(
    ("answer", "short", "full"),
    [
        ("Yes. It brakes.", "Yes", "Yes. It brakes."),
        ("no, it goes on.\nAll along.", "No", "No, it goes on.\nAll along."),
        ("YES", "Yes", None),
        ("No.", "No", None),
    ],
)
def test_yes_and_no(answer, short, full):
    made = entries(item(qa_type="bcq", answer=answer))
    assert made["bcq"]["answer"] == short
    assert made["bcq"]["question"] == "Why does the car stop?\nAnswer with Yes or No."
    assert made.get("bcq_openended", {}).get("answer") == full, "no explanation is no answer to that question"


@pytest.mark.parametrize(
    "answer",
    [
        "Not visible in the video.",
        "Nothing indicates a stop.",
        "Yesterday it did.",
        "No information is given.",
        "No one can say.",
        "I cannot tell. No.",
    ],
)
def test_defect_13_a_refusal_is_no_label(answer):
    """The original took what begins with the letters of Yes or No."""
    assert "neither Yes nor No" in unfit("schema_violation", qa_type="bcq", answer=answer)


def when(start, end):
    [made] = entries(item(qa_type="temporal_localization", start_ms=start, end_ms=end, answer=None)).values()
    return made


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        (0, 1, "00:00", "00:01"),
        (5200, 9400, "00:05", "00:10"),
        (5000, 9000, "00:05", "00:09"),
        (59_999, 60_000, "00:59", "01:00"),
        (3_598_500, 3_599_000, "59:58", "59:59"),
    ],
)
def test_defect_12_times_are_the_minutes_and_seconds_that_the_question_wants(start, end, first, last):
    """The original parsed them out of a text, and let other forms of text through as the answer."""
    made = when(start, end)
    assert json.loads(made["answer"]) == {"start": first, "end": last}
    assert made["question"] == (
        "Why does the car stop?\nAnswer with the start and end timestamps in the format "
        '{"start": "MM:SS", "end": "MM:SS"}.'
    )


def test_times_behind_the_first_hour_have_hours_and_so_has_the_question():
    made = when(3_598_500, 3_599_001)
    assert json.loads(made["answer"]) == {"start": "00:59:58", "end": "01:00:00"}
    assert made["question"].endswith('{"start": "HH:MM:SS", "end": "HH:MM:SS"}.')
    assert json.loads(when(36_061_000, 36_062_000)["answer"])["start"] == "10:01:01"


@pytest.mark.parametrize(
    ("start", "end"), [(None, None), (1, None), (None, 1), (-1, 5), (5, 4), (5000, 5000)]
)
def test_a_span_that_is_none_is_refused(start, end):
    unfit("invalid_time_range", qa_type="temporal_localization", start_ms=start, end_ms=end)


def test_texts_name_the_times_of_their_item():
    made = item(
        qa_type="temporal_event_desc",
        question="What happens from {start} to {end}?",
        answer="At {start} it brakes.",
        reasoning="It stands at {end}.",
    )
    assert entries(made)["temporal_description"] | {"video_path": ""} == {
        "video_id": "a/front.mp4",
        "question": "What happens from 00:05 to 00:10?",
        "answer": "At 00:05 it brakes.",
        "reasoning": "It stands at 00:10.",
        "item_index": "item-1",
        "video_path": "",
    }
    unfit("invalid_time_range", question="And at {start}?", start_ms=None, end_ms=None)
    assert item(question="And {then}?", start_ms=None, end_ms=None).question == "And {then}?"


@pytest.mark.parametrize("name", ["item_id", "question", "answer"])
def test_what_is_empty_is_refused(name):
    assert name in unfit("schema_violation", **{name: " "})


def test_a_type_that_there_is_none_of_is_refused():
    unfit("schema_violation", qa_type="mcq_openended")


def test_files_of_a_set(tmp_path):
    items = [mcq(item_id="1"), item(item_id="2", question="Warum? 为什么?"), item(item_id="3", answer='"\n')]
    options = ExportOptions("bucket", license="CC-BY-4.0", description_extra="Autumn.", media_root="/mnt")
    made = write_set(tmp_path, items, options, ROOT, DAY)
    assert [(file.name, file.task, file.items) for file in made.files] == [
        ("mcq.json", "mcq", 1),
        ("mcq_openended.json", "mcq_openended", 1),
        ("open_qa.json", "open_qa", 2),
        (ITEMS_JSONL, None, 3),
        (ITEMS_PARQUET, None, 3),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(file.name for file in made.files)
    text = (tmp_path / "open_qa.json").read_text()
    found = json.loads(text)
    assert [each["item_index"] for each in found.pop("items")] == ["2", "3"]
    assert found == {
        "format": "tao-vl-reason-v1.0",
        "metadata": {
            "type": "annotation",
            "task": "open_qa",
            "date": "2026-11-20",
            "description": "Open-ended QA (free-text answer). Autumn.",
            "license": "CC-BY-4.0",
        },
        "media_root": "/mnt",
    }
    assert "为什么" in text
    lines = [json.loads(line) for line in (tmp_path / ITEMS_JSONL).read_text().splitlines()]
    assert lines == parquet.read_table(tmp_path / ITEMS_PARQUET).to_pylist()
    assert [QaItem.read(json.dumps(line)) for line in lines] == items


def test_the_digest_is_of_all_but_the_date(tmp_path):
    def digest(day=DAY, **more):
        options = ExportOptions("bucket", **{"license": "x", **more})
        return write_set(tmp_path, [item()], options, ROOT, day).digest

    assert digest() == digest(date(2026, 11, 21))
    checked = digest(checks=("duplicate",))
    assert checked == digest(output_prefix="elsewhere", checks=("duplicate",), exclude=("duplicate",))
    different = [
        digest(),
        digest(license="y"),
        digest(description_extra="y"),
        digest(media_root="y"),
        checked,
    ]
    different.append(write_set(tmp_path, [item(answer="B")], ExportOptions("b"), ROOT, DAY).digest)
    assert len(set(different)) == 6


def test_no_items_are_no_files(tmp_path):
    made = write_set(tmp_path, [], ExportOptions("bucket"), ROOT, DAY)
    assert (made.items, made.files, list(tmp_path.iterdir())) == (0, (), [])
