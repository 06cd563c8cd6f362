"""DVC in a process that stays: a command takes its own time, not the seconds that DVC takes to start.

Reads a line of JSON per command: `words`, `folder` and `env`. Answers with the exit code and the output,
of the command and of the stages that it runs.
"""

import json
import os
import sys
import tempfile

import quick_dvc
from dvc.cli import main


def answer(words: list[str], folder: str, env: dict[str, str]) -> tuple[int, str]:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    before = [os.dup(number) for number in (1, 2)]
    with tempfile.TemporaryFile("w+") as printed:
        try:
            for number in (1, 2):
                os.dup2(printed.fileno(), number)
            code = main(words)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, saved in zip((1, 2), before, strict=True):
                os.dup2(saved, number)
                os.close(saved)
        printed.seek(0)
        return code, printed.read()


if __name__ == "__main__":
    quick_dvc.install()
    replies = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), file=replies, flush=True)
