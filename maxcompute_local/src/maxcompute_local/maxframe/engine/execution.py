"""Runs a serialized MaxFrame graph with the code generator that the MaxFrame SDK ships."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import maxframe.dataframe  # noqa: F401  (registers the serializers of all operators)
from maxframe.codegen.spe import SPECodeGenerator
from maxframe.codegen.spe.core import SPECodeContext, SPEOperatorAdapter
from maxframe.config import option_context
from maxframe.config.config import OptionError
from maxframe.core import OBJECT_TYPE
from maxframe.core.operator import Fetch
from maxframe.dataframe.core import DATAFRAME_TYPE, INDEX_TYPE, SERIES_TYPE
from maxframe.dataframe.datasource.read_odps_table import DataFrameReadODPSTable
from maxframe.dataframe.datastore.to_odps import DataFrameToODPSTable
from maxframe.io.odpsio import ODPSTableIO
from maxframe.protocol import ConstantResultInfo, ODPSTableResultInfo, ResultInfo
from maxframe.sperunner import SPEDagRunner
from maxframe.udf import discover_marked_functions
from maxframe.utils import build_temp_table_name, deserialize_serializable
from maxframe_client.fetcher import get_fetcher_cls
from odps import ODPS

from . import adapters, deserializer, model_adapters, mounts, operators, requirements, results
from .context import EngineContext
from .events import Events
from .job import GRAPH_FILE, INPUTS_FILE, RESULT_FILE, Job, read_json
from .limits import Limits
from .packages import visible
from .progress import Progress, Step
from .steps import Operator, Steps, compiled, named_errors

logger = logging.getLogger("maxcompute_local")

_CUSTOM_CODE_WEIGHT = 10.0
"""Functions of the user and model calls take far longer than the engine's own operators."""


class RequirementsUnmet(Exception):
    """Functions require packages that this interpreter lacks; ``requirements`` are all that they require."""

    def __init__(self, requirements: list[str]) -> None:
        super().__init__("Python requirements are not met")
        self.requirements = requirements


def prepare() -> None:
    """Complete the SDK of this interpreter with what only the service has."""
    deserializer.install()
    adapters.register()
    model_adapters.register()
    visible()


def execute(job: Job) -> dict[str, Any]:
    """Run a DAG; return the infos of its results by tileable key, in wire form.

    Whatever the DAG raises passes through.
    """
    visible().admit(requirements.parse(job.requirements))
    graph = _read(job)
    ops = _operators(graph)
    progress = Progress(job, [_step(op) for op in ops])
    wanted = requirements.parse(_wanted(ops))
    found, unmet = requirements.split(wanted)
    if unmet:
        raise RequirementsUnmet([str(requirement) for requirement in wanted])
    if found:
        logger.info("Python requirements: %s", ", ".join(found))
    if visible().admit(wanted):
        # Functions may hold modules of packages that only now are theirs.
        graph = _read(job)
        ops = _operators(graph)
    deserializer.raise_unreadable(ops)
    mounts.mount_all(
        (mount for op in ops for mount in getattr(op, "fs_mount", None) or ()), job, warn=progress.warn
    )
    odps = ODPS.from_environments()
    odps.to_global()
    with option_context():
        _apply_settings(job.settings)
        events = Events(job)
        generated = Generator(job, progress, events).generate(graph)
        results = _Runner(job, graph, generated, odps).run()
    return {key: info.to_json() for key, info in results.items()}


class Generator(SPECodeGenerator):
    """The SDK's code generator; the code that it returns runs each operator as a step of its own."""

    def __init__(self, job: Job, progress: Progress, events: Events) -> None:
        self._engine_context = EngineContext(job, progress, events)
        self._steps = Steps(Path(job.directory), progress, events, self._engine_context.spread)
        super().__init__(job.session_id, job.dag_id)

    def _init_context(self, session_id: str, subdag_id: str) -> SPECodeContext:  # noqa: ARG002  (SDK's signature)
        return self._engine_context

    def get_op_adapter(self, op_type: type) -> Any:
        """Return the adapter of an operator; NotImplementedError when there is none."""
        try:
            if op_type in operators.REFUSED:
                raise KeyError(op_type)
            adapter = super().get_op_adapter(op_type)
        except KeyError:
            raise NotImplementedError(
                f"the local engine cannot run the operator {op_type.__name__}"
            ) from None
        return lambda: _StepAdapter(adapter(), self._steps)

    def _generate_delete_code(self, var_name: str) -> list[str]:  # noqa: ARG002  (SDK's signature)
        # The SDK counts readers per graph node, but copies of a frame are several nodes with one variable,
        # which it then deletes too early. Keeping variables until the end costs memory only.
        return []


class _StepAdapter(SPEOperatorAdapter):
    """Makes one step of the code that another adapter generates."""

    def __init__(self, adapter: SPEOperatorAdapter, steps: Steps) -> None:
        self._adapter = adapter
        self._steps = steps

    def generate_pre_op_code(self, op: Any, context: EngineContext) -> list[str]:  # noqa: ARG002
        """Return nothing: a step notes by itself that it begins."""
        return []

    def generate_code(self, op: Any, context: EngineContext) -> list[str]:
        """Return the call of the step."""
        context.constants["run_step"] = self._steps.run
        name = type(op).__name__
        with named_errors(name):
            lines = list(self._adapter.generate_code(op, context) or [])
        functions = [udf.name for udf in context.get_udfs()]
        runs_user_code = operators.calls_user_code(op) or any(
            function in line for line in lines for function in functions
        )
        apart = runs_user_code and not isinstance(self._adapter, adapters.ChunkedAdapter)
        number = self._steps.add(
            Operator(
                name,
                compiled(name, lines),
                [context.get_input_tileable_variable(tileable) for tileable in op.inputs],
                [context.get_output_tileable_variable(tileable) for tileable in op.outputs],
                Limits.of(op, context.job.settings) if apart else None,
            )
        )
        context.progress.place(number, _step(op))
        return [f"run_step({number}, locals())"]


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
        if isinstance(tileable, OBJECT_TYPE):
            raise NotImplementedError(
                f"the local engine cannot return the result of {type(tileable.op).__name__}: an object, "
                "which MaxFrame keeps in a table of the type BLOB"
            )
        return ConstantResultInfo(data=value)

    def _store_table(self, tileable: Any, value: Any) -> ResultInfo:
        schema, meta, arrow = results.table_of(tileable, value)
        table = self._odps.create_table(
            build_temp_table_name(self._session_id, tileable.key), schema, lifecycle=1, if_not_exists=True
        )
        if len(value):
            with ODPSTableIO(self._odps).open_writer(table.full_table_name, overwrite=True) as writer:
                writer.write(arrow)
        return ODPSTableResultInfo(full_table_name=table.full_table_name, table_meta=meta)


def _read(job: Job) -> Any:
    return deserialize_serializable(job.path(GRAPH_FILE).read_bytes())


def _operators(graph: Any) -> list[Any]:
    """Return the operators in the order in which the code generator emits them."""
    found: dict[str, Any] = {}
    for tileable in graph.topological_iter():
        if not isinstance(tileable.op, Fetch):
            found.setdefault(tileable.op.key, tileable.op)
    return list(found.values())


def _step(op: Any) -> Step:
    heavy = getattr(op, "func", None) is not None or model_adapters.is_model_call(op)
    asked = {name: value for name, value in (op.expect_resources or {}).items() if value}
    resources = ", ".join(
        f"{name}={value}" for name, value in ({"engine": op.expect_engine} | asked).items() if value
    )
    return Step(type(op).__name__, _CUSTOM_CODE_WEIGHT if heavy else 1.0, _title(op), resources=resources)


def _title(op: Any) -> str:
    """Return what an operator does, for people; empty where its class says as much."""
    if model_adapters.is_model_call(op):
        return model_adapters.title(op)
    function = operators.plain_function(getattr(op, "func", None))
    if inspect.isfunction(function) and function.__name__ != "<lambda>":
        return function.__name__
    if isinstance(op, DataFrameReadODPSTable):
        return f"read {op.table_name}"
    return f"write {op.table_name}" if isinstance(op, DataFrameToODPSTable) else ""


def _wanted(ops: Iterable[Any]) -> list[str]:
    """Return the Python requirements of all functions."""
    return [
        text
        for op in ops
        for marked in discover_marked_functions(getattr(op, "func", None))
        for pack in marked.pythonpacks or ()
        for text in pack.requirements
    ]


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
