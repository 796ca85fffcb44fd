"""The sixteen defects that running the original showed, each with the tests that keep ours free of it.

A test makes sure that those which are named here are there; those that no other file has follow.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_drivepipe.pipelines.reasoning.export import TASKS_OF, QaItem, UnfitItem
from airflow_provider_drivepipe.pipelines.reasoning.options import SheetOptions
from airflow_provider_drivepipe.pipelines.reasoning.plan import plan
from airflow_provider_drivepipe.pipelines.reasoning.scenario import ReasoningScenario
from airflow_provider_drivepipe.pipelines.reasoning.schemas import answer_schema
from airflow_provider_drivepipe.pipelines.reasoning.videos import ChunkCut, HighlightCut, VideoProbe
from airflow_provider_drivepipe.worker.label_find import find_label

TESTS = Path(__file__).parents[1]
HERE = "unit/test_reasoning_defects.py"
RUN = "integration/test_reasoning.py"
ITEMS, TIMES = "unit/test_worker_reasoning_items.py", "unit/test_worker_reasoning_times.py"
CHUNKS, EXPORT = "unit/test_worker_reasoning_chunks.py", "unit/test_qa_export.py"
ATOMIC, PACKS = "integration/test_qa_export.py", "unit/test_prompt_packs.py"

ONE_FAILS = (RUN, "test_one_failing_call_stops_one_video_and_clear_pays_for_that_alone")
EVERY_VIDEO = (RUN, "test_every_video_is_accounted_for_and_what_is_exported_is_valid")
PAY_ONCE = (RUN, "test_a_pilot_is_paid_once_and_an_edited_prompt_pays_for_what_depends_on_it")
TESTED: dict[int, tuple[str, tuple[tuple[str, str], ...]]] = {
    1: ("a video without a description ends the questions of all", (ONE_FAILS,)),
    2: ("a video whose captions fail is gone without a trace", (ONE_FAILS, EVERY_VIDEO)),
    3: (
        "behind a failed chunk, chunks have the times of others",
        ((CHUNKS, "test_defect_3_a_failed_middle_chunk_keeps_index_and_time"),),
    ),
    4: (
        "the last part of a video is not seen",
        ((CHUNKS, "test_defect_4_the_last_part_of_a_video_is_never_dropped"), EVERY_VIDEO),
    ),
    5: ("another prompt changes nothing in a folder that has results", (PAY_ONCE,)),
    6: (
        "letters in the reasoning are those before the shuffle",
        (
            (ITEMS, "test_defect_6_letters_in_the_reasoning_move_with_the_options"),
            (ITEMS, "test_defect_6_stale_letters_never_become_training_data"),
            (EXPORT, "test_defect_6_options_and_letters_stay_as_the_reasoning_knows_them"),
        ),
    ),
    7: (
        "an answer in bold or without separators is not read",
        ((HERE, "test_defect_7_form_does_not_matter"),),
    ),
    8: (
        "settings for long videos have no effect",
        ((HERE, "test_defect_8_what_a_scenario_says_of_long_videos_reaches_the_stages"), EVERY_VIDEO),
    ),
    9: ("an anomaly in bold is normal", ((PACKS, "test_a_class_is_read_however_it_is_decorated"),)),
    10: (
        "a yes in bold is a no",
        (
            (PACKS, "test_yes_is_read_however_it_is_decorated"),
            (ITEMS, "test_defects_10_and_13_yes_and_no_are_words_of_their_own"),
        ),
    ),
    11: (
        "the first number of a sentence is the time",
        ((TIMES, "test_defect_11_the_first_number_of_a_sentence_is_no_time"),),
    ),
    12: (
        "times in the form that was asked for are not read, others are not MM:SS",
        (
            (ITEMS, "test_defect_12_a_localization_in_the_prompts_literal_form_has_its_times"),
            (TIMES, "test_defect_12_a_range_in_the_prompts_own_form_is_read"),
            (EXPORT, "test_defect_12_times_are_the_minutes_and_seconds_that_the_question_wants"),
            (HERE, "test_defect_12_texts_tell_times_in_minutes_and_seconds_too"),
        ),
    ),
    13: (
        "a refusal becomes a No",
        (
            (ITEMS, "test_defect_13_a_refusal_is_no_label"),
            (EXPORT, "test_defect_13_a_refusal_is_no_label"),
        ),
    ),
    14: (
        "an option loses its second line",
        (
            (ITEMS, "test_defect_14_options_of_several_lines_stay_whole"),
            (EXPORT, "test_defect_14_an_option_of_two_lines_keeps_its_second_line"),
        ),
    ),
    15: (
        "a video that is listed twice is paid twice",
        ((RUN, "test_defect_15_a_video_that_is_listed_twice_is_paid_once"),),
    ),
    16: (
        "a line that was cut off takes the next one with it",
        ((ATOMIC, "test_a_run_that_ends_early_leaves_readers_the_old_set"),),
    ),
}
"""By number: what is wrong with the original, and which tests (file, name) fail when ours has it too.

Number 16 comes from appending to files. Ours are tables that are replaced as a whole, and an export that
readers see whole or not at all.
"""


def test_every_defect_has_a_test() -> None:
    assert list(TESTED) == list(range(1, 17))
    for number, (_, tests) in TESTED.items():
        for file, name in tests:
            functions = {
                node.name
                for node in ast.parse((TESTS / file).read_text()).body
                if isinstance(node, ast.FunctionDef)
            }
            assert name in functions, f"defect {number}: {file} has no {name}"


CHOICE = {
    "question": "What does the car do?",
    "options": ["It turns.", "It brakes.", "It waits.", "It parks."],
    "answer": "It brakes.",
    "reasoning": "Its lights go on.",
    "start_mmss": "00:01.0",
    "end_mmss": "00:02.0",
}


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "```json\n{}\n```",
        "**Question:**\n{}\n\nI hope this helps.",
        "=====\n{}\n=====",
        "<think>The car brakes.</think>{}",
    ],
)
def test_defect_7_form_does_not_matter(form: str) -> None:
    found = find_label(form.replace("{}", json.dumps(CHOICE, indent=1)), json.loads(answer_schema("qa.mcq")))
    assert found is not None
    assert not found.problem
    assert found.value == CHOICE


def test_defect_8_what_a_scenario_says_of_long_videos_reaches_the_stages() -> None:
    scenario = ReasoningScenario.model_validate(
        {
            "pipeline": "reasoning",
            "scenario_name": "s",
            "input_shape": "video_table",
            "source_table": "v",
            "targets": ["reasoning-annotation"],
            "oss_bucket": "my-bucket",
            "vlm_model": "sees",
            "llm_model": "reads",
            "reasoning": {
                "video_as": "frames",
                "max_video_length_sec": 77,
                "max_frames": 7,
                "chunk_lengths_sec": [3, 9],
                "max_chunks": 4,
                "highlight_before_sec": 1.5,
                "highlight_after_sec": 0.5,
            },
        }
    )
    stages = [stage for task in plan(scenario).tasks for stage in task.stages]
    [probe] = [stage for stage in stages if isinstance(stage, VideoProbe)]
    [cut] = [stage for stage in stages if isinstance(stage, ChunkCut)]
    [highlight] = [stage for stage in stages if isinstance(stage, HighlightCut)]
    assert probe.max_length_sec == 77
    assert {stage.footage.sheet for stage in (probe, cut, highlight)} == {SheetOptions(max_frames=7)}
    assert (cut.chunks.lengths_sec, cut.chunks.max_chunks) == ((3, 9), 4)
    assert (highlight.highlight.before_sec, highlight.highlight.after_sec) == (1.5, 0.5)


def exported(**more: Any) -> QaItem:
    row = {
        "item_id": "1",
        "video_path": "oss://e/b/v.mp4",
        "qa_type": "open_qa",
        "question": "What happens at 00:00:05?",
        "options": None,
        "answer": "It brakes at [00:05.4].",
        "reasoning": "-",
        "start_ms": 5000,
        "end_ms": 6000,
    }
    return QaItem.of_row({**row, **more})


def test_defect_12_texts_tell_times_in_minutes_and_seconds_too() -> None:
    told = exported()
    assert (told.question, told.answer) == ("What happens at 00:05?", "It brakes at [00:05].")
    asked = [("00:02.4", "00:04.0"), ("00:02.4", "00:02.9")]
    options = [exported(qa_type="mcq", answer="B", options=json.dumps(each)).options for each in asked]
    assert options == [("00:02", "00:04"), ("00:02.4", "00:02.9")], "they stay different"
    scene = exported(qa_type="scene_description", answer="At 00:06.0: a clock shows 00:30:12.")
    assert scene.answer == "At 00:06: a clock shows 00:30:12."


def test_what_items_say_is_what_the_export_reads() -> None:
    """Items hold the letter with its option, and say yes and no in the language of the prompts."""
    options = ["It turns.", "It brakes."]
    choice = exported(qa_type="mcq", options=json.dumps(options), answer="B. It brakes.")
    assert [task.entry(choice, "oss://e/b")["answer"] for task in TASKS_OF["mcq"]] == ["B", "B. It brakes."]  # type: ignore[index]
    with pytest.raises(UnfitItem):
        exported(qa_type="mcq", options=json.dumps(options), answer="A. It brakes.")
    assert exported(qa_type="bcq", answer="是。它在刹车。").decision() == ("Yes", "。它在刹车。")
    assert exported(qa_type="bcq", answer="否。").decision()[0] == "No"
