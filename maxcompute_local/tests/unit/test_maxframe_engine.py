"""Parts of the MaxFrame engine that need neither a server nor the MaxFrame SDK."""

from __future__ import annotations

import fcntl
import os
import sys
import sysconfig
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from maxcompute_local.maxframe.engine import absent, bootstrap, frames, mounts, requirements
from maxcompute_local.maxframe.engine.chunks import map_chunks
from maxcompute_local.maxframe.engine.errors import describe_exit
from maxcompute_local.maxframe.engine.job import (
    LINKS_FILE,
    is_alive,
    process_start,
    write_json,
)
from maxcompute_local.maxframe.engine.mounts import Mount
from maxcompute_local.maxframe.engine.spread import Spread, rechunked
from maxcompute_local.maxframe.engine.templates import render

ENDPOINT = "http://127.0.0.1:8100"


ROW = {"name": "Ann", "count": 3, "none": None, "nan": float("nan"), "tricky": "{name} {{}}"}


class TestTemplates:
    @pytest.mark.parametrize(
        ("template", "expected"),
        [
            ("{name} has {count}", "Ann has 3"),
            ("{none}|{nan}|", "||"),
            ("{{name}} is {name}", "{name} is Ann"),
            ('{{"a": {{"b": "{name}"}}}}', '{"a": {"b": "Ann"}}'),
            ("{tricky}", "{name} {{}}"),
            ('Answer {"a": {"b": 1}} for {name}', 'Answer {"a": {"b": 1}} for Ann'),
            ("{unknown} {name}", "{unknown} Ann"),
            ("{name!r} {name}", "{name!r} Ann"),
            ("{name:>9} {name}", "{name:>9} Ann"),
            ("{} {0} {name}", "{} {0} Ann"),
            ("open { for {name}", "open { for Ann"),
            ("", ""),
        ],
    )
    def test_render(self, template: str, expected: str) -> None:
        assert render(template, ROW) == expected


class TestRequirements:
    @staticmethod
    def split(*texts: str) -> tuple[list[str], list[str]]:
        return requirements.split(requirements.parse(texts))

    def test_met_ones_are_returned_with_their_versions(self) -> None:
        assert self.split("pandas >= 1") == ([f"pandas=={pd.__version__}"], [])

    def test_one_argument_may_hold_several(self) -> None:
        assert len(self.split("pandas numpy>=1")[0]) == 2

    def test_all_unmet_ones_are_returned(self) -> None:
        here = "pandas @ file:///opt/pandas.whl"
        assert self.split("pandas<1", "numpy", "no-such", here)[1] == ["pandas<1", "no-such", here]

    def test_markers_count(self) -> None:
        assert self.split("no-such; python_version < '3'") == ([], [])

    @pytest.mark.parametrize("text", ["pandas @@ 3", "--index-url=http://127.0.0.1/ pandas", "-e ."])
    def test_nonsense_and_options_are_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="not a Python requirement"):
            requirements.parse([text])


class TestFrames:
    @staticmethod
    def conform(
        frame: pd.DataFrame, check: str = "warns", **dtypes: object
    ) -> tuple[pd.DataFrame, list[str]]:
        warnings: list[str] = []
        result = frames.conform(frame, pd.Series(dtypes, dtype=object), check=check, warn=warnings.append)
        return result, warnings

    def test_chunks_are_cut_into_batches(self) -> None:
        frame = pd.DataFrame({"a": range(100)})

        def rows(chunks: list[int], batch_rows: int | None) -> list[list[int]]:
            return [list(map(len, chunk)) for chunk in frames.split(frame, chunks, batch_rows)]

        assert rows([100], None) == [[100]]
        assert rows([70, 0, 30], 40) == [[40, 30], [30]]
        assert [batch["a"].iloc[0] for batch in frames.split(frame, [70, 30], 40)[0]] == [0, 40]
        assert frames.split(frame.iloc[:0], [0], None) == []

    def test_columns_come_in_declared_order_and_type(self) -> None:
        frame = pd.DataFrame({"b": ["x", None], "a": [1, 2]}, dtype=object)
        result, warnings = self.conform(frame, a="int64", b="string")
        assert list(result.columns) == ["a", "b"]
        assert [str(dtype) for dtype in result.dtypes] == ["int64", "string"]
        assert warnings == []

    def test_nulls_of_an_integer_column_stay_null_and_large_values_exact(self) -> None:
        frame = pd.DataFrame({"a": [2**60 + 1, None]}, dtype=object)
        result, warnings = self.conform(frame, a="int64")
        assert result["a"].tolist() == [2**60 + 1, pd.NA]
        assert warnings == []

    def test_column_that_cannot_take_its_type_is_left_with_a_warning(self) -> None:
        frame = pd.DataFrame({"a": [1.5], "b": [["x"]]})
        result, (warning,) = self.conform(frame, a="int64", b="string")
        assert result["a"].tolist() == [1.5]
        assert "'a' is declared int64, but the function returned float64" in warning
        assert "'b' is declared string, but the function returned object" in warning

    def test_texts_are_no_booleans_and_lists_are_no_texts(self) -> None:
        frame = pd.DataFrame({"a": ["false"], "b": [b"bytes"]})
        result, (warning,) = self.conform(frame, a="bool", b="string")
        assert result.iloc[0].tolist() == ["false", b"bytes"]
        assert "'a' is declared bool" in warning
        assert "'b' is declared string" in warning

    def test_nulls_of_a_boolean_column_stay_null(self) -> None:
        result, warnings = self.conform(pd.DataFrame({"a": [True, None]}, dtype=object), a="bool")
        assert result["a"].tolist() == [True, pd.NA]
        assert warnings == []

    def test_such_a_column_is_an_error_when_asked_for(self) -> None:
        with pytest.raises(TypeError, match="'a' is declared int64"):
            self.conform(pd.DataFrame({"a": ["x"]}), check="raises", a="int64")

    def test_checks_can_be_switched_off(self) -> None:
        frame = pd.DataFrame({"other": [1]})
        assert self.conform(frame, check="ignore", a="int64")[0] is frame

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            (["a"], r"missing: \['b'\]"),
            (["a", "b", "c"], r"not declared: \['c'\]"),
            (["a", "b", "b"], r"duplicate: \['b'\]"),
        ],
    )
    def test_wrong_columns_are_named(self, columns: list[str], message: str) -> None:
        frame = pd.DataFrame([range(len(columns))], columns=columns)
        with pytest.raises(ValueError, match=message):
            self.conform(frame, a="int64", b="int64")

    def test_default_indexes_are_counted_through(self) -> None:
        parts = [pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [3]})]
        assert frames.combine(parts).index.tolist() == [0, 1, 2]

    def test_indexes_that_tell_rows_apart_stay(self) -> None:
        parts = [pd.DataFrame({"a": [1]}, index=[5]), pd.DataFrame({"a": [2]}, index=[9])]
        assert frames.combine(parts).index.tolist() == [5, 9]

    def test_named_indexes_stay(self) -> None:
        index = pd.Index(["v", "v"], name="video")
        parts = [pd.DataFrame({"a": [1, 2]}, index=index), pd.DataFrame({"a": [3, 4]}, index=index)]
        assert frames.combine(parts).index.tolist() == ["v"] * 4


class TestChunks:
    def test_results_are_in_order_and_progress_reaches_the_end(self, tmp_path: Path) -> None:
        seen: list[float] = []
        results = map_chunks(
            lambda batch: batch * 2, [[1, 2], [3]], workers=2, directory=tmp_path, on_done=seen.append
        )
        assert results == [2, 4, 6]
        assert seen[-1] == 1.0
        assert list(tmp_path.iterdir()) == []

    def test_batches_run_in_processes_of_their_own(self, tmp_path: Path) -> None:
        pids = map_chunks(
            lambda _: os.getpid(), [[1], [2]], workers=1, directory=tmp_path, on_done=lambda _: None
        )
        assert len({os.getpid(), *pids}) == 3

    def test_as_many_run_at_once_as_there_are_workers(self, tmp_path: Path) -> None:
        def meet(chunk: int) -> int:
            (tmp_path / str(chunk)).touch()
            while not (tmp_path / str(1 - chunk)).exists():
                time.sleep(0.001)
            return chunk

        assert map_chunks(meet, [[0], [1]], workers=2, directory=tmp_path, on_done=lambda _: None) == [0, 1]

    def test_a_chunk_is_worked_on_serially_however_many_workers_there_are(self, tmp_path: Path) -> None:
        """Each batch sees those before it ended; a batch of the other chunk comes between."""

        def ended(batch: int) -> set[int]:
            before = {int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()}
            while batch == 0 and not (tmp_path / "10").exists():
                time.sleep(0.001)
            (tmp_path / str(batch)).touch()
            return before

        made = map_chunks(ended, [[0, 1, 2], [10, 11]], workers=4, directory=tmp_path, on_done=lambda _: None)
        assert [batch & {0, 1, 2} for batch in made[:3]] == [set(), {0}, {0, 1}]
        assert [batch & {10, 11} for batch in made[3:]] == [set(), {10}]
        assert 10 in made[1]


class TestSpread:
    @staticmethod
    def chunks(output: pd.DataFrame, *inputs: tuple[list[int], pd.DataFrame | pd.Series]) -> list[int]:
        spread = Spread()
        for number, (chunks, table) in enumerate(inputs):
            spread.begin([])
            spread.made = chunks
            spread.end([(f"in_{number}", table)])
        spread.begin([(f"in_{number}", table) for number, (_, table) in enumerate(inputs)])
        spread.end([("out", output)])
        spread.begin([("out", output)])
        return spread.given

    def test_rows_stay_in_their_chunks(self) -> None:
        frame = pd.DataFrame({"n": range(10)})
        assert self.chunks(frame) == [10]
        assert self.chunks(frame + 1, ([4, 6], frame)) == [4, 6]
        assert self.chunks(pd.concat([frame, frame[:3]]), ([4, 6], frame), ([3], frame[:3])) == [4, 6, 3]
        mask = frame["n"] > 7
        assert self.chunks(frame[mask], ([4, 6], frame), ([4, 6], mask)) == [0, 2]

    def test_no_row_is_lost_where_the_chunks_are_wrong(self) -> None:
        frame = pd.DataFrame({"n": range(10)})
        assert self.chunks(frame + 1, ([4, 5], frame)) == [10]

    def test_rows_of_which_nobody_knows_are_even(self) -> None:
        frame = pd.DataFrame({"n": range(10)})
        assert self.chunks(frame[:7], ([9, 1], frame)) == [4, 3]

    @pytest.mark.parametrize(
        ("asked", "chunks"),
        [
            ({"num_partitions": 3}, [4, 4, 2]),
            ({"num_partitions": 20}, [1] * 10),
            ({"factor": 2.0}, [3, 3, 3, 1]),
            ({"num_partitions": 3, "axis": 1}, [9, 1]),
            ({"chunk_size": 6}, [6, 4]),
            ({"chunk_size": {0: 6}}, [6, 4]),
            ({"chunk_size": ((5, 3, 2), (1,))}, [5, 3, 2]),
            ({"chunk_size": {1: 1}}, [9, 1]),
        ],
    )
    def test_rechunking_makes_chunks(self, asked: dict[str, object], chunks: list[int]) -> None:
        nothing = {"num_partitions": None, "factor": None, "axis": 0, "chunk_size": None}
        op = SimpleNamespace(**{**nothing, **asked})
        assert rechunked(op, 10, [9, 1]) == chunks

    def test_exit_codes_in_words(self) -> None:
        assert describe_exit(3) == "exit code 3"
        assert describe_exit(-9) == "exit code -9 (SIGKILL, out of memory?)"


@dataclass
class Options:
    path: str
    mount_path: str = "/mnt/data"
    storage_options: dict[str, str] = field(default_factory=lambda: {"role_arn": "acs:ram::1:role/r"})


class TestMounts:
    @pytest.fixture
    def oss_root(self, tmp_path: Path) -> Path:
        (tmp_path / "oss" / "fleet").mkdir(parents=True)
        (tmp_path / "oss" / ".maxcompute-local").mkdir()
        return tmp_path / "oss"

    def resolve(self, oss_root: Path, options: Options) -> Mount:
        return mounts.resolve(options, oss_root=oss_root, oss_endpoint=ENDPOINT)

    @pytest.mark.parametrize("scheme", ["", "http://"])
    def test_location_becomes_a_folder(self, oss_root: Path, scheme: str) -> None:
        mount = self.resolve(oss_root, Options(f"oss://{scheme}127.0.0.1:8100/fleet/raw/2026/"))
        assert mount == Mount(oss_root / "fleet" / "raw" / "2026", Path("/mnt/data"))

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            (Options("oss://127.0.0.1:8100/fleet", storage_options={}), PermissionError, "role_arn"),
            (
                Options("oss://127.0.0.1:8100/fleet", storage_options={"role_arn": "r"}),
                PermissionError,
                "cannot assume the role 'r'",
            ),
            (Options("s3://127.0.0.1:8100/fleet"), ValueError, "expected oss://"),
            (Options("oss://fleet/raw"), ValueError, "endpoint 'fleet' is not that"),
            (Options("oss://127.0.0.1:8100"), FileNotFoundError, "no bucket ''"),
            (Options("oss://127.0.0.1:8100/trucks"), FileNotFoundError, "no bucket 'trucks'"),
            (Options("oss://127.0.0.1:8100/.maxcompute-local"), FileNotFoundError, "no bucket"),
            (Options("oss://127.0.0.1:8100/fleet/../x"), ValueError, "leaves the bucket"),
            (Options("oss://127.0.0.1:8100/fleet", mount_path="mnt"), ValueError, "absolute path"),
            (Options("oss://127.0.0.1:8100/fleet", mount_path="/"), ValueError, "absolute path"),
            (Options("oss://127.0.0.1:8100/fleet", mount_path="/a/../b"), ValueError, "absolute path"),
        ],
    )
    def test_what_the_service_would_refuse(
        self, oss_root: Path, options: Options, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            self.resolve(oss_root, options)

    def test_one_path_cannot_show_two_places(self, oss_root: Path) -> None:
        wanted = [Options("oss://127.0.0.1:8100/fleet/a"), Options("oss://127.0.0.1:8100/fleet/b")]
        with pytest.raises(ValueError, match="two different OSS locations"):
            mounts.resolve_all(wanted, oss_root=oss_root, oss_endpoint=ENDPOINT)
        assert len(mounts.resolve_all(wanted[:1] * 2, oss_root=oss_root, oss_endpoint=ENDPOINT)) == 1

    def test_link_shows_the_folder_and_is_removed_when_unused(self, oss_root: Path, tmp_path: Path) -> None:
        mount = Mount(oss_root / "fleet", tmp_path / "mnt" / "data")
        first, second = mounts.link(mount), mounts.link(mount)
        (mount.target / "seen").touch()
        assert (oss_root / "fleet" / "seen").exists()
        write_json(tmp_path / LINKS_FILE, [[str(mount.source), str(mount.target)]])
        mounts.remove_links(tmp_path)
        assert mount.target.is_symlink()
        os.close(first)
        os.close(second)
        mounts.remove_links(tmp_path)
        assert not mount.target.is_symlink()

    def test_link_replaces_one_that_nobody_uses_but_no_folder_with_content(
        self, oss_root: Path, tmp_path: Path
    ) -> None:
        target = tmp_path / "data"
        target.symlink_to(tmp_path)
        os.close(mounts.link(Mount(oss_root / "fleet", target)))
        assert target.readlink() == oss_root / "fleet"
        full = tmp_path / "full"
        full.mkdir()
        (full / "mine").touch()
        with pytest.raises(OSError, match="not empty"):
            mounts.link(Mount(oss_root / "fleet", full))

    def test_link_waits_for_dags_that_show_another_place_there(
        self, oss_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = mounts.link(Mount(oss_root / "fleet", tmp_path / "data"))
        waits = []

        def release(_: float) -> None:
            waits.append(True)
            fcntl.flock(held, fcntl.LOCK_UN)

        monkeypatch.setattr("maxcompute_local.maxframe.engine.mounts.time.sleep", release)
        os.close(mounts.link(Mount(oss_root / ".maxcompute-local", tmp_path / "data")))
        assert waits == [True]
        assert (tmp_path / "data").readlink() == oss_root / ".maxcompute-local"


class TestInterpreter:
    def test_only_the_interpreters_own_folders_stay_importable(self, tmp_path: Path) -> None:
        own = [sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")]
        assert bootstrap.interpreter_paths([str(tmp_path), own[0], "", own[1]]) == own

    def test_guard_refuses_packages_that_a_dpe_worker_lacks(self) -> None:
        guard = absent.AbsentPackages()
        for name in ("airflow", "airflow.sdk", "airflow_provider_any.contracts"):
            with pytest.raises(ImportError, match="register_pickle_by_value"):
                guard.find_spec(name, None)
        assert guard.find_spec("airflow_like", None) is None

    def test_processes_are_told_from_later_ones_with_their_id(self) -> None:
        started = process_start(os.getpid())
        assert is_alive(os.getpid(), started)
        if sys.platform == "linux":
            assert not is_alive(os.getpid(), "0")
