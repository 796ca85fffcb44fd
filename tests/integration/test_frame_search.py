"""drivepipe search and FrameSearchOperator: what is found, what is paid, what ends."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import numpy as np
import pytest
from airflow.sdk import DAG
from PIL import Image

from airflow_provider_drivepipe.cli.main import main
from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column
from airflow_provider_drivepipe.exceptions import (
    ConfigurationError,
    DrivepipeError,
    EmptyInputError,
    RemoteJobError,
)
from airflow_provider_drivepipe.hooks import frame_search
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook, SessionTags
from airflow_provider_drivepipe.operators import FrameSearchOperator
from airflow_provider_drivepipe.pipelines.driving.models import embedding_hashes
from airflow_provider_drivepipe.sql import create_table
from maxcompute_local.models.backend import EmbedRequest, ImagePart, TextPart
from maxcompute_local.models.registry import ModelRegistry
from tests.integration.operator_context import Run

pytestmark = pytest.mark.slow

MODEL, DIMENSION = "qwen3-vl-embedding", 16
QUERY = "a pedestrian's {shadow} behind a parked van"
VIDEOS, FRAMES = 3, 30
COLUMNS = (
    Column("video_path", "string"),
    Column("video_id", "string"),
    Column("frame_idx", "bigint"),
    Column("frame_time_ms", "bigint"),
    Column("image_id", "string"),
    Column("image_url", "string"),
    Column("label_text", "string"),
    Column("image_embedding", "string"),
    *STATUS_COLUMNS,
)


def query_vector() -> Any:
    request = EmbedRequest(MODEL, (TextPart(QUERY),), DIMENSION)
    return np.array(ModelRegistry("p").backend(MODEL).embed(request).vectors[0])


@dataclass
class Frames:
    """A labelled partition with vectors, some of which are the same, and rows that cannot be found."""

    hook: MaxFrameHook
    table: str
    rows: list[dict[str, Any]]
    scenario: Path
    root: str

    def put(self, rows: list[dict[str, Any]], ds: str = "20261120") -> None:
        with self.hook.odps.get_table(self.table).open_writer(
            f"ds={ds}", create_partition=True, overwrite=True
        ) as writer:
            writer.write([[row[column.name] for column in COLUMNS] for row in rows])

    def expected(self, top: int, weather: str = "") -> list[tuple[str, int, float]]:
        """Brute force: cosine to all that can be compared, ties by video and time."""
        query = query_vector()
        found = []
        for row in self.rows:
            label = json.loads(row["label_text"] or "{}")
            vector = np.array(json.loads(row["image_embedding"] or "[]"))
            made = row["fingerprint"] == self.rows[0]["fingerprint"]
            chosen = not weather or label.get("weather") == weather
            if row["status"] == "ok" and made and len(vector) == DIMENSION and chosen:
                score = vector @ query / np.linalg.norm(vector) / np.linalg.norm(query)
                found.append((row["video_path"], row["frame_time_ms"], round(float(score), 12)))
        return sorted(found, key=lambda each: (-each[2], each[0], each[1]))[:top]

    def operator(self, **arguments: Any) -> FrameSearchOperator:
        given = {"query": QUERY, "top": 12, **arguments}
        return FrameSearchOperator(
            task_id="search",
            source_table=self.table,
            output_table=f"{self.table}_hits",
            model=MODEL,
            dimension=DIMENSION,
            **given,
        )

    def hits(self, columns: str = "video_path, frame_time_ms, score") -> list[tuple[Any, ...]]:
        sql = f"SELECT {columns} FROM {self.table}_hits WHERE ds='20261120' ORDER BY `rank` LIMIT 100"
        return [tuple(row) for row in self.hook.execute_sql(sql)]


@pytest.fixture
def frames(airflow_connection, bucket, table, tmp_path) -> Frames:
    hook = MaxFrameHook()
    root = str(hook.oss_root(bucket))
    [made_with, *_] = embedding_hashes(MODEL, DIMENSION, hook)
    random = np.random.default_rng(7)
    rows = []
    for video in range(VIDEOS):
        for number in range(FRAMES):
            vector = random.normal(size=DIMENSION).round(4)
            if number % 12 == 4:
                vector = (query_vector() + 0.1).round(4) * 2**video
            rows.append(
                {
                    "video_path": f"{root}/trips/{'bca'[video]}.mp4",
                    "video_id": f"v{video}",
                    "frame_idx": number,
                    "frame_time_ms": 500 * number,
                    "image_id": f"{video}_{number:04d}",
                    "image_url": f"{root}/f/{video}_{number:04d}.jpg",
                    "label_text": json.dumps({"weather": ("rainy", "clear")[number % 2], "caption": "A van"}),
                    "image_embedding": json.dumps(list(vector)),
                    "status": "ok",
                    "error_stage": "",
                    "error_type": "",
                    "error_msg": "",
                    "attempt": 1,
                    "fingerprint": f"frames=00;image_embedding={made_with};input=11",
                }
            )
    best = {**rows[4], "frame_time_ms": 1}
    rows += [
        {**best, "image_embedding": None},
        {**best, "image_embedding": "[1, NaN]"},
        {**best, "image_embedding": "[1, 2, 3]"},
        {**best, "status": "failed", "error_stage": "label"},
        {**best, "fingerprint": "image_embedding=0123"},
    ]
    hook.execute_sql(create_table(table, COLUMNS, ("ds",)))
    scenario = tmp_path / "night_rain.yaml"
    scenario.write_text(
        "scenario_name: night_rain\ninput_shape: video_table\n"
        "targets: [frame-extraction, labeling, embedding]\nvlm_model: qwen3-vl-plus\n"
        f"oss_bucket: {bucket}\nsource_table: none\noutput_table: {table}\n"
        f"embedding_model: {MODEL}\nembedding_dim: {DIMENSION}\nlabel_schema: driving-scene/v1\n"
    )
    made = Frames(hook, table, rows, scenario, root)
    made.put(rows)
    return made


@pytest.fixture
def paid(local_cloud) -> Iterator[Any]:
    """What was paid since the last look."""
    before = [local_cloud.control.stats().get("model.embed", 0)]

    def since() -> int:
        now = local_cloud.control.stats().get("model.embed", 0)
        paid, before[0] = now - before[0], now
        return paid

    yield since
    local_cloud.control.faults.clear()


def live(hook: MaxFrameHook) -> list[str]:
    return [s.session_id for s in hook.list_sessions() if s.tags.task_id == "search"]


def rounded(hits: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(video, time_ms, round(score, 12)) for video, time_ms, score in hits]


def test_the_best_frames_are_those_of_brute_force_and_a_second_run_pays_nothing(frames, paid, monkeypatch):
    monkeypatch.setattr(frame_search, "_ROWS_PER_CALL", 7)
    report = Run().execute(frames.operator())
    expected = frames.expected(12)
    assert len({score for _, _, score in expected}) < len(expected), "some of them are ties"
    assert rounded(frames.hits()) == expected
    columns = "`query`, `rank`, status, image_id, label_text"
    assert [row[:3] for row in frames.hits(columns)] == [(QUERY, n, "ok") for n in range(1, 13)]
    assert paid() == 1
    assert (report["rows_in"], report["ok"], report["verdict"]) == (12, 12, "completed")
    assert report["stages"]["search"] == {
        "rows_in": 95, "ok": 90, "failed": 0, "filtered": 0, "skipped": 5,
    }  # fmt: skip
    assert report["skipped_reasons"] == {"no_vector": 2, "other_length": 1, "not_ok": 1, "other_model": 1}
    assert frames.hook.list_tables(f"{frames.table}_hits__") == []

    again = Run(run_id="run2").execute(frames.operator())
    assert (again["ok"], again["carried_over"], paid()) == (12, 12, 0)
    assert rounded(frames.hits()) == expected


def test_the_pages_task_runs(frames):
    page = (Path(__file__).parents[2] / "docs" / "search.md").read_text()
    [code] = re.findall("```python\n(.*?)```", page, re.DOTALL)
    code = code.replace("night_rain_labels", frames.table).replace("night_rain_vans", f"{frames.table}_hits")
    with DAG("dag") as dag:
        exec(code.replace("dimension=1024", f"dimension={DIMENSION}"), {})
    report = Run().execute(dag.get_task("vans"))
    assert (report["ok"], report["filtered"]) == (45, 0)


def test_another_query_or_other_frames_are_searched_again(frames, paid):
    Run().execute(frames.operator(where="weather = 'rainy'", label_schema="driving-scene/v1"))
    assert rounded(frames.hits()) == frames.expected(12, "rainy")
    assert paid() == 1
    frames.rows[0]["label_text"] = '{"weather": "foggy"}'
    frames.put(frames.rows)
    operator = frames.operator(where="weather = 'foggy'", label_schema="driving-scene/v1")
    Run().execute(operator)
    assert (len(frames.hits()), paid()) == (1, 1)
    frames.put(frames.rows[1:])
    report = Run().execute(operator)
    assert (report["ok"], report["filtered_reasons"], paid()) == (0, {"no_frames": 1}, 1)
    [(rank, status, error, message)] = frames.hits("`rank`, status, error_type, error_msg")
    assert (rank, status, error) == (0, "filtered", "no_frames")
    assert "93 do not fit the condition" in message
    Run().execute(operator)
    assert paid() == 0, "that nothing was found is known too"


def test_what_does_not_fit_is_refused_before_anything_is_paid(frames, paid):
    run = Run()
    operator = frames.operator(where="wether = 'rainy' and frame_idx = 'x'")
    with pytest.raises(ConfigurationError, match=r"(?s)no 'wether'.*frame_idx is of type bigint"):
        run.execute(operator)
    operator = frames.operator()
    operator.dimension = 8
    with pytest.raises(ConfigurationError, match="were not made by qwen3-vl-embedding with dimension 8"):
        run.execute(operator)
    operator = frames.operator()
    operator.model = "qwen3-vl-embeding"
    with pytest.raises(ConfigurationError, match="has no model qwen3-vl-embeding"):
        run.execute(operator)
    with pytest.raises(EmptyInputError, match="no rows in ds=20261121"):
        Run("20261121").execute(frames.operator())
    assert paid() == 0
    assert not live(frames.hook)


def test_a_query_that_is_not_embedded_publishes_nothing(frames, local_cloud, paid):
    local_cloud.control.faults.add("model.embed", "forbidden")
    with pytest.raises(RemoteJobError, match="the query cannot be embedded by qwen3-vl-embedding: model_err"):
        Run().execute(frames.operator())
    assert frames.hits() == []
    assert not live(frames.hook)
    assert frames.hook.list_tables(f"{frames.table}_hits__") == []


def test_the_command_prints_a_table_and_writes_a_page(frames, oss_client, bucket, paid, tmp_path, capsys):
    picture = io.BytesIO()
    Image.new("RGB", (640, 360), "green").save(picture, "PNG")
    best, *_ = frames.expected(3, "rainy")
    url = next(r["image_url"] for r in frames.rows if (r["video_path"], r["frame_time_ms"]) == best[:2])
    key = url.removeprefix(f"{frames.root}/")
    oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=picture.getvalue()))
    page = tmp_path / "page.html"
    arguments = ["search", str(frames.scenario), QUERY, "--top", "3", "-o", str(page)]
    assert main([*arguments, "--where", "weather = 'rainy'", "--partition", "20261120"]) == 0
    shown = capsys.readouterr()
    lines = [line.split("\t") for line in shown.out.splitlines()]
    assert lines[0] == ["rank", "score", "video", "time", "label"]
    assert lines[1] == ["1", f"{best[2]:.4f}", best[0], f"{best[1] / 1000:g} s", "A van"]
    assert len(lines) == 4
    assert "3 of 95 frames; 45 do not fit the condition; 1 are not ok; 2 have no vector; 1 have" in shown.err
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 2, "one picture, small and opened"
    assert f"#1 {best[2]:.3f}" in text
    assert "where weather = &#39;rainy&#39;" in text
    assert paid() == 1
    assert frames.hook.list_tables("drivepipe_search_") == []

    file = tmp_path / "like.png"
    file.write_bytes(picture.getvalue())
    request = EmbedRequest(MODEL, (ImagePart(picture.getvalue()),), DIMENSION)
    [vector] = ModelRegistry("p").backend(MODEL).embed(request).vectors
    frames.rows[7]["image_embedding"] = json.dumps(vector)
    frames.put(frames.rows)
    assert main(["search", str(frames.scenario), "--image", str(file), "-o", str(page)]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 21
    assert lines[1][2:4] == [frames.rows[7]["video_path"], "3.5 s"]
    assert float(lines[1][1]) > 0.99
    assert "like.png in night_rain ds=20261120" in page.read_text()
    assert paid() == 1


def test_the_command_names_what_is_wrong(frames, paid, tmp_path, capsys):
    search = ["search", str(frames.scenario), QUERY]
    assert main([*search, "--where", "weather = 'rain' and speed > 3"]) == 1
    error = capsys.readouterr().err
    assert "weather is never 'rain'; did you mean 'rainy'?" in error
    assert "there is no 'speed'" in error
    assert main([*search, "--partition", "ds=20261121"]) == 1
    assert "has no partition ds=20261121" in capsys.readouterr().err
    assert main([*search, "--partition", "region=east"]) == 1
    assert "is partitioned by ds, not by region" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*search, "--image", "a.png"])
    assert "either a TEXT or an --image" in capsys.readouterr().err
    file = tmp_path / "a.png"
    file.write_bytes(b"no picture")
    assert main(["search", str(frames.scenario), "--image", str(file)]) == 1
    assert "cannot be read" in capsys.readouterr().err
    changed = frames.scenario.read_text().replace("embedding_dim: 16", "embedding_dim: 8")
    frames.scenario.write_text(changed)
    assert main(search) == 1
    assert "were not made by" in capsys.readouterr().err
    frames.scenario.write_text(changed.replace(", embedding", "").replace("embedding_", "# "))
    assert main(search) == 1
    assert "makes no vectors of images" in capsys.readouterr().err
    assert paid() == 0


def test_a_search_that_is_interrupted_leaves_no_session_and_no_table(frames, local_cloud, paid, tmp_path):
    local_cloud.control.faults.add("model.embed", "latency", seconds=60)
    code = "from airflow_provider_drivepipe.cli.main import main; import sys; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "search", str(frames.scenario), QUERY]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        while not live(frames.hook):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.2)
        process.terminate()
        assert process.wait() == 130
    finally:
        process.kill()
    assert not live(frames.hook)
    assert frames.hook.list_tables("drivepipe_search_") == []


def test_a_task_that_is_killed_leaves_no_session_nor_does_one_that_dies(frames, local_cloud, paid):
    local_cloud.control.faults.add("model.embed", "latency", seconds=60)
    operator, ended = frames.operator(), []

    def execute() -> None:
        try:
            Run().execute(operator)
        except DrivepipeError as error:
            ended.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    while not live(frames.hook):
        assert thread.is_alive()
        time.sleep(0.2)
    operator.on_kill()
    thread.join()
    assert ended
    assert not live(frames.hook)
    local_cloud.control.faults.clear()
    frames.hook.open_session(SessionTags("dag", "run1", "search", -1, 1))
    assert Run().execute(operator, try_number=2)["ok"] == 12
    assert not live(frames.hook)
