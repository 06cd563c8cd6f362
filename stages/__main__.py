"""Run a stage by the code that lies beside this file: `python PATH/stages STAGE --options`.

dvc.yaml starts every stage like this, so that a copy of the project (`dvc exp run --queue`) runs its own
code and not the installed package. PMNET_LAUNCH is the command that starts several processes of a stage,
for example "torchrun --standalone --nproc-per-node 2 --no-python". It is split here, because not every
shell splits a variable into words.
"""

import os
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ("cluster", "train", "evaluate")  # the stages whose processes share the work


def main(stage: str, *options: str) -> None:
    """Replace this process by the stage, or by PMNET_LAUNCH with the stage behind it."""
    launch = shlex.split(os.environ.get("PMNET_LAUNCH", "")) if stage in SHARED else []
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [*launch, sys.executable, "-m", f"stages.{stage}", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        sys.exit(f"error: PMNET_LAUNCH: {command[0]} cannot be started ({error.strerror})")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python PATH/stages STAGE --options; `pmnet --help` lists the stages")
    main(*sys.argv[1:])
