"""The report of a partition: what it counts and shows, that nothing in it runs, and who writes it."""

from __future__ import annotations

import io
import json
import random
import re
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import alibabacloud_oss_v2 as oss
import pytest
from PIL import Image

from airflow_provider_drivepipe.cli.main import main
from airflow_provider_drivepipe.exceptions import DataGateError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.links.report import REPORT_KEY, ReportLink
from airflow_provider_drivepipe.operators import run_report
from tests.integration.browser import CHROMIUM, opened
from tests.integration.scenario_run import ScenarioRun, example
from tests.unit.video_samples import write_video

WEATHERS = ("clear", "rainy", "overcast", "foggy")
TODAY = "20261120"
COLUMNS = (
    "video_path STRING, frame_idx BIGINT, frame_time_ms BIGINT, image_url STRING, label_text STRING, "
    "label_normalised BIGINT, label_input_token BIGINT, label_output_token BIGINT, phash STRING, "
    "status STRING, error_stage STRING, error_type STRING, error_msg STRING"
)
MARK = "document.documentElement.setAttribute(\\'data-ran\\',1)".replace("\\'", "'")
ATTACKS = [
    text.replace("X", MARK)
    for text in (
        "<script>X</script>", '"><script>X</script>', "'><script>X</script>", "</title><script>X</script>",
        "</style><script>X</script>", "</textarea><script>X</script>", "--><script>X</script>",
        "]]><script>X</script>", "</script><script>X</script>", "</pre><script>X</script>",
        "</summary></details><script>X</script>", "<ScRiPt >X</sCrIpT>", "<script/x>X</script>",
        "<scr\0ipt>X</script>", "<img src=x onerror=X>", "<img src=x onerror=\"X\">", "<img/src=x/onerror=X>",
        '" onerror="X', "' onerror='X", '" autofocus onfocus="X" x="', '" onload="X" x="',
        '"><img src=x onerror="X', "<svg onload=X>", "<svg/onload=X>", "<svg><script>X</script></svg>",
        "<body onload=X>", "<iframe srcdoc=\"<script>parent.X</script>\">", "<iframe onload=X>",
        "<details open ontoggle=X>", "<input autofocus onfocus=X>", "<video><source onerror=X></video>",
        "<math><mtext><img src=x onerror=X></mtext></math>", "<style>@import 'http://example.com'</style>",
        "<link rel=stylesheet href=http://example.com onerror=X>", "<object data=x onerror=X></object>",
        "<base href=http://example.com/>", "<meta http-equiv=refresh content='0;url=http://example.com'>",
        "{{ 7 * 7 }}{% print 7 * 7 %}<script>X</script>", "&lt;script&gt;X&lt;/script&gt;",
        "🚗\u2028<script>X</script>",
    )
]  # fmt: skip


@pytest.fixture
def hook(airflow_connection):
    return DrivepipeHook()


@pytest.fixture
def scenario(bucket, table, tmp_path):
    def write(**more: str) -> Path:
        file = tmp_path / "days.yaml"
        lines = {
            "scenario_name": table, "input_shape": "video_table", "source_table": "none",
            "oss_bucket": bucket,
            "targets": "[frame-extraction, labeling]", "output_table": f"{table}_labels",
            "vlm_model": "qwen3-vl-plus", "label_schema": "driving-scene/v1",
            "prices": "{currency: CNY, input: 1.5, output: 4.5}", **more,
        }  # fmt: skip
        file.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
        return file

    return write


def put_picture(client, bucket, key):
    picture = io.BytesIO()
    Image.effect_noise((400, 225), 60).convert("RGB").save(picture, "JPEG")
    client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=picture.getvalue()))


def insert(hook, table, day, rows):
    partition = {"partition": f"ds='{day}'", "create_partition": True, "overwrite": True}
    with hook.odps.get_table(table).open_writer(**partition) as writer:
        writer.write(rows)


def label(weather, **more):
    hazards = ["cut_in"] if weather == "foggy" else []
    objects = [{"class": "car", "count": 1, "position": "left" if weather == "rainy" else "ego_lane"}]
    return json.dumps(
        {"weather": weather, "key_objects": objects, "hazards": hazards, "abstain": False, **more}
    )


@pytest.fixture
def days(hook, oss_client, bucket, table):
    """Six days of eight videos of five frames; the last one has failures, doubts and a near duplicate too."""
    root, name = hook.oss_root(bucket), f"{table}_labels"
    for frame in range(5):
        put_picture(oss_client, bucket, f"f/{frame}.jpg")
    hook.execute_sql(f"CREATE TABLE {name} ({COLUMNS}) PARTITIONED BY (ds STRING)")
    drawn = random.Random(3)
    counted = Counter()
    for day in range(15, 21):
        rows = []
        for video in range(8):
            of_video = drawn.choice(WEATHERS[:3])
            for frame in range(5):
                weather = of_video if drawn.random() < 0.7 else drawn.choice(WEATHERS[:3])
                path, picture = f"{root}/trips/{day}/{video}.mp4", f"{root}/f/{frame}.jpg"
                row = [path, frame, frame * 500, picture, label(weather), 0, 100, 10, f"{day}{video}{frame}"]
                rows.append([*row, "ok", "", "", ""])
                counted[day, weather] += 1
        if day == 20:
            gone = [f"{root}/trips/20/gone.mp4", -1, None, None, None, None, None, None, None]
            rows.append([*gone, "failed", "frame_extraction", "truncated", "no index"])
            path = rows[0][0]
            rows.append(
                [path, 5, 2500, f"{root}/f/4.jpg", None, None, None, None, "x", "filtered",
                 "frame_extraction", "near_duplicate", "phash distance 1"]
            )  # fmt: skip
            rows.append([path, 6, 3000, f"{root}/f/0.jpg", label("foggy"), 2, 100, 10, "y", "ok", "", "", ""])
            counted[day, "foggy"] += 1
        insert(hook, name, f"202611{day}", rows)
    return counted


def write(file, *options):
    page = file.with_suffix(".html")
    assert main(["report", str(file), TODAY, "-o", str(page), *options]) == 0
    return page.read_text()


def texts(html, start):
    """Return the words of a table's rows, from where it starts."""
    table = html[html.index(start) :].partition("</table>")[0]
    rows = re.findall("<tr.*?</tr>", table, re.DOTALL)
    return [re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", row)).strip() for row in rows]


def test_what_is_there_is_counted_compared_and_shown(days, scenario, hook, monkeypatch):
    said = []
    real = DrivepipeHook.execute_sql
    monkeypatch.setattr(
        DrivepipeHook, "execute_sql", lambda hook, sql: (said.append(sql), real(hook, sql))[1]
    )
    html = write(scenario())
    assert len(said) <= 6
    assert "compared with the 5 partitions before" in html
    assert "1 of 43 failed" in html
    tasks = texts(html, 'aria-label="Tasks"')
    # 41 labels at 100 and 10 tokens; the local cloud's models are no models, so the cost is not known.
    assert tasks[1].endswith("43 41 1 1 0 4,100 410 0 –")
    assert "video_labels: 1 failed, truncated at frame_extraction" in html
    assert "trips/20/gone.mp4|-1</span> no index" in html
    assert texts(html, 'aria-label="The last partitions"')[1].startswith("20261120 2.3 % 43 41 1 1 0")
    assert len(texts(html, 'aria-label="The last partitions"')) == 7
    rows = {row.split()[0]: row.split()[1] for row in texts(html, 'aria-label="weather"')[1:]}
    assert rows == {w: f"{100 * days[20, w] / 41:.1f}" for w in WEATHERS}
    positions = {
        row.split()[0]: row.split()[1] for row in texts(html, 'aria-label="key_objects.position"')[1:]
    }
    assert positions["left"] == rows["rainy"]
    assert texts(html, 'aria-label="hazards"')[1].startswith("cut_in 2.4 %")
    headings = re.findall("<section><h2>(.*?)</h2>", html)
    assert headings[4:8] == [
        "What failed", "Left out as near duplicates, each beside the frame before it",
        "Labels that are least sure", "Others",
    ]  # fmt: skip
    repeats = html[html.index(headings[5] + "</h2>") :].partition("</section>")[0]
    assert repeats.count("width:50%") == 2, "the two stand side by side"
    assert 'alt="20/0.mp4 2 s"' in repeats
    assert html.count("<figcaption>") > 20, "frames around"
    assert "driving-scene-en/v1" in html
    assert not re.search(r"(src|href)=[\"'](?!data:)", html)
    assert "<script" not in html
    assert len(html) < 10_000_000

    def same(text):
        return re.sub("made .*? UTC", "", text)

    assert same(write(scenario())) == same(html)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_person_reads_it_by_keyboard_on_a_phone_and_without_a_network(days, scenario):
    file = scenario()
    write(file)
    page = file.with_suffix(".html")
    with opened(page, 390, "dark") as shown:
        dark = shown.value("getComputedStyle(document.body).backgroundColor")
        assert shown.value("document.documentElement.scrollWidth") <= 390, "nothing is beside the screen"
        light = [{"name": "prefers-color-scheme", "value": "light"}]
        shown.call("Emulation.setEmulatedMedia", features=light)
        assert shown.value("getComputedStyle(document.body).backgroundColor") != dark
        bad = "[...document.images].filter(i => !i.alt || !i.complete || !i.naturalWidth).length"
        assert shown.value(bad) == 0, "each picture is there, and has a text"
        assert shown.value("document.querySelectorAll('[id]').length") == shown.value(
            "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
        )
        for _ in range(60):
            shown.press("Tab")
            if shown.value("document.activeElement.hasAttribute('popovertarget')"):
                break
        shown.press("Enter", text="\r")
        assert shown.value("document.querySelectorAll(':popover-open').length") == 1
        assert shown.value("document.querySelector(':popover-open > img').naturalWidth") == 400
        shown.press("Escape")
        assert shown.value("document.querySelectorAll(':popover-open').length") == 0
        assert [url for url in shown.requests if not url.startswith("data:")] == [page.as_uri()]
        assert shown.troubles == []


def test_a_partition_that_is_not_there_says_what_to_do(days, scenario, capsys):
    assert main(["report", str(scenario()), "20261130"]) == 1
    assert "has no partition ds=20261130: run DAG drivepipe_" in capsys.readouterr().err


class Elements(HTMLParser):
    """Every element of a page with the names of its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[tuple[str, str]] = Counter()

    def handle_starttag(self, tag, attrs):
        self.found.update((tag, name) for name, _ in [*attrs, ("", "")])


def elements(html):
    parser = Elements()
    parser.feed(html)
    return parser.found


def test_nothing_that_data_says_runs(hook, oss_client, bucket, table, scenario, tmp_path):
    """40 attacks, as file names, labels, errors, reasons and prompt: they are words on the page, no more."""
    root, name = hook.oss_root(bucket), f"{table}_labels"
    put_picture(oss_client, bucket, "f/0.jpg")
    hook.execute_sql(f"CREATE TABLE {name} ({COLUMNS}) PARTITIONED BY (ds STRING)")
    assert len(ATTACKS) == 40

    def page(texts):
        rows = []
        for number, text in enumerate(texts):
            path = f"{root}/trips/{number}{text}.mp4"
            weather = label(text, caption=text, hazards=[text], **{text: text})
            rows.append([path, 0, 0, f"{root}/f/0.jpg", weather, 9, 1, 1, text, "ok", "", "", ""])
            rows.append([path, 1, 500, f"{root}/f/0.jpg", text, 0, 1, 1, "", "ok", "", "", ""])
            rows.append([path, 2, None, text, text, 0, 1, 1, text, "failed", text, f"{number}{text}", text])
        insert(hook, name, TODAY, rows)
        prompt = "\n".join(texts).replace("\0", "")
        return write(scenario(label_prompt=json.dumps(prompt, ensure_ascii=False)))

    html = page(ATTACKS)
    for text in ATTACKS:
        assert text not in html
    harmless = elements(page(["rain"] * 40))
    assert set(elements(html)) == set(harmless), "no other element, no other attribute"
    if CHROMIUM is None:
        pytest.skip("no Chromium here to try it")
    # The page's own policy would stop scripts too: here escaping alone has to.
    bare = re.sub('<meta http-equiv="Content-Security-Policy".*?>', "", html)
    assert ran(bare, tmp_path) is False
    assert ran(bare.replace("</h1>", f"</h1>{ATTACKS[0]}"), tmp_path) is True, "the check itself"
    assert ran(html.replace("</h1>", f"</h1>{ATTACKS[0]}"), tmp_path) is False, "the policy"


def ran(html, folder):
    """Whether a script of a page ran in a browser."""
    file = folder / "attacked.html"
    file.write_text(html)
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
         "--virtual-time-budget=2000", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert "<h1>" in done.stdout
    return 'data-ran="1"' in done.stdout


def test_the_last_task_writes_the_report_beside_its_outputs(hook, oss_client, bucket, table, monkeypatch):
    video_path = "trips/a.mp4"
    oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=video_path, body=b"no video"))
    run, manifest = ScenarioRun(), example("manifest_only", bucket, table, oss_prefix="trips/")
    run.execute(manifest, reports=True)
    ti = run.run.tasks["manifest"]
    place = ti.pushed["run_report"]
    key = f"{table}_report/ds=20261120.html"
    assert place == {
        "uri": str(hook.oss_root(bucket).join(key)), "conn_id": "drivepipe_default", "oss_conn_id": None
    }  # fmt: skip
    assert REPORT_KEY.fullmatch(key)
    found = oss_client.get_object(oss.GetObjectRequest(bucket=bucket, key=key))
    assert found.content_type.startswith("text/html")
    html = found.body.read().decode()
    assert f"{table} ds=20261120" in html
    assert 'href="http://localhost:8080/dags/dag/runs/run1/tasks/manifest"' in html

    # A report that cannot be written takes nothing from the task.
    def broken(*_: object) -> None:
        raise KeyError("a mistake in the report")

    monkeypatch.setattr(run_report, "write_run_report", broken)
    assert ScenarioRun().execute(manifest, reports=True)["manifest"]["ok"] == 1


@pytest.mark.slow
def test_a_gate_that_fails_writes_it_and_a_run_that_changes_nothing_leaves_it(
    hook, oss_client, bucket, table, tmp_path
):
    video = write_video(tmp_path / "a.mp4", frames=20).read_bytes()
    for name, body in {"a": video, "broken": b"no video " * 20}.items():
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=f"raw/{name}.mp4", body=body))
    key = f"{table}_report/ds=20261120.html"

    def run(**more):
        done = ScenarioRun()
        options = {"oss_prefix": "raw/", "split_video": True, "max_row_attempts": 1, **more}
        try:
            done.execute(example("driving_demo", bucket, table, **options), reports=True)
        finally:
            found = {task for task, ti in done.run.tasks.items() if "run_report" in ti.pushed}
        return found

    with pytest.raises(DataGateError):
        run(max_failure_rate=0.0)
    html = oss_client.get_object(oss.GetObjectRequest(bucket=bucket, key=key)).body.read().decode()
    assert "1 of 2 failed" in html
    oss_client.delete_object(oss.DeleteObjectRequest(bucket=bucket, key="raw/broken.mp4"))
    assert run() == {"labels"}
    html = oss_client.get_object(oss.GetObjectRequest(bucket=bucket, key=key)).body.read().decode()
    assert '<tr><th scope="row">label</th><td>1</td><td>1</td>' in html, "stages of the run"
    assert "driving-scene-en/v1" in html
    oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=b"left as it is"))
    assert run() == {"labels"}
    assert oss_client.get_object(oss.GetObjectRequest(bucket=bucket, key=key)).body.read() == b"left as it is"


def test_the_link_names_the_task_and_no_secret():
    class Key:
        dag_id, run_id, task_id, map_index = "d", "manual__2026-11-20T00:00:00+00:00", "labels", -1

    class Operator:
        wrote_report = True

    address = ReportLink().get_link(Operator(), ti_key=Key())
    run_id = "manual__2026-11-20T00%3A00%3A00%2B00%3A00"
    assert address.endswith(f"/drivepipe/report?dag_id=d&run_id={run_id}&task_id=labels&map_index=-1")
    Operator.wrote_report = False
    assert ReportLink().get_link(Operator(), ti_key=Key()) == ""
