"""From videos to training files, with models whose answers the tests decide."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import pytest

from airflow_provider_drivepipe.cli.plan_facts import measured
from airflow_provider_drivepipe.documents.estimate import Figure, Figures, Source, estimate
from airflow_provider_drivepipe.exceptions import ItemQualityError
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.worker.reasoning.qa_items import TASKS
from maxcompute_local.models.scripted import Step
from maxcompute_local.server import LocalCloud
from tests.integration.operator_context import Run
from tests.integration.reasoning_run import (
    BLOCKED,
    OK,
    TABLES,
    Annotation,
    Call,
    Models,
    Row,
    annotation,
    check_balance,
    models,
)

pytestmark = pytest.mark.slow

__all__ = ["annotation", "models"]

LEFT_OUT = {
    "corrupt": Row("failed", "video_probe", "not_a_video"),
    "garden": Row("filtered", "admit", "out_of_domain"),
    "long": Row("filtered", "video_probe", "too_long"),
}
BEHIND_FILTER = ("descriptions", "qa_questions", "qa_answers", "qa_items")
"""Tasks that skip what earlier ones left out; captions tell of it as the filter does."""


def skipped(row: Row) -> Row:
    return Row("skipped", row.stage, row.reason)


@pytest.mark.parametrize(("video_as", "types"), [("video", list(TASKS)), ("frames", ["mcq", "bcq"])])
def test_every_video_is_accounted_for_and_what_is_exported_is_valid(
    annotation: Annotation,
    models: Models,
    local_cloud: LocalCloud,
    tmp_path: Path,
    video_as: str,
    types: list[str],
) -> None:
    annotation.put("a_long", "n", *LEFT_OUT)
    options = {"video_as": video_as, "qa_types": types, "license": "CC-BY-4.0"}
    reports = annotation.run(**options)
    check_balance(reports)
    for task in ("video_filter", "video_captions", "chunk_captions"):
        assert annotation.ends(task) == {"a_long": {OK}, "n": {OK}, **{v: {r} for v, r in LEFT_OUT.items()}}
    for task in BEHIND_FILTER:
        ends = {"a_long": {OK}, "n": {OK}, **{v: {skipped(r)} for v, r in LEFT_OUT.items()}}
        assert annotation.ends(task) == ends, task
    assert annotation.ends("highlights") == {"a_long": {OK}}

    # Models saw the video, then its chunks, its highlight, and texts.
    seen = {(call.step, call.shown) for call in models.calls}
    kind = "video" if video_as == "video" else "image"
    looks = {"filter", "global_caption", "dense_caption", "chunk_caption", "highlight"}
    reads = {"moment", "description", "blind", *(f"qa.{type_}" for type_ in types)}
    assert seen == {(step, kind) for step in looks} | {(step, "") for step in reads}
    calls = models.asked()
    # Estimates: what no run has shown yet is a bound; what this one has taken is what the next one will.
    known = Figures(units=Figure(5, Source.GIVEN))
    steps = plan(load_scenario(annotation.folder / "reasoning.yaml"))
    assert estimate(steps, known).all.calls > calls.total()
    took = estimate(steps, measured(steps, "20261120"))
    assert (took.all.calls, took.all.rows) == (
        calls.total(),
        len(annotation.rows("qa_answers", "", "AND status = 'ok'")) + 2,
    )
    paid = [report["tokens"] for report in reports.values() if report.get("spending")]
    assert took.all.tokens.input == pytest.approx(sum(tokens["input"] for tokens in paid), rel=0.01)
    assert reports["descriptions"]["spending"]["video_hours"] == pytest.approx(13 / 3600, abs=1e-6)
    assert calls["chunk_caption.anomaly", "a_long"] == 3
    assert calls["blind", "n"] == len(types) + 1, "a bcq answer is two items"
    assert max(n for (key, _), n in calls.items() if not key.startswith(("chunk", "blind"))) == 1

    # Defect 4: the last part of a video is seen; the times are those of the video.
    times = annotation.rows(
        "chunk_captions", "chunk_index, start_ms, end_ms, duration_ms", "AND status = 'ok'"
    )
    assert times == [
        ("a_long", 0, 0, 5000, 11000),
        ("a_long", 1, 5000, 10000, 11000),
        ("a_long", 2, 10000, 11000, 11000),
        ("n", 0, 0, 2000, 2000),
    ]

    download(annotation, tmp_path / "set")
    done = validate(tmp_path / "set")
    assert done.returncode == 0, done.stdout
    files = {file.name for file in (tmp_path / "set").glob("*.json")}
    assert len(files) == len(types) + 2, "mcq and bcq have two files each"
    asked = json.loads((tmp_path / "set" / "mcq.json").read_text())
    assert {item["video_id"] for item in asked["items"]} == {"videos/a_long.mp4", "videos/n.mp4"}
    assert asked["metadata"]["license"] == "CC-BY-4.0"

    # A second run pays for nothing and changes nothing; it opens once more what could not be opened.
    before = {task: annotation.content(task) for task in TABLES}
    objects = etags(annotation)
    with local_cloud.control.counting() as done_again:
        again = annotation.run(Run(run_id="again"), **options)
    assert not models.asked()
    assert done_again["maxframe.submit_dag"] == 1
    assert {task: annotation.content(task) for task in TABLES} == before
    assert etags(annotation) == objects
    check_balance(again)


def test_a_pilot_is_paid_once_and_an_edited_prompt_pays_for_what_depends_on_it(
    annotation: Annotation, models: Models
) -> None:
    """Defect 5 of the original: with another prompt it answered from what earlier prompts had brought."""
    qa = ["mcq", "open_qa"]
    annotation.put("a", "b", "n")
    annotation.run(Run(params={"limit": 2}), qa_types=qa)
    pilot = models.asked()
    assert {video for _, video in pilot} == {"a", "b"}
    assert {(key, n) for (key, video), n in pilot.items() if video == "b"} == {
        *(
            (f"{step}.normal", 1)
            for step in (
                "global_caption",
                "dense_caption",
                "chunk_caption",
                "description",
                "qa.mcq",
                "qa.open_qa",
            )
        ),
        ("filter", 1),
        ("blind", 2),
    }

    def paid(name: str) -> set[tuple[str, str]]:
        check_balance(annotation.run(Run(run_id=name), qa_types=qa))
        calls = models.asked()
        assert all(n <= (2 if key == "blind" else 1) for (key, _), n in calls.items())
        return set(calls)

    assert {video for _, video in paid("full")} == {"n"}

    behind_chunks = ("chunk_caption.{}", "description.{}", "qa.mcq.{}", "qa.open_qa.{}", "blind")
    annotation.prompt(chunk_caption__normal="Look closely.", chunk_caption__anomaly="Look closely.")
    assert paid("chunks") == {
        *((key.format("normal"), video) for key in behind_chunks for video in "bn"),
        *((key.format("anomaly"), "a") for key in behind_chunks),
    }

    # Three edits in one run: of the filter, whose decisions stay; of a type of question, for normal videos;
    # of a caption, for anomalies.
    annotation.prompt(
        filter="Think first.",
        chunk_caption__normal="Look closely.",
        chunk_caption__anomaly="Look closely.",
        qa__mcq__normal="Ask twice.",
        dense_caption__anomaly="List all.",
    )
    behind = ("dense_caption", "description", "qa.mcq", "qa.open_qa")
    assert paid("edits") == {
        *(("filter", video) for video in "abn"),
        *((key, video) for key in ("qa.mcq.normal", "blind") for video in "bn"),
        *((f"{step}.anomaly", "a") for step in behind),
        *((step, "a") for step in ("moment", "highlight", "blind")),
    }


FAILURES: dict[str, tuple[str, str, Step | str, str]] = {
    "n_filter": ("filter", "video_filter", Step(status=400), "model_error"),
    "n_global_caption": ("global_caption", "video_captions", BLOCKED, "content_blocked"),
    "n_dense_caption": ("dense_caption", "video_captions", "no JSON", "invalid_json"),
    "a_chunk_caption": (
        "chunk_caption",
        "chunk_captions",
        '{"caption": "Nothing can be seen."}',
        "not_visible",
    ),
    "a_moment": ("moment", "highlights", Step(status=400), "model_error"),
    "a_highlight": ("highlight", "highlights", '{"before": "It drives."}', "schema_violation"),
    "n_description": ("description", "descriptions", "I'm sorry, but I cannot help.", "refusal"),
    "n_mcq": ("qa.mcq", "qa_answers", Step(status=400), "model_error"),
    "n_blind": ("blind", "qa_items", BLOCKED, "content_blocked"),
}
"""By video: the step at which it fails, the table that says so, what the model says, the reason."""
STOPPED = ("n_filter", "n_global_caption", "n_dense_caption", "n_description")
"""Videos of which nothing can be asked."""


def test_one_failing_call_stops_one_video_and_clear_pays_for_that_alone(
    annotation: Annotation, models: Models
) -> None:
    """Defects 1 and 2 of the original: such a video ended the run of all, or was gone without a trace."""
    annotation.put("n", *FAILURES)

    def fail(call: Call) -> Step | str | None:
        step, _, said, _ = FAILURES.get(call.video, ("", "", "", ""))
        return said if call.step == step else None

    models.answer = fail
    run = Run()
    reports = annotation.run(run, qa_types=["mcq", "open_qa"])
    check_balance(reports)
    first = models.asked()
    for video, (step, task, _, reason) in FAILURES.items():
        stage = "qa" if step.startswith("qa.") else step
        ends = annotation.ends(task)
        assert Row("failed", stage, reason) in ends[video], video
        assert {v for v, rows in ends.items() if Row("failed", stage, reason) in rows} == {video}
        assert reports[task]["failures"][stage][reason] == (2 if step == "blind" else 1)
    every = {"n", *FAILURES}
    for task in TABLES:
        found = annotation.ends(task)
        assert set(found) == ({v for v in every if v[0] == "a"} if task == "highlights" else every), task
        assert found.get("n", {OK}) == {OK}
    for video in STOPPED:
        step, task, _, reason = FAILURES[video]
        # Captions are gathered, and a unit without them is skipped; rows of a table stay as they are.
        status = "failed" if task == "descriptions" else "skipped"
        assert annotation.ends("qa_items")[video] == {Row(status, step, reason)}
    # What is optional does without.
    assert annotation.rows("descriptions", "status", "AND lacking <> '' AND status = 'ok'") == [
        (video, "ok") for video in ("a_chunk_caption", "a_highlight", "a_moment")
    ]
    made = annotation.rows("qa_items", "qa_type", "AND status = 'ok'")
    whole = {(video, type_) for video in every for type_ in ("mcq", "open_qa") if video not in STOPPED}
    assert set(made) >= whole - {("n_mcq", "mcq"), ("n_blind", "mcq"), ("n_blind", "open_qa")}

    models.answer = lambda call: None
    check_balance(annotation.run(run, 2, qa_types=["mcq", "open_qa"]))
    second = models.asked()
    asked = {key for key, _ in first} - {"filter"}

    def behind(video: str, *steps: str) -> set[tuple[str, str]]:
        mode = "anomaly" if video.startswith("a") else "normal"
        keys = {step if step in (*asked, "filter") else f"{step}.{mode}" for step in steps}
        return {(key, video) for key in keys}

    qa = ("qa.mcq", "qa.open_qa", "blind")
    captions = ("global_caption", "dense_caption")
    assert set(second) == {
        *behind("n_filter", "filter", *captions, "chunk_caption", "description", *qa),
        *behind("n_global_caption", "global_caption", "description", *qa),
        *behind("n_dense_caption", "dense_caption", "description", *qa),
        *behind("a_chunk_caption", "chunk_caption", "description", *qa),
        *behind("a_moment", "moment", "highlight", "description", *qa),
        *behind("a_highlight", "highlight", "description", *qa),
        *behind("n_description", "description", *qa),
        *behind("n_mcq", "qa.mcq", "blind"),
        *behind("n_blind", "blind"),
    }
    for task in TABLES:
        assert all(rows == {OK} for rows in annotation.ends(task).values()), task


def test_defect_15_a_video_that_is_listed_twice_is_paid_once(annotation: Annotation, models: Models) -> None:
    annotation.put("n")
    annotation.run(steps=["0"])
    models.asked()
    videos = f"{annotation.table}_videos"
    path = f"oss://{annotation.hook.oss_settings.require_oss().netloc}/{annotation.bucket}/videos/n.mp4"
    annotation.hook.execute_sql(f"CREATE TABLE {videos} (video_path STRING) PARTITIONED BY (ds STRING)")
    annotation.hook.execute_sql(
        f"INSERT INTO TABLE {videos} PARTITION (ds='20261120') VALUES ('{path}'), ('{path}')"
    )
    given = {"input_shape": "video_table", "source_table": videos, "targets": ["reasoning-annotation"]}
    annotation.table += "_twice"
    check_balance(annotation.run(given=given, steps=["0", "1a"]))
    assert set(models.asked().values()) == {1}
    assert annotation.ends("video_captions") == {"n": {OK}}
    assert len(annotation.rows("video_captions")) == 1


def test_mode_and_view_decide_what_is_asked(annotation: Annotation, models: Models) -> None:
    annotation.put("n")
    given = {"mode": "anomaly", "steps": ["0", "1a", "1b", "1c", "2"]}
    check_balance(annotation.run(video_as="video", **given))
    by_mode = ("global_caption", "dense_caption", "chunk_caption", "description")
    keys = {"filter", "moment", "highlight", *(f"{step}.anomaly" for step in by_mode)}
    calls = models.asked()
    assert calls == {(key, "n"): 1 for key in keys}
    # Where no row is left out and lengths are known, an estimate is exact.
    known = Figures(units=Figure(1, Source.GIVEN), hours=Figure(2 / 3600, Source.GIVEN))
    steps = plan(load_scenario(annotation.folder / "reasoning.yaml"))
    assert estimate(steps, known).all.calls == calls.total()
    assert annotation.ends("descriptions") == {"n": {OK}}

    # Whole videos as frames, then pieces of them too: each pays for what is seen in another way, and for
    # nothing behind it as long as captions stay the same.
    whole = {"filter", "global_caption.anomaly", "dense_caption.anomaly"}
    for view, keys in (("auto", whole), ("frames", {"chunk_caption.anomaly", "highlight"})):
        check_balance(annotation.run(Run(run_id=view), video_as=view, **given))
        assert {call.shown for call in models.calls} == {"image"}
        assert models.asked() == {(key, "n"): 1 for key in keys}, view
    assert annotation.ends("descriptions") == {"n": {OK}}


def test_a_day_without_anomalies_goes_on_and_steps_may_be_added(
    annotation: Annotation, models: Models
) -> None:
    annotation.put("n")
    annotation.run(steps=["0", "1a", "2"])
    assert {key.partition(".")[0] for key, _ in models.asked()} == {
        "filter", "global_caption", "dense_caption", "description"
    }  # fmt: skip
    reports = annotation.run(Run(run_id="all"), qa_types=["mcq"])
    check_balance(reports)
    assert reports["highlights"]["rows_in"] == 0
    assert annotation.ends("qa_items") == {"n": {OK}}
    assert set(models.asked().values()) == {1}


def test_duplicates_are_those_of_the_partition_and_too_many_flags_publish_nothing(
    annotation: Annotation, models: Models
) -> None:
    times = {"start_mmss": "00:00.4", "end_mmss": "00:01.4"}
    said = {"question": "What does <n> do?", "answer": "It brakes.", "reasoning": "It slows down.", **times}
    models.answer = lambda call: json.dumps(said) if call.step == "qa.open_qa" else None

    def export(name: str, params: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        steps = {"mode": "normal", "steps": ["0", "1a", "2", "3", "4"], "qa_types": ["open_qa"]}
        checks = {"quality_checks": ["duplicate", "balance"]}
        return annotation.run(Run(run_id=name, params=params), **steps, **checks, **options)["qa_export"]

    def exported() -> dict[str, str | None]:
        place = f"{annotation.table}_export/ds=20261120"
        pointer = json.loads(content(annotation, f"{place}/manifest.json"))
        lines = content(annotation, f"{place}/{pointer['folder']}/items.jsonl").splitlines()
        return {Path(item["video_path"]).stem: item["duplicate_of"] for item in map(json.loads, lines)}

    annotation.put("b", "n")
    quality = export("two")["quality"]
    assert not [key for key, _ in models.asked() if key == "blind"], "it was switched off"
    ids = dict(annotation.rows("qa_items", "item_id"))
    assert exported() == {"b": None, "n": ids["b"]}
    assert (quality["unflagged"], quality["tasks"]["open_qa"]["flags"]) == (
        1,
        {"duplicate": {"items": 1, "share": 0.5}},
    )

    # What came first is not the first one, once there is one before it.
    annotation.put("a")
    with pytest.raises(ItemQualityError, match=r"33\.3% of 3 items .* 40\.0% .*: 2 duplicate \(2 open_qa\)"):
        export("three", min_item_quality=0.4)
    assert exported() == {"b": None, "n": ids["b"]}
    quality = export("again")["quality"]
    ids = dict(annotation.rows("qa_items", "item_id"))
    assert exported() == {"a": None, "b": ids["a"], "n": ids["a"]}
    assert quality["share"] == 0.3333
    left = export("excluded", {"allow_shrink": True}, exclude=["duplicate"], min_item_quality=1)
    assert left["filtered_reasons"] == {"duplicate": 2}
    assert exported() == {"a": None}


def etags(annotation: Annotation) -> dict[str, str]:
    pages = annotation.oss.list_objects_v2_paginator().iter_page(
        oss.ListObjectsV2Request(bucket=annotation.bucket)
    )
    return {str(each.key): str(each.etag) for page in pages for each in page.contents or []}


def content(annotation: Annotation, key: str) -> bytes:
    request = oss.GetObjectRequest(bucket=annotation.bucket, key=key)
    return bytes(annotation.oss.get_object(request).body.content)


def download(annotation: Annotation, folder: Path) -> None:
    """Download the exported set, as its pointer names it, and the videos beside it."""

    place = f"{annotation.table}_export/ds=20261120"
    pointer = json.loads(content(annotation, f"{place}/manifest.json"))
    (folder / "videos").mkdir(parents=True)
    for file in pointer["files"]:
        (folder / file["name"]).write_bytes(
            content(annotation, f"{place}/{pointer['folder']}/{file['name']}")
        )
    for name in ("a_long", "n"):
        (folder / "videos" / f"{name}.mp4").write_bytes(content(annotation, f"videos/{name}.mp4"))


def validate(folder: Path) -> subprocess.CompletedProcess[str]:
    daft = Path(sys.executable).with_name("tao-daft")
    command = [daft, "validate", "tao-vl-reason-v1.0", "--path", folder, "--strict"]
    return subprocess.run(command, capture_output=True, text=True, check=False)
