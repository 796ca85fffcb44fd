"""The jobs of ``drivepipe doctor`` as lazy MaxFrame graphs: each one step more than the one before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cloudpickle
import maxframe.dataframe as md
from maxframe.udf import with_fs_mount, with_python_requirements, with_running_options

from airflow_provider_drivepipe import worker
from airflow_provider_drivepipe.pipelines.context import (
    PILLOW_REQUIREMENT,
    PYAV_REQUIREMENT,
    ModelAccess,
    MountOptions,
    declared_dtypes,
)
from airflow_provider_drivepipe.pipelines.models import embed_images, generate_labels
from airflow_provider_drivepipe.scenario.options import ImageEmbeddingOptions, LabelOptions
from airflow_provider_drivepipe.worker.probes import (
    RESPONSE,
    SUCCESS,
    frame_engine,
    interpreter,
    look_into,
    read_and_write,
    report,
)

cloudpickle.register_pickle_by_value(worker)

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
    answers = generate_labels(
        rows.assign(image_url=picture), LabelOptions(model, _PROMPT, max_tokens=_MAX_TOKENS), access
    )
    return answers.rename(columns={"label_response": RESPONSE, "label_success": SUCCESS})


def vector(rows: Any, picture: str, model: str, access: ModelAccess) -> Any:
    """Return lazy rows with a model's embedding of a picture."""
    answers = embed_images(rows.assign(image_url=picture), ImageEmbeddingOptions(model), access)
    return answers.rename(columns={"embedding_response": RESPONSE, "embedding_success": SUCCESS})


def _in_worker(
    rows: Any,
    probe: Callable[[], str],
    mount: MountOptions | None = None,
    requirements: tuple[str, ...] = (),
) -> Any:
    def report_chunk(chunk: Any) -> Any:
        return report(chunk, probe)

    function = with_running_options(engine="dpe", cpu=1, memory=2)(report_chunk)
    if requirements:
        function = with_python_requirements(*requirements)(function)
    if mount is not None:
        function = with_fs_mount(mount.root, mount.path, storage_options={"role_arn": mount.role_arn})(
            function
        )
    return rows.mf.apply_chunk(
        function,
        output_type="dataframe",
        dtypes=declared_dtypes({RESPONSE: "object", SUCCESS: "bool"}),
        skip_infer=True,
    )


def into_table(rows: Any, table: str) -> Any:
    """Return the lazy sink that writes what a probe gave into a table."""
    return md.to_odps_table(rows[[RESPONSE, SUCCESS]], table, overwrite=True, index=False)
