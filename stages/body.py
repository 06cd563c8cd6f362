"""body: the body model checked and put in one form."""

from pathlib import Path
from typing import Annotated, Any

from pmnet.body.files import read_body, write_body
from pmnet.core.progress import say
from pmnet.core.stage import PARAMS, OutFile, Section, command
from pmnet.evaluation.needs import check_mean, check_regressors


def body(
    file: Path,
    out: OutFile,
    protocols: Annotated[dict[str, Any], Section("evaluate.protocols")],
    mean: Annotated[str, Section("evaluate.mean")],
) -> None:
    """Check a body model (.npz, or the official .pkl) and write it as a plain npz.

    What the evaluation will need is asked for here, before anything is trained: the regressors and genders
    of `evaluate.protocols`, and the file of `evaluate.mean`.
    """
    arrays = read_body(file)
    check_regressors(arrays, protocols, f"{PARAMS}: evaluate.protocols", file)
    check_mean(Path(mean), f"{PARAMS}: evaluate.mean")
    write_body(out, arrays)
    say(f"{file}: {len(arrays['v_template'])} vertices, {len(arrays['f'])} faces -> {out}")


if __name__ == "__main__":
    command(body)
