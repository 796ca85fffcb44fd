"""Operators of MaxFrame in the local cloud do what those of pandas do, or are refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import maxframe.dataframe as md
import numpy as np
import pandas as pd
import pytest
from maxframe.core import ExecutableTuple
from maxframe.session import new_session
from odps import ODPS

from maxcompute_local.server import LocalCloud

FRAME = pd.DataFrame(
    {
        "k": ["a", "b", "a", "c", None, "b"],
        "n": [3, 1, 2, 5, 4, 4],
        "x": [1.5, None, 2.5, -1.0, 0.0, 7.25],
        "flag": [True, False, True, True, False, False],
    }
)


@pytest.fixture(scope="module")
def session(local_cloud: LocalCloud) -> Iterator[Any]:
    odps = ODPS(
        local_cloud.access_key_id,
        local_cloud.access_key_secret,
        project=local_cloud.project,
        endpoint=local_cloud.odps_endpoint,
    )
    odps.to_global()
    session = new_session(odps, default=False)
    yield session
    session.destroy()


def set_by_mask(frame: Any) -> Any:
    frame = frame.copy()
    frame.loc[frame["n"] > 2, "x"] = 0.0
    return frame


def inserted(frame: Any) -> Any:
    frame = frame.copy()
    frame.insert(1, "twice", frame["n"] * 2)
    return frame


@pytest.mark.parametrize(
    "operation",
    [
        lambda f: f["n"].where(f["n"] > 2, 0),
        lambda f: f["n"].mask(f["n"] > 2, 0),
        lambda f: f["n"].clip(2, 4),
        lambda f: f.fillna({"x": -1, "k": "none"}),
        lambda f: f["x"].ffill(),
        lambda f: f[["n", "x"]].cov(),
        lambda f: f["n"].to_frame("m"),
        lambda f: f["n"].ewm(alpha=0.5).mean(),
        lambda f: f["n"].rolling(2).mean(),
        lambda f: f["x"].skew(),
        lambda f: ~f["flag"],
        lambda f: f.groupby("k", as_index=False).agg(total=("n", "sum"), count=("x", "count")),
        lambda f: f.groupby("k")["n"].rank(),
        lambda f: f.groupby("k")["n"].shift(1),
        lambda f: f.groupby("k")["n"].idxmax(),
        lambda f: f["k"].dropna().str.split("b"),
        lambda f: f["k"].dropna().str.split("b").explode(),
        lambda f: f["x"].shift(1).first_valid_index(),
        lambda f: f.reset_index(),
        lambda f: f.rename_axis("row"),
        lambda f: f.apply(lambda row, add, times: (row["n"] + add) * times, axis=1, args=(5,), times=2),
        set_by_mask,
        inserted,
    ],
)
def test_same_as_pandas(session: Any, operation: Callable[[Any], Any]) -> None:
    expected = operation(FRAME.copy())
    result = operation(md.DataFrame(FRAME)).execute(session=session).fetch(session=session)
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(result, expected, check_dtype=False, check_index_type=False)
    elif isinstance(expected, pd.Series):
        pd.testing.assert_series_equal(result, expected, check_dtype=False, check_index_type=False)
    else:
        assert result == pytest.approx(expected)


@pytest.mark.parametrize("column", ["n", "k"])
@pytest.mark.parametrize("sort", [True, False])
def test_factorize(session: Any, column: str, sort: bool) -> None:
    lazy = ExecutableTuple(md.DataFrame(FRAME)[column].factorize(sort=sort))
    codes, values = lazy.execute(session=session).fetch(session=session)
    expected_codes, expected_values = FRAME[column].factorize(sort=sort)
    assert list(codes) == list(expected_codes)
    assert list(values) == list(expected_values)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (lambda f: f["n"].rank(), "DataFrameRank: column 'n' has fractions"),
        (lambda f: f.filter(items=["k", "n"]), "DataFrameFilter: it has the columns"),
        (lambda f: f["x"].kurt(bias=True), "DataFrameKurtosis with bias=True"),
    ],
)
def test_refused_by_name(session: Any, operation: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(NotImplementedError, match=message):
        operation(md.DataFrame(FRAME)).execute(session=session)


def test_errors_of_pandas_name_the_operator(session: Any) -> None:
    with pytest.raises(TypeError, match=r"^DataFrameAstype: "):
        md.DataFrame(FRAME)["k"].astype("int64").execute(session=session)


def test_index_of_a_frame_is_called_index_in_a_table(session: Any) -> None:
    md.to_odps_table(md.DataFrame(FRAME[["x"]]), "indexed", lifecycle=1).execute(session=session)
    assert ODPS.from_global().get_table("indexed").table_schema.names == ["index", "x"]


def test_query_whose_columns_the_client_does_not_know(session: Any) -> None:
    query = "SELECT n, n + 1 AS `special: name` FROM VALUES (1), (2) t (n)"
    frame = md.read_odps_query(query, skip_schema=True).execute(session=session).fetch(session=session)
    expected = pd.DataFrame({"n": [1, 2], "special: name": [2, 3]})
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False)


def listed(frame: Any, values: list[Any]) -> Any:
    """Return lazy rows with an object column of Python values beside an integer one."""

    def make(chunk: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"n": chunk["n"], "v": pd.Series(values, dtype=object)})

    return frame.mf.apply_chunk(
        make, batch_rows=9, output_type="dataframe", dtypes={"n": "int64", "v": "object"}, skip_infer=True
    )


def test_lists_become_json_in_a_string_column_and_stay_lists_in_an_array(
    session: Any, odps_client: ODPS, table: str
) -> None:
    values = [[1.5, 2], None, {"é": np.arange(2)}]
    frame = listed(md.DataFrame(FRAME[["n"]].head(3)), values)
    arrays = f"{table}_a"
    odps_client.execute_sql(f"CREATE TABLE {arrays} (n BIGINT, v ARRAY<DOUBLE>)")
    lists = listed(md.DataFrame(FRAME[["n"]].head(3)), [[1.5, 2.0], None, []])
    ExecutableTuple(
        [md.to_odps_table(frame, table, index=False), md.to_odps_table(lists, arrays, index=False)]
    ).execute(session=session)
    texts = [row["v"] for row in odps_client.get_table(table).open_reader()]
    assert texts == ["[1.5, 2]", None, '{"é": [0, 1]}']
    assert [row["v"] for row in odps_client.get_table(arrays).open_reader()] == [[1.5, 2.0], None, []]


def test_a_failed_write_leaves_no_table_and_what_was_there(
    session: Any, odps_client: ODPS, table: str
) -> None:
    frame = listed(md.DataFrame(FRAME[["n"]].head(3)), [1, "a", b"\xff"])
    with pytest.raises(Exception, match="v"):
        md.to_odps_table(frame, table, index=False).execute(session=session)
    assert not odps_client.exist_table(table)
    odps_client.create_table(table, "n bigint, v string")
    odps_client.write_table(table, [[7, "kept"]])
    with pytest.raises(Exception, match="v"):
        md.to_odps_table(frame, table, index=False).execute(session=session)
    assert [list(row.values) for row in odps_client.get_table(table).open_reader()] == [[7, "kept"]]
