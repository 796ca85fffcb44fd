"""Rows with a status and with parts: how they start, and how a part's results get into them.

Runs in DPE workers: standard library and pandas only. Labels of rows may repeat after chunks were put
together, so rows belong together by their place, and keep their index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import MAX_ERROR_MESSAGE, STATUS_COLUMNS, Column, Status
from airflow_provider_drivepipe.worker.answers import Failure, scrub

_DTYPES = {"string": "object", "boolean": "boolean", "bigint": "Int64", "double": "Float64"}

STATUS_NAMES = tuple(column.name for column in STATUS_COLUMNS)
OK_CELLS = {"status": str(Status.OK), "error_stage": "", "error_type": "", "error_msg": ""}
"""What a row says that is ok."""

Result = tuple[Mapping[str, Any], Failure | None]
"""The part's columns of a row, by name, and why the row cannot be used, if so."""


@dataclass(frozen=True)
class RowPart:
    """A part of rows, as far as workers need to know it.

    :param stage: what makes it: the ``error_stage`` of rows that fail here.
    :param columns: (name, MaxCompute type) of what it adds.
    :param result: the column that is NULL where the result is lacking.
    :param flags_behind: flags of the parts that are made from this one.
    """

    stage: str
    columns: tuple[tuple[str, str], ...]
    result: str
    flags_behind: tuple[str, ...] = ()


def pandas_dtype(maxcompute_type: str) -> str:
    """Return the pandas dtype of a column, in which NULL stays NULL and integers stay integers.

    Raises ValueError for a type that no part has.
    """
    try:
        return _DTYPES[maxcompute_type]
    except KeyError as error:
        raise ValueError(f"no column has type {maxcompute_type!r}; use {', '.join(_DTYPES)}") from error


def dtypes_of(columns: Sequence[Column]) -> dict[str, str]:
    """Return the pandas dtype of each column, by name."""
    return {column.name: pandas_dtype(column.type) for column in columns}


def failed_cells(stage: str, reason: str, message: str, status: Status = Status.FAILED) -> dict[str, str]:
    """Return what a row says that failed; ``message`` is one line that is fit to be shown."""
    return {
        "status": str(status),
        "error_stage": stage,
        "error_type": str(reason),
        "error_msg": message[:MAX_ERROR_MESSAGE],
    }


def expanded(
    rows: Any,
    rows_of: Callable[[Mapping[str, Any]], list[dict[str, Any]]],
    columns: Sequence[Column],
    lineage: Sequence[str],
) -> Any:
    """Return what ``rows_of`` makes of each row of ``rows``, see :func:`with_lineage`."""
    made: list[dict[str, Any]] = []
    sources: list[int] = []
    for place, row in enumerate(rows.to_dict("records")):
        same_of_all = {"attempt": row.get("attempt"), "fingerprint": row.get("fingerprint")}
        of_row = rows_of(row)
        made += [{**one, **same_of_all} for one in of_row]
        sources += [place] * len(of_row)
    return with_lineage(rows, made, sources, lineage, columns)


def with_lineage(
    units: Any,
    rows: Sequence[Mapping[str, Any]],
    sources: Sequence[int],
    lineage: Sequence[str],
    columns: Sequence[Column],
) -> Any:
    """Return made rows as a pandas DataFrame: their ``columns``, the lineage of their units, the status.

    :param sources: for each row, the place of its unit in ``units``.
    """
    import pandas as pd

    dtypes = dtypes_of((*columns, *STATUS_COLUMNS))
    own = pd.DataFrame(rows, columns=list(dtypes), dtype=object)
    own = own.where(own.notna(), None).astype(dtypes)
    # Taken, not rebuilt, so that lineage keeps its types: an integer column with NULLs stays one.
    taken = units[list(lineage)].iloc[list(sources)].reset_index(drop=True)
    return pd.concat([own[[c.name for c in columns]], taken, own[list(STATUS_NAMES)]], axis=1)


def unit_dtypes(columns: Sequence[Column], lineage_dtypes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dtype of every column that :func:`with_lineage` returns; integers are nullable."""
    return {**dtypes_of(columns), **lineage_dtypes, **dtypes_of(STATUS_COLUMNS)}


def start_rows(rows: Any, columns: Mapping[str, Any], flags: Sequence[str]) -> Any:
    """Return ``rows``, a pandas DataFrame, with all final ``columns``, then ``flags``.

    :param columns: by name, the pandas dtype; None takes a column over as it is. Those that are not there
        are NULL.
    :param flags: columns (int64) that are 1 where a part is needed. Those that are not there are 1 on rows
        that are ok; all are 0 on others.
    """
    import pandas as pd

    index, rows = rows.index, rows.reset_index(drop=True)
    started = {name: _started(rows, name, dtype) for name, dtype in columns.items()}
    ok = pd.Series([status == Status.OK for status in started["status"]], index=rows.index, dtype="bool")
    for flag in flags:
        given = pd.to_numeric(rows[flag]).fillna(0) if flag in rows else pd.Series(1, index=rows.index)
        started[flag] = given.where(ok, 0).astype("int64")
    return pd.DataFrame(started, columns=[*columns, *flags]).set_axis(index, axis=0)


def _started(rows: Any, name: str, dtype: Any) -> Any:
    import pandas as pd

    if name not in rows:
        return pd.Series([None] * len(rows), index=rows.index, dtype=dtype or "object")
    column = rows[name]
    if dtype is None:
        return column
    column = column.astype(dtype)
    return column.where(column.notna(), None) if dtype == "object" else column


def skip_rows(rows: Any, flags: Sequence[str], stage: str, reason: str, message: str) -> Any:
    """Return rows that were to go to ``stage`` and are not sent: skipped, tried zero times, no flag set."""
    cells = {
        "status": str(Status.SKIPPED),
        "error_stage": stage,
        "error_type": reason,
        "error_msg": message,
        "attempt": 0,
    }
    types = dtypes_of(STATUS_COLUMNS)
    changed = {name: _series([cell] * len(rows), rows, types[name]) for name, cell in cells.items()}
    return rows.assign(**changed, **{flag: _series([0] * len(rows), rows, "int64") for flag in flags})


def with_results(rows: Any, results: Sequence[Result], part: RowPart, columns: Sequence[str]) -> Any:
    """Return ``columns`` of ``rows`` with a part's results, one for each row.

    What a result holds is always taken. The first stage that failed a row is the one that is named. A row
    that lacks the result does not go on to the parts behind.
    """
    import pandas as pd

    status = {name: _cells(rows[name]) for name in OK_CELLS}
    lacking = []
    for place, (cells, failure) in enumerate(results):
        lacking.append(failure is not None or cells.get(part.result) is None)
        if failure is not None and status["status"][place] == Status.OK:
            said = failed_cells(part.stage, failure.reason, scrub(failure.message), failure.status)
            for name, cell in said.items():
                status[name][place] = cell
    made = {name: _series(values, rows, "object") for name, values in status.items()}
    for name, type_ in part.columns:
        made[name] = _series([cells.get(name) for cells, _ in results], rows, pandas_dtype(type_))
    for flag in part.flags_behind:
        made[flag] = rows[flag].where(~_series(lacking, rows, "bool"), 0)
    finished = {name: made[name] if name in made else rows[name] for name in columns}
    return pd.DataFrame(finished, index=rows.index)


def with_request(rows: Any, texts: Sequence[str], text: str, response: str, success: str) -> Any:
    """Return ``rows`` with what is asked about each, empty where nothing is, and columns for the answers.

    :param text: column with ``texts``.
    :param response: column for a raw response, NULL now; ``success`` says whether there is one.
    """
    added = {
        text: _series(texts, rows, "object"),
        response: _series([None] * len(rows), rows, "string"),
        success: _series([False] * len(rows), rows, "bool"),
    }
    return rows.assign(**added)


def request_dtypes(dtypes: Mapping[str, Any], text: str, response: str, success: str) -> dict[str, Any]:
    """Return the dtypes of what :func:`with_request` returns, from those of its rows."""
    return {**dtypes, text: "object", response: "string", success: "bool"}


@dataclass(frozen=True)
class TextChoice:
    """How the text of a row is made.

    :param column: whose value chooses the text, empty where all rows have the same.
    :param pieces: for each value, the pieces of its text: a text as it is, or (True) the name of a column.
        Those of the empty value are for all other values.
    """

    column: str
    pieces: Mapping[str, tuple[tuple[str, bool], ...]]

    def text(self, row: Mapping[str, Any]) -> str:
        """Return the text of a row; NULL becomes empty."""
        chosen = text_of(row[self.column]) if self.column else ""
        pieces = self.pieces.get(chosen, self.pieces.get("", ()))
        return "".join(text_of(row[piece]) if named else piece for piece, named in pieces)


def with_texts(rows: Any, texts: Mapping[str, TextChoice]) -> Any:
    """Return ``rows`` with text columns."""
    records = rows.to_dict("records")
    made = {
        name: _series([choice.text(row) for row in records], rows, "object") for name, choice in texts.items()
    }
    return rows.assign(**made)


def with_images(rows: Any, column: str, names: Sequence[tuple[str, str]]) -> Any:
    """Return ``rows`` with two columns for each image of a row: what is said before it, and its URI.

    :param column: holds the images, one per line, each as the text, a tab and the URI.
    :param names: of the columns, in order; a row that has fewer images has NULL in the last ones.
    """
    cells = [[line.partition("\t") for line in text_of(cell).splitlines()] for cell in rows[column]]
    made = {}
    for place, (said, image) in enumerate(names):
        shown = [each[place] if place < len(each) else (None, "", None) for each in cells]
        made[said] = _series([text for text, _, _ in shown], rows, "object")
        made[image] = _series([uri for _, _, uri in shown], rows, "object")
    return rows.assign(**made)


def text_of(cell: object) -> str:
    """Return a cell as a text, empty for NULL."""
    return "" if _is_null(cell) else str(cell)


def _series(cells: Sequence[Any], rows: Any, dtype: str) -> Any:
    import pandas as pd

    return pd.Series(cells, index=rows.index, dtype=dtype)


def _cells(column: Any) -> list[Any]:
    return [None if _is_null(cell) else cell for cell in column]


def _is_null(cell: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_scalar(cell) and pd.isna(cell))
