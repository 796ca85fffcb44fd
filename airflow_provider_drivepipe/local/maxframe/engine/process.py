"""Life of one DAG's process: from the fork to the result file."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from typing import Any, NoReturn

from .errors import ChunkError, error_info
from .execution import execute
from .job import LOG_FILE, RESULT_FILE, WORK_DIRECTORY, Job, write_json


def run(job: Job) -> NoReturn:
    """Run a DAG in this process, record its result and exit."""
    code = 1
    try:
        _prepare(job)
        write_json(job.path(RESULT_FILE), _outcome(job))
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        _flush()
        # Never return into the parent's code, and run none of its exit handlers.
        os._exit(code)


def _prepare(job: Job) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    log = os.open(job.path(LOG_FILE), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]  # real files
    os.environ.update(ODPS_ENDPOINT=job.endpoint, ODPS_PROJECT_NAME=job.project, ODPS_BEARER_TOKEN=job.token)
    work = job.path(WORK_DIRECTORY)
    work.mkdir(exist_ok=True)
    os.chdir(work)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    # They log the generated code, in which pickled functions are most of the text, and every table session.
    for chatty in ("maxframe", "odps"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _outcome(job: Job) -> dict[str, Any]:
    try:
        return {"status": "SUCCEEDED", "results": execute(job)}
    except ChunkError as error:
        return {"status": "FAILED", "error": error.info}
    except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever it is, it is the DAG's error)
        traceback.print_exc()
        return {"status": "FAILED", "error": error_info(error)}


def _flush() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
