"""What adapters reach: the job, its progress, the server, and the chunks of what has been computed."""

from __future__ import annotations

from maxframe.codegen.spe.core import SPECodeContext

from .events import Events
from .job import Job
from .progress import Progress
from .spread import Spread


class EngineContext(SPECodeContext):
    """Code generation context that lets adapters reach the job, its progress, the server and the chunks."""

    def __init__(self, job: Job, progress: Progress, events: Events) -> None:
        super().__init__(job.session_id, job.dag_id)
        self.job = job
        self.progress = progress
        self.events = events
        self.spread = Spread()
