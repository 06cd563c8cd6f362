"""A process that has imported the libraries of the stages once, and forks itself for each stage.

torch, torchvision and pandas take seconds to import, and a graph has sixty stages. `stages/__main__.py` asks
the server for a process where PMNET_STAGE_SERVER names one, and starts one under plain DVC. Only libraries
are imported beforehand, never pmnet: a stage runs the code that lies there when it starts. The server never
touches a GPU, so that its children may.
"""

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

VARIABLE: Final = "PMNET_STAGE_SERVER"
LIBRARIES: Final = (
    *("torch", "torchvision", "torch._dynamo", "lightning_fabric", "smplx", "roma", "jaxtyping"),
    *("numpy", "pandas", "pyarrow.parquet", "scipy.sparse.csgraph", "matplotlib.figure"),
    *("PIL.Image", "typer", "rich.console", "ruamel.yaml"),
)
LARGEST: Final = 1 << 22  # bytes of a request
STREAMS: Final = 3  # standard input, output and error


@contextmanager
def stage_server(libraries: Sequence[str] = LIBRARIES) -> Iterator[None]:
    """Keep a server for the stages that are started inside the block; none but Linux has one.

    Stages that still run at the end of the block are not ended.
    """
    if sys.platform != "linux":
        yield
        return
    with TemporaryDirectory(prefix="pmnet-") as folder, socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(path := f"{folder}/stages")
        except OSError:  # the name of the folder is too long
            yield
            return
        listener.listen(128)
        number = listener.fileno()
        command = [sys.executable, "-P", __file__, str(number), *libraries]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[number]) as server:
            listener.close()  # else stages would wait for a server that has ended
            os.environ[VARIABLE] = path
            try:
                yield
            finally:
                del os.environ[VARIABLE]
                assert server.stdin is not None
                server.stdin.close()


@dataclass(frozen=True)
class _Request:
    """A stage that is asked for, with the standard streams that it gets."""

    module: str
    options: list[str]
    folder: str
    environment: dict[str, str]
    streams: list[int]


def _serve(listener: socket.socket) -> _Request | None:
    """Fork for each stage, until standard input ends and no stage runs; None.

    In the process of a stage: return its request.
    """
    running: dict[int, tuple[int, socket.socket]] = {}  # pidfd -> process, connection
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ, "ask")
        selector.register(0, selectors.EVENT_READ, "end")
        while running or listener.fileno() >= 0:
            for key, _ in selector.select():
                if key.data == "end":
                    selector.unregister(0)
                    selector.unregister(listener)
                    listener.close()
                elif key.data == "ask" and listener.fileno() >= 0:
                    connection = listener.accept()[0]
                    request = _received(connection)
                    if request is None:
                        connection.close()
                        continue
                    process = _forked()
                    if not process:
                        for number, (_, other) in running.items():
                            os.close(number)
                            other.close()
                        for open_one in (listener, connection):
                            open_one.close()
                        return request
                    for stream in request.streams:
                        os.close(stream)
                    with suppress(OSError):
                        connection.sendall(b"started\n")
                    number = os.pidfd_open(process)
                    running[number] = process, connection
                    selector.register(number, selectors.EVENT_READ, "ended")
                    selector.register(connection, selectors.EVENT_READ, process)
                elif key.data == "ended":
                    process, connection = running.pop(key.fd)
                    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
                    with suppress(OSError):
                        connection.sendall(f"{code}\n".encode())
                    for registered in (key.fileobj, connection):
                        with suppress(KeyError):  # the asker has gone before
                            selector.unregister(registered)
                    os.close(key.fd)
                    connection.close()
                elif key.data in {process for process, _ in running.values()}:
                    # the asker was ended: so is its stage, unless it has ended in the same batch
                    selector.unregister(key.fileobj)
                    with suppress(ProcessLookupError):
                        os.kill(key.data, signal.SIGTERM)
    return None


def _received(connection: socket.socket) -> _Request | None:
    """Return what is asked for; None where it is for another Python, broken off, or no request."""
    streams: list[int] = []
    with suppress(OSError, ValueError, TypeError, AttributeError):
        text, streams, *_ = socket.recv_fds(connection, LARGEST, STREAMS)
        while not text.endswith(b"\n") and (more := connection.recv(LARGEST)):
            text += more
        asked: dict[str, Any] = json.loads(text)
        if asked.pop("python", None) == sys.executable and len(streams) == STREAMS:
            return _Request(**asked, streams=list(streams))
    for stream in streams:  # else the asker would wait for their end
        os.close(stream)
    return None


def _forked() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy has threads; they stay behind
        return os.fork()


def _run(request: _Request, paths: list[str]) -> None:
    """Be the process of a stage, as `python -m MODULE` in its folder would be."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(request.streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    own = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [request.folder, *own, *paths]
    importlib.invalidate_caches()
    sys.argv = [request.module, *request.options]
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


def _main(number: str, *libraries: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the keyboard ends the stages, then the server
    given = {Path(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path}
    gc.disable()  # a third of the time of imports; a stage enables it
    for library in libraries or LIBRARIES:
        importlib.import_module(library)
    paths = [path for path in sys.path if Path(path) not in given]
    listener = socket.socket(fileno=int(number))
    name = listener.getsockname()
    request = _serve(listener)
    if request is not None:
        _run(request, paths)
    else:
        Path(name).unlink(missing_ok=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
