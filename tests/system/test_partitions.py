"""Which partition a run owns, in a real Airflow: scheduled, by key, without one, back-filled, cleared."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.system.airflow_api import ApiError
from tests.system.model_endpoint import OK, REFUSED

SHANGHAI = ZoneInfo("Asia/Shanghai")


def digests(pictures) -> Counter[str]:
    return Counter(picture.digest for picture in pictures)


def test_due_timetable_starts_a_run_of_the_local_day_before(system):
    today = datetime.now(SHANGHAI).date()
    # The last due time may have been yesterday's; the partition is that of the day before it.
    days = [(today - timedelta(days=back)).strftime("%Y%m%d") for back in (0, 1, 2)]
    pictures = system.ready("scheduled", dict.fromkeys(days, 2))
    run = system.wait_for_run("scheduled")
    system.api.wait_run("scheduled", run["dag_run_id"])

    due = datetime.fromisoformat(run["run_after"])
    assert due <= datetime.now(UTC)
    ds = (due.astimezone(SHANGHAI).date() - timedelta(days=1)).strftime("%Y%m%d")
    assert (run["run_type"], run["partition_key"], run["logical_date"]) == ("scheduled", ds, None)
    assert system.cloud.statuses("scheduled_labels", ds) == {"ok": 2}
    # Another time may have become due meanwhile.
    asked = Counter(system.images_asked("scheduled"))
    assert digests(pictures[ds]) <= asked <= sum(map(digests, pictures.values()), Counter())


def test_run_by_key_writes_that_partition_only_and_a_wrong_key_is_refused(system):
    pictures = system.ready("by_key", {"20260301": 3, "20260302": 2})
    before = system.cloud.counters()
    run = system.api.trigger("by_key", partition_key="20260301")
    system.api.wait_run("by_key", run)
    assert system.cloud.statuses("by_key_labels", "20260301") == {"ok": 3}
    assert system.cloud.statuses("by_key_labels", "20260302") == {}
    assert Counter(system.images_asked("by_key")) == digests(pictures["20260301"])
    seen = system.cloud.counters() - before
    assert (seen["maxframe.create_session"], seen["maxframe.submit_dag"], seen["model.chat"]) == (1, 1, 3)
    assert seen["maxframe.stop_session"] == 1
    report = system.api.xcom("by_key", run, "label")
    assert (report["partition"], report["ok"], report["verdict"]) == ("ds=20260301", 3, "completed")

    with pytest.raises(ApiError, match="does not fit the key format"):
        system.api.trigger("by_key", partition_key="2026-03-01")


def test_run_without_a_key_fails_and_says_what_to_do(system):
    system.ready("by_key", {})
    before = system.cloud.counters()
    run = system.api.trigger("by_key")
    system.api.wait_run("by_key", run, state="failed")
    log = system.api.log("by_key", run, "label", 1)
    assert "this run has no partition: trigger it with a partition key" in log
    assert (system.cloud.counters() - before)["maxframe.create_session"] == 0


def test_dags_test_takes_the_local_day_of_its_logical_date(system):
    # Of a DAG that is switched on, the scheduler would take the run's task up as well.
    pictures = system.ready("tested_by_hand", {"20260302": 2}, paused=True)
    # 20:00 in UTC is the next day in Shanghai already.
    system.cluster.airflow("dags", "test", "tested_by_hand", "2026-03-01T20:00:00+00:00")
    assert Counter(system.images_asked("tested_by_hand")) == digests(pictures["20260302"])
    assert system.cloud.statuses("tested_by_hand_labels", "20260302") == {"ok": 2}


def test_backfill_of_seven_partitions_none_failed_completed(system):
    days = [f"202602{day:02d}" for day in range(1, 8)]
    pictures = system.ready("backfilled", dict.fromkeys(days, 2))
    bad = pictures["20260203"][1].digest
    system.model.answer("backfilled", lambda call: REFUSED if call.image == bad else OK)

    # None: every day once; a day that has been run by hand is left alone.
    by_hand = system.api.trigger("backfilled", partition_key="20260205")
    system.api.wait_run("backfilled", by_hand)
    assert Counter(system.images_asked("backfilled")) == digests(pictures["20260205"])
    before = system.cloud.counters()
    runs = system.api.backfill("backfilled", "2026-02-01", "2026-02-07", reprocess="none")
    states = {run["partition_key"]: run["state"] for run in runs}
    assert states == {ds: "failed" if ds == "20260203" else "success" for ds in days if ds != "20260205"}
    assert Counter(system.images_asked("backfilled")) == digests(p for ds in days for p in pictures[ds])
    assert (system.cloud.counters() - before)["maxframe.submit_dag"] == 6
    assert system.cloud.statuses("backfilled_labels", "20260203") == {"ok": 1, "failed": 1}

    # Failed: the failed day again, and of it the failed picture only.
    system.model.answer("backfilled", lambda call: OK)
    asked = len(system.images_asked("backfilled"))
    before = system.cloud.counters()
    runs = system.api.backfill("backfilled", "2026-02-01", "2026-02-07", reprocess="failed")
    assert [(run["partition_key"], run["state"]) for run in runs] == [("20260203", "success")]
    assert system.images_asked("backfilled")[asked:] == [bad]
    assert (system.cloud.counters() - before)["maxframe.submit_dag"] == 1

    # Completed: every day again, and nothing is paid.
    asked = len(system.images_asked("backfilled"))
    before = system.cloud.counters()
    runs = system.api.backfill("backfilled", "2026-02-01", "2026-02-07", reprocess="completed")
    assert {run["partition_key"]: run["state"] for run in runs} == dict.fromkeys(days, "success")
    assert system.images_asked("backfilled")[asked:] == []
    assert (system.cloud.counters() - before)["maxframe.submit_dag"] == 0
    assert [system.cloud.statuses("backfilled_labels", ds) for ds in days] == [{"ok": 2}] * 7


def test_clear_by_partition_works_on_its_failed_rows_only(system):
    pictures = system.ready("cleared_partition", {"20260310": 3, "20260311": 3})
    bad = {pictures[ds][0].digest for ds in pictures}
    system.model.answer("cleared_partition", lambda call: REFUSED if call.image in bad else OK)
    runs = {ds: system.api.trigger("cleared_partition", partition_key=ds) for ds in pictures}
    for run in runs.values():
        system.api.wait_run("cleared_partition", run)
    assert system.cloud.statuses("cleared_partition_labels", "20260310") == {"ok": 2, "failed": 1}

    system.model.answer("cleared_partition", lambda call: OK)
    asked = len(system.images_asked("cleared_partition"))
    system.api.clear_partition("cleared_partition", "20260310")
    system.api.wait_task("cleared_partition", runs["20260310"], "label", ("success",), try_number=2)
    assert system.images_asked("cleared_partition")[asked:] == [pictures["20260310"][0].digest]
    assert system.cloud.statuses("cleared_partition_labels", "20260310") == {"ok": 3}
    assert system.cloud.statuses("cleared_partition_labels", "20260311") == {"ok": 2, "failed": 1}
    assert system.api.task("cleared_partition", runs["20260311"], "label")["try_number"] == 1


def test_everything_listens_on_loopback_only(system):
    assert system.cluster.listening() == {"127.0.0.1"}
