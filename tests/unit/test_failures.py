"""What people are told of failed inputs: bounded, with the query for the rest, in log, XCom and notes."""

import json

from airflow_provider_drivepipe.lifecycle.failures import (
    SHOWN,
    FailureSample,
    failed_rows,
    first_failed_rows,
    is_our_note,
    run_note,
    task_note,
)
from airflow_provider_drivepipe.lifecycle.tables import StageTables, WorkingTables
from airflow_provider_drivepipe.pipelines.driving.models import label
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.stages.content import Image
from airflow_provider_drivepipe.stages.source import Source
from airflow_provider_drivepipe.stages.stage import UnitLayout

TABLES = StageTables(
    source=Source.of_table("m"),
    output="t",
    working=WorkingTables("t", "p", "o"),
    partition=PartitionSpec(("ds",), ("20261120",)),
    layout=UnitLayout(
        unit_key=("video_path",),
        row_key=("video_path", "frame_idx"),
        identity=("video_path",),
        source_columns=(),
        columns=(),
    ),
    output_columns=(),
    unit="frame_extraction",
    parts=(label("m", "p", Image("image_url")).part(),),
)


def row(number: int, frame: int = -1, message: str = "moov atom not found") -> list[object]:
    return [f"oss://host/bucket/trips/{number}.mp4", frame, "frame_extraction", "truncated", message]


def sample_of(count: int, message: str = "moov atom not found") -> FailureSample:
    rows = [row(number, message=message) for number in range(min(count, SHOWN))]
    return FailureSample.of_rows(TABLES, {"frame_extraction": {"truncated": count}}, rows)


def test_queries_name_the_rows_of_this_task_and_the_first_of_them():
    assert failed_rows(TABLES) == (
        "SELECT `video_path`, `frame_idx`, `error_stage`, `error_type`, `error_msg` FROM `t` "
        "WHERE `ds`='20261120' AND `status` = 'failed' AND `error_stage` IN ('frame_extraction', 'label')"
    )
    assert first_failed_rows(TABLES).endswith(f" ORDER BY `video_path`, `frame_idx` LIMIT {SHOWN}")


def test_log_names_the_first_inputs_with_reasons_and_the_query_for_all():
    text = sample_of(300).log_text()
    lines = text.splitlines()
    assert lines[0] == "300 failed: frame_extraction truncated 300"
    assert lines[1] == "  oss://host/bucket/trips/0.mp4: frame_extraction truncated: moov atom not found"
    assert len(lines) == 1 + SHOWN + 1
    assert lines[-1] == f"All of them: {failed_rows(TABLES)}"


def test_a_frame_that_failed_alone_is_named_with_its_number():
    one = FailureSample.of_rows(TABLES, {"label": {"refusal": 1}}, [row(1, 7)])
    assert "trips/1.mp4 frame_idx=7: " in one.log_text()


def test_xcom_is_bounded_in_number_and_bytes_whatever_messages_say():
    assert len(sample_of(300).to_json()["inputs"]) == SHOWN
    assert len(json.dumps(sample_of(300, "\u00e4" * 512).to_json())) < 17_000


def test_notes_fit_airflow_and_are_told_from_those_of_people():
    for count in (1, 20, 300):
        sample = sample_of(count, "x" * 200).to_json()
        note = task_note(sample)
        assert len(note) <= 1000
        assert failed_rows(TABLES) in note
        assert "trips/0.mp4" in note
        assert is_our_note(note)
        run = run_note({f"task_{n}": sample for n in range(50)})
        assert len(run) <= 1000
        assert is_our_note(run)
    assert not is_our_note("looked at it, camera 3 is broken")
    assert not is_our_note(None)
