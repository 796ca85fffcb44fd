"""Runs a serialized MaxFrame graph with the code generator that the MaxFrame SDK ships."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import maxframe.dataframe  # noqa: F401  (registers the serializers of all operators)
from maxframe.codegen.spe import SPECodeGenerator
from maxframe.codegen.spe.core import SPECodeContext
from maxframe.config import option_context
from maxframe.config.config import OptionError
from maxframe.core.operator import Fetch
from maxframe.dataframe.core import DATAFRAME_TYPE, INDEX_TYPE, SERIES_TYPE
from maxframe.io.odpsio import ODPSTableIO, pandas_to_arrow, pandas_to_odps_schema
from maxframe.protocol import ConstantResultInfo, ODPSTableResultInfo, ResultInfo
from maxframe.sperunner import SPEDagRunner
from maxframe.udf import discover_marked_functions
from maxframe.utils import build_temp_table_name, deserialize_serializable
from maxframe_client.fetcher import get_fetcher_cls
from odps import ODPS

from . import adapters, deserializer, model_adapters, mounts, requirements
from .events import Events
from .job import GRAPH_FILE, INPUTS_FILE, RESULT_FILE, Job, read_json
from .progress import Progress, Step, StepMarker

logger = logging.getLogger("drivepipe")

_CUSTOM_CODE_WEIGHT = 10.0
"""Functions of the user and model calls take far longer than the engine's own operators."""


def prepare() -> None:
    """Complete the SDK of this interpreter with what only the service has."""
    deserializer.install()
    adapters.register()
    model_adapters.register()


def execute(job: Job) -> dict[str, Any]:
    """Run a DAG; return the infos of its results by tileable key, in wire form.

    Whatever the DAG raises passes through.
    """
    graph = deserialize_serializable(job.path(GRAPH_FILE).read_bytes())
    operators = _operators(graph)
    progress = Progress(job, [_step(op) for op in operators])
    _check_functions(operators)
    model_adapters.check(operators)
    mounts.mount_all(
        (mount for op in operators for mount in getattr(op, "fs_mount", None) or ()), job, warn=progress.warn
    )
    odps = ODPS.from_environments()
    odps.to_global()
    with option_context():
        _apply_settings(job.settings)
        events = Events(job)
        generator = Generator(job, progress, events)
        generated = generator.generate(graph)
        generated.constants["running"] = StepMarker(progress, events)
        results = _Runner(job, graph, generated, odps).run()
    return {key: info.to_json() for key, info in results.items()}


class EngineContext(SPECodeContext):
    """Code generation context that lets adapters reach the job, its progress and the server."""

    def __init__(self, job: Job, progress: Progress, events: Events) -> None:
        super().__init__(job.session_id, job.dag_id)
        self.job = job
        self.progress = progress
        self.events = events


class Generator(SPECodeGenerator):
    """The SDK's code generator, with a context that knows the job."""

    def __init__(self, job: Job, progress: Progress, events: Events) -> None:
        self._engine_context = EngineContext(job, progress, events)
        super().__init__(job.session_id, job.dag_id)

    def _init_context(self, session_id: str, subdag_id: str) -> SPECodeContext:  # noqa: ARG002  (SDK's signature)
        return self._engine_context

    def get_op_adapter(self, op_type: type) -> Any:
        """Return the adapter of an operator; NotImplementedError when there is none."""
        try:
            return super().get_op_adapter(op_type)
        except KeyError:
            raise NotImplementedError(
                f"the local engine cannot run the operator {op_type.__name__}"
            ) from None

    def _generate_delete_code(self, var_name: str) -> list[str]:  # noqa: ARG002  (SDK's signature)
        # The SDK counts readers per graph node, but copies of a frame are several nodes with one variable,
        # which it then deletes too early. Keeping variables until the end costs memory only.
        return []


class _Runner(SPEDagRunner):
    """Reads inputs from, and stores results in, tables of the session."""

    def __init__(self, job: Job, graph: Any, generated: Any, odps: ODPS) -> None:
        super().__init__(job.session_id, job.dag_id, graph, generated, {})
        self._job = job
        self._odps = odps

    def fetch_data_by_tileable(self, t: Any) -> Any:
        """Return the data of a result that an earlier DAG of the session has stored."""
        info = _known_result(self._job, t.key)
        fetcher = get_fetcher_cls(info.result_type)(self._odps)
        return asyncio.run(fetcher.fetch(t, info, None))

    def store_data(self, key: str, value: Any) -> ResultInfo:
        """Store one result of the DAG and return where it is."""
        info = self._out_key_to_infos.get(key)
        if info is not None:
            return info
        tileable = self._key_to_tileable[key]
        if isinstance(tileable, DATAFRAME_TYPE + SERIES_TYPE + INDEX_TYPE):
            return self._store_table(tileable, value)
        return ConstantResultInfo(data=value)

    def _store_table(self, tileable: Any, value: Any) -> ResultInfo:
        columns_unknown = getattr(tileable, "dtypes", ()) is None
        schema, meta = pandas_to_odps_schema(value if columns_unknown else tileable, unknown_as_string=True)
        table = self._odps.create_table(
            build_temp_table_name(self._session_id, tileable.key), schema, lifecycle=1, if_not_exists=True
        )
        if len(value):
            arrow, _ = pandas_to_arrow(value)
            with ODPSTableIO(self._odps).open_writer(table.full_table_name, overwrite=True) as writer:
                writer.write(arrow)
        return ODPSTableResultInfo(
            full_table_name=table.full_table_name, table_meta=meta if columns_unknown else None
        )


def _operators(graph: Any) -> list[Any]:
    """Return the operators in the order in which the code generator emits them."""
    operators: dict[str, Any] = {}
    for tileable in graph.topological_iter():
        if not isinstance(tileable.op, Fetch):
            operators.setdefault(tileable.op.key, tileable.op)
    return list(operators.values())


def _step(op: Any) -> Step:
    heavy = getattr(op, "func", None) is not None or model_adapters.is_model_call(op)
    return Step(type(op).__name__, _CUSTOM_CODE_WEIGHT if heavy else 1.0)


def _check_functions(operators: Iterable[Any]) -> None:
    """Log what the functions ask for, and check their Python requirements."""
    wanted: list[str] = []
    for op in operators:
        func = getattr(op, "func", None)
        if func is None:
            continue
        for marked in discover_marked_functions(func):
            wanted += [text for pack in marked.pythonpacks or () for text in pack.requirements]
        logger.info(
            "%s: engine=%s resources=%s (recorded; the local engine enforces no limits)",
            type(op).__name__,
            op.expect_engine,
            op.expect_resources,
        )
    found = requirements.check(wanted)
    if found:
        logger.info("Python requirements: %s", ", ".join(found))


def _apply_settings(settings: Mapping[str, Any]) -> None:
    from maxframe.config.config import get_global_options

    options = get_global_options()
    for name, value in settings.items():
        try:
            options.update({name: value})
        except (AttributeError, ValueError, OptionError) as error:
            logger.warning("setting %s is not taken over: %s", name, error)


def _known_result(job: Job, key: str) -> ResultInfo:
    """Return where an earlier DAG of the session, or its client's upload, has left some data."""
    session = Path(job.directory).parent
    for path in session.glob(f"*/{RESULT_FILE}"):
        results = read_json(path).get("results") or {}
        if key in results:
            return ResultInfo.from_json(dict(results[key]))
    for path in session.glob(f"*/{INPUTS_FILE}"):
        uploaded = deserialize_serializable(path.read_bytes()) or {}
        if key in uploaded:
            return uploaded[key]
    raise LookupError(f"the session has no result {key}; was it computed in another session?")
