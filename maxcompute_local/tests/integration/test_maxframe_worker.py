"""Functions of the user in the local cloud's MaxFrame worker: limits, crashes, requirements, logs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cloudpickle
import maxframe.dataframe as md
import pandas as pd
import pytest
import requests
from maxframe.config import options
from maxframe.protocol import DagInfo, ExecutionStatus
from maxframe.session import new_session
from maxframe.udf import with_python_requirements, with_running_options
from maxframe_client.session.graph import gen_submit_tileable_graph
from maxframe_client.session.task import MaxFrameInstanceCaller
from odps import ODPS

from maxcompute_local import lifecycle
from maxcompute_local.errors import LocalCloudError
from maxcompute_local.maxframe import workers
from maxcompute_local.server import LocalCloud

cloudpickle.register_pickle_by_value(sys.modules[__name__])

PACKAGE = "sample_package_of_a_user"


def add_wheel(folder: Path, version: str, needs: str, code: str = "") -> None:
    info = f"{PACKAGE}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{PACKAGE}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{PACKAGE}.py", f"VERSION = {version!r}\n{code}")
        metadata = f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\nRequires-Dist: {needs}\n"
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    wheels = tmp_path_factory.mktemp("wheels")
    add_wheel(wheels, "1.0", needs="pandas")
    add_wheel(wheels, "2.0", needs="duckdb", code="import duckdb")
    with pytest.MonkeyPatch.context() as patch:
        workers.prepare(None)  # with the machine's own index
        patch.setenv("PIP_FIND_LINKS", str(wheels))
        patch.setenv("PIP_NO_INDEX", "1")
        cloud = LocalCloud(tmp_path_factory.mktemp("cloud"), odps_port=0, oss_port=0).start()
        yield cloud
        cloud.stop()


@pytest.fixture(scope="module")
def odps(cloud: LocalCloud) -> ODPS:
    return ODPS(
        cloud.access_key_id, cloud.access_key_secret, project=cloud.project, endpoint=cloud.odps_endpoint
    )


@pytest.fixture(scope="module")
def session(odps: ODPS) -> Iterator[Any]:
    session = new_session(odps, default=False)
    yield session
    session.destroy()


@pytest.fixture(autouse=True)
def _global_entry(odps: ODPS) -> None:
    odps.to_global()


def applied(function: Any, rows: int = 2, batch_rows: int = 1, **dtypes: str) -> Any:
    source = md.DataFrame(pd.DataFrame({"n": range(rows)}))
    return source.mf.apply_chunk(
        function,
        batch_rows=batch_rows,
        dtypes=pd.Series(dtypes or {"n": "int64"}),
        output_type="dataframe",
        skip_infer=True,
    )


def fetched(tileable: Any, session: Any) -> Any:
    return tileable.execute(session=session).fetch(session=session)


def attach(odps: ODPS, session: Any) -> MaxFrameInstanceCaller:
    return MaxFrameInstanceCaller(
        odps, task_name="AnonymousMaxFrameTask", nested_instance_id=session.session_id
    )


def submit(session: Any, tileable: Any) -> DagInfo:
    inner = session._isolated_session
    graph, _ = gen_submit_tileable_graph(inner, [tileable.data], {})
    uploaded = inner._scan_and_replace_local_sources(graph)
    return inner._caller.submit_dag(graph, inner._get_input_infos(list(uploaded.values())), {})


def wait(caller: MaxFrameInstanceCaller, dag_id: str) -> DagInfo:
    while True:
        info = caller.get_dag_info(dag_id)
        if info.status.is_terminated():
            return info
        time.sleep(0.02)


def address_of(odps: ODPS, session: Any, dag_id: str) -> str:
    """Return a DAG's LogView link; pyodps keeps the host of the first cloud of this process, so not that."""
    link = urlsplit(attach(odps, session).get_logview_address(dag_id))
    return link._replace(netloc=urlsplit(odps.endpoint).netloc).geturl()


def page_of(odps: ODPS, session: Any, dag_id: str) -> str:
    return requests.get(address_of(odps, session, dag_id), timeout=10).text


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@contextmanager
def changed(section: Any, name: str, value: Any) -> Iterator[None]:
    """Change an option of MaxFrame for all threads; in its ``option_context`` the SDK would not send it."""
    before = getattr(section, name)
    setattr(section, name, value)
    try:
        yield
    finally:
        setattr(section, name, before)


class TestLimits:
    def test_function_over_its_memory_is_named_with_limit_and_way_out(self, session: Any) -> None:
        @with_running_options(engine="dpe", cpu=1, memory="256MiB")
        def fill(chunk):
            held = [bytearray(b"x") * (1 << 20) for _ in range(600)]
            return chunk.assign(n=len(held))

        with pytest.raises(
            MemoryError, match=r"DataFrameApplyChunk: .*batch \d of 2 used .* limit is 0\.25 GiB.*batch_rows"
        ):
            applied(fill).execute(session=session)
        # The engine lives on.
        assert fetched(applied(lambda chunk: chunk), session)["n"].tolist() == [0, 1]

    def test_memory_of_children_counts_and_they_end(self, session: Any, tmp_path: Path) -> None:
        pid_file = tmp_path / "pid"
        code = f"""
import os, time
open({str(pid_file)!r}, "w").write(str(os.getpid()))
held = bytearray(b"x") * (600 << 20)
time.sleep(1000)
"""

        @with_running_options(engine="dpe", memory="300MiB")
        def spawn(chunk):
            subprocess.run([sys.executable, "-c", code], check=True, start_new_session=True)
            return chunk

        with pytest.raises(MemoryError, match=r"limit is 0\.29 GiB"):
            applied(spawn, rows=1).execute(session=session)
        assert gone(int(pid_file.read_text()))

    def test_large_input_is_not_charged_to_the_function(self, session: Any, odps: ODPS) -> None:
        def widen(chunk):
            return pd.DataFrame({"text": [os.urandom(1 << 19).hex() for _ in range(60)]})

        @with_running_options(engine="dpe", memory="128MiB")
        def measure(chunk):
            return pd.DataFrame({"n": [len(chunk)]})

        wide = applied(with_running_options(memory=4)(widen), rows=3, text="str")
        counted = wide.mf.apply_chunk(
            measure,
            batch_rows=60,
            dtypes=pd.Series({"n": "int64"}),
            output_type="dataframe",
            skip_infer=True,
        )
        assert fetched(counted, session)["n"].tolist() == [60] * 3

    def test_chunk_gets_memory_limit_after_a_lack_of_memory(self, session: Any, tmp_path: Path) -> None:
        tries = str(tmp_path / "tries")

        @with_running_options(engine="dpe", memory="200MiB", memory_limit="1GiB")
        def fill(chunk):
            with Path(tries).open("a") as file:
                file.write("x")
            held = bytearray(b"x") * (450 << 20)
            time.sleep(0.3)
            return chunk.assign(n=len(held) >> 20)

        assert fetched(applied(fill, rows=1), session)["n"].tolist() == [450]
        assert Path(tries).read_text() == "xx"

    def test_function_sees_the_cpus_that_it_declared(self, session: Any) -> None:
        def count(chunk):
            return chunk.assign(n=len(os.sched_getaffinity(0)))

        available = len(os.sched_getaffinity(0))
        for cpu in {1, min(2, available)}:
            marked = with_running_options(engine="dpe", cpu=cpu)(count)
            assert fetched(applied(marked, rows=cpu), session)["n"].tolist() == [cpu] * cpu

    def test_other_functions_than_of_apply_chunk_are_limited_too(self, session: Any) -> None:
        @with_running_options(memory="256MiB")
        def fill(_):
            return len(bytearray(b"x") * (600 << 20))

        column = md.DataFrame(pd.DataFrame({"n": [1]}))["n"].map(fill, dtype="int64", skip_infer=True)
        with pytest.raises(MemoryError, match=r"DataFrameMap: .* limit is 0\.25 GiB"):
            column.execute(session=session)

    def test_too_many_processes_are_ended(self, session: Any) -> None:
        def breed(chunk):
            for _ in range(300):
                if os.fork() == 0:
                    os.setsid()
                    signal.pause()
            time.sleep(1000)

        with pytest.raises(RuntimeError, match="processes at once; a worker allows 256"):
            applied(breed, rows=1).execute(session=session)


class TestChunks:
    def test_batches_of_a_chunk_wait_for_each_other(self, session: Any, tmp_path: Path) -> None:
        """Also where there are CPUs for more. Chunks do not: each waits here for the other one to begin."""
        folder = str(tmp_path)

        def look(batch):
            chunk = int(batch["n"].iloc[0]) // 3
            Path(folder, f"began-{chunk}").touch()
            while not Path(folder, f"began-{1 - chunk}").exists():
                time.sleep(0.01)
            mark = Path(folder, f"under-way-{chunk}")
            mark.mkdir()
            time.sleep(0.1)
            mark.rmdir()
            return batch

        source = md.DataFrame(pd.DataFrame({"n": range(6)})).mf.rebalance(num_partitions=2)
        made = source.mf.apply_chunk(look, batch_rows=1, dtypes=source.dtypes, skip_infer=True)
        assert fetched(made, session)["n"].tolist() == list(range(6))

    def test_a_table_is_one_chunk_unless_more_splits_are_asked_for(self, odps: ODPS) -> None:
        odps.execute_sql("CREATE TABLE splits_1 AS SELECT n FROM VALUES (1), (2), (3), (4), (5) t (n)")

        def sizes(splits: str) -> list[int]:
            made = md.read_odps_table("splits_1").mf.apply_chunk(
                lambda chunk: chunk.assign(n=len(chunk)), dtypes=pd.Series({"n": "int64"}), skip_infer=True
            )
            with changed(options.sql, "settings", {"odps.sql.split.dop": splits}):
                session = new_session(odps, default=False)
                found = fetched(made, session)["n"].tolist()
            session.destroy()
            return found

        assert sizes('{"other": 3}') == [5] * 5
        assert sizes('{"local.Splits_1": 2}') == [3, 3, 3, 2, 2]


class TestTime:
    @pytest.mark.parametrize("limit", ["spe.operation_timeout_seconds", "odps.function.timeout"])
    def test_function_that_hangs_is_ended_with_its_children(
        self, odps: ODPS, tmp_path: Path, limit: str
    ) -> None:
        pid_file = tmp_path / "pid"

        @with_running_options(engine="dpe")
        def hang(chunk):
            child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            pid_file.write_text(f"{os.getpid()} {child.pid}")
            time.sleep(1000)

        operation = limit.startswith("spe.")
        with (
            changed(options.spe, "operation_timeout_seconds", 1 if operation else 120),
            changed(options.sql, "settings", {} if operation else {limit: 1}),
        ):
            session = new_session(odps, default=False)
            with pytest.raises(
                TimeoutError, match=f"DataFrameApplyChunk: .*batch 1 of 1 took more than 1 .*{limit}"
            ):
                applied(hang, rows=1).execute(session=session)
            session.destroy()
        assert all(gone(int(pid)) for pid in pid_file.read_text().split())


class TestEnds:
    def test_crash_names_operator_chunk_and_signal(self, session: Any) -> None:
        def crash(chunk):
            os.kill(os.getpid(), signal.SIGSEGV)

        with pytest.raises(RuntimeError, match=r"DataFrameApplyChunk: .*batch 1 of 1 .*SIGSEGV"):
            applied(crash, rows=1).execute(session=session)

    def test_error_that_cannot_be_unpickled_keeps_its_text(self, session: Any) -> None:
        def fail(chunk):
            class TwoPartsError(ValueError):
                def __init__(self, what, why):
                    super().__init__(f"{what} because {why}")

            raise TwoPartsError("no lanes", "fog")

        with pytest.raises(Exception, match="no lanes because fog"):
            applied(fail, rows=1).execute(session=session)

    def test_interrupt_in_a_function_is_the_dags_error(self, session: Any) -> None:
        def interrupt(chunk):
            raise KeyboardInterrupt("by a function")

        with pytest.raises(RuntimeError, match="KeyboardInterrupt: by a function"):
            applied(interrupt, rows=1).execute(session=session)

    def test_what_a_function_leaves_behind_ends_with_its_chunk(self, session: Any, tmp_path: Path) -> None:
        def leave(chunk):
            child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            return pd.DataFrame({"n": [child.pid]})

        pids = fetched(applied(leave), session)["n"].tolist()
        assert len(pids) == 2
        assert all(map(gone, pids))

    def test_cancel_ends_children_that_left_the_group(self, session: Any, odps: ODPS, tmp_path: Path) -> None:
        pid_file = tmp_path / "pid"

        def hang(chunk):
            child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            pid_file.with_suffix(".part").write_text(str(child.pid))
            pid_file.with_suffix(".part").rename(pid_file)
            time.sleep(1000)

        caller = attach(odps, session)
        dag = submit(session, applied(hang, rows=1))
        while not pid_file.exists():
            time.sleep(0.02)
        caller.cancel_dag(dag.dag_id)
        assert wait(caller, dag.dag_id).status is ExecutionStatus.CANCELLED
        assert gone(int(pid_file.read_text()))

    def test_function_runs_in_no_process_of_the_server(self, session: Any) -> None:
        def ancestors(chunk):
            return pd.DataFrame({"n": [os.getpid(), os.getppid()]})

        for tileable in (
            applied(ancestors, rows=1)["n"],
            md.DataFrame(pd.DataFrame({"n": [1]}))["n"].map(
                lambda _: os.getpid(), dtype="int64", skip_infer=True
            ),
        ):
            assert os.getpid() not in fetched(tileable, session).tolist()


class TestRequirements:
    def test_package_is_installed_once_for_many(self, session: Any, cloud: LocalCloud) -> None:
        @with_python_requirements(f"{PACKAGE}==1.0")
        def look(chunk):
            import sample_package_of_a_user

            pip = [name for name in os.environ if name.startswith("PIP_")]
            return pd.DataFrame(
                {"version": [sample_package_of_a_user.VERSION], "python": sys.prefix, "pip": str(pip)}
            )

        kinds = {"version": "str", "python": "str", "pip": "str"}
        with ThreadPoolExecutor(2) as pool:
            results = list(
                pool.map(lambda rows: fetched(applied(look, rows, batch_rows=9, **kinds), session), (1, 2))
            )
        (row,) = {tuple(result.iloc[0]) for result in results}
        environments = cloud.root / "maxframe" / "environments"
        assert row[0] == "1.0"
        assert Path(row[1]).parent == environments
        assert row[2] == "[]"
        logs = (cloud.root / "maxframe").glob(f"{session.session_id}/*/log.txt")
        assert sum("Successfully installed" in log.read_text() for log in logs) == 1

    def test_function_by_value_may_hold_the_package(self, session: Any, monkeypatch: Any) -> None:
        module = type(sys)(PACKAGE)
        monkeypatch.setitem(sys.modules, PACKAGE, module)

        @with_python_requirements(f"{PACKAGE}==1.0")
        def look(chunk):
            return pd.DataFrame({"version": [module.VERSION]})

        assert fetched(applied(look, rows=1, version="str"), session)["version"].tolist() == ["1.0"]

    def test_all_workers_may_have_requirements_and_functions_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

        def look(chunk):
            import av  # noqa: F401  (installed here)
            import sample_package_of_a_user

            return pd.DataFrame({"version": [sample_package_of_a_user.VERSION]})

        other = LocalCloud(
            tmp_path / "other", odps_port=0, oss_port=0, worker_requirements=[f"{PACKAGE}==1.0", "av"]
        ).start()
        entry = ODPS(
            other.access_key_id,
            other.access_key_secret,
            project=other.project,
            endpoint=other.odps_endpoint,
        )
        entry.to_global()
        session = new_session(entry, default=False)
        more = with_python_requirements(f"{PACKAGE}>=2")(look)
        for function, version in ((look, "1.0"), (more, "2.0")):
            found = fetched(applied(function, rows=1, version="str"), session)
            assert found["version"].tolist() == [version]
        session.destroy()
        other.stop()

    def test_workers_without_their_requirements_are_an_error(self, cloud: LocalCloud) -> None:
        with pytest.raises(LocalCloudError, match="No matching distribution found for no-such-package"):
            lifecycle.up(cloud.root / "new", 0, 0, ["no-such-package"])
        with pytest.raises(LocalCloudError, match="already runs"):
            lifecycle.up(cloud.root, worker_requirements=["no-such-package"])

    def test_undeclared_package_is_missing_as_in_the_service(self, session: Any) -> None:
        def look(chunk):
            import sample_package_of_a_user  # noqa: F401

        with pytest.raises(ModuleNotFoundError, match=PACKAGE):
            applied(look, rows=1).execute(session=session)

    def test_pandas_is_of_the_generation_of_the_service(self, session: Any) -> None:
        def look(chunk):
            return pd.DataFrame({"version": [pd.__version__]})

        (version,) = fetched(applied(look, rows=1, version="str"), session)["version"]
        assert version.startswith("2.")

    def test_without_an_index_workers_have_the_pandas_of_the_client(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        assert workers.prepare(None) == workers.Worker(Path(sys.executable))
        assert "have the pandas installed here, not pandas<3" in caplog.text

    @pytest.mark.parametrize("module", ["av", "PIL.Image", "duckdb", "sqlalchemy", "airflow"])
    def test_package_of_this_installation_has_to_be_declared(self, module: str, session: Any) -> None:
        def look(chunk):
            import importlib.util

            if importlib.util.find_spec(module.partition(".")[0]) is None:
                importlib.import_module(module)

        message = "does not have this package" if module == "airflow" else "with_python_requirements"
        with pytest.raises(ImportError, match=message):
            applied(look, rows=1).execute(session=session)

    def test_function_may_hold_a_package_only_when_it_declares_it(self, session: Any) -> None:
        import av
        import numpy
        import scipy

        def look(chunk):
            return pd.DataFrame(
                {"versions": [f"{av.__version__} {bool(numpy.__version__)} {bool(scipy.__version__)}"]}
            )

        with pytest.raises(ModuleNotFoundError, match=r"with_python_requirements\('av'\)"):
            applied(look, rows=1).execute(session=session)
        declared = with_python_requirements("av>=1")(look)
        found = fetched(applied(declared, rows=1, versions="str"), session)
        assert found["versions"].tolist() == [f"{av.__version__} True True"]

    def test_package_on_a_path_of_the_function_is_found(self, session: Any, tmp_path: Path) -> None:
        (tmp_path / "duckdb.py").write_text("VERSION = 'mine'")
        folder = str(tmp_path)

        def look(chunk):
            sys.path.append(folder)
            import duckdb

            return pd.DataFrame({"version": [duckdb.VERSION]})

        assert fetched(applied(look, rows=1, version="str"), session)["version"].tolist() == ["mine"]

    def test_what_pip_says_is_shown(self, session: Any, cloud: LocalCloud) -> None:
        function = with_python_requirements(f"{PACKAGE}>=2", "no-such-package>=3")(lambda chunk: chunk)
        before = set((cloud.root / "maxframe" / "environments").glob("[!.]*"))
        with pytest.raises(ImportError, match="No matching distribution found for no-such-package>=3"):
            applied(function).execute(session=session)
        assert set((cloud.root / "maxframe" / "environments").glob("[!.]*")) == before


class TestLogView:
    def test_operators_show_rows_chunks_output_and_error(self, session: Any, odps: ODPS) -> None:
        def grow(chunk):
            sys.stdout.write("growing <i>\n")
            return pd.DataFrame({"n": [1, 2, 3]})

        def fail(chunk):
            sys.stderr.write("about to fail\n")
            raise ValueError("no lanes")

        grown = applied(grow)
        dag = submit(session, grown.mf.apply_chunk(fail, batch_rows=2, dtypes=grown.dtypes, skip_infer=True))
        wait(attach(odps, session), dag.dag_id)
        page = page_of(odps, session, dag.dag_id)
        first, second = page.split("<small>DataFrameApplyChunk")[1:]
        assert "<td>grow<br>" in page
        assert "<td>fail<br>" in page
        assert '<td class="number">2</td><td class="number">6</td><td class="number">1 of 1</td>' in first
        assert "growing &lt;i&gt;" in first
        assert "about to fail" not in first
        assert '<td class="failed">failed</td><td class="number">6</td><td class="number"></td>' in second
        assert '<td class="number">0 of 1</td>' in second
        assert "about to fail" in second
        assert "no lanes" in page
        assert "<i>" not in page

    def test_names_stand_beside_their_own_numbers(self, session: Any, odps: ODPS) -> None:
        """Also in a graph with branches, whose order only the SDK's code generator knows."""

        rows = md.DataFrame(pd.DataFrame({"n": range(9)}))

        def makes(count: int, source: Any) -> Any:
            def made(chunk):
                return pd.DataFrame({"n": range(count)})

            made.__name__ = f"makes_{count}"
            return source.mf.apply_chunk(
                made,
                batch_rows=1000,
                dtypes=pd.Series({"n": "int64"}),
                output_type="dataframe",
                skip_infer=True,
            )

        pieces = [makes(count, makes(count + 20, rows[rows["n"] == count])) for count in range(3, 9)]
        dag = submit(session, md.concat([pieces[0], md.concat(pieces[1:])]))
        wait(attach(odps, session), dag.dag_id)
        page = page_of(odps, session, dag.dag_id)
        for count in range(3, 9):
            row = page.partition(f"<td>makes_{count}<br>")[2].partition("</tr>")[0]
            assert f'<td class="number">{count}</td>' in row

    def test_page_is_for_those_with_its_token_alone(self, session: Any, odps: ODPS) -> None:
        dag = submit(session, applied(lambda chunk: chunk))
        address = address_of(odps, session, dag.dag_id)
        assert requests.get(address, timeout=10).status_code == 200
        assert requests.get(address.replace("token=", "token=x"), timeout=10).status_code == 403
        wait(attach(odps, session), dag.dag_id)

    def test_flood_of_output_loses_its_middle(self, session: Any, odps: ODPS, cloud: LocalCloud) -> None:
        def flood(chunk):
            line = "x" * 1000 + "\n"
            for _ in range(40_000):
                sys.stdout.write(line)
            sys.stdout.write("the end\n")
            return chunk

        dag = submit(session, applied(flood, rows=1))
        assert wait(attach(odps, session), dag.dag_id).status is ExecutionStatus.SUCCEEDED
        log = cloud.root / "maxframe" / session.session_id / dag.dag_id / "log.txt"
        assert log.stat().st_size < 16 << 20
        assert "of output left out" in log.read_text()
        assert "the end" in page_of(odps, session, dag.dag_id)
