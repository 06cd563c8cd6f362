"""The paper's graph, really run by DVC at a tiny size on fixtures in the layouts that it names.

From all data sets to Tables II to VI and the galleries; its other leaves are those of the toy graph. The
licensed files are stand-ins made for the open body: regressors, gendered bodies, SPIN's mean body, weights.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import field_rules
import layouts_others
import layouts_studio
import layouts_wild
import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from bodies import facing
from import_closure import ROOT
from people import People, draw_people
from predicted import Predicted, mmhuman3d_json, spin_by_names, spin_by_position
from regressors import gendered_arrays
from ruamel.yaml import YAML
from toy import Toy, copy_project

from pmnet.body import BodyModel, BodyParams, write_body
from pmnet.data.samples import Samples
from pmnet.evaluation.prediction import encode
from pmnet.images.file import Pixels
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.model.network import unpack
from pmnet.model.weights import load_memory, load_network
from pmnet.report.labels import DATASET_NAMES
from pmnet.runs.graph import tasks_to_do
from pmnet.runs.stage_server import VARIABLE, stage_server

N = 6
YAML_FILE = YAML(typ="safe", pure=True)
TABLES = (2, 3, 4, 5, 6)
RUNS = ("single", "naive_k3", "random_k3", "3dh_k3", "p3dh_k3_l5.0")
SPIN = {"label": "SPIN", "source": "data/predictions/spin", "use": "first", "turn": "none"}
SCORED = ("h36m", "pw3d", "mpi_inf_3dhp")  # what there are predictions of
WILD = {"coco_train": "coco", "mpii_train": "mpii", "lsp_extended_train": "lsp_extended"}


def shrink(params: dict[str, Any]) -> None:
    """Make the paper's settings small enough for a test; its data sets stay as they are."""
    params["machine"] |= {"device": "cpu", "workers": 1, "threads": 1, "log_every": 1}
    params["images"] |= {"size_px": 64}
    params["cluster"] |= {"k": 3, "max_iterations": 2}
    params["sweeps"] = {"k": [3] * 6, "limb_weight": [5.0] * 5}
    params["train"] |= {"encoder": "squeezenet1_1", "weights": "data/encoder.pth", "hidden": 8}
    params["train"] |= {"steps": 2, "batch_size": 8}
    params["machine"] |= {"log_every": 1}
    params["report"] |= {"bootstrap": 20, "bins": 2}
    params["comparators"] = {"spin": {**SPIN, "trust_order": False}}
    for name in ("parts", "prototypes", "gallery", "contact_sheet"):
        params["figures"][name] = {"bodies": 1, "size_px": 32}


def write_data(data: Path, datasets: dict[str, Any]) -> None:
    """Write what docs/data.md tells users to put below paper/data."""
    people = draw_people(N)
    (data / "smpl").mkdir(parents=True)
    (data / "scratch").mkdir()
    write_body(data / "smpl" / "SMPL_NEUTRAL.npz", gendered_arrays(data / "scratch"))
    torch.save(torchvision.models.squeezenet1_1().state_dict(), data / "encoder.pth")
    spin = data / "spin"
    spin.mkdir()
    none = torch.empty(0, dtype=torch.long), torch.empty(0), None
    mean = PrototypeMemory(facing(), *none, torch.tensor([0.9, 0, 0]), "")
    mean.export_spin(spin / "smpl_mean_params.npz")
    for name, wild in WILD.items():
        layouts_wild.write_spin(data / "scratch" / name, people, wild)
        layouts_wild.write_fits(data / "scratch" / name, people, wild, "spin")
        shutil.copytree(data / "scratch" / name / "data", spin, dirs_exist_ok=True)
    layouts_studio.write_mpi_train_npz(data / "scratch" / "mpi", people)
    shutil.copytree(data / "scratch" / "mpi" / "data", spin, dirs_exist_ok=True)
    layouts_studio.write_mpi_test_npz(data / "scratch" / "mpi_test", people)
    shutil.copytree(
        data / "scratch" / "mpi_test" / "extras", spin / "dataset_extras", dirs_exist_ok=True
    )
    write_h36m(spin / "dataset_extras", people)
    shutil.rmtree(data / "scratch")
    layouts_others.write_pw3d(data / "3dpw")
    layouts_others.write_up3d(data, people)
    for entry in datasets.values():
        if "file" in entry["options"]:
            write_images(data.parent, entry, people)


def write_h36m(folder: Path, people: People) -> None:
    """Write PyMAF's two files: training subjects, and those of protocol 2 by the frontal camera."""
    keys = ("part", "openpose", "pose", "shape", "S")
    for file, subjects in (
        ("h36m_mosh_train.npz", ("S1", "S5", "S6", "S7", "S8")),
        ("h36m_mosh_valid_p2.npz", ("S9", "S11")),
    ):
        shots = [
            (subject, action, 3, frame)
            for subject, action, _, frame in layouts_studio.h36m_shots(len(people), subjects)
        ]
        names = layouts_studio.h36m_names(shots)
        layouts_studio.write_npz(folder / file, names, people, *keys)


def write_images(folder: Path, entry: dict[str, Any], people: People) -> None:
    with np.load(folder / entry["source"] / entry["options"]["file"]) as archive:
        names = [str(name) for name in archive["imgname"]]
    for row, name in enumerate(names):
        people.write(row, folder / entry["options"]["images"] / name)


def write_predictions(paper: Path) -> None:
    """Write prediction files of another system: two layouts of SPIN, and mmhuman3d's."""
    folder, body = paper / SPIN["source"], BodyModel.load(paper / "data/body.npz")
    writers = dict(zip(SCORED, (spin_by_position, spin_by_names, mmhuman3d_json), strict=True))
    for dataset, write in writers.items():
        samples = Samples.load(paper / f"data/samples/test/{dataset}.arrow")
        scratch = folder / f".{dataset}"
        scratch.mkdir(parents=True)
        predictions = Predicted(body, samples, guessed(samples))
        file, beside = write(scratch, predictions)
        file.rename(folder / f"{dataset}{file.suffix}")
        if beside.names:
            beside.names.rename(folder / f"{dataset}.names.npz")
        scratch.rmdir()


def guessed(samples: Samples) -> BodyParams:
    """Return bodies near the true ones; of a data set without bodies, upright ones."""
    n, generator = len(samples), torch.Generator().manual_seed(4)
    true = samples.body_params() if samples.has_smpl.any() else facing(n)
    rotvecs = true.rotvecs() + 0.1 * torch.randn(n, 24, 3, generator=generator)
    return BodyParams.from_rotvecs(rotvecs, true.betas + 0.2)


@pytest.fixture(scope="module")
def paper(tmp_path_factory) -> Path:
    """Return the folder paper/ of a copy of the project after one run of its whole graph."""
    root = tmp_path_factory.mktemp("paper") / "project"
    copy_project(root)
    params = YAML_FILE.load((ROOT / "paper/params.yaml").read_text())
    shrink(params)
    with (root / "paper/params.yaml").open("w") as stream:
        YAML_FILE.dump(params, stream)
    write_data(root / "paper/data", params["datasets"])
    (root / "paper" / SPIN["source"]).mkdir(parents=True)  # files come later, made of the samples
    project = Toy(root, tmp_path_factory.mktemp("site"), "paper")
    project.git("init", "-q", "..")
    project.commit("paper")
    with stage_server():
        server = {VARIABLE: os.environ.get(VARIABLE, "")}
        project.dvc("repro", "images", *(f"evaluate@{run}" for run in RUNS), **server)
        write_predictions(project.folder)
        tables = (f"table{number}" for number in TABLES)
        project.dvc("repro", *tables, "gallery", "contact_sheet@pw3d", **server)
    return project.folder


def ours(paper: Path, table: int) -> pd.DataFrame:
    rows = pd.read_csv(paper / f"reports/tables/table{table}.csv")
    return rows[rows["source"] == "ours"]


def published(paper: Path, table: int) -> set[tuple[str, str, str]]:
    """Return data set, subset and metric of all cells that the paper prints."""
    rows = pd.read_csv(paper / f"reports/tables/table{table}.csv")
    rows = rows[rows["source"] == "published"]
    cells = rows[["dataset", "subset", "metric"]].dropna()
    return set(cells.itertuples(index=False, name=None))


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_the_papers_table_has_ours_beside_it(paper, table):
    assert len(published(paper, table)) > 2
    assert len(ours(paper, table)) > 2
    for method, rows in ours(paper, table).groupby("method"):
        if method not in ("Oracle prototype", "Prototype alone", "Constant predictor (mean body)"):
            cells = set(rows[["dataset", "subset", "metric"]].itertuples(index=False, name=None))
            assert published(paper, table) - cells == set(), method
        assert rows["mean_mm"].between(1, 5000).all()


@pytest.mark.parametrize("table", TABLES)
def test_the_protocol_of_each_number_is_below_it(paper, table):
    page = (paper / f"reports/tables/table{table}.md").read_text().split("## ")[1]
    head, *rows = [line.strip("| ").split(" | ") for line in page.splitlines() if "|" in line]
    (below,) = (row for row in rows if row[0] == "protocol")
    named = YAML_FILE.load((paper / "params.yaml").read_text())["evaluate"]["protocols"]
    names = {label: named[dataset] for dataset, label in DATASET_NAMES.items() if dataset in named}
    for column, name in zip(head[1:-1], below[1:], strict=False):
        assert names[column.split(" ")[0]] == name
    assert all(f"- {name}: alignment none" in page for name in set(below[1:]) - {""})


def predicted(paper: Path, run: str, dataset: str) -> tuple[Samples, BodyParams]:
    """Return the samples of a test set and the bodies that the run's network predicts for them."""
    samples = Samples.load(paper / f"data/samples/test/{dataset}.arrow")
    if run == "spin":
        return samples, guessed(samples)
    pixels = Pixels(paper / f"data/images/test/{dataset}.arrow")
    body = BodyModel.load(paper / "data/body.npz")
    memory = load_memory(paper / f"runs/{run}/memory.npz", body)
    network = load_network(paper / f"runs/{run}/train/seed_0.pt", memory)
    encoded = encode(network, pixels.read(torch.arange(len(samples))))
    rows = network.from_prototypes(encoded.scores.argmax(1))
    with torch.no_grad():
        return samples, unpack(network.regress(encoded.features, rows)).params


def independent(paper: Path, run: str, dataset: str) -> dict[str, float]:
    """Return the cells of Table III by SPIN's evaluation, written anew (field_rules)."""
    samples, pred = predicted(paper, run, dataset)
    arrays = dict(np.load(paper / "data/body.npz"))

    def vertices(params: BodyParams, genders: list[str]) -> np.ndarray:
        made = []
        for row, gender in enumerate(genders):
            own = field_rules.gendered(arrays, gender) if gender else arrays
            one = params.rotmats[[row]].double().numpy(), params.betas[[row]].double().numpy()
            made.append(field_rules.smpl(own, *one)[0])
        return np.stack(made)

    count = 17 if dataset == "mpi_inf_3dhp" else 14
    guess = vertices(pred, [""] * len(samples))
    regressor = arrays["h36m_regressor"]
    joints = field_rules.spin_joints(guess, regressor, count)
    cells = {}
    if dataset != "mpi_inf_3dhp":  # it has no bodies
        genders = samples.gender if dataset == "pw3d" else [""] * len(samples)
        true = vertices(samples.body_params(), genders)
        right = field_rules.spin_joints(true, regressor, count)
        cells["mpvpe_mm"] = field_rules.mean_gap(guess, true).mean()
    if dataset in ("h36m", "mpi_inf_3dhp"):  # their truth is the file's
        annotated = samples.keypoints_3d.double().numpy()
        chosen = field_rules.J24_TO_J17[:count]
        assert (annotated[:, [14, *chosen], 3] > 0).all()
        right = (annotated[..., :3] - annotated[:, [14], :3])[:, chosen]
    errors = field_rules.joint_errors(joints, right)
    return cells | {metric: values.mean() for metric, values in errors.items()}


@pytest.mark.parametrize("dataset", ["h36m", "pw3d", "up3d", "mpi_inf_3dhp"])
@pytest.mark.parametrize("run", ["single", "p3dh_k3_l5.0"])
def test_each_cell_of_table_3_is_the_one_of_an_independent_evaluation(paper, run, dataset):
    errors = pd.read_parquet(paper / f"runs/{run}/errors.parquet")
    label = {"single": "Single prototype (baseline)"}.get(run, "PM-Net (P3DH)")
    assert_cells(paper, errors, run, dataset, ours(paper, 3), label)


@pytest.mark.parametrize("dataset", SCORED)
def test_each_cell_of_another_system_is_the_one_of_an_independent_evaluation(paper, dataset):
    errors = pd.read_parquet(paper / "runs/comparators/spin.parquet")
    table = pd.read_csv(paper / "reports/tables/table3.csv")
    table = table[table["source"] == "scored"]
    assert set(table["dataset"]) == set(SCORED) and set(table["method"]) == {"SPIN"}
    assert_cells(paper, errors, "spin", dataset, table, "SPIN")


def assert_cells(
    paper: Path, errors: pd.DataFrame, run: str, dataset: str, table: pd.DataFrame, label: str
) -> None:
    errors = errors[(errors["inference"] == "model") & (errors["dataset"] == dataset)]
    for metric, value in independent(paper, run, dataset).items():
        assert errors[metric].mean() == pytest.approx(value, abs=1e-3), metric
        cell = (table["method"] == label) & (table["dataset"] == dataset)
        cell &= table["metric"] == metric.removesuffix("_mm")
        (printed,) = table.loc[cell, "mean_mm"]
        assert printed == pytest.approx(value, abs=1e-3 + 5e-3)  # the table has two decimals


def test_the_baseline_starts_from_spins_mean_body_and_distances_are_to_it(paper):
    body = BodyModel.load(paper / "data/body.npz")
    single = load_memory(paper / "runs/single/memory.npz", body)
    torch.testing.assert_close(single.prototypes.rotmats, facing().rotmats, atol=1e-5, rtol=0)
    samples = Samples.load(paper / "data/samples/test/up3d.arrow")
    gaps = body.vertices(samples.body_params()) - body.vertices(facing())
    expected = 1000 * gaps.norm(dim=2).mean(1)
    errors = pd.read_parquet(paper / "runs/p3dh_k3_l5.0/errors.parquet")
    rows = errors[(errors["inference"] == "model") & (errors["dataset"] == "up3d")]
    assert rows["distance_to_mean_mm"].tolist() == pytest.approx(expected.tolist(), rel=1e-4)
    assert {"pck", "auc", "pa_mpvpe_mm"} <= set(errors)


def test_all_runs_saw_the_same_samples(paper):
    rows = {run: pd.read_parquet(paper / f"runs/{run}/errors.parquet") for run in RUNS}
    for frame in rows.values():
        assert set(frame["dataset"]) == {"h36m", "pw3d", "up3d", "mpi_inf_3dhp"}
        without = frame[frame["dataset"] == "mpi_inf_3dhp"]
        assert without["mpvpe_mm"].isna().all() and without["mpjpe_mm"].notna().all()
        assert frame[frame["dataset"] != "mpi_inf_3dhp"]["mpvpe_mm"].notna().all()


def test_there_are_pictures_of_what_was_seen_and_predicted(paper):
    assert (paper / "reports/figures/data/pw3d.png").stat().st_size > 500
    tests = ("h36m", "pw3d", "up3d", "mpi_inf_3dhp")
    assert all((paper / f"reports/figures/gallery/{name}.png").is_file() for name in tests)


def test_another_system_has_a_block_of_its_own_in_tables_3_and_4(paper):
    for number in (3, 4):
        page = (paper / f"reports/tables/table{number}.md").read_text()
        blocks = {block.split(" ")[0]: block for block in page.split("\n## ")[1:]}
        assert list(blocks) == ["Ours", "Scored", "Published"]
        assert "| SPIN |" in blocks["Scored"] and "| SPIN |" not in blocks["Ours"]
    tails = pd.read_csv(paper / "reports/tables/table4.csv")
    tails = tails[tails["source"] == "scored"]
    assert {"tail_5", "tail_10", "tail_20"} <= set(tails["subset"])
    assert set(tails["dataset"]) == {"h36m", "pw3d"}  # the third has no bodies, so no distances


def test_a_change_of_another_system_reruns_its_score_and_two_tables(paper, monkeypatch, tmp_path):
    monkeypatch.chdir(paper)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path))
    file = paper / "params.yaml"
    before = file.read_text()
    changed = YAML_FILE.load(before)
    changed["comparators"]["spin"]["label"] = "SPIN (2019)"
    with file.open("w") as stream:
        YAML_FILE.dump(changed, stream)
    names = {task.name for task in tasks_to_do()}
    file.write_text(before)
    asked = {"comparators", "compare@spin", "table3", "table4"}
    assert asked <= names
    ran = {"table2", "table5", "table6", "gallery", "body", "sets"}
    assert not names & ran and not [name for name in names if name.startswith("run ")]
