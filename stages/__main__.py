"""Run a stage by the code that lies beside this file: `python PATH/stages STAGE --options`.

dvc.yaml starts every stage like this, so that a copy of the project (`dvc exp run --queue`) runs its own
code and not the installed package. PMNET_LAUNCH is the command that starts several processes of a stage,
for example "torchrun --standalone --nproc-per-node 2 --no-python". It is split here, because not every
shell splits a variable into words.

{key} in an option stands for what follows @ in the name of the DVC stage, such as the data set of
ingest@NAME: the shell never sees such a name, whatever characters it has.
"""

import os
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEY = "{key}"
SHARED = ("cluster", "train", "evaluate")  # the stages whose processes share the work


def main(stage: str, *options: str) -> None:
    """Replace this process by the stage, or by PMNET_LAUNCH with the stage behind it."""
    launch = shlex.split(os.environ.get("PMNET_LAUNCH", "")) if stage in SHARED else []
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [*launch, sys.executable, "-m", f"stages.{stage}", *map(_with_key, options)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        sys.exit(f"error: PMNET_LAUNCH: {command[0]} cannot be started ({error.strerror})")


def _with_key(option: str) -> str:
    """Return an option with the key of the DVC stage in it."""
    if KEY not in option:
        return option
    key = os.environ.get("DVC_STAGE", "").partition("@")[2]
    if not key:
        sys.exit(f"error: {option}: {KEY} is the key of a DVC stage; by hand write the name itself")
    return option.replace(KEY, key)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python PATH/stages STAGE --options; `pmnet --help` lists the stages")
    main(*sys.argv[1:])
