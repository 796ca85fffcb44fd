"""Pages of a list: how far an answer goes, and the marker from which the next call goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from maxcompute_local.odps import errors
from maxcompute_local.odps.wire import Call, element

MAX_ITEMS = 1000
"""Most items of one answer."""

_Item = TypeVar("_Item")


def page(
    call: Call, items: Sequence[_Item], key: Callable[[_Item], str], reverse: bool = False
) -> tuple[Sequence[_Item], str]:
    """Return the items of this call's page, and the elements that say where the next one begins.

    :param items: everything that matches, in ascending order of ``key``, descending when ``reverse``.

    The marker is the key of the page's last item, so that what is added or dropped between two calls moves
    no other item; it is empty on the last page. Clients that do not ask for pages get everything.
    """
    limit = call.integer("maxitems", MAX_ITEMS if "expectmarker" in call.query else max(len(items), 1))
    if limit < 1:
        raise errors.invalid_argument(f"maxitems must be at least 1, got {limit}")
    limit = min(limit, MAX_ITEMS) if "maxitems" in call.query else limit
    marker = call.query.get("marker", "")
    rest = [item for item in items if not marker or _beyond(key(item), marker, reverse)]
    shown = rest[:limit]
    following = key(shown[-1]) if len(rest) > limit else ""
    return shown, f"{element('Marker', following)}{element('MaxItems', limit)}"


def _beyond(key: str, marker: str, reverse: bool) -> bool:
    return key < marker if reverse else key > marker
