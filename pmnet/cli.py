"""The command line: every stage is a command, and so is what users do besides the graph.

A command imports what it needs when it runs: `pmnet --help` must wait for no library but typer.
"""

import ast
import importlib
import io
import pkgutil
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

import pmnet
import stages

USE, DATA, STAGES, REPORTS = "Use", "Data", "Stages (dvc.yaml runs them)", "Reports"


class LazyStages(TyperGroup):
    """Commands of which some are stages: the code of a stage is imported when the stage is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that was called, its name and its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        module = getattr(getattr(command, "callback", None), "stage", None)
        return name, command if module is None else _stage_command(module), rest


app = typer.Typer(
    cls=LazyStages,
    help="PM-Net: 3D human reconstruction of rare poses with a prototype memory.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
body_app = typer.Typer(cls=LazyStages, no_args_is_help=True)
errors_app = typer.Typer(no_args_is_help=True)
memory_app = typer.Typer(no_args_is_help=True)


def _print_version(asked: bool) -> bool:
    if asked:
        typer.echo(f"pmnet {pmnet.__version__}")
        raise typer.Exit
    return asked


def _refuse_unwritable(path: Path, folder: bool = False) -> None:
    from pmnet.core.files import refuse_unwritable

    refuse_unwritable(path, folder)


def _checked(option: str, number: int, least: int) -> None:
    from annotated_types import Interval

    from pmnet.core.params import parse

    parse(Annotated[int, Interval(ge=least, le=100_000)], number, option)


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Take the options that belong to no command."""


@app.command(rich_help_panel=USE)
def info(file: Path) -> None:
    """Describe a file that pmnet wrote (samples, images, memory, weights, errors) or a body model."""
    from pmnet.report.describe import describe

    for line in describe(file):
        typer.echo(line)


@app.command(rich_help_panel=USE)
def predict(
    source: Annotated[Path, typer.Argument(help="A picture, or a folder of pictures or frames.")],
    run: Annotated[str, typer.Option(help="A trained run: its folder, or its name below runs/.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    seed: Annotated[
        int | None, typer.Option(help="Of the weights; by default the first that is there.")
    ] = None,
    boxes: Annotated[
        str,
        typer.Option(help="whole | a file (.csv, .json, .npz) | torchvision:NAME (downloads it)."),
    ] = "whole",
    save: Annotated[
        str, typer.Option(help="Any of npz, obj, glb, amass, overlay, sheet; with commas.")
    ] = "npz,overlay",
    fps: Annotated[
        float | None,
        typer.Option(help="The pictures are frames of a video: for amass and a moving glb."),
    ] = None,
    glb: Annotated[str, typer.Option(help="skeleton | plain")] = "skeleton",
    focal_length: Annotated[
        float | None,
        typer.Option(help="In px of the picture; by default 5000 / 256 of its longer side."),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="Width of the square that is seen, in widths of the box.")
    ] = 1.2,
    min_score: Annotated[
        float, typer.Option(help="Least score of a person that torchvision detects.")
    ] = 0.7,
    body: Annotated[
        Path | None, typer.Option(help="The body model of the run; by default its project's.")
    ] = None,
    mean: Annotated[
        Path | None, typer.Option(help="The mean body; by default evaluate.mean of the project.")
    ] = None,
    size_px: Annotated[
        int | None,
        typer.Option(help="Side of the crops; by default images.size_px of the project."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | cuda:N")] = "auto",
    readers: Annotated[
        int,
        typer.Option(
            help="Threads, or processes beside a GPU, that open pictures; 0: one per core, at most 16."
        ),
    ] = 0,
    threads: Annotated[int, typer.Option(help="Torch threads of the network on a CPU.")] = 1,
) -> None:
    """Predict the bodies of people in pictures: numbers, meshes, overlays. Exit code 1: some had errors."""
    from pmnet.core import params
    from pmnet.core.ahead import MAX_WORKERS
    from pmnet.core.device import Machine, set_threads, workers_of
    from pmnet.predict.command import predict as predict_pictures
    from pmnet.predict.options import PredictOptions
    from pmnet.predict.trained import TrainedRun, find_run

    _checked("--threads", threads, 1)
    _checked("--readers", readers, 0)
    machine = Machine(device, readers, threads, 0.0, 0.0, 1, 1)
    options = params.parse(
        PredictOptions,
        {
            "out": str(out),
            "boxes": boxes,
            "margin": margin,
            "min_score": min_score,
            "focal_length": focal_length,
            "fps": fps,
            "save": [word.strip() for word in save.split(",")],
            "glb": glb,
            "readers": readers or min(workers_of(machine), MAX_WORKERS),
        },
        "pmnet predict",
    )
    _refuse_unwritable(out, folder=True)
    set_threads(machine)
    files = find_run(run, seed, body, mean, size_px)
    report = predict_pictures(source, TrainedRun(files, machine), options)
    for line in report.lines(out):
        typer.echo(line)
    if report.problems:
        raise typer.Exit(1)


@app.command(rich_help_panel=DATA)
def check(
    root: Path,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    pictures: Annotated[
        Path | None, typer.Option(help="Draw a contact sheet per data set into this folder.")
    ] = None,
    body: Annotated[Path | None, typer.Option(help="Your SMPL; by default the open body.")] = None,
    exif: Annotated[
        bool,
        typer.Option("--exif", help="Turn pictures as their EXIF headers say (images.upright)."),
    ] = False,
) -> None:
    """Check the data sets below a folder, or in one file: what is there, what is wrong, what to do next."""
    if pictures is not None:
        _refuse_unwritable(pictures, folder=True)
    from pmnet.body import OPEN_BODY, BodyModel
    from pmnet.check import dataset_report
    from pmnet.images.crops import Reading

    model = BodyModel.load(body or OPEN_BODY)
    reading = Reading(upright=exif)
    reports = []
    for report in dataset_report.check(root, model, reading):
        reports.append(report)
        if not as_json:
            typer.echo("\n".join(dataset_report.as_text(report)) + "\n")
        if pictures is not None and report.samples is not None:
            dataset_report.draw(report, model, pictures, reading)
    typer.echo(
        dataset_report.as_json(reports) if as_json else dataset_report.verdict(root, reports)
    )
    if not any(report.found.adapter for report in reports) or any(
        report.wrong for report in reports
    ):
        raise typer.Exit(1)


@app.command(rich_help_panel=DATA)
def fit(
    file: Annotated[
        Path,
        typer.Argument(
            help="Markers or joints: .c3d, .trc, .npz, .csv of one subject; or SUBJECT/CLIP below a folder; "
            "or a folder of 2D joints with the calibration of its cameras."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="The .npz to write, in AMASS's layout; of a folder: a folder.")
    ],
    body: Annotated[Path | None, typer.Option(help="Your SMPL; by default the open body.")] = None,
    markers: Annotated[
        Path | None, typer.Option(help="A table of labels beside the known ones (.yaml).")
    ] = None,
    poses: Annotated[
        Path | None,
        typer.Option(help="Samples (.arrow) whose poses the pose prior is learnt from."),
    ] = None,
    memory: Annotated[
        Path | None, typer.Option(help="A prototype memory (.npz): poses are drawn to the nearest.")
    ] = None,
    unit: Annotated[str, typer.Option(help="m, cm or mm; by default what the file says.")] = "",
    up: Annotated[
        str, typer.Option(help="The axis that is up: auto, x, y, z, -x, -y or -z.")
    ] = "auto",
    rate: Annotated[
        float, typer.Option(help="Frames per second of 2D joints whose files do not say it.")
    ] = 0.0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE of pmnet/fitting/defaults.yaml.")
    ] = None,
) -> None:
    """Fit bodies to markers or joints, and write their motions as AMASS does."""
    from pmnet.fitting.detections import has_calibration

    has_views = file.is_dir() and has_calibration(file)
    _refuse_unwritable(out, folder=file.is_dir() and not has_views)
    from pmnet.body import OPEN_BODY, BodyModel
    from pmnet.check.fits import finding_of_motions
    from pmnet.core import params
    from pmnet.core.yaml_files import parse_yaml
    from pmnet.datasets._recordings.fits import Unit, Up, fit_any_below
    from pmnet.fitting.files import fit_trajectories, read_trajectories, write_amass
    from pmnet.fitting.markers import TABLE, read_table
    from pmnet.fitting.options import fit_options
    from pmnet.fitting.recordings import FitSettings, Knowledge, hash_of
    from pmnet.fitting.view_files import fit_folder

    axis, own_unit = params.parse(Up, up, "--up"), params.parse(Unit, unit, "--unit")
    changes = [text.partition("=") for text in set_ or []]
    options = fit_options(
        {key: parse_yaml(value, f"--set {key}") for key, _, value in changes}, "--set"
    )
    table = {**read_table(TABLE), **(read_table(markers) if markers else {})}
    model = BodyModel.load(body or OPEN_BODY)
    if file.is_dir() and not has_views:
        sources = [model.sha256, *(hash_of(path) for path in (markers, poses, memory) if path)]
        files = fit_any_below(
            file,
            out,
            FitSettings(options, own_unit, axis),
            lambda: Knowledge(model, *_prior_and_people(poses, memory, model), table),
            sources,
        )
        typer.echo(finding_of_motions(files).text)
        typer.echo(f"{file}: {len(files)} files of motions -> {out}")
        return
    if has_views:
        prior, people = _prior_and_people(poses, memory, model)
        fitted = fit_folder(file, model, prior, people, options, axis, rate)
    else:
        trajectories = read_trajectories(file, own_unit)
        prior, people = _prior_and_people(poses, memory, model)
        fitted = fit_trajectories(file, trajectories, model, prior, people, options, table, axis)
    write_amass(out, fitted, model)
    for line in fitted.summary():
        typer.echo(line)
    typer.echo(f"{file} -> {out}")


def _prior_and_people(poses: Path | None, memory: Path | None, body: Any) -> tuple[Any, Any]:
    """Return the pose prior, and the bodies that it was learnt from: the user's, or families of actions."""
    from pmnet.datasets._recordings.people import prior_and_people
    from pmnet.memory.prototypes import PrototypeMemory

    means = PrototypeMemory.load(memory).prototypes.rotmats[:, 1:] if memory else None
    return prior_and_people(poses, body, means)


@app.command(rich_help_panel=DATA)
def template(out: Path) -> None:
    """Write an .npz or .csv with two example rows, to be filled with your own data (adapter `generic`)."""
    _refuse_unwritable(out)
    from pmnet.datasets.generic import write_template

    write_template(out)
    typer.echo(
        f"{out}: two example rows to replace, and their pictures; docs/data.md explains every column"
    )


@app.command(rich_help_panel=USE)
def repro(
    jobs: Annotated[
        int,
        typer.Option(help="Stages that run at once; 0: one per GPU, or per core; on SLURM all."),
    ] = 0,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="As jobs of SLURM, by machine.slurm of params.yaml.")
    ] = False,
) -> None:
    """Run the graph with several stages side by side; `dvc repro` runs them one after the other."""
    _checked("--jobs", jobs, 0)
    from pmnet.runs.repro import repro_parallel

    repro_parallel(jobs, slurm)


@app.command(rich_help_panel=USE, context_settings={"ignore_unknown_options": True})
def experiments(
    options: Annotated[
        list[str] | None,
        typer.Argument(help="Of dvc exp show: --md, --all-commits, --sort-by p3dh_mpvpe_mm ..."),
    ] = None,
) -> None:
    """Show DVC's experiments: headline numbers, and the parameters that differ."""
    from pmnet.runs.compare import show_experiments

    show_experiments(options or [])


@app.command(rich_help_panel=USE)
def sweep(
    experiments: Annotated[Path, typer.Argument(help="A .yaml file of experiments.")],
    group: Annotated[
        list[str] | None, typer.Option(help="Only this group; repeat the option for more.")
    ] = None,
    devices: Annotated[
        int, typer.Option(help="Trainings that run at once; 0: one per GPU; on SLURM all.")
    ] = 0,
    split: Annotated[
        list[str] | None,
        typer.Option(help="validation or test (the default): what is scored; repeat it for both."),
    ] = None,
    packed: Annotated[
        list[Path] | None,
        typer.Option(help="Leave out seeds whose errors are packed in this file."),
    ] = None,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="As jobs of SLURM, by machine.slurm of params.yaml.")
    ] = False,
    dry: Annotated[
        bool, typer.Option("--dry", help="Write sweeps/dvc.yaml, count what is to do, run nothing.")
    ] = False,
) -> None:
    """Train and evaluate experiments that differ from params.yaml, one per GPU at a time."""
    from pmnet.core.params import parse

    _checked("--devices", devices, 0)
    from pmnet.runs.sweep import run_experiments

    splits = parse(list[Literal["validation", "test"]], split or ["test"], "--split")
    run_experiments(experiments, group or [], devices, splits, packed or [], slurm, dry)


@app.command(rich_help_panel=USE)
def score(
    predictions: Annotated[
        Path, typer.Argument(help="A file of predictions (docs/score.md), or a folder of them.")
    ],
    dataset: Annotated[
        str | None, typer.Option(help="The data set of params.yaml that was predicted.")
    ] = None,
    samples: Annotated[
        Path | None, typer.Option(help="Its samples (.arrow), instead of --dataset.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The name of the model; by default the file's.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="A protocol by name, or all; by default that of evaluate.protocols."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the error of each sample (.parquet).")
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Errors of a run (.parquet) to compare with; repeat it for more."),
    ] = None,
    tail: Annotated[
        list[int] | None,
        typer.Option(help="Per cent of a tail; repeat it for more. By default report.tails."),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(help="Names of the rows, where the predictions have none: .npz or .txt."),
    ] = None,
    use: Annotated[
        str | None,
        typer.Option(help="pose, vertices or joints; by default the first that there is."),
    ] = None,
    turn: Annotated[
        str, typer.Option(help="Half a turn about an axis: x180, y180, z180 or none.")
    ] = "none",
    mapping: Annotated[
        Path | None, typer.Option(help="How another mesh maps to SMPL's (.npz).")
    ] = None,
    triangles: Annotated[
        Path | None, typer.Option(help="The triangles of that mesh (.npy or .npz).")
    ] = None,
    trust_order: Annotated[
        bool, typer.Option("--trust-order", help="Accept rows that seem shuffled.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out samples without a prediction.")
    ] = False,
    body: Annotated[
        Path | None, typer.Option(help="The body model; by default data/body.npz.")
    ] = None,
    mean: Annotated[
        Path | None,
        typer.Option(help="The body of the distances; by default that of evaluate.mean."),
    ] = None,
    memory: Annotated[
        Path | None, typer.Option(help="A memory, for the prototypes that samples are assigned to.")
    ] = None,
) -> None:
    """Score the predictions of any system: means, tails, balanced errors, gains over other runs."""
    from pmnet.core.params import parse

    if out is not None:
        _refuse_unwritable(out)
    for percent in tail or []:
        _checked("--tail", percent, 1)
    from pmnet.evaluation.predictions.options import Turn, Use
    from pmnet.evaluation.predictions.reading import Beside
    from pmnet.evaluation.predictions.scoring import Reading
    from pmnet.report.scoring import ScoreRequest, score_file

    chosen = None if use is None else parse(Use, use, "--use")
    reading = Reading(chosen, parse(Turn, turn, "--turn"), trust_order, allow_missing)
    request = ScoreRequest(
        predictions=predictions,
        dataset=dataset,
        samples=samples,
        name=name,
        protocol=protocol,
        beside=Beside(names, mapping, triangles),
        reading=reading,
        body=body,
        mean=mean,
        memory=memory,
    )
    for line in score_file(request, out, against or [], tail or []):
        typer.echo(line)


@app.command(rich_help_panel=USE)
def export(
    memory: Path,
    out: Annotated[Path, typer.Option(help="The .npz to write.")],
) -> None:
    """Write prototypes in the layout of SPIN's smpl_mean_params.npz, with K rows instead of one."""
    _refuse_unwritable(out)
    from pmnet.memory.prototypes import PrototypeMemory

    prototypes = PrototypeMemory.load(memory)
    prototypes.export_spin(out)
    typer.echo(f"{len(prototypes)} prototypes -> {out}")


@app.command("cluster-quality", rich_help_panel=REPORTS)
def cluster_quality(
    samples: Annotated[list[Path], typer.Argument(help="Files of samples (.arrow).")],
    out: Annotated[Path, typer.Option(help="Path of the table (.csv) and of the plot (.png).")],
    body: Annotated[Path, typer.Option(help="The body model of the samples.")] = Path(
        "data/body.npz"
    ),
    k: Annotated[
        list[int], typer.Option(help="Number of prototypes; repeat the option for more.")
    ] = [  # noqa: B006
        5,
        10,
        50,
        100,
    ],
    seeds: Annotated[
        int, typer.Option(help="Clusterings per K; drift is measured between them.")
    ] = 3,
    space: Annotated[str, typer.Option(help="vertex | body_pose | parameter")] = "vertex",
    weights: Annotated[str, typer.Option(help="parts | flat")] = "parts",
) -> None:
    """Report how good and how stable a memory is for several K; params.yaml has all other settings."""
    for suffix in (".csv", ".png"):
        _refuse_unwritable(out.with_suffix(suffix) if out.name else out)
    from pmnet.clustering.build import MemoryRequest
    from pmnet.clustering.options import Cluster
    from pmnet.core import params
    from pmnet.core.device import Machine, device_of, set_threads
    from pmnet.core.stage import PARAMS
    from pmnet.memory.prototypes import SpaceName
    from pmnet.report.memory_quality import write_quality

    _checked("--seeds", seeds, 1)
    for number in k:
        _checked("--k", number, 1)
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


@app.command(rich_help_panel=REPORTS)
def findings(
    folder: Annotated[Path, typer.Argument(help="It holds errors*.parquet and runs.csv.")] = Path(
        "reports/open"
    ),
    dataset: Annotated[str | None, typer.Option(help="The test set, if there are several.")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Compare every run with this one too; repeat the option for more."),
    ] = None,
) -> None:
    """Rebuild a benchmark's tables, figures and claim from its packed errors, and print the claim."""
    if folder.is_dir():
        for name in ("tables", "figures"):
            _refuse_unwritable(folder / name, folder=True)
    from pmnet.core.params import load
    from pmnet.core.stage import PARAMS
    from pmnet.report.benchmark.writing import write_findings
    from pmnet.report.options import ReportOptions

    report = load(PARAMS, "report", ReportOptions, {})
    typer.echo(write_findings(folder, dataset, against or [], report)["sentence"])


@app.command(rich_help_panel=REPORTS)
def page(
    folder: Annotated[
        Path, typer.Argument(help="It holds tables/table2.csv to table6.csv.")
    ] = Path("reports"),
    samples: Annotated[
        Path | None,
        typer.Option(help="What page-samples made; by default page_samples.npz in the folder."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The page; by default index.html in the folder.")
    ] = None,
) -> None:
    """Write the page of a folder of reports: tables, curves, and the samples as bodies to turn."""
    target = out or folder / "index.html"
    if folder.is_dir():
        _refuse_unwritable(target)
    from pmnet.report.page.document import SAMPLES, write_page

    beside = folder / SAMPLES
    bodies = samples or (beside if beside.is_file() else None)
    size = write_page(folder, bodies, target)
    if bodies is None:
        typer.echo(f"no bodies: {beside} is not there; `pmnet page-samples` makes it")
    typer.echo(f"{size / 1e6:.1f} MB -> {target}")


@app.command(rich_help_panel=REPORTS)
def field(
    errors: Annotated[list[Path], typer.Argument(help="Error files of runs (.parquet).")],
    out: Annotated[Path, typer.Option(help="The table (.csv) to write.")] = Path(
        "reports/tables/field.csv"
    ),
) -> None:
    """Write metrics of the field beside the paper's: balanced errors (IHMR), per action, per sequence."""
    _refuse_unwritable(out)
    from pmnet.report.field import field_metrics
    from pmnet.report.files import write_csv
    from pmnet.report.run_errors import RunErrors

    measured = RunErrors.read(errors)
    table = field_metrics(measured)
    write_csv(table, out)
    whole = table[table["group"].isin(["all", "tail_10", "tail_5"])]
    typer.echo(whole.to_string(index=False, float_format=lambda number: f"{number:.2f}"))
    typer.echo(f"{measured.protocol()}\n{len(table)} rows -> {out}")


@errors_app.command("pack")
def pack_errors(
    errors: Annotated[
        list[Path], typer.Argument(help="Error files of runs, or packed ones (.parquet).")
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="The errors*.parquet to write, in a folder of findings; replaced if there."
        ),
    ],
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="Keep the errors on this data set only; repeat it for more."),
    ] = None,
    inference: Annotated[
        list[str] | None,
        typer.Option(
            help="Beside model, keep only this: INFERENCE or RUN:INFERENCE; repeat it for more."
        ),
    ] = None,
) -> None:
    """Pack the errors of many runs into one small file, and add each run to runs.csv beside it."""
    _refuse_unwritable(out)
    from pmnet.report.benchmark.listing import add_drafts
    from pmnet.report.benchmark.packed import load_packed
    from pmnet.report.benchmark.packing import Kept, pack
    from pmnet.report.benchmark.writing import LISTING

    pack(errors, out, Kept(dataset, inference))
    beside = load_packed(sorted({out, *out.parent.glob("errors*.parquet")}))
    added = add_drafts(out.parent / LISTING, beside)
    typer.echo(f"{len(load_packed([out]).runs)} runs, {out.stat().st_size / 1e6:.1f} MB -> {out}")
    if added:
        typer.echo(f"{out.parent / LISTING}: set group, against and label of {', '.join(added)}")


@memory_app.command("build")
def build_memory_of(
    poses: Annotated[
        list[Path],
        typer.Argument(help="Samples (.arrow), an npz with 'pose', AMASS's folder, any data set."),
    ],
    k: Annotated[int, typer.Option(help="Number of prototypes.")],
    out: Annotated[Path, typer.Option(help="The memory (.npz) to write.")],
    adapter: Annotated[
        str, typer.Option(help="Read only what this adapter knows, such as c3d or amass.")
    ] = "",
    body: Annotated[Path | None, typer.Option(help="Your SMPL; by default the open body.")] = None,
    limb_weight: Annotated[
        float, typer.Option(help="Weight of the limbs; the other parts keep the paper's weights.")
    ] = 5.0,
    init: Annotated[str, typer.Option(help="random (the paper) | kmeans++")] = "random",
    restarts: Annotated[int, typer.Option(help="K-Means runs; the best is kept.")] = 1,
    max_iterations: Annotated[int, typer.Option(help="Of K-Means.")] = 50,
    seed: Annotated[int, typer.Option(help="Of the first prototypes.")] = 0,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | cuda:N")] = "auto",
) -> None:
    """Cluster poses of your own into a prototype memory (P3DH), without the graph."""
    _refuse_unwritable(out)
    from dataclasses import replace

    from pmnet.body import OPEN_BODY, BodyModel
    from pmnet.clustering.poses import cluster_poses
    from pmnet.core import params
    from pmnet.core.device import Machine, device_of
    from pmnet.core.ranges import Seed, Weight
    from pmnet.datasets import adapters
    from pmnet.dropin.poses import read_poses

    if adapter and adapter not in adapters():
        raise pmnet.InputError(f"--adapter {adapter}: is not one of {', '.join(adapters())}")
    for option, number in (
        ("--k", k),
        ("--restarts", restarts),
        ("--max-iterations", max_iterations),
    ):
        _checked(option, number, 1)
    params.parse(Seed, seed, "--seed")
    params.parse(Weight, limb_weight, "--limb-weight")
    first = params.parse(Literal["random", "kmeans++"], init, "--init")
    on = device_of(Machine(device, 0, 1, 0.0, 0.0, 1, 1))
    model = BodyModel.load(body or OPEN_BODY)
    given = read_poses(poses, model, adapter)
    if k > len(given.params):
        raise pmnet.InputError(f"--k {k}: more prototypes than the {len(given.params)} bodies")
    memory = cluster_poses(
        given.params,
        model.to(on),
        k,
        seed=seed,
        limb_weight=limb_weight,
        init=first,
        restarts=restarts,
        max_iterations=max_iterations,
    )
    replace(memory, camera=given.camera).save(out)
    share = int(memory.sizes.max()) / len(given.params)
    typer.echo(
        f"{len(given.params)} bodies -> {k} prototypes, on average {memory.history[-1].mean_distance:.2f} "
        f"weighted m from their prototypes; the most common has {share:.1%} -> {out}"
    )


@memory_app.command("export")
def export_memory_to(
    memory: Path,
    out: Annotated[Path, typer.Option(help="The .npz to write.")],
    to: Annotated[str, typer.Option(help="spin (one body) | spin-stack (K bodies) | npz")],
    prototype: Annotated[int | None, typer.Option(help="Write this one only.")] = None,
) -> None:
    """Write prototypes for other people's code: SPIN's smpl_mean_params.npz, or plain arrays."""
    _refuse_unwritable(out)
    from pmnet.core import params
    from pmnet.dropin.export import Layout, export_memory
    from pmnet.memory.prototypes import PrototypeMemory

    layout = params.parse(Layout, to, "--to")
    count = export_memory(PrototypeMemory.load(memory), layout, out, prototype)
    typer.echo(f"{count} prototypes -> {out}")


@memory_app.command("import")
def import_memory(
    file: Annotated[Path, typer.Argument(help="SPIN's smpl_mean_params.npz.")],
    out: Annotated[Path, typer.Option(help="The memory (.npz) to write.")],
    body: Annotated[Path, typer.Option(help="The body model that its shape belongs to.")] = Path(
        "data/body.npz"
    ),
) -> None:
    """Read a mean body in SPIN's layout as a memory, for cluster.single and evaluate.mean."""
    _refuse_unwritable(out)
    from pmnet.body import BodyModel
    from pmnet.memory.spin import import_spin

    memory = import_spin(file, BodyModel.load(body))
    memory.save(out)
    typer.echo(f"{len(memory)} prototypes -> {out}")


@errors_app.command("means")
def score_errors(
    errors: Annotated[list[Path], typer.Argument(help="Error files of runs (.parquet).")],
    out: Annotated[Path, typer.Option(help="The table to add to.")] = Path(
        "reports/open/validation.csv"
    ),
) -> None:
    """Add the mean errors of runs to a table, by seed: what settings are chosen by, on validation."""
    _refuse_unwritable(out)
    from pmnet.core.params import load
    from pmnet.core.stage import PARAMS
    from pmnet.report.benchmark.validation import score
    from pmnet.report.options import ReportOptions

    rows = score(errors, out, load(PARAMS, "report", ReportOptions, {}))
    typer.echo(f"{rows} rows -> {out}")


@errors_app.command("density")
def measure_density(
    test: Annotated[Path, typer.Option(help="The list of test sets.")] = Path("data/test.json"),
    train: Annotated[Path, typer.Option(help="The list of training sets.")] = Path(
        "data/train.json"
    ),
    body: Annotated[Path, typer.Option(help="The body model of both.")] = Path("data/body.npz"),
    out: Annotated[
        Path, typer.Option(help="The density.parquet to write, in the folder of the findings.")
    ] = Path("density.parquet"),
) -> None:
    """Measure how near training bodies are to each test body, for findings by density."""
    _refuse_unwritable(out)
    from pmnet.body import BodyModel
    from pmnet.evaluation.density import write_density

    table = write_density(test, train, BodyModel.load(body), out)
    typer.echo(f"{len(table)} samples -> {out}")


@body_app.command("import")
def import_body(
    file: Path,
    out: Annotated[Path, typer.Option(help="The plain .npz to write.")] = Path(
        "data/smpl/SMPL_NEUTRAL.npz"
    ),
    extra: Annotated[
        Path | None, typer.Option(help="SPIN's J_regressor_extra.npy, for the annotated joints.")
    ] = None,
    h36m: Annotated[
        Path | None,
        typer.Option(help="SPIN's J_regressor_h36m.npy, for the joints that MPJPE is measured on."),
    ] = None,
    male: Annotated[
        Path | None,
        typer.Option(help="The male SMPL; ground truth of men is then posed with it."),
    ] = None,
    female: Annotated[Path | None, typer.Option(help="The female SMPL.")] = None,
) -> None:
    """Read an official SMPL .pkl safely (no chumpy; no code in the file is run) and write an .npz."""
    _refuse_unwritable(out)
    from pmnet.body.files import read_body, with_gender, write_body
    from pmnet.body.keypoints import keypoint_regressor, read_extra, read_h36m

    arrays = read_body(file)
    if extra is not None:
        arrays["keypoint_regressor"] = keypoint_regressor(arrays, read_extra(extra, arrays))
    if h36m is not None:
        arrays["h36m_regressor"] = read_h36m(h36m, arrays["v_template"])
    for gender, own in (("male", male), ("female", female)):
        if own is not None:
            arrays = with_gender(arrays, gender, own)
    write_body(out, arrays)
    typer.echo(f"{out}: set body.file to it in params.yaml")


def _add_stages() -> None:
    """Add each stage as a command that has its help text, and is loaded when it is called."""
    for module in pkgutil.iter_modules(stages.__path__):
        # the launcher; and stages that are commands of their own above, which take a path as an argument
        if module.name.startswith("_") or module.name in ("page", "fit"):
            continue
        # `pmnet body` is a group of commands: the stage that checks a body is `pmnet body check`
        group, name = (body_app, "check") if module.name == "body" else (app, module.name)
        panel = None if group is body_app else STAGES

        def placeholder() -> None:
            """Stand for a stage until `LazyStages` loads it."""

        placeholder.stage = module.name  # type: ignore[attr-defined]
        command = group.command(
            name.replace("_", "-"), help=_summary(module.name), rich_help_panel=panel
        )
        command(placeholder)


def _summary(stage: str) -> str | None:
    """Return the docstring of a stage function without importing its module."""
    code = ast.parse((Path(stages.__path__[0]) / f"{stage}.py").read_text())
    functions = (node for node in code.body if isinstance(node, ast.FunctionDef))
    return ast.get_docstring(next(node for node in functions if node.name == stage))


def _stage_command(stage: str) -> Any:
    """Return a stage as a command, with the options that its function has."""
    from pmnet.core.stage import as_command

    module = importlib.import_module(f"stages.{stage}")
    alone = typer.Typer(add_completion=False)
    alone.command(stage.replace("_", "-"))(as_command(getattr(module, stage)))
    return typer.main.get_command(alone)


def main() -> None:
    """Run the command line; an error that the user can mend is one line and exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need not be UTF-8
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except Exception:
        from pmnet.core.stage import user_errors

        with user_errors():
            raise


app.add_typer(body_app, name="body", help="Read and check body models.", rich_help_panel=DATA)
app.add_typer(
    memory_app, name="memory", help="Build, export and import memories.", rich_help_panel=USE
)
app.add_typer(
    errors_app,
    name="errors",
    help="Pack or average the errors of runs, and measure density.",
    rich_help_panel=REPORTS,
)
_add_stages()

if __name__ == "__main__":
    main()
