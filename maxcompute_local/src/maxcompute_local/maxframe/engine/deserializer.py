"""The reading half of MaxFrame's wire format.

The SDK ships ``Serializer.deserial()`` of every type, but not the module that drives them,
``maxframe.serialization.deserializer``; only the service has it. ``install`` provides it to this interpreter.

A header is ``[serializer id, object id, child count, is leaf, *own values, *child headers]``. A leaf takes
its children from the buffers, in depth-first order.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable
from typing import Any

from maxframe.lib import wrapped_pickle as pickle
from maxframe.serialization.core import Placeholder, Serializer
from maxframe.serialization.serializables import Serializable

from .packages import visible

MODULE = "maxframe.serialization.deserializer"

_PUBLIC_DATA = "_PUB"
_OWN_VALUES = 4


class Unreadable:
    """Stands for a function that imports a package which this interpreter lacks.

    Which packages the function requires is said beside it, so the rest of the graph has to be read first.
    """

    def __init__(self, error: ImportError) -> None:
        self.error = error

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        """Raise the error that reading the function met."""
        raise self.error


def raise_unreadable(operators: Iterable[Any]) -> None:
    """Raise the ImportError of the first operator whose function could not be read."""
    for op in operators:
        function = getattr(op, "func", None)
        function = getattr(function, "func", function) if isinstance(function, Serializable) else function
        if isinstance(function, Unreadable):
            raise function.error


def install() -> None:
    """Make the module importable under the name that the SDK expects."""
    module = types.ModuleType(MODULE)
    module.deserialize = deserialize  # type: ignore[attr-defined]  # that is how a module is made at run time
    module.deserial_pickle = deserial_pickle  # type: ignore[attr-defined]  # as above
    sys.modules[MODULE] = module


def deserial_pickle(_serialized: list[Any], _context: dict[Any, Any], buffers: list[Any]) -> Any:
    """Unpickle an object whose out-of-band buffers follow its pickle; or Unreadable for want of a package."""
    try:
        with visible().only():
            return pickle.loads(buffers[0], buffers=buffers[1:])
    except ImportError as error:
        visible().explain(error)
        return Unreadable(error)


def deserialize(serialized: Any, buffers: list[Any], context: dict[Any, Any] | None = None) -> Any:
    """Rebuild an object from ``(metadata, root header)`` and its buffers."""
    metadata, root = serialized
    context = {} if context is None else context
    if metadata.get(_PUBLIC_DATA) is not None:
        context[Serializer._public_data_context_key] = metadata[_PUBLIC_DATA]
    return _Builder(buffers, context).build(root)


class _Builder:
    def __init__(self, buffers: list[Any], context: dict[Any, Any]) -> None:
        self._buffers = iter(buffers)
        self._context = context
        self._serializers = _serializers_by_id()

    def build(self, root: list[Any]) -> Any:
        """Build depth first, with a stack of our own: graphs can be deeper than Python's."""
        pending: list[tuple[list[Any], list[Any]]] = []
        header = root
        while True:
            count, leaf = header[2], header[3]
            if count and not leaf:
                pending.append((header, []))
                header = header[-count]
                continue
            children = [next(self._buffers) for _ in range(count)]
            value = self._object(header, header[_OWN_VALUES:], children)
            while pending:
                parent, siblings = pending[-1]
                siblings.append(value)
                count = parent[2]
                if len(siblings) < count:
                    header = parent[len(parent) - count + len(siblings)]
                    break
                pending.pop()
                value = self._object(parent, parent[_OWN_VALUES:-count], siblings)
            else:
                return value

    def _object(self, header: list[Any], own: list[Any], children: list[Any]) -> Any:
        serializer_id, object_id = header[0], header[1]
        value = self._serializers[serializer_id].deserial(own, self._context, children)
        known = self._context.get(object_id)
        if type(value) is Placeholder:
            if known is not None:
                return known
            value.id = object_id
            self._context[object_id] = value
            return value
        self._context[object_id] = value
        if known is not None and type(known) is Placeholder:
            for callback in known.callbacks:
                callback(value)
        return value


def _serializers_by_id() -> dict[int, Any]:
    return {
        serializer.serializer_id: serializer
        for handlers in Serializer.dump_handlers()
        if isinstance(handlers, dict)
        for serializer in handlers.values()
        if getattr(serializer, "serializer_id", None) is not None
    }
