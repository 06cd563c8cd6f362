"""Run a stage by the code that lies beside this file: `python stages STAGE --options`.

dvc.yaml starts every stage like this, so that a copy of the project (`dvc exp run --queue`) runs its own
code and not the installed package. PMNET_LAUNCH is the command that starts several processes of a stage,
for example "torchrun --standalone --nproc-per-node 2 --no-python". It is split here, because not every
shell splits a variable into words.

{key} in an option stands for what follows @ in the name of the DVC stage, such as the data set of
ingest@NAME: the shell never sees such a name, whatever characters it has.

`pmnet repro` keeps a server that has the libraries imported (`pmnet.runs.stage_server`): where
PMNET_STAGE_SERVER names it, the stage is a process of the server, and this process waits for its end. Under
plain DVC the second stage starts such a server, which ends with DVC. PMNET_STAGE_SERVER=none does without.
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
SHELLS = ("sh", "ash", "bash", "dash", "fish", "ksh", "zsh")


def main(stage: str, *options: str) -> None:
    """Become the stage, or PMNET_LAUNCH with the stage behind it."""
    _refuse_unknown(stage)
    launch = shlex.split(os.environ.get("PMNET_LAUNCH", "")) if stage in SHARED else []
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    server = os.environ.pop(SERVER, None)
    module, own = f"stages.{stage}", [_with_key(option) for option in options]
    if not launch:
        if server := _server_of_dvc() if server is None else server:
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


def _server_of_dvc() -> str:
    """Return the server that an earlier stage of the same DVC process has started; else "".

    The second stage starts it: for a single one it would not pay. Other users cannot write to the folder of
    its socket.
    """
    code = ROOT / "pmnet/runs/stage_server.py"
    if sys.platform != "linux" or "DVC_STAGE" not in os.environ or not code.is_file():
        return ""
    import socket
    import subprocess
    import tempfile

    try:
        dvc, begun = _process_of_dvc()
        folder = Path(tempfile.gettempdir(), f"pmnet-{os.getuid()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
        if about.st_uid != os.getuid() or about.st_mode & 0o077:
            return ""
        if (path := folder / f"{dvc}-{begun}").exists():
            return str(path)
        if not (once := path.with_suffix(".once")).exists():
            for old in folder.iterdir():
                if not Path("/proc", old.name.partition("-")[0]).exists():
                    old.unlink(missing_ok=True)
            once.touch()
            return ""
        with socket.socket(socket.AF_UNIX) as listener, open(os.pidfd_open(dvc), "rb") as end:
            listener.bind(str(path))
            listener.listen(128)
            subprocess.Popen(
                [sys.executable, "-P", str(code), str(number := listener.fileno())],
                stdin=end,  # can be read from when DVC has ended
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[number],
            )
    except OSError:  # the temporary folder cannot be written, or its name is too long
        pass
    return ""


def _process_of_dvc() -> tuple[int, str]:
    """Return the process that runs this stage, maybe by a shell, and when it began."""
    process = os.getppid()
    while True:
        name, _, rest = Path(f"/proc/{process}/stat").read_text().partition("(")[2].rpartition(")")
        fields = rest.split()
        if name not in SHELLS:
            return process, fields[19]
        process = int(fields[1])


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


def _refuse_unknown(stage: str) -> None:
    if not (Path(__file__).parent / f"{stage}.py").is_file():
        sys.exit(f"error: no stage {stage!r}; `pmnet --help` lists the stages")


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
        sys.exit("usage: python stages STAGE --options; `pmnet --help` lists the stages")
    main(*sys.argv[1:])
