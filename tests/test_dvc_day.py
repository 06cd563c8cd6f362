"""A DVC user's day: compare, experiment, apply, share, clone, clean up; in the root and in a profile."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from import_closure import ROOT
from toy import Toy

MAX_COLUMNS, MAX_METRICS, MAX_STATUS_LINES = 12, 6, 3
# `dvc exp show` has a column per parameter and per dependency, and no setting to choose them
SHOW = ("-m", "pmnet", "experiments", "--md")
CHANGED = "figures.distance.dpi"
API = "import json, dvc.api; print(json.dumps(dvc.api.metrics_show(rev='HEAD')))"


def share(toy: Toy, store: Path) -> None:
    """Name a folder as the place where DVC pushes to and pulls from, in this checkout only."""
    toy.dvc("remote", "add", "--local", "--default", "store", str(store))


@pytest.fixture(scope="module")
def clone(toy, tmp_path_factory) -> Toy:
    """Return a clone of the finished toy, with what the toy has pushed to a folder."""
    store = tmp_path_factory.mktemp("store")
    share(toy, store)
    toy.dvc("push", "--quiet")
    folder = tmp_path_factory.mktemp("clone")
    toy.run("git", "clone", "--quiet", str(toy.root), str(folder / "project"))
    cloned = Toy(folder / "project", folder / "site")
    share(cloned, store)
    cloned.dvc("pull", "--quiet")
    return cloned


@pytest.fixture(scope="module", params=[".", "open"], ids=["root", "profile"])
def place(request, clone) -> Toy:
    """Return the clone with its root or one of its profiles as the place where DVC runs."""
    place = Toy(clone.root, clone.site, request.param)
    place.dvc("checkout", "--quiet")  # the cache of the root is that of the profile
    return place


def rows(markdown: str) -> list[list[str]]:
    """Return the cells of the rows of a table, the line under the head left out."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:1] + lines[2:]]


def metrics_of(place: Toy) -> dict[str, float]:
    return json.loads((place.folder / "reports/metrics.json").read_text())


def test_a_clone_has_all_results_and_runs_nothing(place):
    status = place.dvc("status")
    assert len(status.splitlines()) <= MAX_STATUS_LINES
    assert "up to date" in status
    assert place.repro() == set()
    assert place.git("status", "--porcelain") == ""
    sheets = place.git("ls-files", "reports/figures/data").split()
    names = ("common", "rare", "train", "validation")
    assert sheets == [f"reports/figures/data/open_{n}.png" for n in names]


def test_the_headline_is_short(place):
    assert 0 < len(metrics_of(place)) <= MAX_METRICS
    assert not [v for v in metrics_of(place).values() if isinstance(v, dict)]
    shown = rows(place.dvc("metrics", "show", "--md"))
    assert len(shown) == 2 and set(metrics_of(place)) <= set(shown[0])


def test_an_experiment_is_run_shown_compared_and_applied(place):
    section, figure, name = CHANGED.split(".")
    before = place.params[section][figure][name]
    printed = place.dvc("exp", "run", "--name", "sharper", "-S", f"{CHANGED}=40")
    assert "figure@distance" in printed
    place.git("checkout", "--quiet", ".")  # back to the commit that the experiment began from
    place.dvc("checkout", "--quiet")

    head, *lines = rows(place.run(sys.executable, *SHOW))
    assert len(head) <= MAX_COLUMNS and head[-1] == CHANGED
    assert set(metrics_of(place)) <= set(head)
    values = [line[head.index(CHANGED)] for line in lines]
    assert sorted(values) == sorted(["40", str(before), str(before)])
    assert not [line for line in lines if not any(cell not in ("", "-") for cell in line[1:])]

    compared = rows(place.dvc("exp", "diff", "--md", "HEAD", "sharper"))
    assert ["params.yaml", CHANGED, str(before), "40"] in [row[:4] for row in compared]
    place.dvc("exp", "apply", "sharper")
    assert "up to date" in place.dvc("status")
    assert place.dvc("exp", "save", "--name", "saved")
    assert {"sharper", "saved"} <= set(place.dvc("exp", "list", "--name-only").split())
    place.commit("sharper")


def test_commits_are_compared(place):
    """Runs after the experiment is committed."""
    section, figure, name = CHANGED.split(".")
    head, row = rows(place.dvc("params", "diff", "--md", "HEAD~1", "HEAD"))
    assert dict(zip(head, row, strict=True)) == {
        "Path": "params.yaml",
        "Param": CHANGED,
        "HEAD~1": str(place.params[section][figure][name]),
        "HEAD": "40",
    }
    compared = rows(place.dvc("metrics", "diff", "--all", "--md", "HEAD~1", "HEAD"))[1:]
    values = {row[1]: (row[2], row[3]) for row in compared}
    assert set(values) == set(metrics_of(place))
    assert all(before == after for before, after in values.values())
    page = place.dvc("plots", "diff", "HEAD~1", "HEAD")
    assert "index.html" in page
    html = (place.folder / "reports/plots/index.html").read_text()
    names = (
        "memories",
        "tails",
        "reduction_vs_distance",
        "error_vs_distance",
        "table5",
        "training",
    )
    assert [name for name in names if f'id = "{name}"' not in html] == []
    assert place.git("status", "--porcelain") == ""
    shown = json.loads(place.run(sys.executable, "-c", API).splitlines()[-1])
    assert shown == metrics_of(place)


def test_results_follow_the_commit(place):
    figure = place.folder / "reports/figures/distance.png"
    now = figure.read_bytes()
    place.git("checkout", "--quiet", "--detach", "HEAD~1")
    place.dvc("checkout", "--quiet")
    assert figure.read_bytes() != now
    assert "up to date" in place.dvc("status")
    place.git("checkout", "--quiet", "-")
    place.dvc("checkout", "--quiet")
    assert figure.read_bytes() == now
    assert "up to date" in place.dvc("status")


def test_the_cache_is_cleaned_without_loss(place):
    others = ".." if place.folder != place.root else "open"
    place.dvc(
        "gc", "--all-branches", "--force", "--projects", others
    )  # the cache is that of all projects
    shutil.rmtree(place.folder / "runs")
    place.dvc("checkout", "--quiet")
    assert "up to date" in place.dvc("status")


# --- the launcher, in a project of one stage that takes no time

SHELLS = ("bash", "zsh", "fish", "tcsh")
STAGE = """
import os, sys
from pathlib import Path
VERSION = 1
out = Path(sys.argv[sys.argv.index("--out") + 1])
code = Path(__file__).resolve().parents[1]
(out.parent / f"rank_{os.environ.get('RANK', 0)}").write_text(f"{VERSION} {code}")
out.write_text(f"{VERSION}")
"""
GRAPH = """
stages:
  cluster:
    cmd: python stages cluster --out 'made by ${name}.txt'
    deps: [stages/cluster.py]
    outs: ["made by ${name}.txt"]
"""
# does what torchrun does, without torch
TWICE = """
import os, subprocess, sys
print(sys.argv)
tasks = [subprocess.Popen(sys.argv[2:], env={**os.environ, "RANK": rank}) for rank in "01"]
sys.exit(max(task.wait() for task in tasks))
"""


@pytest.fixture
def small(tmp_path) -> Toy:
    """Return a project with a profile, the launcher, and one stage that notes who ran it."""
    root = tmp_path / "with a space" / "project"
    (root / "profile").mkdir(parents=True)
    (root / "stages").mkdir()
    (root / "stages/__init__.py").write_text("")
    (root / "stages/cluster.py").write_text(STAGE)
    shutil.copy(ROOT / "stages/__main__.py", root / "stages")
    (root / "profile/stages").symlink_to("../stages")
    (root / "profile/dvc.yaml").write_text(GRAPH)
    (root / "profile/params.yaml").write_text("name: me; touch $HOME\n")
    (root / "profile/.dvcignore").write_text("__pycache__/\n*.pyc\n")
    (root / ".gitignore").write_text("__pycache__/\n")
    project = Toy(root, tmp_path / "site", "profile")
    project.git("init", "--quiet", "..")
    project.dvc("init", "--quiet", "--subdir")
    project.commit("code")
    return project


def ranks(project: Toy) -> set[str]:
    return {path.name for path in project.folder.glob("rank_*")}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_stage_runs_in_every_shell_alone_and_as_two_processes(small, shell, tmp_path):
    if (path := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    small.dvc("repro", SHELL=path)
    assert ranks(small) == {"rank_0"}
    (launcher := tmp_path / "a launcher.py").write_text(TWICE)
    launch = f"'{sys.executable}' '{launcher}' --an-option"
    small.dvc("repro", "--force", SHELL=path, PMNET_LAUNCH=launch)
    assert ranks(small) == {"rank_0", "rank_1"}
    assert (small.folder / "made by me; touch $HOME.txt").read_text() == "1"


def test_a_launcher_that_is_not_there_is_one_line(small):
    command = [sys.executable, "stages", "cluster", "--out", "x"]
    env = {**small.env, "PMNET_LAUNCH": "no-such-launcher --nproc-per-node 2"}
    done = subprocess.run(command, cwd=small.folder, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: PMNET_LAUNCH: no-such-launcher cannot be started")


def test_a_queued_experiment_runs_the_code_that_it_was_queued_with(small):
    small.dvc("repro")
    small.commit("results")
    stage = small.root / "stages/cluster.py"
    stage.write_text(STAGE.replace("VERSION = 1", "VERSION = 2"))
    small.dvc("exp", "run", "--queue", "--name", "queued")
    stage.write_text(STAGE.replace("VERSION = 1", "VERSION = 3"))
    small.dvc("exp", "run", "--run-all")
    assert not ranks(small) - {"rank_0"}
    small.git("checkout", "--quiet", "..")
    small.dvc("exp", "apply", "queued")
    assert (small.folder / "made by me; touch $HOME.txt").read_text() == "2"
    assert "VERSION = 2" in stage.read_text()
    assert "up to date" in small.dvc("status")
