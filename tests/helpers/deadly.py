"""A job of an experiment that kills its worker."""

import os
import signal
from pathlib import Path

from pmnet.runs.experiments import Job
from pmnet.training.options import Train


class DeadlyJob(Job):
    """Kills the process that asks for its settings."""

    def options(self, file: Path) -> Train:
        """Kill this process."""
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError
