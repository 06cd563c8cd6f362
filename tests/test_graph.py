"""dvc.yaml against the code: what a stage imports, reads and writes is what its entry says."""

import importlib
import itertools
import re
import shlex
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
from pmnet.datasets import Dataset, adapters
from pmnet.evaluation.options import Evaluate
from pmnet.images.options import Images
from pmnet.report.options import FigureSize, Pictures, ReportOptions
from pmnet.training.options import Train

PROFILES = {"root": ROOT, "paper": ROOT / "paper", "open": ROOT / "open"}
SECTIONS = {
    "machine": Machine,
    "datasets": dict[str, Dataset],
    "images": Images,
    "cluster": Cluster,
    "train": Train,
    "evaluate": Evaluate,
    "report": ReportOptions,
}
SWEPT = {"k": "k", "limb-weight": "limb_weight", "max-iterations": "max_iterations"}
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

    @property
    def script(self) -> str:
        """Return X of `python -m stages.X`."""
        return re.search(r"python -m stages\.(\w+)", self.cmd)[1]

    @property
    def options(self) -> dict[str, list[str]]:
        """Return the options of the command, each with the values it is given."""
        words = shlex.split(self.cmd)
        found: dict[str, list[str]] = {}
        for name, value in itertools.pairwise(words):
            if name.startswith("--"):
                found.setdefault(name[2:], []).append(value)
        return found

    def code(self, root: str) -> set[str]:
        """Return the dependencies that are code of the project."""
        inside = (dep.removeprefix(f"{root}/") for dep in self.deps if dep.startswith(f"{root}/"))
        return {dep for dep in inside if dep.endswith(".py")}


def plain(items: list[Any]) -> list[str]:
    """Return paths of a list of paths and {path: options}."""
    return [item if isinstance(item, str) else next(iter(item)) for item in items]


def resolve(folder: Path) -> dict[str, Entry]:
    """Return the stages of a profile as DVC resolves them."""
    graph = YAML(typ="safe", pure=True).load((folder / "dvc.yaml").read_text())
    with Repo(str(ROOT)) as repo:
        stages = DataResolver(repo, str(folder), graph).resolve()["stages"]
    return {
        name: Entry(
            name=name,
            cmd=values["cmd"],
            deps=plain(values.get("deps", [])),
            outs=plain(values.get("outs", []) + values.get("metrics", [])),
            params=plain(values.get("params", [])),
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
    scripts = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert {entry.script for entry in graph.values()} == scripts
    for name, entry in graph.items():
        assert name.partition("@")[0] == entry.script


# --- code


def is_adapter(file: str) -> bool:
    """Say whether a file is an adapter, imported by its name in params.yaml, or a shared piece of them."""
    return file.startswith("pmnet/datasets/") and file in ADAPTERS


ADAPTERS = {
    file
    for name in adapters()
    for file in import_closure(ROOT / f"pmnet/datasets/{name}.py")
    if Path(file).stem not in ("__init__", "sets")
}


def test_a_stage_depends_on_the_code_it_imports(graph, profile):
    root = "." if profile == "root" else ".."
    for entry in graph.values():
        imported = import_closure(ROOT / "stages" / f"{entry.script}.py")
        listed = entry.code(root)
        if entry.script == "ingest":
            adapters = [file for file in listed if is_adapter(file)]
            imported = imported.union(*(import_closure(ROOT / file) for file in adapters))
        else:
            assert not {file for file in listed if is_adapter(file)}
        assert (entry.name, listed - imported) == (entry.name, set())
        assert (entry.name, imported - listed) == (entry.name, set())


def test_ingest_depends_on_all_that_its_adapter_imports(graph, graphs, profile):
    root = "." if profile == "root" else ".."
    folder = PROFILES[profile]
    datasets = params.load(folder / "params.yaml", "datasets", dict[str, Dataset], {})
    for name, dataset in datasets.items():
        adapter = ROOT / f"pmnet/datasets/{dataset.adapter}.py"
        listed = graph[f"ingest@{name}"].code(root)
        assert import_closure(adapter) - listed == set()


# --- params


def sections_of(entry: Entry) -> set[str]:
    """Return the sections of params.yaml that the function of a stage reads."""
    function = getattr(importlib.import_module(f"stages.{entry.script}"), entry.script)
    given = {name.replace("-", "_"): values[0] for name, values in entry.options.items()}
    found = (argument.section for argument in arguments(function))
    return {section.format(**given) for section in found if section is not None}


def test_a_stage_tracks_the_sections_it_reads(graph):
    for entry in graph.values():
        if entry.script != "cluster":
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
        assert (entry.name, set(entry.params)) == (entry.name, {f"cluster.{n}" for n in tracked})
    fields = set(get_type_hints(Cluster))
    assert fields == {"seed", "tolerance", "init", "restarts", "part_weights", *SWEPT.values()}


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
            assert path in [*entry.deps, *entry.outs], f"{entry.name}: --{option} {path}"


def test_every_output_is_named_by_the_command(graph):
    for entry in graph.values():
        named = {path for _, path in paths_of(entry)}
        # the page beside a table has the table's name
        named |= {re.sub(r"\.csv$", ".md", path) for path in named}
        assert set(entry.outs) <= named, entry.name


def test_every_data_dependency_is_the_output_of_a_stage_or_a_source(graph, profile):
    folder = PROFILES[profile]
    outs = {out for entry in graph.values() for out in entry.outs}
    sources = {params.read(folder / "params.yaml", "body.file")}
    datasets = params.read(folder / "params.yaml", "datasets")
    sources |= {dataset["source"] for dataset in datasets.values()}
    for entry in graph.values():
        for dep in entry.deps:
            if "/pmnet/" in dep or dep.endswith(".py") or dep in outs | sources:
                continue
            assert any(out.startswith(f"{dep}/") for out in outs), f"{entry.name}: {dep}"


def test_code_dependencies_exist(graph, profile):
    for entry in graph.values():
        for dep in entry.deps:
            assert not dep.endswith(".py") or (PROFILES[profile] / dep).is_file(), dep


# --- runs and profiles


def test_the_paper_has_its_fourteen_runs(graphs):
    for profile in ("paper", "open"):
        for stage in ("cluster", "train", "evaluate"):
            names = [n.partition("@") for n in graphs[profile] if n.startswith(f"{stage}@")]
            assert len(names) == 14
            assert {run for _, _, run in names} == PAPER_RUNS


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
def test_profiles_share_the_one_graph(name):
    link = PROFILES[name] / "dvc.yaml"
    assert link.is_symlink()
    assert link.readlink() == Path("../dvc.yaml")
    assert link.resolve() == ROOT / "dvc.yaml"


def test_every_params_file_is_read_by_the_dataclasses(profile):
    file = PROFILES[profile] / "params.yaml"
    for section, kind in SECTIONS.items():
        params.load(file, section, kind, {})
    for name in ("distance", "reduction", "k_sweep", "limb_sweep"):
        params.load(file, f"figures.{name}", FigureSize, {})
    for name in ("parts", "prototypes", "gallery", "contact_sheet"):
        params.load(file, f"figures.{name}", Pictures, {})
    for name, dataset in params.load(file, "datasets", dict[str, Dataset], {}).items():
        adapter = importlib.import_module(f"pmnet.datasets.{dataset.adapter}")
        assert is_dataclass(adapter.Options)
        params.parse(adapter.Options, dataset.options, f"{file}: datasets.{name}.options")
    assert len(params.read(file, "sweeps.k")) == 6
    assert len(params.read(file, "sweeps.limb_weight")) == 5


def test_params_files_have_no_section_that_nobody_reads(profile):
    file = PROFILES[profile] / "params.yaml"
    whole = YAML(typ="safe", pure=True).load(file.read_text())
    # paths, body and sweeps are read by dvc.yaml
    assert set(whole) == {*SECTIONS, "figures", "paths", "body", "sweeps"}
    assert set(whole["figures"]) == {
        *("distance", "reduction", "k_sweep", "limb_sweep"),
        *("parts", "prototypes", "gallery", "contact_sheet"),
    }
