"""What people are told of failed inputs: bounded, with the query for the rest, in log, XCom and notes."""

import json

from airflow_provider_drivepipe.pipelines.failures import (
    SHOWN,
    FailureSample,
    is_our_note,
    run_note,
    task_note,
)

QUERY = "SELECT `video_path` FROM `t` WHERE `ds`='20261120' AND `status` = 'failed'"


def failed(number: int, message: str = "moov atom not found") -> dict[str, object]:
    return {
        "video_path": f"oss://host/bucket/trips/{number}.mp4",
        "frame_idx": -1,
        "error_stage": "frame_extraction",
        "error_type": "truncated",
        "error_msg": message,
    }


def sample_of(count: int, message: str = "moov atom not found") -> FailureSample:
    inputs = (failed(number, message) for number in range(count))
    return FailureSample.of({"frame_extraction": {"truncated": count}}, inputs, QUERY)


def test_log_names_the_first_inputs_with_reasons_and_the_query_for_all():
    text = sample_of(300).log_text()
    lines = text.splitlines()
    assert lines[0] == "300 failed: frame_extraction truncated 300"
    assert lines[1] == "  oss://host/bucket/trips/0.mp4: frame_extraction truncated: moov atom not found"
    assert len(lines) == 1 + SHOWN + 1
    assert lines[-1] == f"All of them: {QUERY}"


def test_a_frame_that_failed_alone_is_named_with_its_number():
    one = FailureSample.of({"label": {"refusal": 1}}, [{**failed(1), "frame_idx": 7}], QUERY)
    assert "trips/1.mp4 7: " in one.log_text()


def test_xcom_is_bounded_in_number_and_bytes_whatever_messages_say():
    assert len(sample_of(300).to_json()["inputs"]) == SHOWN
    assert len(json.dumps(sample_of(300, "\u00e4" * 512).to_json())) < 17_000


def test_notes_fit_airflow_and_are_told_from_those_of_people():
    for count in (1, 20, 300):
        sample = sample_of(count, "x" * 200).to_json()
        note = task_note(sample)
        assert len(note) <= 1000
        assert QUERY in note
        assert "trips/0.mp4" in note
        assert is_our_note(note)
        run = run_note({f"task_{n}": sample for n in range(50)})
        assert len(run) <= 1000
        assert is_our_note(run)
    assert not is_our_note("looked at it, camera 3 is broken")
    assert not is_our_note(None)
