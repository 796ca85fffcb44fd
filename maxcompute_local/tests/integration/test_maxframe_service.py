"""The MaxFrame SDK against the local cloud's MaxFrame service."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import alibabacloud_oss_v2 as oss
import cloudpickle
import maxframe.dataframe as md
import pandas as pd
import pytest
import requests
from maxframe.errors import SessionAlreadyClosedError
from maxframe.learn.contrib.llm import ContentPart, ImageContentType
from maxframe.learn.utils import read_odps_model
from maxframe.protocol import DagInfo, ExecutionStatus
from maxframe.serialization import RemoteException
from maxframe.session import new_session
from maxframe.udf import with_fs_mount, with_running_options
from maxframe_client.session.graph import gen_submit_tileable_graph
from maxframe_client.session.task import MaxFrameInstanceCaller
from odps import ODPS
from odps import options as odps_options
from PIL import Image

from maxcompute_local import json_text
from maxcompute_local.server import LocalCloud

cloudpickle.register_pickle_by_value(sys.modules[__name__])

ROLE = {"role_arn": "acs:ram::1:role/reader"}
TASK_NAME = "AnonymousMaxFrameTask"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    cloud = LocalCloud(tmp_path_factory.mktemp("cloud"), odps_port=0, oss_port=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEAKED_INTO_THE_ENGINE", "yes")
        patch.setenv("PYTHONPATH", str(Path.cwd()))
        cloud.start()
        yield cloud
        cloud.stop()


@pytest.fixture(scope="module")
def odps(cloud: LocalCloud) -> ODPS:
    return ODPS(
        cloud.access_key_id, cloud.access_key_secret, project=cloud.project, endpoint=cloud.odps_endpoint
    )


@pytest.fixture
def session(odps: ODPS) -> Iterator:
    session = new_session(odps, default=False)
    odps.to_global()
    yield session
    session.destroy()


@pytest.fixture(scope="module")
def numbers(odps: ODPS) -> str:
    odps.write_table(
        "numbers",
        pd.DataFrame({"n": range(10), "name": [f"row {n}" for n in range(10)]}),
        create_table=True,
    )
    return "numbers"


@pytest.fixture(scope="module")
def buckets(cloud: LocalCloud) -> oss.Client:
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(
        cloud.access_key_id, cloud.access_key_secret
    )
    config.region, config.endpoint = cloud.region, cloud.oss_endpoint
    client = oss.Client(config)
    for bucket in ("first", "second"):
        client.put_bucket(oss.PutBucketRequest(bucket=bucket))
    return client


def oss_uri(cloud: LocalCloud, bucket: str, prefix: str = "") -> str:
    return f"oss://{cloud.oss_endpoint.removeprefix('http://')}/{bucket}/{prefix}"


def submit(session, *tileables) -> DagInfo:
    """Submit without waiting, as an operator does."""
    inner = session._isolated_session
    graph, _ = gen_submit_tileable_graph(inner, [getattr(t, "data", t) for t in tileables], {})
    uploaded = inner._scan_and_replace_local_sources(graph)
    return inner._caller.submit_dag(graph, inner._get_input_infos(list(uploaded.values())), {})


def attach(odps: ODPS, session) -> MaxFrameInstanceCaller:
    return MaxFrameInstanceCaller(odps, task_name=TASK_NAME, nested_instance_id=session.session_id)


def wait(caller: MaxFrameInstanceCaller, dag_id: str) -> DagInfo:
    while True:
        info = caller.get_dag_info(dag_id)
        if info.status.is_terminated():
            return info
        time.sleep(0.02)


def applied(function, dtypes: dict[str, str] | None = None, **kwargs):
    source = md.read_odps_table("numbers")
    return source.mf.apply_chunk(
        function,
        dtypes=source.dtypes if dtypes is None else pd.Series(dtypes),
        output_type="dataframe",
        skip_infer=True,
        **kwargs,
    )


def fetched(tileable, session) -> pd.DataFrame:
    return tileable.execute(session=session).fetch(session=session)


def test_reads_computes_and_writes_a_table(session, odps: ODPS, numbers: str) -> None:
    source = md.read_odps_table(numbers)
    source["double"] = source["n"] * 2
    md.to_odps_table(source[source["n"] > 6], "doubled", index=False).execute(session=session)
    with odps.get_table("doubled").open_reader() as reader:
        assert sorted((r["n"], r["double"]) for r in reader) == [(7, 14), (8, 16), (9, 18)]


def test_fetches_results_and_builds_on_them(session) -> None:
    source = md.DataFrame(pd.DataFrame({"n": [1, 2, 3]}))
    squares = (source * source).execute(session=session)
    assert squares.fetch(session=session)["n"].tolist() == [1, 4, 9]
    assert squares["n"].sum().execute(session=session).fetch(session=session) == 14


def test_setting_a_column_leaves_the_source_alone(session) -> None:
    source = md.DataFrame(pd.DataFrame({"n": [1, 2]}))
    changed = source.copy()
    changed["n"] = 0
    both = md.concat([source.rename(columns={"n": "before"}), changed], axis=1)
    assert fetched(both, session).to_dict("list") == {"before": [1, 2], "n": [0, 0]}


def test_apply_chunk_passes_arguments_and_keeps_order(session, numbers: str) -> None:
    def add(chunk, first, *, second):
        return pd.DataFrame({"n": chunk["n"] + first + second, "rows": len(chunk), "pid": os.getpid()})

    dtypes = {"n": "int64", "rows": "int64", "pid": "int64"}
    result = fetched(applied(add, dtypes, batch_rows=4, args=(100,), second=1000), session)
    assert result["n"].tolist() == [n + 1100 for n in range(10)]
    assert result["rows"].tolist() == [4] * 4 + [4] * 4 + [2] * 2
    assert result["pid"].nunique() == 3
    assert result.index.tolist() == list(range(10))


def test_other_columns_than_declared_are_refused_by_name(session, numbers: str) -> None:
    def rename(chunk):
        return chunk.rename(columns={"name": "title"})

    with pytest.raises(ValueError, match=r"missing: \['name'\]; not declared: \['title'\]"):
        applied(rename).execute(session=session)


def test_types_other_than_declared_are_one_warning_for_the_client(session, odps: ODPS, numbers: str) -> None:
    def halve(chunk):
        return pd.DataFrame({"n": chunk["n"] / 4})

    caller = attach(odps, session)
    dag = submit(
        session, md.to_odps_table(applied(halve, {"n": "int64"}, batch_rows=4), "halves", index=False)
    )
    messages = []
    while True:
        info = caller.get_dag_info(dag.dag_id)
        messages += [message.message for message in info.display_messages or []]
        if info.status.is_terminated():
            break
    assert info.status is ExecutionStatus.SUCCEEDED
    (message,) = messages
    assert "'n' is declared int64, but the function returned float64" in message


def test_chunk_results_with_indexes_of_their_own_line_up(session, numbers: str) -> None:
    def twice(chunk):
        return pd.DataFrame({"n": chunk["n"].repeat(2).to_list()})

    doubled = applied(twice, {"n": "int64"}, batch_rows=3)
    both = md.concat([doubled, (doubled * 10).rename(columns={"n": "m"})], axis=1)
    result = fetched(both.mf.rebalance(num_partitions=2), session)
    assert len(result) == 20
    assert (result["m"] == result["n"] * 10).all()


def test_columns_can_be_renamed_in_place(session) -> None:
    source = md.DataFrame(pd.DataFrame({"a": [1], "b": [2]}))
    source.columns = ["c", "d"]
    assert fetched(source, session).to_dict("list") == {"c": [1], "d": [2]}


def test_flatmap(session) -> None:
    source = md.DataFrame(pd.DataFrame({"a": [1, 2], "b": [3, 4]}))
    result = source.mf.flatmap(lambda row: [row["a"], row["b"] * 10], dtypes=pd.Series({"c": "int64"}))
    assert fetched(result, session)["c"].tolist() == [1, 30, 2, 40]


def test_function_by_reference_to_our_package_fails_as_in_dpe(session, numbers: str) -> None:
    def identify(chunk):
        return chunk.assign(name=[json_text.load(name) for name in chunk["name"]])

    with pytest.raises(ImportError, match=r"DPE worker does not have this package.*register_pickle_by_value"):
        applied(identify).execute(session=session)


def test_engine_sees_neither_environment_nor_folder_nor_checkout(
    session, numbers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(chunk):
        environment = [f"{name}={value}" for name, value in os.environ.items()]
        return pd.DataFrame({"text": ["\n".join([str(Path.cwd()), *sys.path, *environment])]})

    (text,) = fetched(applied(look, {"text": "str"}, batch_rows=10), session)["text"]
    assert "ODPS_BEARER_TOKEN" not in text
    assert "LEAKED_INTO_THE_ENGINE" not in text
    lines = text.splitlines()
    assert str(Path(__file__).parents[2]) not in lines
    assert str(Path.cwd()) not in lines


def test_errors_keep_their_class(session, numbers: str) -> None:
    def fail(chunk):
        raise ZeroDivisionError("no lanes")

    with pytest.raises(ZeroDivisionError, match="no lanes"):
        applied(fail).execute(session=session)


def test_error_that_cannot_be_pickled_comes_as_remote_traceback(session, numbers: str) -> None:
    def fail(chunk):
        error = ValueError("holds a lock")
        error.lock = threading.Lock()
        raise TypeError("cannot travel", error) from error

    with pytest.raises((RemoteException, TypeError), match="cannot travel"):
        applied(fail).execute(session=session)


def test_end_of_a_chunks_process_fails_the_dag_with_the_exit_code(session, numbers: str) -> None:
    def leave(chunk):
        os._exit(7)

    def leave_politely(chunk):
        sys.exit("bye")

    with pytest.raises(RuntimeError, match="exit code 7"):
        applied(leave).execute(session=session)
    with pytest.raises(RuntimeError, match="SystemExit: bye"):
        applied(leave_politely).execute(session=session)


def test_end_of_the_dags_process_fails_it_with_the_exit_code(session, odps: ODPS, numbers: str) -> None:
    column = md.read_odps_table(numbers)["n"].map(lambda _: os._exit(9), dtype="int64", skip_infer=True)
    info = wait(attach(odps, session), submit(session, column).dag_id)
    assert info.status is ExecutionStatus.FAILED
    assert "exit code 9" in info.error_info.error_messages[0]


def test_log_options_and_operators_are_in_the_logview(odps: ODPS, numbers: str) -> None:
    session = new_session(odps, default=False)
    odps.to_global()

    @with_running_options(engine="dpe", cpu=2, memory=4)
    def function(chunk):
        sys.stdout.write("<b>seen</b> in the log\n")
        return chunk

    caller = attach(odps, session)
    info = wait(caller, submit(session, applied(function)).dag_id)
    # pyodps keeps the host of the first cloud of this process.
    link = urlsplit(caller.get_logview_address(info.dag_id))._replace(netloc=urlsplit(odps.endpoint).netloc)
    page = requests.get(link.geturl(), timeout=10).text
    assert f"<h1>MaxFrame job {info.dag_id}</h1>" in page
    assert "engine=DPE" in page
    assert "&lt;b&gt;seen&lt;/b&gt; in the log" in page
    assert "cpu=2, memory=4" in page
    row = page[page.index("<td>function<br><small>DataFrameApplyChunk; ") :]
    assert '<td class="done">done</td><td class="number">10</td><td class="number">10</td>' in row
    assert '<td class="number">1 of 1</td>' in row
    assert '<span class="done">succeeded</span>' in page
    assert "<td>read " in page

    # A session ends by being stopped; that says nothing of its jobs.
    caller.instance.stop()
    page = requests.get(link.geturl(), timeout=10).text
    assert page.index('<span class="done">succeeded</span>') < page.index("<h2>Session</h2>")
    assert "Cancelled" not in page


def test_mount_reads_and_writes_objects(
    session, cloud: LocalCloud, buckets: oss.Client, numbers: str, tmp_path: Path
) -> None:
    buckets.put_object(oss.PutObjectRequest(bucket="first", key="in/hello.txt", body=b"hello"))
    source, target = str(tmp_path / "in"), str(tmp_path / "out")

    @with_fs_mount(oss_uri(cloud, "first", "in"), source, storage_options=ROLE)
    @with_fs_mount(oss_uri(cloud, "first", "out/new"), target, storage_options=ROLE)
    def copy(chunk):
        Path(target, "copy.txt").write_bytes(Path(source, "hello.txt").read_bytes() + b"!")
        return chunk

    applied(copy, batch_rows=10).execute(session=session)
    written = buckets.get_object(oss.GetObjectRequest(bucket="first", key="out/new/copy.txt"))
    assert written.body.read() == b"hello!"
    assert not Path(target, "copy.txt").exists()


@pytest.mark.parametrize(
    ("bucket", "endpoint", "error", "message"),
    [
        ("absent", None, FileNotFoundError, "no bucket 'absent'"),
        ("first", "oss-cn-hangzhou.aliyuncs.com", ValueError, "is not that of this local cloud"),
    ],
)
def test_wrong_mounts_fail_clearly(
    session, cloud, buckets, numbers, bucket, endpoint, error, message
) -> None:
    uri = f"oss://{endpoint}/{bucket}" if endpoint else oss_uri(cloud, bucket)
    function = with_fs_mount(uri, "/mnt/never", storage_options=ROLE)(lambda chunk: chunk)
    with pytest.raises(error, match=message):
        applied(function).execute(session=session)


def test_mount_without_role_fails(session, cloud: LocalCloud, buckets: oss.Client, numbers: str) -> None:
    keys = {"access_key_id": "id", "access_key_secret": "never-shown"}
    function = with_fs_mount(oss_uri(cloud, "first"), "/mnt/never", storage_options=keys)(lambda c: c)
    with pytest.raises(PermissionError, match="no 'role_arn'") as error:
        applied(function).execute(session=session)
    assert "never-shown" not in str(error.value)


def test_two_sessions_mount_different_buckets_at_one_path(
    session, odps: ODPS, cloud: LocalCloud, buckets: oss.Client, numbers: str, tmp_path: Path
) -> None:
    other = new_session(odps, default=False)
    mount_path = str(tmp_path / "same")
    submitted = []
    for which, bucket in ((session, "first"), (other, "second")):

        def meet(chunk, bucket=bucket):
            """Write, then wait until the other DAG has its mount too."""
            Path(mount_path, "who.txt").write_text(bucket)
            while not Path(mount_path, "go.txt").exists():
                time.sleep(0.01)
            return chunk

        function = with_fs_mount(oss_uri(cloud, bucket, "m"), mount_path, storage_options=ROLE)(meet)
        submitted.append((attach(odps, which), submit(which, applied(function, batch_rows=10)).dag_id))
    for bucket in ("first", "second"):
        while not buckets.is_object_exist(bucket, "m/who.txt"):
            time.sleep(0.02)
    for bucket in ("first", "second"):
        buckets.put_object(oss.PutObjectRequest(bucket=bucket, key="m/go.txt", body=b""))
    for caller, dag_id in submitted:
        assert wait(caller, dag_id).status is ExecutionStatus.SUCCEEDED
    for bucket in ("first", "second"):
        body = buckets.get_object(oss.GetObjectRequest(bucket=bucket, key="m/who.txt")).body
        assert body.read().decode() == bucket
    other.destroy()


def test_models_see_images_of_oss_and_no_secret_stays_on_disk(
    session, odps: ODPS, cloud: LocalCloud, buckets: oss.Client
) -> None:
    picture = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(picture, "JPEG")
    buckets.put_object(oss.PutObjectRequest(bucket="first", key="a.jpg", body=picture.getvalue()))
    urls = [oss_uri(cloud, "first", key) for key in ("a.jpg", "absent.jpg")]
    frame = md.DataFrame(pd.DataFrame({"url": urls}))
    keys = {"access_key_id": cloud.access_key_id, "access_key_secret": cloud.access_key_secret}
    odps_options.catalog.endpoint = f"http://{odps.get_catalog_host()}"

    def image(storage_options: dict[str, str]) -> ContentPart:
        return ContentPart.image(
            data=frame["url"], type=ImageContentType.URL, storage_options=storage_options
        )

    def model(name: str):
        return read_odps_model(name, project="bigdata_public_modelset", odps_entry=odps)

    def labels(part: ContentPart) -> pd.DataFrame:
        messages = [{"role": "user", "content": [part, ContentPart.text("Describe it as JSON.")]}]
        return fetched(model("qwen3-vl-plus").generate(frame, messages=messages, running_options={}), session)

    answer = labels(image(keys))
    assert answer["success"].tolist() == [True, False]
    assert json.loads(answer["response"][0])["usage"]["completion_tokens"] > 0
    assert json.loads(answer["response"][1])["error"]["code"] == "NoSuchKey"

    vectors = fetched(
        model("qwen3-vl-embedding").embed(frame, input=[image(keys)], params={"dimension": 64}), session
    )
    (embedding,) = json.loads(vectors["response"][0])["output"]["embeddings"]
    assert len(embedding["embedding"]) == 64

    text = md.DataFrame(pd.DataFrame({"label": ["rain at night"]}))["label"]
    vectors = fetched(model("text-embedding-v4").embed(text, dimensions=32), session)
    assert len(json.loads(vectors["response"][0])["data"][0]["embedding"]) == 32

    wrong = labels(image(keys | {"access_key_secret": "wrong"}))
    assert json.loads(wrong["response"][0])["error"]["code"] == "SignatureDoesNotMatch"

    kept = [path for path in (cloud.root / "maxframe").rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if cloud.access_key_secret.encode() in path.read_bytes()]


def start_sleeper(session, tmp_path: Path):
    """Submit a function that sleeps beside a child process; return its DAG and the two process ids."""
    folder = str(tmp_path)

    def sleep(chunk):
        child = subprocess.Popen(["sleep", "1000"])
        Path(folder, "pids.part").write_text(f"{os.getpid()} {child.pid}")
        Path(folder, "pids.part").rename(Path(folder, "pids"))
        time.sleep(1000)
        return chunk

    dag = submit(session, applied(sleep, batch_rows=10))
    while not (tmp_path / "pids").exists():
        time.sleep(0.02)
    return dag, [int(pid) for pid in (tmp_path / "pids").read_text().split()]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_cancel_kills_the_function_and_its_children(
    session, odps: ODPS, numbers: str, tmp_path: Path
) -> None:
    dag, pids = start_sleeper(session, tmp_path)
    caller = attach(odps, session)
    info = caller.get_dag_info(dag.dag_id)
    assert info.status is ExecutionStatus.RUNNING
    assert 0 < info.progress < 1
    caller.cancel_dag(dag.dag_id)
    assert wait(caller, dag.dag_id).status is ExecutionStatus.CANCELLED
    assert all(gone(pid) for pid in pids)


def test_stopping_a_session_cancels_its_dags_and_drops_its_tables(
    odps: ODPS, numbers: str, tmp_path: Path
) -> None:
    session = new_session(odps, default=False)
    odps.to_global()
    result = md.DataFrame(pd.DataFrame({"n": [1]})).execute(session=session)
    prefix = f"tmp_mf_{session.session_id.lower()}_"
    assert list(odps.list_tables(prefix=prefix))
    _, pids = start_sleeper(session, tmp_path)
    caller = attach(odps, session)
    caller.instance.stop()
    assert all(gone(pid) for pid in pids)
    assert not list(odps.list_tables(prefix=prefix))
    with pytest.raises(SessionAlreadyClosedError):
        caller.get_dag_info("any")
    del result


def test_nested_delete_ends_the_session(odps: ODPS) -> None:
    session = new_session(odps, default=False)
    caller = attach(odps, session)
    caller.delete_session()
    assert caller.instance.is_terminated()
    with pytest.raises(SessionAlreadyClosedError):
        attach(odps, session).get_session()


def test_unknown_dag_is_none_and_json_is_spoken_too(session, odps: ODPS, numbers: str) -> None:
    caller = MaxFrameInstanceCaller(
        odps, task_name=TASK_NAME, nested_instance_id=session.session_id, output_format="json"
    )
    assert caller.get_dag_info("no-such-dag") is None
    assert caller.cancel_dag("no-such-dag") is None
    dag = submit(session, md.read_odps_table(numbers)["n"].sum())
    info = wait(caller, dag.dag_id)
    assert [result.data for result in info.tileable_to_result_infos.values()] == [45]
    assert dag.dag_id in caller.get_session().dag_infos


def test_another_process_can_watch_a_dag(session, odps: ODPS, numbers: str) -> None:
    dag = submit(session, md.read_odps_table(numbers)["n"].max())
    script = f"""
import time
from maxframe_client.session.task import MaxFrameInstanceCaller
from odps import ODPS
from odps import options as odps_options
from PIL import Image
o = ODPS({odps.account.access_id!r}, {odps.account.secret_access_key!r}, {odps.project!r}, {odps.endpoint!r})
caller = MaxFrameInstanceCaller(o, task_name={TASK_NAME!r}, nested_instance_id={session.session_id!r})
while not (info := caller.get_dag_info({dag.dag_id!r})).status.is_terminated():
    time.sleep(0.05)
print(*[result.data for result in info.tileable_to_result_infos.values()])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["9"]


def test_calls_are_counted(session, cloud: LocalCloud, numbers: str) -> None:
    before = cloud.stats.snapshot()
    md.read_odps_table(numbers)["n"].min().execute(session=session)
    after = cloud.stats.snapshot()
    for kind in ("maxframe.submit_dag", "maxframe.dag_succeeded"):
        assert after[kind] == before.get(kind, 0) + 1


def test_loss_of_the_engines_host_loses_no_dag(session, odps: ODPS, numbers: str, tmp_path: Path) -> None:
    folder = str(tmp_path)

    def wait_for_go(chunk):
        dag_process = os.getppid()
        host = Path(f"/proc/{dag_process}/stat").read_text().rpartition(")")[2].split()[1]
        Path(folder, "host.part").write_text(host)
        Path(folder, "host.part").rename(Path(folder, "host"))
        while not Path(folder, "go").exists():
            time.sleep(0.01)
        return chunk

    dag = submit(session, applied(wait_for_go, batch_rows=10)["n"].sum())
    while not (tmp_path / "host").exists():
        time.sleep(0.02)
    os.kill(int((tmp_path / "host").read_text()), signal.SIGKILL)
    (tmp_path / "go").touch()
    caller = attach(odps, session)
    for dag_id in (dag.dag_id, submit(session, md.read_odps_table(numbers)["n"].sum()).dag_id):
        info = wait(caller, dag_id)
        assert info.status is ExecutionStatus.SUCCEEDED
        assert [result.data for result in info.tileable_to_result_infos.values()] == [45]
