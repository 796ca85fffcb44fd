"""A run works in waves: what ends it early costs the wave under way at most, counted at the model."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import multiprocessing
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import alibabacloud_oss_v2 as oss
import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout, TaskDeferred
from structlog.testing import capture_logs

from airflow_provider_drivepipe.cli.local import connection_json
from airflow_provider_drivepipe.exceptions import DrivepipeError, RemoteJobError, RemoteJobTimeout
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators import (
    AiFuncLabelOperator,
    MaxFrameSingleJobOperator,
    OssManifestOperator,
    stage,
)
from airflow_provider_drivepipe.scenario.options import SelectionOptions
from airflow_provider_drivepipe.triggers.maxframe import MaxFrameJobTrigger
from maxcompute_local.clients import oss_client as client_of
from maxcompute_local.server import LocalCloud
from tests.integration.operator_context import Run, StateStore
from tests.system.cloud import _jpeg
from tests.system.model_endpoint import MODEL, REFUSED, Answer, Call, ModelEndpoint
from tests.unit.video_samples import write_video

pytestmark = pytest.mark.slow

logger = logging.getLogger(__name__)

DS = "20261120"
BUCKET = "waves"
PROMPT = "What is this?"
EMBEDDING = {"embedding_model": "local-image-descriptor", "embedding_dim": 64}
_WAIT_SECONDS = 60
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Size:
    """How many pictures and videos there are, and how many of them go into one job."""

    rows: int
    per_job: int
    videos: int
    videos_per_job: int

    @property
    def waves(self) -> int:
        return self.rows // self.per_job


@dataclass
class Stop:
    """Where the model stops answering, until it is let go on."""

    call: int
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        assert self.reached.wait(_WAIT_SECONDS), f"call {self.call} never came"


class Model(ModelEndpoint):
    """Answers with something of the picture; counts, and stops at a call."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._stop: Stop | None = None
        self.asked: list[Call] = []
        self.refuses = False

    def serve(self, call: Call) -> Answer:
        with self._lock:
            self.asked.append(call)
            stop = self._stop
            if stop is not None and len(self.asked) >= stop.call:
                stop.reached.set()
        if stop is not None and stop.reached.is_set():
            stop.go_on.wait(_WAIT_SECONDS)
        return REFUSED if self.refuses else Answer(f"{call.prompt} {call.image[:12]}")

    @contextmanager
    def stopped_at(self, call: int) -> Iterator[Stop]:
        """Answer no call from the given one on, counted from now, before the block ends."""
        with self._lock:
            self.asked.clear()
            self._stop = stop = Stop(call)
        try:
            yield stop
        finally:
            self._stop = None
            stop.go_on.set()

    def pictures(self, prompt: str = PROMPT) -> Counter[str]:
        with self._lock:
            return Counter(call.image for call in self.asked if call.prompt == prompt)


class World:
    """A local cloud with pictures in it, and the model that its jobs ask."""

    def __init__(self, root: Path, size: Size) -> None:
        self.size = size
        self.model = Model()
        (root / "models.json").write_text(self.model.models_json())
        self.cloud = LocalCloud(root, odps_port=0, oss_port=0).start()
        self.connection = connection_json(self.cloud.settings)
        self.oss = client_of(self.cloud.settings)
        self.oss.put_bucket(oss.PutBucketRequest(bucket=BUCKET))
        self._tables = 0

    def close(self) -> None:
        self.cloud.stop()
        self.model.close()

    @property
    def hook(self) -> MaxFrameHook:
        return MaxFrameHook()

    def new_table(self) -> str:
        self._tables += 1
        return f"out{self._tables}"

    def make_pictures(self) -> None:
        """Put files below the bucket's folder: a request for each would take longer than all jobs."""
        folder = self.cloud.oss_root / BUCKET / "p"
        folder.mkdir()
        names = [f"{number:05d}" for number in range(self.size.rows)]
        for name in names:
            (folder / f"{name}.jpg").write_bytes(_jpeg(name))
        place = self.cloud.oss_endpoint.partition("://")[2]
        self.hook.execute_sql(
            "CREATE TABLE images (image_id STRING, image_url STRING) PARTITIONED BY (ds STRING)"
        )
        self.hook.odps.write_table(
            "images",
            [[name, f"oss://{place}/{BUCKET}/p/{name}.jpg"] for name in names],
            partition=f"ds='{DS}'",
            create_partition=True,
        )

    def operator(self, table: str, **more: Any) -> AiFuncLabelOperator:
        return label_operator(table, self.size.per_job, **more)

    def rows(self, table: str) -> list[list[Any]]:
        return sorted(self.hook.execute_sql(f"SELECT * FROM {table} WHERE ds = '{DS}'"))

    def assert_nothing_left(self, table: str) -> None:
        assert self.hook.list_tables(f"{table}__") in ([], [f"{table}__kept"])
        assert self.hook.list_sessions() == []


def label_operator(table: str, per_job: int, **more: Any) -> AiFuncLabelOperator:
    arguments = {"prompt": PROMPT, "deferrable": False, "selection": SelectionOptions(rows_per_job=per_job)}
    return AiFuncLabelOperator(
        task_id="label",
        source_table="images",
        output_table=table,
        model=MODEL,
        poll_interval=0.2,
        **{**arguments, **more},
    )


@pytest.fixture(scope="module")
def size() -> Size:
    return Size(12, 4, 4, 2)


@pytest.fixture(scope="module")
def own_world(tmp_path_factory: pytest.TempPathFactory, size: Size) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("waves"), size)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_DRIVEPIPE_DEFAULT", made.connection)
        made.make_pictures()
    yield made
    made.close()


@pytest.fixture
def world(own_world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("AIRFLOW_CONN_DRIVEPIPE_DEFAULT", own_world.connection)
    own_world.model.asked.clear()
    return own_world


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    """What the run that nothing disturbs has made, once it has been made."""
    return {}


@pytest.fixture
def reference(world: World, undisturbed: dict[str, Any]) -> list[list[Any]]:
    """The partition as a run makes it that nothing disturbs."""
    if not undisturbed:
        table = world.new_table()
        before = world.cloud.control.stats()
        depths: list[int] = []
        submit = MaxFrameHook.submit

        def note_depth(self: MaxFrameHook, *arguments: Any) -> Any:
            depths.append(len(inspect.stack(0)))
            return submit(self, *arguments)

        with pytest.MonkeyPatch.context() as noted, capture_logs() as log:
            noted.setattr(MaxFrameHook, "submit", note_depth)
            undisturbed["report"] = Run().execute(world.operator(table))
        after = world.cloud.control.stats()
        undisturbed["depths"] = depths
        undisturbed["log"] = [line["event"] for line in log]
        undisturbed["asked"] = world.model.pictures()
        undisturbed["done"] = {kind: after[kind] - before.get(kind, 0) for kind in after}
        undisturbed["rows"] = world.rows(table)
        world.assert_nothing_left(table)
        world.model.asked.clear()
    rows: list[list[Any]] = undisturbed["rows"]
    return rows


@pytest.fixture
def moment(size: Size) -> random.Random:
    """Chance, told by its seed."""
    seed = int(os.environ.get("WAVES_SEED") or random.SystemRandom().randrange(10**6))
    logger.warning("WAVES_SEED=%d", seed)
    return random.Random(seed)


@pytest.fixture
def call(moment: random.Random, size: Size) -> int:
    """The call of the model, from 1, at which something happens: in any wave but the first."""
    return moment.randrange(size.per_job, size.rows) + 1


def test_waves_are_jobs_of_one_session_and_ask_each_picture_once(
    world: World, reference: list[list[Any]], undisturbed: dict[str, Any], size: Size
) -> None:
    assert undisturbed["report"]["ok"] == size.rows == len(reference)
    assert sorted(undisturbed["asked"].values()) == [1] * size.rows
    done = undisturbed["done"]
    assert (done["maxframe.create_session"], done["maxframe.submit_dag"]) == (1, size.waves)
    # However many waves there are, the stack does not grow.
    assert len(set(undisturbed["depths"][1:])) == 1
    progress = [line for line in undisturbed["log"] if "about " in line]
    assert progress
    said = rf"about [\d,]+ of {size.rows:,} images, wave \d+ of {size.waves}"
    assert all(re.search(said, line) for line in progress)
    assert all("left" in line for line in progress if "wave 1 of" not in line)


# What ends a try early.

Ending = Callable[[World, Run, str, int, random.Random, Path], Run]
"""Lets a first try end at a call of the model; returns the run that goes on."""


class FileStore(StateStore):
    """A task state store that outlives its process."""

    def __init__(self, file: Path) -> None:
        super().__init__(json.loads(file.read_text()) if file.exists() else {})
        self._file = file

    def set(self, key: str, value: Any) -> None:
        super().set(key, value)
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(self))
        new.rename(self._file)


def work_in_process(connection: str, store: Path, table: str, per_job: int, more: dict[str, Any]) -> None:
    """Execute the operator as a worker does that Airflow may kill or tell to end."""
    os.environ["AIRFLOW_CONN_DRIVEPIPE_DEFAULT"] = connection
    operator = label_operator(table, per_job, **more)

    def end(*_: object) -> None:
        operator.on_kill()
        os._exit(1)

    signal.signal(signal.SIGTERM, end)
    run = Run()
    run.stores[operator.task_id] = FileStore(store)
    run.execute(operator)


def end_process(how: signal.Signals) -> Ending:
    def ending(world: World, run: Run, table: str, call: int, moment: random.Random, folder: Path) -> Run:
        store = folder / "store.json"
        with world.model.stopped_at(call) as stop:
            process = _PROCESSES.Process(
                target=work_in_process, args=(world.connection, store, table, world.size.per_job, {})
            )
            process.start()
            stop.wait()
            assert process.pid is not None
            os.kill(process.pid, how)
            process.join(_WAIT_SECONDS)
            assert process.exitcode
        run.stores["label"] = FileStore(store)
        return run

    return ending


def kill_and_run_another(
    world: World, run: Run, table: str, call: int, moment: random.Random, folder: Path
) -> Run:
    end_process(signal.SIGKILL)(world, run, table, call, moment, folder)
    return Run(run_id="another")


def fail_job(world: World, run: Run, table: str, call: int, moment: random.Random, folder: Path) -> Run:
    operators = 14
    wave = (call - 1) // world.size.per_job
    faults = world.cloud.control.faults
    struck = wave * operators + moment.randrange(operators)
    faults.add("maxframe.operator.*", "kill_worker", after=struck, count=1)
    try:
        with pytest.raises(RemoteJobError, match="failed"):
            run.execute(world.operator(table))
    finally:
        faults.clear()
    return run


def lose_submission(how: str) -> Ending:
    def ending(world: World, run: Run, table: str, call: int, moment: random.Random, folder: Path) -> Run:
        faults = world.cloud.control.faults
        faults.add("maxframe.submit_dag", how, after=(call - 1) // world.size.per_job)
        try:
            with pytest.raises(DrivepipeError):
                run.execute(world.operator(table))
        finally:
            faults.clear()
        return run

    return ending


def event_of(trigger: MaxFrameJobTrigger) -> dict[str, Any]:
    """Return what a trigger fires, as the triggerer gets it."""
    _, arguments = trigger.serialize()
    again = MaxFrameJobTrigger(**{**arguments, "first_poll_delay": 0.0})

    async def first() -> dict[str, Any]:
        async for event in again.run():
            return dict(event.payload)
        raise AssertionError("the trigger fired nothing")

    return asyncio.run(first())


def deferred_at(make: Callable[..., Any], run: Run, wave: int, **more: Any) -> tuple[Any, Any]:
    """Go on until the task waits for the job of a wave, from 0; return context and trigger."""
    operator = make(deferrable=True, **more)
    context = run.context(operator)
    with patch.object(stage, "BEFORE_DEFERRING", 0):
        with pytest.raises(TaskDeferred) as waits:
            operator.execute(context)
        trigger = waits.value.trigger
        for _ in range(wave):
            event = event_of(trigger)
            with pytest.raises(TaskDeferred) as waits:
                make(deferrable=True, **more).execute_complete(context, event)
            trigger = waits.value.trigger
    return context, trigger


def clear_in_wave(world: World, make: Callable[..., Any], run: Run, wave: int, call: int) -> None:
    """Clear the task while the job of a wave waits for the answer to a call."""
    with world.model.stopped_at(call) as stop:
        _, trigger = deferred_at(make, run, wave)
        stop.wait()
        trigger.abandon()


def clear(world: World, run: Run, table: str, call: int, moment: random.Random, folder: Path) -> Run:
    clear_in_wave(world, partial(world.operator, table), run, (call - 1) // world.size.per_job, call)
    return run


def clear_and_lose_the_store(
    world: World, run: Run, table: str, call: int, moment: random.Random, folder: Path
) -> Run:
    clear(world, run, table, call, moment, folder)
    run.stores.clear()
    return run


def clear_and_run_another(
    world: World, run: Run, table: str, call: int, moment: random.Random, folder: Path
) -> Run:
    clear(world, run, table, call, moment, folder)
    return Run(run_id="another")


def time_out(world: World, run: Run, table: str, call: int, moment: random.Random, folder: Path) -> Run:
    limit = {"execution_timeout": timedelta(hours=1)}
    with world.model.stopped_at(call) as stop:
        wave = (call - 1) // world.size.per_job
        context, trigger = deferred_at(partial(world.operator, table), run, wave, **limit)
        stop.wait()
        trigger.deadline = time.time()
        event = event_of(trigger)
        with pytest.raises(RemoteJobTimeout, match="execution_timeout"):
            world.operator(table, deferrable=True, **limit).execute_complete(context, event)
    return run


def time_out_in_worker(
    world: World, run: Run, table: str, call: int, moment: random.Random, folder: Path
) -> Run:
    def ring() -> None:
        stop.wait()
        signal.pthread_kill(main, signal.SIGUSR1)

    def time_is_up(*_: object) -> None:
        raise AirflowTaskTimeout("time is up")

    main = threading.get_ident()
    before = signal.signal(signal.SIGUSR1, time_is_up)
    operator = world.operator(table)
    try:
        with world.model.stopped_at(call) as stop:
            alarm = threading.Thread(target=ring)
            alarm.start()
            with pytest.raises(AirflowTaskTimeout):
                run.execute(operator)
            operator.on_kill()
            alarm.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    return run


def end_as_it_comes_back(
    world: World, run: Run, table: str, call: int, moment: random.Random, folder: Path
) -> Run:
    """Tell the next try to end while it asks how the job of the first one is."""

    def status(*_: object) -> None:
        operator.on_kill()
        raise SystemExit

    operator = world.operator(table)
    with world.model.stopped_at(call) as stop, pytest.MonkeyPatch.context() as asked:
        deferred_at(partial(world.operator, table), run, (call - 1) // world.size.per_job)
        stop.wait()
        asked.setattr(MaxFrameHook, "status", status)
        with pytest.raises(SystemExit):
            run.execute(operator, try_number=2)
    return run


ENDINGS: dict[str, Ending] = {
    "job fails": fail_job,
    "worker is killed": end_process(signal.SIGKILL),
    "worker is killed, another run comes": kill_and_run_another,
    "worker is told to end": end_process(signal.SIGTERM),
    "next worker is told to end at once": end_as_it_comes_back,
    "task is cleared": clear,
    "task is cleared and its store is lost": clear_and_lose_the_store,
    "task is cleared, another run comes": clear_and_run_another,
    "time is up for the trigger": time_out,
    "time is up in the worker": time_out_in_worker,
    "next job is refused": lose_submission("http"),
    "answer to the next submission is lost": lose_submission("drop"),
}
QUICK = (
    "job fails",
    "next worker is told to end at once",
    "task is cleared, another run comes",
    "next job is refused",
)
"""Those that are tried with few pictures too."""


def endings(names: Iterable[str]) -> pytest.MarkDecorator:
    """Return the mark that tries some endings."""
    cases = [pytest.param(ENDINGS[name], id=re.sub(r"\W+", "_", name)) for name in names]
    return pytest.mark.parametrize("ending", cases)


@endings(QUICK)
def test_a_try_that_ends_early_costs_one_wave_at_most(
    world: World,
    reference: list[list[Any]],
    ending: Ending,
    call: int,
    moment: random.Random,
    tmp_path: Path,
) -> None:
    check_costs(world, reference, ending, call, moment, tmp_path)


def check_costs(
    world: World,
    reference: list[list[Any]],
    ending: Ending,
    call: int,
    moment: random.Random,
    folder: Path,
) -> None:
    """Let a first try end early: the next one makes the partition, and pays for one wave again at most."""
    size = world.size
    table, run = world.new_table(), Run()
    logger.warning("at call %d of %d", call, size.rows)
    following = ending(world, run, table, call, moment, folder)
    assert world.hook.execute_sql(f"SELECT COUNT(*) FROM {table} WHERE ds = '{DS}'") == [[0]]
    report = following.execute(world.operator(table), try_number=2)
    asked = world.model.pictures()
    twice = asked.total() - len(asked)
    logger.warning("%d pictures asked twice", twice)
    assert len(asked) == size.rows
    assert max(asked.values()) <= 2
    assert twice <= size.per_job
    assert report["ok"] == size.rows
    assert world.rows(table) == reference
    world.assert_nothing_left(table)


# What the next try may take for made, and what it may not.

OTHER_PROMPT = "And this?"


def asked_of(world: World, prompt: str) -> tuple[int, int]:
    """How many pictures the model was asked about, and how many calls that were too many."""
    asked = world.model.pictures(prompt)
    return len(asked), asked.total() - len(asked)


def prompts(world: World, table: str) -> set[str]:
    """The prompts that the answers in a partition are to."""
    return {text.rpartition(" ")[0] for [text] in world.hook.execute_sql(f"SELECT label_text FROM {table}")}


def test_answers_to_the_prompt_before_an_edit_do_not_count(world: World, call: int, size: Size) -> None:
    table = world.new_table()
    clear(world, Run(), table, call, random.Random(), Path())
    report = Run(run_id="edited").execute(world.operator(table, prompt=OTHER_PROMPT))
    assert report["ok"] == size.rows
    assert asked_of(world, OTHER_PROMPT) == (size.rows, 0)
    assert prompts(world, table) == {OTHER_PROMPT}


def test_prompt_edited_while_a_job_runs_goes_for_all_rows(world: World, size: Size) -> None:
    table, run = world.new_table(), Run()
    context, trigger = deferred_at(partial(world.operator, table), run, 1)
    event = event_of(trigger)
    report = world.operator(table, prompt=OTHER_PROMPT).execute_complete(context, event)
    assert report["ok"] == size.rows
    assert prompts(world, table) == {OTHER_PROMPT}
    assert asked_of(world, OTHER_PROMPT) == (size.rows, 0)
    Run(run_id="next").execute(world.operator(table, prompt=OTHER_PROMPT))
    assert asked_of(world, OTHER_PROMPT) == (size.rows, 0)
    world.assert_nothing_left(table)


def test_all_anew_goes_on_with_what_the_run_itself_has_made(world: World, call: int, size: Size) -> None:
    table = world.new_table()
    # What this run leaves is not made by the next one.
    clear(world, Run(), table, size.rows, random.Random(), Path())
    run = Run(run_id="anew", params={"reprocess": "all"})
    clear(world, run, table, call, random.Random(), Path())
    report = run.execute(world.operator(table), try_number=2)
    assert report["ok"] == size.rows
    pictures, twice = asked_of(world, PROMPT)
    assert pictures == size.rows
    assert twice <= size.per_job
    before = world.model.pictures().total()
    run.execute(world.operator(table), try_number=3)
    assert world.model.pictures().total() == before
    world.assert_nothing_left(table)


def test_all_anew_within_a_limit_leaves_the_rows_beyond_it(world: World, size: Size) -> None:
    table, limit = world.new_table(), 2 * size.per_job
    Run().execute(world.operator(table, selection=SelectionOptions()))
    run = Run(run_id="anew", params={"reprocess": "all", "limit": limit})
    clear(world, run, table, limit, random.Random(), Path())
    report = run.execute(world.operator(table), try_number=2)
    assert (report["ok"], report["skipped"], report["carried_over"]) == (size.rows, 0, size.rows - limit)


def test_failed_rows_that_were_repaired_are_not_paid_again(world: World, call: int, size: Size) -> None:
    table = world.new_table()
    world.model.refuses = True
    try:
        report = Run().execute(world.operator(table, selection=SelectionOptions()))
    finally:
        world.model.refuses = False
    assert report["failed"] == size.rows
    run = Run(run_id="repair", params={"reprocess": "failed"})
    clear(world, run, table, call, random.Random(), Path())
    report = run.execute(world.operator(table), try_number=2)
    assert report["ok"] == size.rows
    pictures, twice = asked_of(world, PROMPT)
    assert pictures == size.rows
    assert twice <= size.per_job


def test_budget_holds_over_all_waves(world: World, size: Size) -> None:
    table, cap = world.new_table(), size.per_job + 2
    options = SelectionOptions(rows_per_job=size.per_job, max_rows=cap)
    report = Run().execute(world.operator(table, selection=options))
    assert (report["ok"], report["skipped"]) == (cap, size.rows - cap)
    assert asked_of(world, PROMPT) == (cap, 0)
    report = Run(run_id="next").execute(world.operator(table))
    assert report["ok"] == size.rows
    assert asked_of(world, PROMPT) == (size.rows, 0)


# Videos to frames to labels in one job.

FRAMES = 2
"""Frames of a video."""


@pytest.fixture
def videos(world: World, tmp_path: Path) -> Callable[..., str]:
    """Makes videos of these numbers and their manifest; returns a prefix for names of tables."""

    def make(numbers: range, prefix: str = "") -> str:
        prefix = prefix or f"v{world.new_table()}"
        for number in numbers:
            # Frames of the same grey in another size are other pictures.
            file = write_video(tmp_path / "video.mp4", frames=25 * FRAMES, size=(96 + 2 * number, 64))
            request = oss.PutObjectRequest(
                bucket=BUCKET, key=f"{prefix}/{number:03d}.mp4", body=file.read_bytes()
            )
            world.oss.put_object(request)
        manifest = OssManifestOperator(
            task_id="manifest", output_table=f"{prefix}_m", bucket=BUCKET, prefix=f"{prefix}/"
        )
        Run().execute(manifest)
        return prefix

    return make


def single_job(prefix: str, per_job: int, **more: Any) -> MaxFrameSingleJobOperator:
    arguments = {"deferrable": False, "selection": SelectionOptions(rows_per_job=per_job), "prompt": PROMPT}
    return MaxFrameSingleJobOperator(
        task_id="single",
        source_table=f"{prefix}_m",
        output_table=f"{prefix}_o",
        bucket=BUCKET,
        fps="1",
        model=MODEL,
        poll_interval=0.2,
        **EMBEDDING,
        **{**arguments, **more},
    )


class Done:
    """What the local cloud has done since: videos decoded, pictures embedded."""

    def __init__(self, world: World) -> None:
        self._control = world.cloud.control
        self._before = self._control.stats()

    def __getitem__(self, kind: str) -> int:
        return int(self._control.stats().get(kind, 0)) - int(self._before.get(kind, 0))

    @property
    def cut(self) -> int:
        return self["maxframe.mounted_udf.rows_in"]

    @property
    def embedded(self) -> int:
        return self["model.embed"]


def test_videos_that_are_done_are_neither_cut_nor_labelled_again(
    world: World, videos: Callable[..., str], moment: random.Random, size: Size
) -> None:
    prefix, per_job = videos(range(size.videos)), size.videos_per_job
    make, run, done = partial(single_job, prefix, per_job), Run(), Done(world)
    frames, of_job = size.videos * FRAMES, per_job * FRAMES
    clear_in_wave(world, make, run, 1, of_job + moment.randrange(of_job) + 1)
    report = run.execute(make(), try_number=2)
    assert report["ok"] == frames
    pictures, twice = asked_of(world, PROMPT)
    assert pictures == frames
    assert twice <= of_job
    assert done.cut <= size.videos + per_job
    assert done.embedded <= frames + of_job
    world.assert_nothing_left(f"{prefix}_o")

    # A new video is one wave; the rows whose label is old are more.
    before = world.hook.execute_sql(f"SELECT image_url, image_embedding FROM {prefix}_o")
    videos(range(size.videos, size.videos + 1), prefix)
    make, run = partial(single_job, prefix, of_job, prompt=OTHER_PROMPT), Run(run_id="edited")
    done = Done(world)
    clear_in_wave(world, make, run, 1, FRAMES + of_job + moment.randrange(of_job) + 1)
    report = run.execute(make(), try_number=2)
    assert report["ok"] == frames + FRAMES
    pictures, twice = asked_of(world, OTHER_PROMPT)
    assert pictures == frames + FRAMES
    assert twice <= of_job
    assert (done.cut, done.embedded) == (1, FRAMES)
    after = world.hook.execute_sql(f"SELECT image_url, image_embedding FROM {prefix}_o")
    assert set(map(tuple, before)) <= set(map(tuple, after))
    world.assert_nothing_left(f"{prefix}_o")


def test_budget_of_frames_holds_over_all_waves(world: World, videos: Callable[..., str], size: Size) -> None:
    prefix = videos(range(size.videos))
    cap = size.videos_per_job * FRAMES + 1
    options = SelectionOptions(rows_per_job=size.videos_per_job, max_rows=cap)
    report = Run().execute(single_job(prefix, 0, selection=options))
    assert (report["ok"], report["skipped"]) == (cap, size.videos * FRAMES - cap)
    assert asked_of(world, PROMPT) == (cap, 0)
