"""Not a benchmark: a local cloud in a process of its own, its clients, and the memory it has needed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import alibabacloud_oss_v2 as oss
from odps import ODPS

from maxcompute_local import lifecycle
from maxcompute_local.settings import PROJECT, REGION, ServerSettings


@dataclass(frozen=True)
class MeasuredCloud:
    root: Path
    settings: ServerSettings

    def odps(self) -> ODPS:
        return ODPS(
            self.settings.access_key_id,
            self.settings.access_key_secret,
            project=PROJECT,
            endpoint=self.settings.odps_endpoint,
            overwrite_global=False,
        )

    def oss(self) -> oss.Client:
        config = oss.config.load_default()
        config.credentials_provider = oss.credentials.StaticCredentialsProvider(
            self.settings.access_key_id, self.settings.access_key_secret
        )
        config.region, config.endpoint = REGION, self.settings.oss_endpoint
        config.readwrite_timeout = 600
        return oss.Client(config)

    def reset_peak(self) -> None:
        Path(f"/proc/{self.settings.pid}/clear_refs").write_text("5")

    def peak_mib(self) -> float:
        """Return the most memory that the server has held since ``reset_peak``."""
        status = Path(f"/proc/{self.settings.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024


@contextmanager
def measured_cloud(root: Path) -> Iterator[MeasuredCloud]:
    command = [sys.executable, "-m", "maxcompute_local.server", "--root", str(root)]
    with lifecycle.log_file(root).open("ab") as log:
        process = subprocess.Popen([*command, "--odps-port", "0", "--oss-port", "0"], stdout=log, stderr=log)
    try:
        while (settings := lifecycle.running(root)) is None:
            if process.poll() is not None:
                raise RuntimeError(lifecycle.log_file(root).read_text())
            time.sleep(0.05)
        yield MeasuredCloud(root, settings)
    finally:
        process.terminate()
        process.wait()


def drop_page_cache(path: Path) -> None:
    """Write a file to disk and have the system forget it, so that reading it again is reading."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
