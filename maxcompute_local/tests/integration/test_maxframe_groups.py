"""``groupby(…).mf.apply_chunk`` in the local cloud: groups come whole, in processes of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import maxframe.dataframe as md
import numpy as np
import pandas as pd
import pytest
from maxframe.session import new_session
from odps import ODPS

KINDS = {"video": "object", "kind": "object", "number": "int64"}


@pytest.fixture
def session(odps_client: ODPS) -> Iterator[Any]:
    session = new_session(odps_client)
    yield session
    session.destroy()


def test_groups_of_tables_and_frames_together(odps_client: ODPS, session: Any, table: str) -> None:
    def ranked(rows: pd.DataFrame) -> pd.DataFrame:
        """Count the rows of each kind in each video that this call was given."""
        import os

        import pandas as pd

        counts = rows.groupby("video")["kind"].agg(lambda kinds: "".join(sorted(kinds)))
        return pd.DataFrame(
            {"video": list(counts.index), "kinds": list(counts), "process": [os.getpid()] * len(counts)}
        )

    odps_client.create_table(table, ("video string, number bigint, vector string", "day string"))
    for day in ("a", "b"):
        rows = [[f"v{number % 3}", number, "[0.5]"] for number in range(60)]
        odps_client.write_table(table, rows, partition=f"day={day}", create_partition=True)
    frames = md.read_odps_table(
        table, odps_entry=odps_client, partitions=["day=a"], columns=["video", "number"]
    )
    frames["kind"] = "f"
    asked = md.DataFrame(pd.DataFrame({"video": ["v1", "v9", "v1"], "number": [1, 2, 3], "kind": ["q"] * 3}))
    both = md.concat([frames[list(KINDS)], asked[list(KINDS)]], ignore_index=True)
    made = both.groupby("video")[list(KINDS)].mf.apply_chunk(
        ranked,
        output_type="dataframe",
        dtypes=pd.Series({"video": np.dtype("O"), "kinds": np.dtype("O"), "process": np.dtype("int64")}),
        index=pd.RangeIndex(0),
        prepend_index_group_keys=True,
    )
    found = made.reset_index(drop=True).execute(session=session).fetch()
    told = dict(zip(found["video"], found["kinds"], strict=True))
    assert told == {"v0": "f" * 20, "v1": "f" * 20 + "qq", "v2": "f" * 20, "v9": "q"}
    assert os.getpid() not in set(found["process"])
    assert found["process"].nunique() > 1


FRAME = pd.DataFrame(
    {
        "k": ["b", "a", None, "b", "a", "c", "b"],
        "g": [1, 1, 1, 2, 1, 1, 1],
        "x": [5.0, 3.0, 9.0, 1.0, 4.0, None, 2.0],
    },
    index=list("tuvwxyz"),
)


@pytest.mark.parametrize("by", [["k"], ["k", "g"]])
@pytest.mark.parametrize("more", [{}, {"as_index": False}, {"group_keys": False}, {"sort": False}], ids=str)
def test_the_same_as_pandas(session: Any, by: list[str], more: dict[str, Any]) -> None:
    def largest(rows: pd.DataFrame, add: float) -> pd.DataFrame:
        return (rows[rows["x"] == rows["x"].max()] + add)[["x"]]

    made = (
        md.DataFrame(FRAME)
        .groupby(by, **more)[["x"]]
        .mf.apply_chunk(
            largest,
            output_type="dataframe",
            dtypes=pd.Series({"x": np.dtype("float64")}),
            index=pd.Index(["t"]),
            prepend_index_group_keys=True,
            args=(1.0,),
        )
    )
    expected = FRAME.groupby(by, **more)[["x"]].apply(largest, 1.0)
    found = made.execute(session=session).fetch()
    if "as_index" in more:
        # Whether the index then counts the groups depends on the release of pandas.
        found, expected = found.reset_index(drop=True), expected.reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_names=False, check_index_type=False)


def test_batches_of_a_group_in_an_order(session: Any) -> None:
    def joined(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"said": ["".join(f"{x:g}" for x in rows["x"])]})

    groups = md.DataFrame(FRAME.dropna()).groupby("k")
    made = groups.mf.apply_chunk(
        joined,
        batch_rows=2,
        order_cols="x",
        output_type="dataframe",
        dtypes=pd.Series({"said": np.dtype("O")}),
        index=pd.RangeIndex(0),
        prepend_index_group_keys=True,
    )
    found = made.reset_index(level=0).execute(session=session).fetch()
    assert found.to_numpy().tolist() == [["a", "34"], ["b", "12"], ["b", "5"]]


def test_no_rows(session: Any) -> None:
    made = (
        md.DataFrame(FRAME[:0].astype({"k": "object"}))
        .groupby("k")
        .mf.apply_chunk(
            lambda rows: rows[["x"]],
            output_type="dataframe",
            dtypes=pd.Series({"x": np.dtype("float64")}),
            index=pd.Index(["t"]),
            prepend_index_group_keys=True,
        )
    )
    assert made.reset_index(drop=True).execute(session=session).fetch().to_dict("list") == {"x": []}
