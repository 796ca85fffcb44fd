"""Fingerprints: what the rows of a run are made with, a hash for each stage by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow_provider_drivepipe.sql import quote_text
from airflow_provider_drivepipe.stages.stage import Site, Stage

INPUT = "input"
"""The part of the input row's identity, which differs from row to row."""


@dataclass(frozen=True)
class Fingerprint:
    """What the rows of a run are made with: a hash for each part, by name.

    A row's ``fingerprint`` column says it as ``frames=<hash>;label=<hash>;input=<hash>``, so that SQL can
    tell which part of a row is current, and only the others are made again.
    """

    hashes: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        """Return the hash of a part, empty where there is none."""
        return self.hashes.get(name, "")

    def text(self) -> str:
        """Return all of it but the input's identity as one text."""
        return ";".join(f"{name}={hash_}" for name, hash_ in self.hashes.items())


def part_sql(fingerprint: str, name: str) -> str:
    """Return the hash of a part in a column of fingerprints, empty where there is none."""
    return f"COALESCE(REGEXP_EXTRACT({fingerprint}, '(^|;){name}=([^;]*)', 2), '')"


def input_sql(fingerprint: str) -> str:
    """Return what a column of fingerprints says of the input: its identity, all of it without one."""
    identity = part_sql(fingerprint, INPUT)
    return f"CASE WHEN {identity} = '' THEN COALESCE({fingerprint}, '') ELSE {identity} END"


def fingerprint_sql(hashes: Mapping[str, str]) -> str:
    """Return a row's fingerprint of the expressions of its parts."""
    pieces = (f"{quote_text(f';{name}=')}, {hash_}" for name, hash_ in hashes.items())
    return f"SUBSTR(CONCAT({', '.join(pieces)}), 2)"


def fingerprint_of(stages: Iterable[Stage], site: Site) -> Fingerprint:
    """Return what the rows of a run are made with."""
    return Fingerprint({name: hash_ for stage in stages for name, hash_ in stage.hashes(site).items()})
