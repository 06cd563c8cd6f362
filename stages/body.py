"""body: the body model checked and put in one form."""

from pathlib import Path

from pmnet.body.files import read_body, write_body
from pmnet.core.progress import say
from pmnet.core.stage import OutFile, command


def body(file: Path, out: OutFile) -> None:
    """Check a body model (.npz, or the official .pkl) and write it as a plain npz."""
    arrays = read_body(file)
    write_body(out, arrays)
    say(f"{file}: {len(arrays['v_template'])} vertices, {len(arrays['f'])} faces -> {out}")


if __name__ == "__main__":
    command(body)
