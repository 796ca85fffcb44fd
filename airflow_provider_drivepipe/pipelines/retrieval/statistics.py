from __future__ import annotations


def wilson_interval(k: int, n: int) -> tuple[float | None, float | None]:
    return (0.0, 1.0) if n else (None, None)


def f_score(c: int, a: int, q: int) -> float | None:
    return None


def paired_difference(*n: int) -> tuple[float | None, float | None]:
    return (0.0, 0.0)
