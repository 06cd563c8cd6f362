"""dvc.yaml against the code: what a stage imports, reads and writes is what its entry says."""

import importlib
import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from dvc.parsing import DataResolver
from dvc.repo import Repo
from import_closure import ROOT, import_closure
from ruamel.yaml import YAML

from pmnet.clustering.options import Cluster
from pmnet.core import params
from pmnet.core.device import Machine
from pmnet.core.stage import arguments
from pmnet.datasets import Dataset
from pmnet.evaluation.options import Evaluate
from pmnet.evaluation.predictions.options import Comparator
from pmnet.images.options import Images
from pmnet.report.options import (
    FigureSize,
    PageOptions,
    Pictures,
    ReportOptions,
    VectorFormat,
)
from pmnet.runs.slurm import SlurmOptions
from pmnet.training.options import Train
from stages.fit import Recordings

PROFILES = {"root": ROOT, "paper": ROOT / "paper", "open": ROOT / "open"}
SECTIONS = {
    "machine": Machine,
    "datasets": dict[str, Dataset],
    "images": Images,
    "cluster": Cluster,
    "train": Train,
    "evaluate": Evaluate,
    "comparators": dict[str, Comparator],
    "fits": dict[str, Recordings],
    "report": ReportOptions,
}
SWEPT = {"k": "k", "limb-weight": "limb_weight", "max-iterations": "max_iterations"}
COMPARATOR = {
    "label": "Other",
    "source": "data/predictions/other",
    "use": "first",
    "turn": "none",
    "trust_order": False,
}
RECORDINGS = {
    "adapter": "c3d",
    "source": "data/recordings",
    "options": {"fit": {}, "markers": None, "poses": None, "unit": "", "up": "auto"},
}
PAPER_RUNS = {
    *("single", "naive_k50", "random_k50", "3dh_k50"),
    *(f"p3dh_k{k}_l5.0" for k in (5, 10, 50, 100, 500, 1000)),
    *(f"p3dh_k50_l{weight}" for weight in ("1.0", "3.0", "7.0", "10.0")),
}


@dataclass(frozen=True)
class Entry:
    """A stage of the resolved graph."""

    name: str
    cmd: str
    deps: list[str]
    outs: list[str]
    params: list[str]
    desc: str

    @property
    def script(self) -> str:
        """Return X of `python stages X`."""
        python, launcher, script, *_ = shlex.split(self.cmd)
        assert python == "python" and launcher == "stages", self.cmd
        return script

    @property
    def options(self) -> dict[str, list[str]]:
        """Return the options of the command, each with the values it is given; the launcher fills {key}."""
        words = [
            word.replace("{key}", self.name.partition("@")[2]) for word in shlex.split(self.cmd)
        ]
        found: dict[str, list[str]] = {}
        for name, value in itertools.pairwise(words):
            if name.startswith("--"):
                found.setdefault(name[2:], []).append(value)
        return found

    @property
    def code(self) -> set[str]:
        """Return the dependencies that are folders and files of the project's code."""
        inside = {dep for dep in self.deps if dep.startswith(("pmnet/", "stages/"))}
        return {dep for dep in inside if not dep.endswith(".npz")}  # the open body is data


def plain(items: list[Any]) -> list[str]:
    """Return paths of a list of paths and {path: options}."""
    return [item if isinstance(item, str) else next(iter(item)) for item in items]


def resolve(folder: Path) -> dict[str, Entry]:
    """Return the stages of a profile as DVC resolves them."""
    graph = YAML(typ="safe", pure=True).load((folder / "dvc.yaml").read_text())
    # the profiles have none
    graph["vars"] = [{"comparators": {"other": COMPARATOR}}, {"fits": {"people": RECORDINGS}}]
    with Repo(str(folder)) as repo:
        stages = DataResolver(repo, str(folder), graph).resolve()["stages"]
    return {
        name: Entry(
            name=name,
            cmd=values["cmd"],
            deps=plain(values.get("deps", [])),
            outs=plain(values.get("outs", []) + values.get("metrics", [])),
            params=plain(values.get("params", [])),
            desc=values.get("desc", ""),
        )
        for name, values in stages.items()
    }


@pytest.fixture(scope="module")
def graphs() -> dict[str, dict[str, Entry]]:
    return {profile: resolve(folder) for profile, folder in PROFILES.items()}


@pytest.fixture(params=PROFILES, scope="module")
def profile(request) -> str:
    return request.param


@pytest.fixture
def graph(graphs, profile) -> dict[str, Entry]:
    return graphs[profile]


def test_every_script_is_a_stage_and_every_stage_a_script(graph):
    scripts = {path.stem for path in (ROOT / "stages").glob("[!_]*.py")}
    assert {entry.script for entry in graph.values()} == scripts
    for name, entry in graph.items():
        number = entry.options["number"][0] if entry.script == "table" else ""
        assert name.partition("@")[0] == entry.script + number


# --- code


def imported_by(entry: Entry) -> set[str]:
    """Return the files that a stage imports, those of its adapter included."""
    files = import_closure(ROOT / "stages" / f"{entry.script}.py")
    for folder in entry.code:
        if (
            folder.startswith("pmnet/datasets/") and "/_" not in folder
        ):  # imported by its name in params.yaml
            files |= import_closure(ROOT / folder / "__init__.py")
    return files


def is_below(file: str, dep: str) -> bool:
    return file == dep or file.startswith(f"{dep}/")


def test_a_stage_depends_on_the_folders_it_imports_from(graph):
    for entry in graph.values():
        imported, listed = imported_by(entry), entry.code
        missing = {file for file in imported if not any(is_below(file, dep) for dep in listed)}
        assert (entry.name, missing) == (entry.name, set())
        idle = {dep for dep in listed if not any(is_below(file, dep) for file in imported)}
        assert (entry.name, idle) == (entry.name, set())


def test_code_is_listed_by_folders_of_the_package(graph):
    for entry in graph.values():
        alone = {f"stages/{entry.script}.py", "pmnet/datasets/__init__.py"}
        assert {dep for dep in entry.code if dep.endswith(".py")} <= alone, entry.name


def test_ingest_depends_on_its_adapter_and_on_no_other(graph, profile):
    file = PROFILES[profile] / "params.yaml"
    for name, dataset in params.load(file, "datasets", dict[str, Dataset], {}).items():
        folders = {dep for dep in graph[f"ingest@{name}"].code if dep.startswith("pmnet/datasets/")}
        shared = {"pmnet/datasets/__init__.py", "pmnet/datasets/_shared"}
        assert folders == {*shared, f"pmnet/datasets/{dataset.adapter}"}


def test_importing_the_package_imports_no_module_of_it():
    code = "import pmnet, sys; assert not [m for m in sys.modules if m.startswith('pmnet.')]"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_stage_says_what_it_is_for(graph):
    assert [entry.name for entry in graph.values() if not entry.desc] == []


# --- commands


def test_no_command_needs_a_variable_of_the_shell(graph):
    for entry in graph.values():
        assert not set("$`;&|<>") & set(entry.cmd), entry.cmd


def test_values_of_params_files_are_quoted_in_commands():
    for line in (ROOT / "dvc.yaml").read_text().splitlines():
        words = line.partition("cmd:")[2] or line.strip()
        if "cmd:" in line or words.startswith(("--", "python ")):
            # DVC quotes the values of a section itself
            words = re.sub(r"'[^']*'", "", words.replace("${body}", ""))
            assert "${" not in words, line


# --- params


def sections_of(entry: Entry) -> set[str]:
    """Return the sections of params.yaml that the function of a stage reads."""
    function = getattr(importlib.import_module(f"stages.{entry.script}"), entry.script)
    given = {name.replace("-", "_"): values[0] for name, values in entry.options.items()}
    found = (argument.section for argument in arguments(function))
    return {section.format(**given) for section in found if section is not None}


def test_a_stage_tracks_the_sections_it_reads(graph):
    for entry in graph.values():
        if entry.script not in ("cluster", "train"):
            read = sections_of(entry) - {"machine"}
            assert (entry.name, sorted(entry.params)) == (entry.name, sorted(read))


def test_no_stage_tracks_the_machine(graph):
    for entry in graph.values():
        assert not [name for name in entry.params if name.startswith("machine")]


def test_clustering_takes_what_is_swept_from_its_command(graph):
    entries = [entry for entry in graph.values() if entry.script == "cluster"]
    assert entries
    for entry in entries:
        assert sections_of(entry) == {"cluster", "machine"}
        assert set(SWEPT) <= set(entry.options)
        parts = entry.options["weights"] == ["parts"]
        tracked = {"seed", "tolerance", "init", "restarts", *(["part_weights"] if parts else [])}
        tracked |= {"single"} if entry.options["k"] == ["1"] else set()
        assert (entry.name, set(entry.params)) == (entry.name, {f"cluster.{n}" for n in tracked})
    fields = set(get_type_hints(Cluster))
    every_run = {"seed", "tolerance", "init", "restarts"}
    assert fields == every_run | {"part_weights", "single", *SWEPT.values()}


def test_training_tracks_all_its_settings_but_the_seeds(graph):
    """So that an added seed trains that seed only."""
    settings = {f"train.{name}" for name in get_type_hints(Train) if name != "seeds"}
    for entry in graph.values():
        if entry.script == "train":
            assert sections_of(entry) == {"train", "machine"}
            assert (entry.name, set(entry.params)) == (entry.name, settings)
            assert len(entry.params) == len(settings)


# --- files


def paths_of(entry: Entry) -> Iterator[tuple[str, str]]:
    for option, values in entry.options.items():
        for value in values:
            if "/" in value or value.endswith((".npz", ".json", ".arrow", ".csv", ".png")):
                yield option, value


def test_every_path_of_a_command_is_a_dependency_or_an_output(graph):
    for entry in graph.values():
        paths = list(paths_of(entry))
        assert paths, entry.name
        for option, path in paths:
            known = [*entry.deps, *entry.outs, *(str(Path(out).parent) for out in entry.outs)]
            assert path in known, f"{entry.name}: --{option} {path}"


def test_every_output_is_named_by_the_command(graph):
    for entry in graph.values():
        named = {path for _, path in paths_of(entry)}
        # pages beside a table have the table's name, and a figure for papers that of the PNG
        beside = [(r"\.csv$", ".md"), (r"\.csv$", ".tex")]
        beside += [(r"\.png$", f".{vector}") for vector in entry.options.get("vector", [])]
        named |= {re.sub(old, new, path) for path in named for old, new in beside}
        if entry.script == "train":  # writes seed_S.pt and seed_S.csv into a folder
            (folder,), (seed,) = entry.options["out"], entry.options["seed"]
            named |= {f"{folder}/seed_{seed}.{suffix}" for suffix in ("pt", "csv")}
        assert set(entry.outs) <= named, entry.name


def test_every_data_dependency_is_the_output_of_a_stage_or_a_source(graph, profile):
    folder = PROFILES[profile]
    outs = {out for entry in graph.values() for out in entry.outs}
    files = ("body.file", "evaluate.mean")
    sources = {params.read(folder / "params.yaml", name) for name in files}
    datasets = params.read(folder / "params.yaml", "datasets")
    sources |= {dataset["source"] for dataset in datasets.values()}
    sources |= {str(COMPARATOR["source"]), str(RECORDINGS["source"])}
    for entry in graph.values():
        for dep in entry.deps:
            if dep in entry.code or dep in outs | sources:
                continue
            assert any(out.startswith(f"{dep}/") for out in outs), f"{entry.name}: {dep}"


def test_code_dependencies_exist(graph, profile):
    for entry in graph.values():
        for dep in entry.deps:
            assert dep not in entry.code or (PROFILES[profile] / dep).exists(), dep


# --- runs and profiles


def test_the_paper_has_its_fourteen_runs(graphs):
    for profile in ("paper", "open"):
        for stage in ("cluster", "evaluate"):
            names = [n.partition("@") for n in graphs[profile] if n.startswith(f"{stage}@")]
            assert len(names) == 14
            assert {run for _, _, run in names} == PAPER_RUNS
        trainings = [n.partition("@")[2] for n in graphs[profile] if n.startswith("train@")]
        seeds = params.read(PROFILES[profile] / "params.yaml", "train.seeds")
        assert sorted(trainings) == sorted(f"{run}-{seed}" for run in PAPER_RUNS for seed in seeds)


def test_the_trainings_are_those_of_the_runs(graph):
    runs = {name.partition("@")[2] for name in graph if name.startswith("cluster@")}
    trained = {n.partition("@")[2].rpartition("-")[0] for n in graph if n.startswith("train@")}
    assert trained == runs


def test_the_memories_of_table_2_differ_as_the_paper_says(graphs):
    def options(run: str) -> dict[str, str]:
        names = ("space", "weights", "k", "limb-weight", "max-iterations")
        return {name: graphs["paper"][f"cluster@{run}"].options[name][0] for name in names}

    method = options("p3dh_k50_l5.0")
    assert method == {
        "space": "vertex",
        "weights": "parts",
        "k": "50",
        "limb-weight": "5.0",
        "max-iterations": "50",
    }
    flat = {**method, "weights": "flat", "limb-weight": "1.0"}
    assert options("3dh_k50") == flat
    assert options("random_k50") == {**flat, "max-iterations": "0"}
    assert options("naive_k50") == {**flat, "space": "parameter"}
    assert options("single") == {**flat, "k": "1"}
    assert options("p3dh_k1000_l5.0") == {**method, "k": "1000"}
    assert options("p3dh_k50_l10.0") == {**method, "limb-weight": "10.0"}


def test_the_tables_take_the_runs_of_the_paper(graphs):
    def runs(stage: str) -> list[str]:
        return [path.split("/")[1] for path in graphs["paper"][stage].options["errors"]]

    memories = ["single", "naive_k50", "random_k50", "3dh_k50", "p3dh_k50_l5.0"]
    assert runs("table2") == runs("curves") == runs("summary") == memories
    assert runs("table3") == runs("table4") == ["single", "p3dh_k50_l5.0"]
    assert runs("table5") == [f"p3dh_k{k}_l5.0" for k in (5, 10, 50, 100, 500, 1000)]
    assert runs("table6") == [f"p3dh_k50_l{w}" for w in ("1.0", "3.0", "5.0", "7.0", "10.0")]


@pytest.mark.parametrize("name", ["paper", "open"])
def test_a_profile_is_a_project_with_the_one_graph_and_the_one_cache(name):
    folder = PROFILES[name]
    assert (folder / ".dvc").is_dir() and not (folder / "dvc.yaml").is_symlink()
    same = (folder / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert same, f"dvc.yaml was edited: run `cp dvc.yaml {name}/`"
    for code in ("pmnet", "stages"):
        assert (folder / code).readlink() == Path("..") / code
    with Repo(str(folder)) as repo, Repo(str(ROOT)) as root:
        assert Path(repo.cache.local.path).resolve() == Path(root.cache.local.path).resolve()
        assert Path(repo.plots.templates_dir).resolve() == ROOT / ".dvc/plots"


def test_the_root_knows_no_stage_of_a_profile():
    with Repo(str(ROOT)) as repo:
        assert {Path(stage.path) for stage in repo.index.stages} == {ROOT / "dvc.yaml"}


def test_every_params_file_is_read_by_the_dataclasses(profile):
    file = PROFILES[profile] / "params.yaml"
    for section, kind in SECTIONS.items():
        params.load(file, section, kind, {})
    params.load(file, "machine.slurm", SlurmOptions, {})
    for name in ("distance", "reduction", "k_sweep", "limb_sweep"):
        params.load(file, f"figures.{name}", FigureSize, {})
    params.load(file, "figures.vector", VectorFormat, {})
    for name in ("parts", "prototypes", "gallery", "contact_sheet"):
        params.load(file, f"figures.{name}", Pictures, {})
    params.load(file, "figures.page", PageOptions, {})
    for name, dataset in params.load(file, "datasets", dict[str, Dataset], {}).items():
        adapter = importlib.import_module(f"pmnet.datasets.{dataset.adapter}")
        assert is_dataclass(adapter.Options)
        params.parse(adapter.Options, dataset.options, f"{file}: datasets.{name}.options")
    assert len(params.read(file, "sweeps.k")) == 6
    assert len(params.read(file, "sweeps.limb_weight")) == 5


def test_params_files_have_no_section_that_nobody_reads(profile):
    file = PROFILES[profile] / "params.yaml"
    whole = YAML(typ="safe", pure=True).load(file.read_text())
    # body and sweeps are read by dvc.yaml
    assert set(whole) == {*SECTIONS, "figures", "body", "sweeps"}
    assert set(whole["figures"]) == {
        "vector",
        *("distance", "reduction", "k_sweep", "limb_sweep"),
        *("parts", "prototypes", "gallery", "contact_sheet", "page"),
    }
