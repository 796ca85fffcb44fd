"""The jobs of ``drivepipe doctor`` as lazy MaxFrame graphs: each one step more than the one before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import maxframe.dataframe as md

from airflow_provider_drivepipe.stages.content import Image, Text
from airflow_provider_drivepipe.stages.graph import ModelAccess
from airflow_provider_drivepipe.stages.model_calls import ask, vectors
from airflow_provider_drivepipe.stages.worker_call import (
    PILLOW_REQUIREMENT,
    PYAV_REQUIREMENT,
    MountOptions,
    WorkerCall,
)
from airflow_provider_drivepipe.worker.probes import (
    RESPONSE,
    SUCCESS,
    frame_engine,
    interpreter,
    look_into,
    read_and_write,
    report,
)

_PROMPT = "Answer with one word: which colour is this picture?"
_MAX_TOKENS = 16


def call_function(rows: Any) -> Any:
    """Return lazy rows with what a plain function says."""
    return _in_worker(rows, interpreter)


def use_mount(rows: Any, mount: MountOptions, copy: tuple[str, str] | None = None) -> Any:
    """Return lazy rows with what a function sees of OSS.

    :param copy: keys of an object to copy through the mount; without them, nothing is written.
    """
    if copy is None:
        folder = mount.path
        return _in_worker(rows, lambda: look_into(folder), mount=mount)
    source, target = (f"{mount.path}/{key}" for key in copy)
    return _in_worker(rows, lambda: read_and_write(source, target), mount=mount)


def use_frame_engine(rows: Any) -> Any:
    """Return lazy rows with the versions of the packages that frames are made with."""
    return _in_worker(rows, frame_engine, requirements=(PYAV_REQUIREMENT, PILLOW_REQUIREMENT))


def answer(rows: Any, picture: str, model: str, access: ModelAccess) -> Any:
    """Return lazy rows with a model's answer about a picture.

    :param picture: its OSS URI.
    """
    content = (Image("image_url"), Text(_PROMPT))
    return ask(rows.assign(image_url=picture), model, content, _MAX_TOKENS, access)


def vector(rows: Any, picture: str, model: str, access: ModelAccess) -> Any:
    """Return lazy rows with a model's embedding of a picture."""
    return vectors(rows.assign(image_url=picture), model, Image("image_url"), None, access)


def _in_worker(
    rows: Any,
    probe: Callable[[], str],
    mount: MountOptions | None = None,
    requirements: tuple[str, ...] = (),
) -> Any:
    def report_chunk(chunk: Any) -> Any:
        return report(chunk, probe)

    call = WorkerCall(memory_gb=2, requirements=requirements, mount=mount)
    return call.rows(rows, report_chunk, {RESPONSE: "object", SUCCESS: "bool"})


def into_table(rows: Any, table: str) -> Any:
    """Return the lazy sink that writes what a probe gave into a table."""
    return md.to_odps_table(rows[[RESPONSE, SUCCESS]], table, overwrite=True, index=False)
