"""An evaluation's files to tables, through the pipeline, back to files; and the page to look at it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from airflow_provider_drivepipe.cli.local import connections
from airflow_provider_drivepipe.cli.main import main
from airflow_provider_drivepipe.sql import quote_text
from maxcompute_local.models.scripted import Step
from maxcompute_local.server import LocalCloud
from tests.integration.retrieval_run import DAY, Call, Library, Models, library, models

pytestmark = pytest.mark.slow
__all__ = ["library", "models"]

RED, GREEN, DRAWN = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.6, 0.8, 0.0, 0.0]
ITEMS = [
    {"key": "a", "uid": "q1", "question": "Light?\nA. red\nB. green", "answer": "A", "category": "<i>x</i>",
     "evidence_start_ms": 1000, "evidence_end_ms": 2000},
    {"key": "a", "uid": "q2", "question": "Wet <script>alert(1)</script>? (A) yes (B) no", "answer": "B"},
    {"key": "b", "uid": "q3", "question": "Light of b?\nA. red\nB. green", "answer": "B"},
    {"key": "b", "uid": "q4", "question": "Where to?", "answer": "left"},
]  # fmt: skip
ARMS = ["blind", "text", "planned_image", "oracle"]


def said(call: Call) -> str | Step | None:
    if call.kind == "plan":
        return None
    if call.kind == "blind":
        return json.dumps({"answer": "unknown"})
    return {
        "Light?": json.dumps({"reasoning": "It is <b>red</b>.", "answer": "A", "frames": [2]}),
        "Wet <script>alert(1)</script>?": "The answer is (A).",
        "Light of b?": "It could be either.",
        "Where to?": json.dumps({"reasoning": "", "answer": "left", "frames": []}),
    }[call.question.split(" (A)")[0]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The files of an evaluation: two videos with three frames a second apart, and their vectors."""
    (tmp_path / "data.json").write_text(json.dumps(ITEMS))
    (tmp_path / "vectors").mkdir()
    for key, vectors in {"a": [GREEN, RED, RED], "b": [RED, GREEN, GREEN]}.items():
        (tmp_path / "frames" / key).mkdir(parents=True)
        names = [f"frame_{number}.jpg" for number in (1, 2, 10)]
        for number, name in enumerate(names):
            Image.new("RGB", (64, 36), (number * 80, 90, 0)).save(tmp_path / "frames" / key / name)
        np.savez(
            tmp_path / "vectors" / f"{key}.npz", filenames=names, embeddings=np.array(vectors, "float32")
        )
    return tmp_path


def test_files_become_tables_answers_files_again_and_a_page(
    data: Path, library: Library, models: Models, local_cloud: LocalCloud, monkeypatch, capsys
) -> None:
    name = "AIRFLOW_CONN_DRIVEPIPE_IMAGES"
    monkeypatch.setenv(name, connections(local_cloud.settings)[name])
    models.answer = said
    models.vector = lambda text: tuple(DRAWN if text == "image" else RED)
    # The library's own tables have other columns than loaded ones.
    tables = {"source_table": f"{library.table}_q", "frames_table": f"{library.table}_f"}
    options = {
        "image_model": "qwen-image-edit",
        "image_conn_id": "drivepipe_images",
        "arms": ARMS,
        "top_k": 1,
    }
    scenario = library.scenario_file(tables, **options)
    place = ["--scenario", str(scenario), "--partition", DAY]
    vectors = ["--frames", str(data / "frames"), "--embeddings", str(data / "vectors")]
    assert main(["qa", "load", str(data / "data.json"), "--prefix", "eval", *place, *vectors]) == 0
    library.run(keys=tables, **options)

    out = data / "out"
    file = ["--data", str(data / "data.json"), "-o", str(out)]
    assert main(["qa", "results", *place, "--arm", "planned_image", *file]) == 0
    begins = out / "qwen3-vl-plus_data_image_retrieval_8frames"
    results = {item["uid"]: item for item in json.loads(Path(f"{begins}_results.json").read_text())}
    assert list(results) == ["q1", "q2", "q3", "q4"]
    assert {uid: (item["model_answer"], item["is_correct"]) for uid, item in results.items()} == {
        "q1": ("A", True), "q2": ("A", False), "q3": (None, False), "q4": ("left", True)
    }  # fmt: skip
    first = results["q1"]
    assert {name: first[name] for name in ITEMS[0]} == ITEMS[0]
    steps = first["workflow_steps"]
    assert steps["step1_planning_requests"] == [{"reference_image_id": 1, "prompt": "Light? planned"}]
    [drawn] = steps["step2_generated_images"]
    assert drawn.startswith(f"{library.root}/{library.table}/")
    # The drawn picture is more like the green frame, the question more like the red one.
    assert [url.rpartition("/")[2] for url in steps["step2_retrieved_frame_paths"]] == ["a_0001.jpg"]
    assert steps["step3_final_reasoning_and_answer"] == said(Call("answer", "Light?", ()))
    assert json.loads(Path(f"{begins}_metrics.json").read_text()) == {
        "total_samples": 4, "answered_samples": 3, "correct_answers": 2, "accuracy": 2 / 3
    }  # fmt: skip
    assert main(["qa", "results", *place, "--arm", "text", *file]) == 0
    shown = {item["uid"]: item for item in json.loads(Path(f"{begins}_results.json").read_text())}
    steps = shown["q1"]["workflow_steps"]
    assert [url.rpartition("/")[2] for url in steps["step2_retrieved_frame_paths"]] == ["a_0002.jpg"]
    assert steps["step2_generated_images"] == []

    check_page(library, scenario, data / "page.html", capsys)
    check_report(scenario, data / "report.html")


def check_report(scenario: Path, output: Path) -> None:
    """The report of the partition has the arms too, beside what all reports have."""
    assert main(["report", str(scenario), DAY, "-o", str(output)]) == 0
    text = output.read_text()
    assert not re.search("(src|href)=.(?!data:|#)", text)
    assert "<script" not in text
    assert re.findall("<section><h2>(.*?)</h2>", text)[-3:] == ["Arms", "Questions", "How it was made"]
    [figures] = re.findall('<tr><th scope="row">text</th>(.*?)</tr>', text)
    assert "<td>2 of 4</td>" in figures
    assert '<tr><th scope="row">answers<br>' in text


def check_page(library: Library, scenario: Path, output: Path, capsys) -> None:
    def page(*more: str) -> str:
        assert main(["evidence", str(scenario), DAY, "--output", str(output), *more]) == 0
        return output.read_text()

    text = page()
    assert not re.search("(src|href)=.(?!data:|#)", text)
    assert "<script" not in text
    assert "<i>x</i>" not in text
    assert "4 of 4 questions" in text
    for arm, correct in {
        "blind": "0 of 4",
        "text": "2 of 4",
        "planned_image": "2 of 4",
        "oracle": "1 of 1",
    }.items():
        [figures] = re.findall(f'<tr><th scope="row">{arm}</th>(.*?)</tr>', text)
        assert f"<td>{correct}</td>" in figures
    overview = {
        question: re.findall('aria-label="([^"]*)"', marks)
        for question, marks in re.findall(r'<a href="#q\d">(.*?)</a>(.*?)</tr>', text)
    }
    assert overview == {
        "Light?": ["abstained", "right", "right", "right"],
        "Wet &lt;script&gt;alert(1)&lt;/script&gt;?": ["abstained", "wrong", "wrong", "left out"],
        "Light of b?": ["abstained", "failed", "failed", "left out"],
        "Where to?": ["abstained", "right", "right", "left out"],
    }
    [light] = [part for part in text.split("<article")[1:] if "<h2>Light?</h2>" in part]
    assert '<li class="right">A. red <b>✓ right</b></li><li>B. green</li>' in light
    assert "annotated from 00:01.0 to 00:02.0" in light
    arms = dict(re.findall(r"<h3>(\w+)</h3>(.*?)</section>", light, re.DOTALL))
    assert list(arms) == ARMS
    assert "<figure" not in arms["blind"]
    assert re.findall('alt="([^"]*)"', arms["text"]) == ["Frame 2 at 00:02.0"]
    assert "score 1.000" in arms["text"]
    assert re.findall('<span class="(relied|evidence)">', arms["text"]) == ["relied", "evidence"]
    assert re.findall('<span class="(relied|evidence)">', arms["planned_image"]) == ["evidence"]
    assert "It is &lt;b&gt;red&lt;/b&gt;." in arms["text"]
    [either] = [part for part in text.split("<article")[1:] if "Light of b?" in part]
    assert "It said: It could be either." in either

    # Of each category one before a second one of any; those whose answers differ more stand first.
    few = re.findall("<article id=.*?<h2>(.*?)</h2>", page("-n", "2"), re.DOTALL)
    assert len(few) == 2
    assert "Light?" in few
    assert page("-n", "2") == page("-n", "2")

    # A picture that is gone is said, and the page is there all the same.
    [[url]] = library.hook.execute_sql(
        f"SELECT MAX(image_url) FROM {library.table}_evidence WHERE ds={quote_text(DAY)} AND arm = 'text' "
        "AND question_id = 'q1'"
    )
    import alibabacloud_oss_v2 as oss

    key = url.removeprefix(f"{library.root}/")
    library.oss.delete_object(oss.DeleteObjectRequest(bucket=library.bucket, key=key))
    assert "the picture cannot be shown: " in page()
    capsys.readouterr()
    assert main(["evidence", str(scenario), "20261121"]) == 1
    assert "has no partition ds=20261121: run DAG drivepipe_" in capsys.readouterr().err
