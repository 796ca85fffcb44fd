"""WorkerCall: a function of ours that runs in DPE workers over the rows of a lazy DataFrame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.stages.stage import Part
from airflow_provider_drivepipe.worker.rows import RowPart

PYAV_REQUIREMENT = "av>=18,<19"
PILLOW_REQUIREMENT = "Pillow>=11"
"""Requirements of the frame engine: DPE's stock image has no ffmpeg, PyAV's wheel bundles its libraries."""


@dataclass(frozen=True)
class MountOptions:
    """How workers see OSS: ``root`` (a full OSS URI) appears at ``path``, opened with a RAM role."""

    root: str
    path: str
    role_arn: str


@dataclass(frozen=True)
class WorkerCall:
    """How a function runs.

    :param cpu: cores per worker.
    :param memory_gb: memory per worker, in GiB.
    :param batch_rows: rows per call; None leaves it to MaxFrame.
    :param requirements: Python packages that are installed for it.
    :param mount: what it sees of OSS.
    """

    cpu: int = 1
    memory_gb: int = 4
    batch_rows: int | None = None
    requirements: tuple[str, ...] = ()
    mount: MountOptions | None = None

    def rows(self, rows: Any, function: Callable[[Any], Any], dtypes: Mapping[str, Any]) -> Any:
        """Return what ``function`` makes of lazy ``rows``, chunk by chunk: one row of one, or any number.

        :param function: gets and returns a pandas DataFrame; travels as code, so it must not need this
            package beyond its modules ``worker`` and ``contracts``.
        :param dtypes: columns of what it returns.
        """
        from maxframe.udf import with_fs_mount, with_python_requirements, with_running_options

        function = with_running_options(engine="dpe", cpu=self.cpu, memory=self.memory_gb)(function)
        if self.requirements:
            function = with_python_requirements(*self.requirements)(function)
        if self.mount is not None:
            options = {"role_arn": self.mount.role_arn}
            function = with_fs_mount(self.mount.root, self.mount.path, storage_options=options)(function)
        return apply_chunk(rows, function, dtypes, self.batch_rows)


def apply_chunk(
    rows: Any, function: Callable[[Any], Any], dtypes: Mapping[str, Any], batch_rows: int | None = None
) -> Any:
    """Return what ``function`` makes of lazy ``rows``, chunk by chunk, wherever MaxFrame runs it.

    :param function: see :meth:`WorkerCall.rows`.
    :param dtypes: columns of what it returns.
    """
    from airflow_provider_drivepipe.stages.graph import declared_dtypes

    _travel_as_code()
    batches = {} if batch_rows is None else {"batch_rows": batch_rows}
    return rows.mf.apply_chunk(
        function, output_type="dataframe", dtypes=declared_dtypes(dtypes), skip_infer=True, **batches
    )


def apply_groups(rows: Any, by: str, function: Callable[[Any], Any], dtypes: Mapping[str, Any]) -> Any:
    """Return what ``function`` makes of each group of lazy ``rows`` that have the same value in ``by``.

    A group comes whole, wherever its rows were; memory holds one group at a time.

    :param function: see :meth:`WorkerCall.rows`; gets all columns of a group.
    :param dtypes: columns of what it returns.
    """
    from airflow_provider_drivepipe.stages.graph import declared_dtypes

    _travel_as_code()
    columns = list(rows.dtypes.index)
    return rows.groupby(by, group_keys=False)[columns].apply(
        function, output_type="dataframe", dtypes=declared_dtypes(dtypes), skip_infer=True
    )


def _travel_as_code() -> None:
    """Let our functions travel as code, not as names: workers do not have this package."""
    import cloudpickle

    from airflow_provider_drivepipe import contracts, worker

    cloudpickle.register_pickle_by_value(worker)
    cloudpickle.register_pickle_by_value(contracts)


def row_part(part: Part, flags_behind: Mapping[str, Sequence[str]]) -> RowPart:
    """Return what workers need to know of a part.

    :param flags_behind: see :class:`~airflow_provider_drivepipe.stages.stage.Build`.
    """
    return RowPart(
        stage=part.stage,
        columns=tuple((column.name, column.type) for column in part.columns),
        result=part.result,
        flags_behind=tuple(flags_behind.get(part.stage, ())),
    )
