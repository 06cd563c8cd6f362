"""The command line: every stage as a command, and what is not a stage."""

import ast
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

import stages
from pmnet.clustering.options import Cluster
from pmnet.core.device import Machine
from pmnet.core.stage import as_command, user_errors

app = typer.Typer(
    help="PM-Net: 3D human reconstruction of rare poses with a prototype memory.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
body_app = typer.Typer(help="Body model files.", no_args_is_help=True)
errors_app = typer.Typer(help="Per-sample errors of runs.", no_args_is_help=True)


@app.command()
def info(file: Path) -> None:
    """Say what is in a file of samples, images, memory, weights, errors or a body model."""
    from pmnet.report.describe import describe  # torch is slow to import

    for line in describe(file):
        typer.echo(line)


@app.command()
def check(
    root: Path,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for a contact sheet of each data set.")
    ] = None,
    body: Annotated[
        Path | None, typer.Option(help="Your SMPL; the open body where there is none.")
    ] = None,
) -> None:
    """Say which data sets lie below a folder, what is in them, what is wrong, and what to do next."""
    from pmnet.body import OPEN_BODY, BodyModel
    from pmnet.check import dataset_report

    model = BodyModel.load(body or OPEN_BODY)
    reports = []
    for report in dataset_report.check(root, model):
        reports.append(report)
        if not as_json:
            typer.echo("\n".join(dataset_report.as_text(report)) + "\n")
        if pictures is not None and report.samples is not None:
            dataset_report.draw(report, model, pictures)
    typer.echo(
        dataset_report.as_json(reports) if as_json else dataset_report.verdict(root, reports)
    )
    if not reports or any(report.wrong for report in reports):
        raise typer.Exit(1)


@app.command()
def template(out: Path) -> None:
    """Write an .npz or .csv of two rows to fill with data of your own (adapter `generic`)."""
    from pmnet.datasets.generic import write_template

    write_template(out)
    typer.echo(f"{out}: two rows to be replaced; see docs/data.md for every column")


@app.command()
def repro(
    jobs: Annotated[int, typer.Option(help="Runs trained at once; 0: one a core or GPU.")] = 0,
) -> None:
    """Run the graph, with several runs trained at once: `dvc repro` trains one after the other."""
    from pmnet.runs.pool import repro_parallel

    repro_parallel(jobs)


@app.command()
def sweep(
    experiments: Annotated[Path, typer.Argument(help="A .yaml of experiments.")],
    group: Annotated[
        list[str] | None, typer.Option(help="Only this group; give it again for more.")
    ] = None,
    devices: Annotated[int, typer.Option(help="Trainings at once; 0: one a GPU.")] = 0,
) -> None:
    """Train and evaluate experiments that differ from params.yaml, one a GPU at a time."""
    from pmnet.core.stage import PARAMS
    from pmnet.runs.experiments import run_experiments

    run_experiments(experiments, PARAMS, group or [], devices)


@app.command()
def export(
    memory: Path,
    out: Annotated[Path, typer.Option(help="An .npz in the layout of smpl_mean_params.npz.")],
) -> None:
    """Write prototypes in the layout of SPIN's smpl_mean_params.npz, K rows instead of one."""
    from pmnet.memory.prototypes import PrototypeMemory

    found = PrototypeMemory.load(memory)
    found.export_spin(out)
    typer.echo(f"{len(found)} prototypes -> {out}")


@app.command("cluster-quality")
def cluster_quality(
    samples: Annotated[list[Path], typer.Argument(help="Files of samples (.arrow).")],
    out: Annotated[Path, typer.Option(help="Where the table (.csv) and the plot (.png) go.")],
    body: Annotated[Path, typer.Option(help="The body model of the samples.")] = Path(
        "data/body.npz"
    ),
    k: Annotated[list[int], typer.Option(help="Number of prototypes; give it again for more.")] = [  # noqa: B006
        5,
        10,
        50,
        100,
    ],
    seeds: Annotated[int, typer.Option(help="Searches for each K: drift is between them.")] = 3,
    space: Annotated[str, typer.Option(help="vertex | body_pose | parameter")] = "vertex",
    weights: Annotated[str, typer.Option(help="parts | flat")] = "parts",
) -> None:
    """Say how good and how stable a memory of each K would be; the rest is as in params.yaml."""
    from pmnet.clustering.build import MemoryRequest
    from pmnet.core import params
    from pmnet.core.device import device_of, set_threads
    from pmnet.core.stage import PARAMS
    from pmnet.memory.prototypes import SpaceName
    from pmnet.report.memory_quality import write_quality

    parts = Literal["parts", "flat"]
    machine = params.load(PARAMS, "machine", Machine, {})
    set_threads(machine)
    request = MemoryRequest(
        samples,
        body,
        params.load(PARAMS, "cluster", Cluster, {}),
        params.parse(SpaceName, space, "--space"),
        params.parse(parts, weights, "--weights"),
        machine.cache_gib,
        device_of(machine),
    )
    table = write_quality(request, k, seeds, out)
    typer.echo(table.to_string(index=False, float_format=lambda number: f"{number:.4g}"))


@app.command()
def findings(
    folder: Annotated[Path, typer.Argument(help="Has errors*.parquet and runs.csv.")] = Path(
        "reports/open"
    ),
    dataset: Annotated[
        str | None, typer.Option(help="The test set, where there are several.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Compare every run with this one too; give it again for more."),
    ] = None,
) -> None:
    """Rebuild tables, figures and the claim of a benchmark from its packed errors, and say the claim."""
    from pmnet.core.params import load
    from pmnet.core.stage import PARAMS
    from pmnet.report.benchmark.writing import write_findings
    from pmnet.report.options import ReportOptions

    report = load(PARAMS, "report", ReportOptions, {})
    typer.echo(write_findings(folder, dataset, against or [], report)["sentence"])


@errors_app.command("pack")
def pack_errors(
    errors: Annotated[list[Path], typer.Argument(help="Files of errors (.parquet).")],
    out: Annotated[
        Path, typer.Option(help="errors*.parquet in the folder of the findings.")
    ] = Path("reports/open/errors.parquet"),
) -> None:
    """Put the errors of many runs into one small file, and a line for each run into runs.csv beside it."""
    from pmnet.report.benchmark.listing import add_drafts
    from pmnet.report.benchmark.packed import Packed
    from pmnet.report.benchmark.packing import pack
    from pmnet.report.benchmark.writing import LISTING

    pack(errors, out)
    beside = Packed.load(sorted({out, *out.parent.glob("errors*.parquet")}))
    added = add_drafts(out.parent / LISTING, beside)
    typer.echo(f"{len(Packed.load([out]).runs)} runs, {out.stat().st_size / 1e6:.1f} MB -> {out}")
    if added:
        typer.echo(f"{out.parent / LISTING}: set group, against and label of {', '.join(added)}")


@body_app.command("import")
def import_body(
    file: Path,
    out: Annotated[Path, typer.Option(help="Where the plain .npz goes.")] = Path(
        "data/smpl/SMPL_NEUTRAL.npz"
    ),
    extra: Annotated[
        Path | None, typer.Option(help="SPIN's J_regressor_extra.npy, for the annotated joints.")
    ] = None,
    male: Annotated[
        Path | None,
        typer.Option(help="The male SMPL: the ground truth of men is then posed with it."),
    ] = None,
    female: Annotated[Path | None, typer.Option(help="The female SMPL.")] = None,
) -> None:
    """Read an official SMPL .pkl safely (no chumpy, no code of the file is run) and write an .npz."""
    from pmnet.body.files import read_body, with_gender, write_body
    from pmnet.body.keypoints import keypoint_regressor, read_extra

    arrays = read_body(file)
    if extra is not None:
        arrays["keypoint_regressor"] = keypoint_regressor(arrays, read_extra(extra))
    for gender, own in (("male", male), ("female", female)):
        if own is not None:
            arrays = with_gender(arrays, gender, own)
    write_body(out, arrays)
    typer.echo(f"{out}: set body.file to it in params.yaml")


def _add_stages(words: Sequence[str]) -> None:
    """Add each stage as a command; those that no word names only for the list: torch takes seconds."""
    for module in pkgutil.iter_modules(stages.__path__):
        # `body` is a group of commands already
        group, name = (body_app, "check") if module.name == "body" else (app, module.name)
        name = name.replace("_", "-")
        if name in words:
            code = importlib.import_module(f"stages.{module.name}")
            group.command(name)(as_command(getattr(code, module.name)))
        else:
            group.command(name, help=_described(module.name))(lambda: None)


def _described(stage: str) -> str | None:
    """Return what a stage says of itself, without importing it."""
    code = ast.parse((Path(stages.__path__[0]) / f"{stage}.py").read_text())
    found = (n for n in code.body if isinstance(n, ast.FunctionDef) and n.name == stage)
    return ast.get_docstring(next(found))


def main() -> None:
    """Run the command line; the user's errors are one line and exit code 1."""
    _add_stages(sys.argv[1:])
    with user_errors():
        app()


app.add_typer(body_app, name="body")
app.add_typer(errors_app, name="errors")
