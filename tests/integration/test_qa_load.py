"""drivepipe qa: an evaluation's files into tables and OSS, and an arm's answers back into files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import numpy as np
import pytest
import yaml
from PIL import Image

from airflow_provider_drivepipe.cli import qa_results
from airflow_provider_drivepipe.cli.main import main
from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column, video_id
from airflow_provider_drivepipe.hooks import frame_search
from airflow_provider_drivepipe.hooks.frame_search import FrameSearch, Query
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.sql import create_table

pytestmark = pytest.mark.slow

ITEMS = [
    {"key": "a", "uid": "q1", "question": "Light?\nA. red\nB. green", "answer": "A", "level": 2},
    {"key": "a", "uid": "q2", "question": "Wet? (A) yes (B) no", "answer": "B", "category": "road"},
    {"key": "b", "uid": "q3", "question": "Light?\nA. red\nB. green", "answer": "B"},
    {"key": "b", "uid": "q4", "question": "Where to?", "answer": "left"},
]
SPEC = PartitionSpec(("ds",), ("20261120",))
MODEL, DIMENSION = "qwen3-vl-embedding", 4


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two videos of three frames, with embeddings."""
    (tmp_path / "data.json").write_text(json.dumps(ITEMS))
    (tmp_path / "e").mkdir()
    for n, key in enumerate("ab"):
        (tmp_path / "f" / key).mkdir(parents=True)
        names = [f"frame_{number}.jpg" for number in (0, 2, 10)]
        for number, name in enumerate(names):
            Image.new("RGB", (16, 9), (number * 80, n * 90, 0)).save(tmp_path / "f" / key / name)
        vectors = np.arange(12, dtype="float32").reshape(3, 4) / 3 + n
        np.savez(tmp_path / "e" / f"{key}.npz", filenames=names, embeddings=vectors)
    return tmp_path


@pytest.fixture
def scenario(airflow_connection, tmp_path, bucket, table) -> Path:
    """A scenario whose tables the files are loaded into."""
    file = tmp_path / "qa.yaml"
    values = {
        "pipeline": "retrieval",
        "scenario_name": table,
        "input_shape": "question_table",
        "targets": ["video-qa"],
        "source_table": f"{table}_q",
        "frames_table": f"{table}_f",
        "oss_bucket": bucket,
        "vlm_model": "org/vl",
        "embedding_model": MODEL,
        "embedding_dim": DIMENSION,
        "retrieval": {
            "arms": ["blind", "planned_image"], "image_model": "m", "image_conn_id": "drivepipe_images"
        },
    }  # fmt: skip
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.fixture
def load(scenario, folder):
    def run(*more: str) -> int:
        place = ["--scenario", str(scenario), "--prefix", "qa/", "--partition", "20261120"]
        return main(["qa", "load", str(folder / "data.json"), *place, *more])

    return run


def rows(table: str, columns: str = "*", order: str = "1") -> list[list[Any]]:
    sql = f"SELECT {columns} FROM {table} WHERE ds='20261120' ORDER BY {order} LIMIT 1000"
    return MaxFrameHook().execute_sql(sql)


def test_questions_frames_and_embeddings_are_loaded_and_can_be_searched(
    load, folder, bucket, table, oss_client, capsys
):
    frames = ["--frames", str(folder / "f"), "--fps", "2"]
    vectors = ["--embeddings", str(folder / "e")]
    assert load(*frames, *vectors) == 0
    shown = capsys.readouterr().out
    assert "6 frames; frame n is taken to be at n × 0.5 s\n" in shown
    assert "4 questions, 2 videos" in shown
    root = str(MaxFrameHook().oss_root(bucket))
    first, second, _, fourth = rows(f"{table}_q", order="question_id")
    assert first[:4] == ["q1", f"{root}/qa/a", video_id("qa/a"), "Light?"]
    assert json.loads(first[4]) == {"A": "red", "B": "green"}
    assert second[3:9] == ["Wet?", '{"A": "yes", "B": "no"}', "B", "road", None, None]
    assert fourth[3:6] == ["Where to?", "", "left"]
    columns = (
        "video_id, frame_idx, frame_time_ms, image_id, image_url, width, height, image_embedding, status"
    )
    found = rows(f"{table}_f", columns, "video_path, frame_idx")
    assert [row[1:4] for row in found[:3]] == [[0, 0, "a_0000"], [2, 1000, "a_0002"], [10, 5000, "a_0010"]]
    assert (*found[5][5:7], found[5][8]) == (16, 9, "ok")
    expected = np.arange(8, 12, dtype="float32") / 3 + 1
    assert np.array(json.loads(found[5][7]), dtype="float32").tolist() == expected.tolist()
    url = found[5][4]
    assert url == f"{root}/qa/frames/{video_id('qa/b')}/b_0010.jpg"
    key = url.removeprefix(f"{root}/")
    content = oss_client.get_object(oss.GetObjectRequest(bucket=bucket, key=key)).body.read()
    assert Image.open(io.BytesIO(content)).size == (16, 9)

    # Whoever embeds a query with another model or dimension is refused, by the fingerprint.
    search = FrameSearch(f"{table}_f", SPEC, Query("a van"), MODEL, DIMENSION)
    assert frame_search.check(MaxFrameHook(), search).rows == 6
    with pytest.raises(Exception, match="were not made by"):
        frame_search.check(MaxFrameHook(), FrameSearch(f"{table}_f", SPEC, Query("a van"), MODEL, 8))

    before = rows(f"{table}_f", "*", "video_path, frame_idx"), rows(f"{table}_q", order="question_id")
    assert load(*frames, *vectors) == 0
    assert before == (
        rows(f"{table}_f", "*", "video_path, frame_idx"),
        rows(f"{table}_q", order="question_id"),
    )


def test_frames_without_embeddings_say_what_embeds_them(load, folder, table, capsys):
    assert load("--frames", str(folder / "f"), "--frames-table", f"{table}_f") == 0
    shown = capsys.readouterr().out
    assert "n × 1 s (--fps says otherwise)" in shown
    assert f"input_shape: image_table, targets: [embedding] and source_table: {table}_f" in shown
    names = [column.name for column in MaxFrameHook().table_columns(f"{table}_f")[0]]
    assert "image_embedding" not in names, "a stage that embeds makes this column itself"
    assert load("--frames", str(folder / "f"), "--embeddings", str(folder / "e")) == 1
    assert "has other columns" in capsys.readouterr().err


def test_nothing_is_loaded_where_anything_is_wrong(load, folder, table, bucket, oss_client, capsys):
    items = [
        *ITEMS,
        {"key": "../a", "uid": "q5", "question": "Where?"},
        {"key": "c", "uid": "q6", "question": "?"},
    ]
    (folder / "data.json").write_text(json.dumps(items))
    (folder / "f" / "a" / "frame_2.jpg").write_bytes(b"no picture")
    assert load("--frames", str(folder / "f"), "--frames-table", f"{table}_f") == 1
    error = capsys.readouterr().err
    assert "nothing was loaded, 3 problems" in error
    for said in ("../a: ", "c: there is no folder", "a: frame_2.jpg is no JPEG"):
        assert said in error
    hook = MaxFrameHook()
    assert hook.table_comment(f"{table}_q") is None
    assert not oss_client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket)).contents
    assert load("--embeddings", str(folder / "e")) == 1
    assert "--embeddings needs --frames" in capsys.readouterr().err
    assert load("--frames", str(folder / "f")) == 1
    assert "--frames needs --embeddings, or --frames-table" in capsys.readouterr().err
    assert load("--bucket", "another") == 1
    assert f"--bucket has no effect: the scenario says {bucket}" in capsys.readouterr().err


def test_the_scenario_says_which_bucket_length_and_partition(load, scenario, folder, table, bucket, capsys):
    values = yaml.safe_load(scenario.read_text())
    del values["oss_bucket"]
    values["retrieval"] = {"arms": ["blind"], "frames_partition": "20261101"}
    scenario.write_text(yaml.safe_dump(values))
    given = ["--frames", str(folder / "f"), "--embeddings", str(folder / "e")]
    assert load(*given) == 1
    assert "which one are the videos in? Say it by --bucket" in capsys.readouterr().err
    assert load(*given, "--bucket", bucket) == 0
    assert f"{table}_f ds=20261101: 6 frames" in capsys.readouterr().out
    assert len(rows(f"{table}_q")) == 4
    scenario.write_text(yaml.safe_dump({**values, "embedding_dim": 8}))
    assert load(*given, "--bucket", bucket) == 1
    assert "has a vector of 4 numbers, 8 are wanted" in capsys.readouterr().err
    scenario.write_text("scenario_name: x\n")
    assert load(*given) == 1
    assert "input_shape" in capsys.readouterr().err


STATUS = [column.name for column in STATUS_COLUMNS]
TABLES = {
    "questions": "question_id video_path question options answer",
    "answers": "question_id arm answer_text given_answer is_correct",
    "plan": "question_id requests",
    "queries": "question_id query_kind request_number drawn_url",
    "evidence": "question_id arm frame_idx frame_time_ms image_url",
}
TYPES = {
    "is_correct": "boolean",
    "request_number": "bigint",
    "frame_idx": "bigint",
    "frame_time_ms": "bigint",
}


def put(start: str, task: str, *made: list[Any], status: dict[int, list[Any]] | None = None) -> None:
    """Write a table of the scenario ``start``; rows are ok unless ``status`` says otherwise."""
    columns = [Column(name, TYPES.get(name, "string")) for name in TABLES[task].split()]
    hook = MaxFrameHook()
    hook.execute_sql(create_table(f"{start}_{task}", [*columns, *STATUS_COLUMNS], ("ds",)))
    ok = ["ok", "", "", "", 1, ""]
    with hook.odps.get_table(f"{start}_{task}").open_writer(str(SPEC), create_partition=True) as writer:
        writer.write([[*row, *(status or {}).get(n, ok)] for n, row in enumerate(made)])


@pytest.fixture
def answered(load, folder, table):
    """What a run over the loaded questions would leave: right, unreadable, wrong, and never asked."""
    loaded = f"{table}_q"
    assert load() == 0
    made = rows(loaded, "question_id, video_path, question, options, answer", "question_id")
    unasked = ["failed", "question_check", "no_frames", "no frame", 1, ""]
    put(table, "questions", *made, ["q5", made[0][1], "Why?", "", None], status={4: unasked})
    failed = ["failed", "answer", "invalid_json", "no JSON", 1, ""]
    put(
        table,
        "answers",
        ["q1", "planned_image", "It is red.", "A", True],
        ["q2", "planned_image", "Hm.", None, None],
        ["q3", "planned_image", '{"answer": "A"}', "A", False],
        ["q4", "planned_image", None, None, None],
        ["q1", "blind", "?", "B", False],
        status={1: failed, 3: ["failed", "answer", "no_query", "the plan failed", 1, ""]},
    )
    request = {"reference_frame_idx": 2, "reference_url": "oss://e/b/2.jpg", "prompt": "a red light"}
    put(table, "plan", ["q1", json.dumps([request, {**request, "prompt": "a green one"}])])
    put(
        table,
        "queries",
        ["q1", "planned_image", 2, "oss://e/b/d2.jpg"],
        ["q1", "planned_image", 1, "oss://e/b/d1.jpg"],
        ["q1", "planned_image", 3, None],
        ["q1", "text", None, None],
    )
    put(
        table,
        "evidence",
        ["q1", "planned_image", 10, 5000, "oss://e/b/f_10.jpg"],
        ["q1", "planned_image", 2, 1000, "oss://e/b/f_2.jpg"],
        ["q1", "uniform", 0, 0, "oss://e/b/f_0.jpg"],
        ["q4", "planned_image", None, None, None],
    )
    return table


def test_an_arm_is_written_as_the_two_files_of_the_original(answered, scenario, folder, capsys):
    arguments = ["qa", "results", "--scenario", str(scenario), "--partition", "20261120"]
    out = folder / "out"
    data = ["--data", str(folder / "data.json")]
    assert main([*arguments, "--arm", "planned_image", *data, "-o", str(out)]) == 0
    name = "org_vl_data_image_retrieval_8frames"
    assert capsys.readouterr().out.split() == [
        "wrote", str(out / f"{name}_results.json"), "wrote", str(out / f"{name}_metrics.json"),
    ]  # fmt: skip
    results = json.loads((out / f"{name}_results.json").read_text())
    assert results[0] == {
        **ITEMS[0],
        "workflow_steps": {
            "step1_planning_requests": [
                {"reference_image_id": 2, "prompt": "a red light"},
                {"reference_image_id": 2, "prompt": "a green one"},
            ],
            "step2_generated_images": ["oss://e/b/d1.jpg", "oss://e/b/d2.jpg"],
            "step2_retrieved_frame_paths": ["oss://e/b/f_2.jpg", "oss://e/b/f_10.jpg"],
            "step3_final_reasoning_and_answer": "It is red.",
        },
        "model_answer": "A",
        "is_correct": True,
    }
    assert (results[1]["model_answer"], results[1]["is_correct"]) == (None, False)
    assert results[3] == {"key": "b", "uid": "q4", "error": "no_query: the plan failed", "traceback": ""}
    assert results[4] == {"key": "a", "uid": "q5", "error": "no_frames: no frame", "traceback": ""}
    metrics = {"total_samples": 3, "answered_samples": 2, "correct_answers": 1, "accuracy": 0.5}
    assert json.loads((out / f"{name}_metrics.json").read_text()) == metrics

    # Without the file, items are made of what the tables know.
    assert main([*arguments, "--arm", "blind", "-o", str(out)]) == 0
    result, unasked = json.loads(next(out.glob(f"org_vl_{answered}_*_results.json")).read_text())
    assert unasked["error"] == "no_frames: no frame"
    item = {name: ITEMS[0][name] for name in ("key", "uid", "question", "answer")}
    assert {name: result[name] for name in item} == item
    assert result["workflow_steps"]["step2_retrieved_frame_paths"] == []
    assert result["workflow_steps"]["step2_generated_images"] == []


def test_an_arm_or_a_scenario_that_is_not_there_is_named(answered, scenario, tmp_path, capsys):
    arguments = ["qa", "results", "--partition", "20261120", "--scenario"]
    assert main([*arguments, str(scenario), "--arm", "planed"]) == 1
    assert "no answers of arm 'planed'" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "none.yaml"), "--arm", "blind"]) == 1
    assert "none.yaml" in capsys.readouterr().err


def test_without_a_valid_item_there_is_no_accuracy_to_speak_of():
    assert qa_results.metrics([{"key": "a", "uid": "1", "error": "x"}]) == {"accuracy": 0.0}
    result = {"model_answer": None, "is_correct": False}
    assert qa_results.metrics([result])["accuracy"] == 0.0
