"""Finds the tiles of a sheet: a picture of frames in a grid, each with its time in the upper left corner."""

from __future__ import annotations

import cv2

from maxcompute_local.models.images import Image

_MOST_TILES = 64
_SMALLEST_LABEL = 14
_LABEL_SHARE = 8
"""A time's text is about this part of the shorter side of its tile high."""
_DARK, _BRIGHT = 40, 170
"""Grey levels: the label's ground is darker, its text brighter."""


def tiles(picture: Image) -> list[Image]:
    """Return the tiles in reading order, without their times; the picture itself if it is no sheet.

    A sheet is known by its labels, bright text on black: the finest regular grid whose tiles all have one,
    but for black places at the end.
    """
    sides = range(1, _MOST_TILES + 1)
    grids = [(rows, columns) for rows in sides for columns in sides if 1 < rows * columns <= _MOST_TILES]
    for rows, columns in sorted(grids, key=lambda grid: -grid[0] * grid[1]):
        shown = _tiles(picture, rows, columns)
        if shown:
            return shown
    return [picture]


def _tiles(picture: Image, rows: int, columns: int) -> list[Image]:
    """Return the tiles of a grid, none if a tile has no label."""
    height, width = picture.shape[0] // rows, picture.shape[1] // columns
    label = max(_SMALLEST_LABEL, min(height, width) // _LABEL_SHARE)
    if (rows * height, columns * width) != picture.shape[:2] or min(height, width) < 3 * label:
        return []
    places = [(y * height, x * width) for y in range(rows) for x in range(columns)]
    shown = [picture[top : top + height, left : left + width] for top, left in places]
    if not _has_label(shown[0], label):
        return []
    while shown and shown[-1].max() < _DARK:
        shown.pop()
    if not all(_has_label(tile, label) for tile in shown):
        return []
    shown = [tile.copy() for tile in shown]
    high, wide = label * 3 // 2, label * 5
    for tile in shown:
        # Times differ from tile to tile, what the camera sees may not: what is below goes on there.
        tile[:high, :wide] = tile[high : 2 * high, :wide][::-1]
    return shown


def _has_label(tile: Image, size: int) -> bool:
    grey = cv2.cvtColor(tile[: size * 2, : size * 2], cv2.COLOR_BGR2GRAY)
    margin = size // 5
    return bool(
        grey[:margin].max() < _DARK * 2
        and grey[:, :margin][:size].mean() < _DARK
        and grey[:size, :size].max() > _BRIGHT
        and grey[:size, :size].min() < _DARK
    )
