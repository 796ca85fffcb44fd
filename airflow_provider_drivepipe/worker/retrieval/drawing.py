from __future__ import annotations
from typing import Any
DRAW_COLUMNS: Any = ()
DrawJob: Any = None
draw_images: Any = None
