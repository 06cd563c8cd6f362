"""Run a stage by the code that lies beside this file: `python PATH/stages STAGE --options`.

dvc.yaml starts every stage like this, so that a copy of the project (`dvc exp run --queue`) runs its own
code and not the installed package. PMNET_LAUNCH is the command that starts several processes of a stage,
for example "torchrun --standalone --nproc-per-node 2 --no-python". It is split here, because not every
shell splits a variable into words.

{key} in an option stands for what follows @ in the name of the DVC stage, such as the data set of
ingest@NAME: the shell never sees such a name, whatever characters it has.

`pmnet repro` keeps a server that has the libraries imported (`pmnet.runs.stage_server`): where
PMNET_STAGE_SERVER names it, the stage is a process of the server, and this process waits for its end.
"""

import gc
import os
import runpy
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEY = "{key}"
SHARED = ("cluster", "train", "evaluate")  # the stages whose processes share the work
SERVER = "PMNET_STAGE_SERVER"


def main(stage: str, *options: str) -> None:
    """Become the stage, or PMNET_LAUNCH with the stage behind it."""
    launch = shlex.split(os.environ.get("PMNET_LAUNCH", "")) if stage in SHARED else []
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    server = os.environ.pop(SERVER, "")
    module, own = f"stages.{stage}", [_with_key(option) for option in options]
    if not launch:
        if server:
            _ask(server, module, own)
        _run(module, own)
        return
    command = [*launch, sys.executable, "-m", module, *own]
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"error: PMNET_LAUNCH: {command[0]} cannot be started ({error.strerror})")


def _run(module: str, options: list[str]) -> None:
    """Run a stage in this process, as `python -m MODULE` would."""
    gc.disable()  # a third of the time of imports; the stage enables it
    sys.path[0:1] = [os.getcwd(), str(ROOT)]
    sys.argv = [module, *options]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _ask(server: str, module: str, options: list[str]) -> None:
    """Let the server run a stage and leave as the stage does; return where there is no such server."""
    import json
    import signal
    import socket

    request: dict[str, object]
    request = {"python": sys.executable, "module": module, "options": options}
    request |= {"folder": os.getcwd(), "environment": dict(os.environ)}
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(server)
        text = (json.dumps(request) + "\n").encode()
        sent = socket.send_fds(connection, [text], [0, 1, 2])
        connection.sendall(text[sent:])
        answer = connection.makefile("r")
        if answer.readline() != "started\n":
            return
    except OSError:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the stage is interrupted, and says how it ends
    code = int(answer.readline() or "1")
    if code < 0:  # ended by a signal
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


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
