"""Managed models: ``generate`` and ``embed`` send one request per row to the server's model service."""

from __future__ import annotations

import functools
import re
from typing import Any

from maxframe.codegen.spe.core import SPEOperatorAdapter, register_op_adapter
from maxframe.learn.contrib.llm.core import LLMTaskOperator
from maxframe.learn.contrib.llm.models.managed import (
    ManagedLLMMultiModalEmbeddingOp,
    ManagedLLMMultiModalGenerationOp,
    ManagedLLMTextEmbeddingOp,
    ManagedLLMTextGenOp,
)

from . import model_calls as calls
from .adapters import call as call_code
from .content import Storage
from .context import EngineContext
from .model_client import ModelClient

_QUOTAS = ("gu_quota_name", "inference_quota_name")
"""Running options that the SDK fills in from those of the session; there are no quotas here."""
_FULL_NAME = re.compile(r"projects/(?P<project>[^/]+)/schemas/[^/]+/models/(?P<model>.+)")


def register() -> None:
    """Let the code generator use these adapters."""
    register_op_adapter([ManagedLLMTextGenOp, ManagedLLMMultiModalGenerationOp])(GenerateAdapter)
    register_op_adapter(ManagedLLMMultiModalEmbeddingOp)(MultimodalEmbedAdapter)
    register_op_adapter(ManagedLLMTextEmbeddingOp)(TextEmbedAdapter)


def is_model_call(op: Any) -> bool:
    """Return whether an operator calls a model."""
    return isinstance(op, LLMTaskOperator)


def title(op: Any) -> str:
    """Return what an operator that calls a model does, for people."""
    named = _FULL_NAME.fullmatch(op.model.name)
    generates = isinstance(op, ManagedLLMTextGenOp | ManagedLLMMultiModalGenerationOp)
    model = named["model"] if named else op.model.name
    return f"{'generate' if generates else 'embed'}, asked of {model}"


class ModelCallAdapter(SPEOperatorAdapter):
    """Common part of the adapters below."""

    operation: calls.Operation

    def template(self, op: Any) -> Any:
        """Return what is sent for each row."""
        return op.input

    def dimension(self, op: Any) -> int | None:  # noqa: ARG002  (for subclasses)
        """Return the length of the vectors that the operator asks for."""
        return None

    def generate_code(self, op: Any, context: EngineContext) -> list[str]:
        """Return the code of one operator."""
        named = _FULL_NAME.fullmatch(op.model.name)
        options = {name: value for name, value in (op.running_options or {}).items() if name not in _QUOTAS}
        job = context.job
        run = functools.partial(
            calls.run,
            operation=self.operation,
            call=calls.ModelCall(
                model=named["model"] if named else op.model.name,
                project=named["project"] if named else job.project,
                template=self.template(op),
                params=op.params or {},
                running_options=options,
                simple_output=bool(op.simple_output),
                dimension=self.dimension(op),
            ),
            client=ModelClient(job.endpoint, job.token, op.timeout),
            storage=Storage(job.oss_endpoint, job.oss_region),
            on_done=context.progress.step_fraction,
        )
        return call_code(context, op, run)


class GenerateAdapter(ModelCallAdapter):
    """``generate`` of text and multi-modal models."""

    operation = calls.GENERATE

    def template(self, op: Any) -> Any:
        """Return the prompt or the messages."""
        return op.prompt_template


class MultimodalEmbedAdapter(ModelCallAdapter):
    """``embed`` of multi-modal models; the dimension is one of its ``params``."""

    operation = calls.EMBED_MULTIMODAL

    def dimension(self, op: Any) -> int | None:
        """Return ``params["dimension"]``."""
        return (op.params or {}).get("dimension")


class TextEmbedAdapter(ModelCallAdapter):
    """``embed`` of text models; the dimension is an argument of its own."""

    operation = calls.EMBED_TEXT

    def dimension(self, op: Any) -> int | None:
        """Return the argument ``dimensions``."""
        dimensions: int | None = op.dimensions
        return dimensions
