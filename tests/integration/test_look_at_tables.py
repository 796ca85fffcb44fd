"""drivepipe query, frames and items: what a person sees of tables, without Airflow running."""

from __future__ import annotations

import io
import re
from pathlib import Path

import alibabacloud_oss_v2 as oss
import pytest
from PIL import Image

from airflow_provider_drivepipe.cli.main import main
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from maxcompute_local.settings import PROJECT, REGION
from tests.unit.video_samples import write_video

LABEL = (
    '{"weather": "rainy", "key_objects": [{"class": "car"}, {"class": "car"}, {"class": "<b>bus"}], '
    '"lane": "unknown", "caption": "A wet city street with two cars and a bus ahead."}'
)


@pytest.fixture
def scenario(airflow_connection, oss_client, bucket, table, tmp_path):
    """A labelled partition: two frames of one video, one of which has lost its JPEG, and a broken video."""
    hook = DrivepipeHook()
    root = hook.oss_root(bucket)
    picture = io.BytesIO()
    Image.new("RGB", (1920, 1080), "green").save(picture, "JPEG")
    oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key="f/a_0000.jpg", body=picture.getvalue()))
    hook.execute_sql(
        f"CREATE TABLE {table} (video_path STRING, frame_idx BIGINT, frame_time_ms BIGINT, image_url STRING, "
        "label_text STRING, status STRING, error_stage STRING, error_type STRING, error_msg STRING) "
        "PARTITIONED BY (ds STRING)"
    )
    hook.execute_sql(
        f"INSERT INTO {table} PARTITION (ds='20261120') VALUES "
        f"('{root}/trips/a.mp4', 0, 0L, '{root}/f/a_0000.jpg', '{LABEL}', 'ok', '', '', ''), "
        f"('{root}/trips/a.mp4', 1, 500L, '{root}/f/a_0001.jpg', 'a road', 'ok', '', '', ''), "
        f"('{root}/trips/c.mp4', -1, NULL, NULL, NULL, 'failed', 'frame_extraction', 'truncated', "
        "'no index & no frames')"
    )
    file = tmp_path / "night_rain.yaml"
    file.write_text(
        "scenario_name: night_rain\ninput_shape: video_table\ntargets: [frame-extraction]\n"
        f"oss_bucket: {bucket}\nsource_table: none\noutput_table: {table}\n"
    )
    return file


def test_contact_sheet_shows_frames_labels_and_reasons_in_one_file(scenario, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["frames", str(scenario), "20261120", "--output", str(page)]) == 0
    assert str(page) in capsys.readouterr().out
    text = page.read_text()
    assert "3 rows, 2 ok, 1 failed" in text
    assert text.count("data:image/jpeg;base64,") == 2, "small, and large to open"
    assert not re.search("(src|href)=.(?!data:)", text)
    assert ">rainy</span>" in text
    assert ">2 × car</span>" in text
    assert ">&lt;b&gt;bus</span>" in text
    assert ">unknown</span>" not in text
    assert "A wet city street" in text
    assert "trips/a.mp4 <small>0.5 s</small>" in text
    assert "the picture cannot be shown: " in text
    assert "truncated at frame_extraction" in text
    assert "no index &amp; no frames" in text
    assert text.index("trips/c.mp4") < text.index("trips/a.mp4"), "what failed comes first"
    # A picture of the width of a tile, not the whole frame.
    assert len(text) < 20_000


def test_a_partition_that_is_not_there_is_named_with_what_to_do(scenario, capsys):
    assert main(["frames", str(scenario), "20261121"]) == 1
    assert "has no partition ds=20261121: run DAG drivepipe_night_rain" in capsys.readouterr().err
    assert main(["frames", str(scenario), "2026/11/21"]) == 1
    assert "is not allowed" in capsys.readouterr().err


@pytest.fixture
def training_set(airflow_connection, oss_client, bucket, table, tmp_path):
    """A scenario of items: eight of one video, two of one that is gone, one that failed."""
    hook = DrivepipeHook()
    root = hook.oss_root(bucket)
    video = write_video(tmp_path / "a.mp4", 20, 5, size=(160, 96)).read_bytes()
    oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key="trips/a&b.mp4", body=video))
    name = f"{table}_qa_items"
    hook.execute_sql(
        f"CREATE TABLE {name} (item_id STRING, video_path STRING, qa_type STRING, item_number BIGINT, "
        "task STRING, question STRING, options STRING, answer STRING, answer_short STRING, reasoning STRING, "
        "start_ms BIGINT, end_ms BIGINT, blind_answerable BOOLEAN, length_ok BOOLEAN, language_ok BOOLEAN, "
        "mentions_source BOOLEAN, question_hash STRING, text_hash STRING, status STRING, "
        "error_stage STRING, error_type STRING, error_msg STRING) "
        "PARTITIONED BY (ds STRING)"
    )

    def row(number, task, question, video="a&b", options="NULL", answer="'So.'", short="NULL",
            times="1200, 3000", blind="false", hashes=None, status="ok"):  # fmt: skip
        of_question, of_text = hashes or (f"q{number}", f"t{number}")
        return (
            f"('id{number}', '{root}/trips/{video}.mp4', '{task}', {number}, '{task}', '{question}', "
            f"{options}, {answer}, {short}, 'Because.', {times}, {blind}, true, true, false, "
            f"'{of_question}', '{of_text}', '{status}', '', '', '')"
        )

    options = '\'["It <i>turns</i>.", "It brakes."]\''
    rows = [
        row(1, "mcq", "<script>alert(1)</script>", options=options, answer="'B. It brakes.'", short="'B'"),
        row(2, "temporal_localization", "When?", answer="NULL"),
        row(3, "scene_description", "Where?", times="NULL, NULL", blind="true"),
        *(row(4 + n, "open_qa", f"Why {n}?", hashes=("q", "t") if n > 1 else None) for n in range(5)),
        row(9, "open_qa", "Gone?", "gone"),
        row(10, "bcq", "Gone too?", "gone"),
        row(11, "open_qa", "Failed?", status="failed"),
    ]
    hook.execute_sql(f"INSERT INTO {name} PARTITION (ds='20261120') VALUES {', '.join(rows)}")
    file = tmp_path / "items.yaml"
    file.write_text(
        f"pipeline: reasoning\nscenario_name: {table}\ninput_shape: video_table\nsource_table: none\n"
        f"targets: [reasoning-annotation]\noss_bucket: {bucket}\nvlm_model: v\nllm_model: l\n"
    )
    return file


def test_items_are_shown_with_frames_at_their_times_in_one_file(training_set, tmp_path, capsys):
    def page(*options):
        output = tmp_path / "page.html"
        assert main(["items", str(training_set), "20261120", "--output", str(output), *options]) == 0
        return output.read_text()

    text = page()
    assert re.findall('class="id">([^<]*)', page()) == re.findall('class="id">([^<]*)', text)
    assert "10 ok, 1 failed." in text
    assert "1 bcq, 1 mcq, 6 open_qa, 1 scene_description, 1 temporal_localization." in text
    assert text.count("<article>") == 10
    assert "Failed?" not in text
    assert not re.search("(src|href)=.(?!data:)", text)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert '<li class="right">It brakes. <strong>' in text
    assert "It &lt;i&gt;turns&lt;/i&gt;." in text
    assert "<b>Answer</b> 00:01.2 to 00:03.0" in text
    articles = {re.findall("<h2>(.*?)</h2>", html)[0]: html for html in text.split("<article>")[1:]}
    assert re.findall('alt="([^"]*)"', articles["When?"]) == [
        f"trips/a&amp;b.mp4 at 00:0{seconds}" for seconds in ("1.2", "1.8", "2.4", "3.0")
    ]
    assert re.findall("<figcaption>([^<]*)", articles["Where?"])[::3] == ["00:00.0", "00:03.8"]
    assert "<figure>" not in articles["Gone?"] + articles["Gone too?"]
    assert "the frames cannot be shown: " in articles["Gone?"]
    flags = {name: re.findall('"flag">([^<]*)', html) for name, html in articles.items()}
    assert {name: found for name, found in flags.items() if found} == {
        "Where?": ["blind_answerable"], "Why 3?": ["duplicate"], "Why 4?": ["duplicate"]
    }  # fmt: skip

    report = tmp_path / "report.html"
    assert main(["report", str(training_set), "20261120", "-o", str(report)]) == 0
    ids = 'class="id">(id[^<]*)'
    assert re.findall(ids, report.read_text()) == re.findall(ids, page("-n", "6"))
    # One of each task before a second one of any.
    tasks = re.findall('"task">([^<]*)', page("-n", "6"))
    assert sorted(tasks) == ["bcq", "mcq", "open_qa", "open_qa", "scene_description", "temporal_localization"]


def test_items_of_another_scenario_or_partition_say_what_to_do(training_set, scenario, capsys):
    assert main(["items", str(training_set), "20261121"]) == 1
    assert "has no partition ds=20261121: run DAG drivepipe_" in capsys.readouterr().err
    assert main(["items", str(scenario), "20261120"]) == 1
    assert "night_rain makes no items" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["items", str(training_set), "20261120", "-n", "0"])
    assert "1 to 100 fit" in capsys.readouterr().err


def test_the_quick_starts_plain_sdks_upload_and_read(
    scenario, table, local_cloud, oss_client, bucket, tmp_path, monkeypatch, capsys
):
    page = Path(__file__).parents[2] / "docs" / "quickstart.md"
    upload, read = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    settings = local_cloud.settings
    for name, value in {
        "OSS_ENDPOINT": settings.oss_endpoint,
        "OSS_REGION": REGION,
        "OSS_ACCESS_KEY_ID": settings.access_key_id,
        "OSS_ACCESS_KEY_SECRET": settings.access_key_secret,
        "ODPS_ENDPOINT": settings.odps_endpoint,
        "ODPS_PROJECT": PROJECT,
        "ODPS_ACCESS_ID": settings.access_key_id,
        "ODPS_ACCESS_KEY": settings.access_key_secret,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-clips").mkdir()
    (tmp_path / "my-clips" / "a.mp4").write_bytes(b"a clip")
    exec(upload.replace('bucket="my-clips"', f"bucket={bucket!r}"), {})
    assert oss_client.is_object_exist(bucket, "raw/20261120/a.mp4")
    exec(read.replace("driving_demo_labels", table), {})
    assert sorted(capsys.readouterr().out.splitlines()) == ["['failed', 1]", "['ok', 2]"]


def test_query_prints_a_table_and_counts_what_it_does_not_print(scenario, table, capsys):
    columns = "frame_idx, frame_time_ms, error_type"
    sql = f"SELECT {columns} FROM {table} WHERE ds='20261120' ORDER BY frame_idx LIMIT 9;"
    assert main(["query", sql, "--limit", "2"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "frame_idx\tframe_time_ms\terror_type\n-1\tNULL\ttruncated\n0\t0\t\n"
    assert "2 of 3 rows" in shown.err
    assert main(["query", f"SELECT COUNT(*) FROM {table}x"]) == 1
    assert f"{table}x" in capsys.readouterr().err
    assert main(["query", f"DROP TABLE {table}"]) == 0
    assert DrivepipeHook().table_comment(table) is None


def test_a_terminal_gets_columns_and_cut_values(scenario, table, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert (
        main(["query", f"SELECT frame_idx, label_text FROM {table} WHERE frame_idx = 0 AND ds='20261120'"])
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  frame_idx  label_text"
    assert lines[2].startswith('          0  {"weather": "rainy"')
    assert lines[2].endswith("…")


def test_without_a_connection_the_running_local_cloud_is_used_and_said(
    scenario, table, local_cloud, capsys, monkeypatch
):
    monkeypatch.delenv("AIRFLOW_CONN_DRIVEPIPE_DEFAULT")
    monkeypatch.setenv("DRIVEPIPE_LOCAL_ROOT", str(local_cloud.root))
    assert main(["query", f"SELECT COUNT(*) AS n FROM {table} WHERE ds='20261120'"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "n\n3\n"
    assert f"using the local cloud of {local_cloud.root}" in shown.err
    monkeypatch.setenv("DRIVEPIPE_LOCAL_ROOT", str(local_cloud.root / "none"))
    assert main(["query", "SELECT 1"]) == 1
    assert "there is no connection 'drivepipe_default'" in capsys.readouterr().err
    assert main(["query", "SELECT 1", "--conn-id", "another"]) == 1
    assert "there is no connection 'another'" in capsys.readouterr().err
