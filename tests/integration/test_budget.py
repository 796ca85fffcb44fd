"""Caps on what a run may have from the models: calls are counted by the local cloud."""

import logging

import pytest

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.scenario.options import (
    GateOptions,
    PriceOptions,
    Reprocess,
    SelectionOptions,
)
from tests.integration.operator_context import Run
from tests.integration.test_repair import LABELS, VLM, Pipeline, fail, hook, pipeline, rows, videos, work

__all__ = ["fail", "hook", "pipeline", "videos", "work"]

FREE_TEXT = {"model": VLM, "prompt": "Label this"}
OWN_TEXT = {"model": "local-scene-tagger", "prompt": "Label this"}
OWN_EMBEDDING = {"embedding_model": "local-image-descriptor", "embedding_dim": 64}


def capped(**caps):
    return {"selection": SelectionOptions(**caps)}


def skipped(hook, table):
    found = rows(hook, table, "image_id, error_stage, error_type, attempt", "status = 'skipped'")
    assert {(stage, reason, attempt) for _, stage, reason, attempt in found} <= {("label", "budget", 0)}
    return sorted(image for image, *_ in found)


def balanced(report):
    assert report["verdict"] != "failed"
    for counts in (report, *report["stages"].values()):
        outcomes = sum(counts[status] for status in ("ok", "failed", "filtered", "skipped"))
        assert counts["rows_in"] == outcomes
    return report["ok"], report["failed"], report["skipped"], report["carried_over"]


@pytest.mark.slow
def test_videos_stop_at_max_rows_and_later_runs_go_on_where_it_stopped(pipeline: Pipeline, hook, work):
    table = f"{pipeline.table}_o"
    # Rows that wait are no reason for a gate to fail the task.
    gate = GateOptions(max_failure_rate=0.4, min_rows=5)
    with work() as first:
        report = Run().execute(pipeline.single_job(labels=FREE_TEXT, gate=gate, **capped(max_rows=2)))
    assert first.calls == (2, 2, 3)
    assert balanced(report) == (2, 1, 3, 0)
    assert report["skipped_reasons"] == {Reason.BUDGET: 3}
    assert report["stages"]["label"] == {"rows_in": 5, "ok": 2, "failed": 0, "filtered": 0, "skipped": 3}
    assert skipped(hook, table) == ["b_0000", "b_0001", "b_0002"]

    # No video is cut again for the frames that wait, but the broken one is tried again.
    with work() as second:
        report = Run(run_id="r2").execute(pipeline.single_job(labels=FREE_TEXT, **capped(max_rows=2)))
    assert second.calls == (2, 2, 1)
    assert balanced(report) == (4, 1, 1, 2)
    assert skipped(hook, table) == ["b_0002"]

    with work() as third:
        report = Run(run_id="r3").execute(pipeline.single_job(labels=FREE_TEXT, **capped(max_rows=2)))
    assert third.calls == (1, 1, 1)
    assert balanced(report) == (5, 1, 0, 4)
    assert report["skipped_reasons"] == {}
    assert rows(hook, table, "attempt, COUNT(*)", "status = 'ok' GROUP BY attempt") == [[1, 5]]


def test_max_calls_counts_embeddings_and_every_repair_round_that_may_come(pipeline: Pipeline, work):
    # A label takes up to 2 calls and an embedding 1: two rows fit into 8 calls, a third one does not.
    with work() as run:
        report = Run().execute(pipeline.single_job(labels=LABELS, **capped(max_calls=8)))
    assert run.calls == (2, 2, 3)
    assert balanced(report) == (2, 1, 3, 0)


def test_too_small_a_budget_cuts_frames_and_asks_no_model(pipeline: Pipeline, hook, work):
    # An input of one's own, with a column that pandas would like to use itself.
    table = pipeline.table
    hook.execute_sql(f"CREATE TABLE {table}_i (video_path STRING, `index` STRING) PARTITIONED BY (ds STRING)")
    hook.execute_sql(
        f"INSERT INTO TABLE {table}_i PARTITION (ds='20261120') SELECT video_path, etag FROM {table}_m"
    )
    operator = pipeline.single_job(labels=FREE_TEXT, **capped(max_calls=1))
    operator.source_table = f"{table}_i"
    with work() as run:
        report = Run().execute(operator)
    assert run.calls == (0, 0, 3)
    assert balanced(report) == (0, 1, 5, 0)
    assert rows(hook, f"{table}_o", "COUNT(DISTINCT `index`)") == [[3]]
    assert report["spending"]["frames"] == 0


def check_spending(report, prices):
    """Five frames at one per second, some of which failed and were paid nevertheless."""
    tokens, spending = report["tokens"], report["spending"]
    thousandths = sum(getattr(prices, kind) * tokens[kind] for kind in ("input", "output", "embedding"))
    cost = thousandths / 1000
    assert tokens["output"] > 0
    assert spending["cost"] == pytest.approx(cost, abs=1e-6)
    assert spending["currency"] == "CNY"
    assert spending["frames"] == 5
    assert spending["video_hours"] == pytest.approx(5 / 3600, abs=1e-6)
    assert spending["cost_per_1000_frames"] == pytest.approx(cost / 5 * 1000, abs=1e-4)
    assert spending["cost_per_video_hour"] == pytest.approx(cost * 720, rel=1e-3)


@pytest.mark.slow
def test_failed_rows_are_tried_within_the_budget_and_every_run_says_what_it_cost(
    pipeline: Pipeline, hook, work, local_cloud, caplog
):
    local_cloud.control.models.script(OWN_TEXT["model"], images=["b_000"], status=400)
    prices = PriceOptions("CNY", 1000, input=2.0, output=8.0, embedding=0.5)
    own = {"labels": OWN_TEXT, "embedding": OWN_EMBEDDING}
    run, operator = Run(), pipeline.single_job(**own, prices=prices)
    report = run.execute(operator)
    check_spending(report, prices)
    assert run.xcom(operator, "return_value")["spending"] == report["spending"]
    assert report["models"] == {
        "label": OWN_TEXT["model"],
        "image_embedding": OWN_EMBEDDING["embedding_model"],
    }
    local_cloud.control.models.clear()
    with work() as repair:
        report = Run(run_id="r2").execute(pipeline.single_job(**own, **capped(max_calls=2)))
    assert repair.calls == (2, 0, 1)
    # The third label that failed stays failed and keeps its embedding: it is published, not skipped.
    assert balanced(report) == (4, 2, 0, 2)
    table = f"{pipeline.table}_o"
    assert rows(hook, table, "COUNT(*)", "image_embedding IS NULL AND frame_idx >= 0") == [[0]]

    # The same prices say nothing of what stands in for the models that they are for.
    with caplog.at_level(logging.INFO):
        report = Run(run_id="r3").execute(pipeline.single_job(labels=FREE_TEXT, prices=prices))
    assert report["tokens"]["output"] > 0
    assert report["spending"]["cost"] is None
    assert report["models"]["label"] == f"local stand-in for {VLM}"
    assert f"label by local stand-in for {VLM}" in caplog.text


@pytest.mark.slow
def test_images_stop_at_the_budget_and_go_on_with_a_clear(pipeline: Pipeline, hook, work):
    Run().execute(pipeline.frames())
    run = Run(run_id="labels")
    with work() as first:
        report = run.execute(pipeline.labels(labels=FREE_TEXT, **capped(max_calls=5)))
    assert first.calls == (2, 2, 0)
    assert balanced(report) == (2, 1, 3, 0)
    assert skipped(hook, f"{pipeline.table}_l") == ["b_0000", "b_0001", "b_0002"]
    with work() as cleared:
        report = run.execute(pipeline.labels(labels=FREE_TEXT, **capped(max_rows=2)), try_number=2)
    assert cleared.calls == (2, 2, 0)
    assert balanced(report) == (4, 1, 1, 2)
    # Labels of another prompt: those beyond the budget stay as they are, no embedding is paid again.
    other = {"model": VLM, "prompt": "Other"}
    with work() as changed:
        report = run.execute(pipeline.labels(labels=other, **capped(max_calls=3)), try_number=3)
    assert changed.calls == (3, 0, 0)
    assert balanced(report) == (4, 1, 1, 1)
    with work() as rest:
        report = run.execute(pipeline.labels(labels=other), try_number=4)
    assert rest.calls == (2, 1, 0)
    assert balanced(report) == (5, 1, 0, 3)


def test_all_rows_anew_and_a_cap_do_not_go_together(pipeline: Pipeline, work):
    with work() as run, pytest.raises(ConfigurationError, match="at the same row"):
        Run().execute(pipeline.single_job(**capped(reprocess=Reprocess.ALL, max_rows=2)))
    assert run["maxframe.submit_dag"] == 0
