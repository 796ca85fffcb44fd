"""A scenario file in a real Airflow: new, run again, and edited."""

from __future__ import annotations

DAG = "drivepipe_tally"
DS = "20260501"

SCENARIO = """
scenario_name: tally
input_shape: oss_prefix
targets: [manifest, frame-extraction]
conn_id: drivepipe_default
oss_bucket: system-tests
oss_prefix: tally/videos/
video_input_table: tally_manifest
output_table: tally_frames
frames_prefix: tally/frames
frame_fps: {fps}
"""


def run(system, fps: int) -> tuple[int, int]:
    """Run the scenario; return how many jobs it submitted and how many frames there are now."""
    system.cluster.write_dag("scenarios/tally.yaml", SCENARIO.format(fps=fps), [DAG])
    system.api.unpause(DAG)
    before = system.cloud.counters()
    system.api.wait_run(DAG, system.api.trigger(DAG, conf={"ds": DS}))
    submitted = (system.cloud.counters() - before)["maxframe.submit_dag"]
    frames = len(system.cloud.objects("tally/frames/"))
    assert system.cloud.statuses("tally_frames", DS) == {"ok": frames}
    return submitted, frames


def check_report(system) -> None:
    """The last task's link opens the report, for who is logged in and may read the DAG."""
    [ended] = system.api.runs(DAG)
    run_id = ended["dag_run_id"]
    assert not system.api.links(DAG, run_id, "manifest")["Report"]
    address = system.api.links(DAG, run_id, "frames")["Report"]
    opened = system.api.page(address)
    assert opened.status_code == 200, opened.text
    assert "tally ds=20260501" in opened.text
    assert "sandbox" in opened.headers["Content-Security-Policy"]
    assert system.cloud.objects("tally_report/") == ["tally_report/ds=20260501.html"]
    assert system.api.page(address, logged_in=False).status_code == 401
    assert system.api.page(address.replace("task_id=frames", "task_id=manifest")).status_code == 404


def test_nothing_changed_runs_no_job_and_a_new_frame_rate_makes_all_frames_anew(system):
    system.cloud.videos("tally/videos", [2, 3])
    assert run(system, fps=1) == (1, 5)
    check_report(system)
    assert run(system, fps=1) == (0, 5)
    assert run(system, fps=2) == (1, 10)
    assert system.cloud.working_tables() == []
    assert system.cloud.live_sessions() == []


def test_a_slip_in_the_prefix_fails_before_anything_is_lost_and_an_empty_day_skips_the_rest(system):
    system.cloud.videos("tally/videos", [2, 3])
    run(system, fps=2)
    system.cluster.write_dag(
        "scenarios/tally.yaml", SCENARIO.format(fps=2).replace("/videos/", "/vidoes/"), [DAG]
    )
    slip = system.api.trigger(DAG, conf={"ds": DS})
    system.api.wait_run(DAG, slip, state="failed")
    assert "tally_manifest ds=20260501 holds 2 ok rows, and would hold 0" in system.api.log(
        DAG, slip, "manifest", 1
    )
    assert system.cloud.statuses("tally_frames", DS) == {"ok": 10}
    empty = system.api.trigger(DAG, conf={"ds": "20260502", "allow_empty": True})
    system.api.wait_run(DAG, empty)
    assert [system.api.task(DAG, empty, t)["state"] for t in ("manifest", "frames")] == ["success", "skipped"]
    assert system.api.xcom(DAG, empty, "manifest")["verdict"] == "empty_input"
