"""What is paid for: each answer once, whatever dies, is cleared or changed in between."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter

import pytest

from tests.system.model_endpoint import OK, REFUSED
from tests.unit.video_samples import write_video

DS = "20260501"


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> bytes:
    """Two seconds: two frames at one per second, four at two."""
    return write_video(tmp_path_factory.mktemp("video") / "v.mp4", frames=50).read_bytes()


class Paid:
    """What was done in a block: label calls by picture, videos decoded, DAGs submitted."""

    def __init__(self, system, *prompts):
        self._system = system
        self._prompts = prompts

    def __enter__(self):
        self._asked = {prompt: len(self._system.images_asked(prompt)) for prompt in self._prompts}
        self._before = self._system.cloud.counters()
        return self

    def __exit__(self, *_):
        counted = self._system.cloud.counters() - self._before
        self.images = [
            image
            for prompt, known in self._asked.items()
            for image in self._system.images_asked(prompt)[known:]
        ]
        self.decoded = counted["maxframe.mounted_udf.rows_in"]
        self.jobs = counted["maxframe.submit_dag"]
        self.sessions = counted["maxframe.create_session"], counted["maxframe.stop_session"]

    @property
    def all(self):
        """Label calls, videos decoded, DAGs submitted."""
        return len(self.images), self.decoded, self.jobs


def test_400_rows_9_failures_and_a_killed_task_process(system):
    dag_id, rows, failures = "four_hundred", 400, 9
    pictures = system.ready(dag_id, {DS: rows})[DS]
    bad = {picture.digest for picture in pictures[5::45]}
    assert len(bad) == failures
    answered, midway, go_on = [], threading.Event(), threading.Event()

    def choose(call):
        answered.append(call.image)
        if len(answered) > 150:
            midway.set()
            go_on.wait(120)
        return REFUSED if call.image in bad else OK

    system.model.answer(dag_id, choose)
    with Paid(system, dag_id) as first:
        run = system.api.trigger(dag_id, partition_key=DS)
        assert midway.wait(120)
        task = system.api.wait_task(dag_id, run, "label", ("running",))
        os.kill(task["pid"], signal.SIGKILL)
        system.api.wait_task(dag_id, run, "label", ("running",), try_number=2)
        go_on.set()
        system.api.wait_run(dag_id, run)
    assert first.jobs == 1
    assert Counter(first.images) == Counter(picture.digest for picture in pictures)
    assert system.cloud.statuses(f"{dag_id}_labels", DS) == {"ok": rows - failures, "failed": failures}
    assert system.api.xcom(dag_id, run, "label", "failure_counts") == {"label": failures}

    system.model.answer(dag_id, lambda call: OK)
    with Paid(system, dag_id) as cleared:
        clear_all(system, dag_id, run)
    assert sorted(cleared.images) == sorted(bad)
    assert system.cloud.statuses(f"{dag_id}_labels", DS) == {"ok": rows}
    with Paid(system, dag_id) as again:
        clear_all(system, dag_id, run)
    assert again.all == (0, 0, 0)
    assert again.sessions == (0, 0)


def clear_all(system, dag_id, run):
    """Press Clear on every task of a run and wait until it has succeeded again."""
    tries = {task["task_id"]: task["try_number"] for task in system.api.tasks(dag_id, run)}
    system.api.clear_task(dag_id, run)
    for task_id, number in tries.items():
        system.api.wait_task(dag_id, run, task_id, ("success",), try_number=number + 1)


@pytest.mark.parametrize("name", ["split", "single"])
def test_what_changes_is_paid_and_nothing_else(system, video, name):
    dag_id, final = f"drivepipe_{name}", f"{name}_final"
    jobs = 2 if name == "split" else 1
    for key in ("a.mp4", "b.mp4"):
        system.cloud.put(f"{name}_videos/{DS}/{key}", video)
    system.cloud.put(f"{name}_videos/{DS}/broken.mp4", b"no video" * 99)
    system.cluster.wait_until_served(dag_id)
    system.api.unpause(dag_id)

    def run(**conf):
        run_id = system.api.trigger(dag_id, partition_key=DS, conf=conf)
        system.api.wait_run(dag_id, run_id)
        return run_id

    with Paid(system, name) as first:
        run_id = run()
    assert first.all == (4, 3, jobs)
    assert system.cloud.statuses(final, DS) == {"ok": 4, "failed": 1}

    # The broken video is tried again until its attempts are used up; frames and labels that exist are not.
    with Paid(system, name) as cleared:
        clear_all(system, dag_id, run_id)
    assert cleared.all == (0, 1, 1)
    with Paid(system, name) as unchanged:
        run()
    assert unchanged.all == (0, 1, 1)
    with Paid(system, name) as unchanged:
        run()
    assert unchanged.all == (0, 0, 0)

    other = f"{name} other"
    with Paid(system, name, other) as prompt:
        run_id = run(label_prompt=other)
    assert prompt.all == (4, 0, 1)
    last = "labels" if name == "split" else "video_labels"
    recorded = system.api.xcom(dag_id, run_id, last)["params"]
    assert recorded == {"label_prompt": other, "reprocess": "changed"}

    with Paid(system, name, other) as rate:
        run(label_prompt=other, frame_fps="2")
    assert rate.all == (8, 3, jobs)
    assert system.cloud.statuses(final, DS) == {"ok": 8, "failed": 1}
    with Paid(system, name, other) as unchanged:
        run(label_prompt=other, frame_fps="2", reprocess="failed")
    assert unchanged.all == (0, 1, 1)


def test_second_stage_of_split_video_is_cleared_alone(system, video):
    dag_id, ds = "drivepipe_split", "20260502"
    system.cloud.put(f"split_videos/{ds}/a.mp4", video)
    system.cluster.wait_until_served(dag_id)
    system.api.unpause(dag_id)
    system.model.answer("split", lambda call: REFUSED)
    run = system.api.trigger(dag_id, partition_key=ds)
    system.api.wait_run(dag_id, run)
    assert system.cloud.statuses("split_final", ds) == {"failed": 2}
    system.model.answer("split", lambda call: OK)
    with Paid(system, "split") as cleared:
        system.api.clear_task(dag_id, run, "labels")
        system.api.wait_task(dag_id, run, "labels", ("success",), try_number=2)
    assert cleared.all == (2, 0, 1)
    assert {t["task_id"]: t["try_number"] for t in system.api.tasks(dag_id, run)} == {
        "manifest": 1,
        "frames": 1,
        "labels": 2,
    }
    assert system.cloud.statuses("split_final", ds) == {"ok": 2}


def test_gate_fails_after_publishing_and_clear_repairs_only_the_failures(system):
    dag_id, rows = "gated", 25
    pictures = system.ready(dag_id, {DS: rows})[DS]
    bad = {picture.digest for picture in pictures[:3]}
    system.model.answer(dag_id, lambda call: REFUSED if call.image in bad else OK)
    run = system.api.trigger(dag_id, partition_key=DS)
    system.api.wait_run(dag_id, run, state="failed")
    assert system.cloud.statuses(f"{dag_id}_labels", DS) == {"ok": 22, "failed": 3}
    task = system.api.task(dag_id, run, "label")
    assert (task["state"], task["try_number"]) == ("failed", 1)
    assert "12.0% of the input failed, the limit is 10.0%" in system.api.log(dag_id, run, "label", 1)
    assert system.api.xcom(dag_id, run, "label")["failed"] == 3

    system.model.answer(dag_id, lambda call: OK)
    with Paid(system, dag_id) as cleared:
        clear_all(system, dag_id, run)
    assert sorted(cleared.images) == sorted(bad)
    assert system.cloud.statuses(f"{dag_id}_labels", DS) == {"ok": rows}


def test_two_runs_of_one_partition_at_once_pay_once(system):
    dag_id, rows = "twice", 6
    system.ready(dag_id, {DS: rows})
    with Paid(system, dag_id) as both:
        with system.model.held(dag_id):
            first = system.api.trigger(dag_id, partition_key=DS)
            system.api.wait_task(dag_id, first, "label", ("deferred",))
            second = system.api.trigger(dag_id, partition_key=DS)
            system.api.wait_task(dag_id, second, "label", ("up_for_reschedule",))
        for run in (first, second):
            system.api.wait_run(dag_id, run)
    assert both.all == (rows, 0, 1)
    assert system.cloud.statuses(f"{dag_id}_labels", DS) == {"ok": rows}
    assert "is being written by task label of DAG twice" in system.api.log(dag_id, second, "label", 1)
    report = system.api.xcom(dag_id, second, "label")
    assert (report["carried_over"], report["session_id"]) == (rows, None)


def test_a_reader_sees_the_old_partition_or_the_new_one(system):
    dag_id, rows = "watched_partition", 12
    system.ready(dag_id, {DS: rows})
    system.api.wait_run(dag_id, system.api.trigger(dag_id, partition_key=DS))
    seen, done = Counter(), threading.Event()
    # The part of the label tells prompts apart.
    query = (
        f"SELECT COUNT(*), COUNT(DISTINCT REGEXP_EXTRACT(fingerprint, 'label=([^;]*)')) FROM {dag_id}_labels "
        f"WHERE ds='{DS}'"
    )

    def read():
        while not done.is_set():
            found = system.cloud.sql(query)
            seen[tuple(int(n) for n in found[0])] += 1

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(3):
            run = system.api.trigger(dag_id, partition_key=DS, conf={"label_prompt": f"{dag_id} {number}"})
            system.api.wait_run(dag_id, run)
    finally:
        done.set()
        reader.join()
    assert set(seen) == {(rows, 1)}
    assert sum(seen.values()) > 20
