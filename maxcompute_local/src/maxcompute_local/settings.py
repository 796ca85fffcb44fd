"""What a local cloud remembers between runs: its ports and keys, in ``<root>/server.json`` (mode 0600)."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from maxcompute_local.errors import LocalCloudError

HOST = os.environ.get("MAXCOMPUTE_LOCAL_HOST", "127.0.0.1")
"""The IP address that the server listens on and that its endpoints name; both sides have to agree on it."""
PROJECT = "local"
REGION = "cn-local"
ROLE_ARN = "acs:ram::0:role/maxcompute-local"
MODEL_PROJECT = "bigdata_public_modelset"

DEFAULT_ODPS_PORT = 8850
DEFAULT_OSS_PORT = 8851

SETTINGS_FILE = "server.json"
LOG_FILE = "server.log"
LOCK_FILE = "server.lock"

HEALTH_PATH = "/maxcompute-local/health"
STATS_PATH = "/maxcompute-local/stats"
FAULTS_PATH = "/maxcompute-local/faults"
ENGINE_PATH = "/maxcompute-local/engine"
MODEL_RULES_PATH = "/maxcompute-local/model-rules"


@dataclass(frozen=True)
class ServerSettings:
    """Ports, keys and the process id of the server that ran last. Secrets do not show in ``repr``.

    ``control_token`` is the bearer token of everything below ``/maxcompute-local/``.
    """

    odps_port: int
    oss_port: int
    access_key_id: str
    access_key_secret: str = field(repr=False)
    control_token: str = field(repr=False)
    pid: int = 0

    @property
    def odps_endpoint(self) -> str:
        """MaxCompute endpoint, as connections hold it."""
        return f"http://{HOST}:{self.odps_port}/api"

    @property
    def oss_endpoint(self) -> str:
        """OSS endpoint, as connections hold it."""
        return f"http://{HOST}:{self.oss_port}"


def new_keys() -> tuple[str, str, str]:
    """Return a new access key id, access key secret and control token."""
    return f"local{secrets.token_hex(8)}", secrets.token_hex(20), secrets.token_hex(20)


def load_settings(root: Path) -> ServerSettings | None:
    """Return the settings kept below ``root``, None when no server has run there yet.

    Raises LocalCloudError when the file is there and cannot be read.
    """
    path = root / SETTINGS_FILE
    try:
        values = json.loads(path.read_text("utf-8"))
        return ServerSettings(**{f.name: values[f.name] for f in fields(ServerSettings)})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LocalCloudError(
            f"cannot read {path}: {type(error).__name__}. Delete the file to have new keys and ports made; "
            "connections that hold the old keys stop working"
        ) from error


def save_settings(root: Path, settings: ServerSettings) -> None:
    """Write the settings in one step, readable by their owner only."""
    path = root / SETTINGS_FILE
    temporary = path.with_name(f".{SETTINGS_FILE}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(settings), file, indent=2)
    temporary.replace(path)
