"""`dvc plots show` without a network: the page, the templates, and the charts they really draw."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from dvc_render.vega import VegaRenderer

DVC_DIR = Path(__file__).resolve().parents[1] / ".dvc"
PAGE = DVC_DIR / "page" / "offline.html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)

# No data in the last bin: an empty field in the table, and no mark in the chart.
CURVES = """\
run,dataset,bin,distance_mm,mpvpe_mm,reduction_mm,n,low,high
single,h36m,0,50,70.5,0,90,69,72
single,h36m,1,90,80.5,0,10,77,84
single,h36m,2,130,,,0,,
k-means,h36m,0,50,70,0.5,90,69,71
k-means,h36m,1,90,76,4.5,10,72,80
single,3dpw,0,50,100,0,90,98,102
single,3dpw,1,90,120,0,10,110,130
"""
SWEEP = """\
source,dataset,value,subset,mean_mm,sd_mm,n
ours,h36m,5,all,75.9,1.1,3
ours,h36m,50,all,73.6,0.9,3
ours,h36m,500,all,74.1,,1
ours,h36m,5,tail_5,85.7,1.2,3
ours,h36m,50,tail_5,80.0,0.8,3
ours,h36m,500,tail_5,86.5,,1
published,h36m,1000,all,74.8,,
"""
# Text order is not step order ("9" > "10"), a diverged step, and a line still being written.
TRAINING = """\
seed,step,loss,mpjpe_mm
0,0,9.5,150
0,9,2.5,120
0,10,1.5,110
1,0,9,150
1,9,nan,125
1,10,2"""
TABLES = {"curves.csv": CURVES, "sweep.csv": SWEEP, "training.csv": TRAINING}

# The plots of the test project: template, table, x, y, and the marks that the chart must show.
# Circles are data points, in the log only the newest of each seed; bands need an interval.
PLOTS = {
    "distance": ("curves", "curves.csv", "distance_mm", "mpvpe_mm", (6, 3, 3)),
    "reduction": ("curves", "curves.csv", "distance_mm", "reduction_mm", (6, 3, 0)),
    "prototypes": ("sweep_log", "sweep.csv", "value", "mean_mm", (6, 2, 0)),
    "limbs": ("sweep", "sweep.csv", "value", "mean_mm", (6, 2, 0)),
    "loss": ("training", "training.csv", "step", "loss", (2, 2, 0)),
}
MADE_IN_TEMPLATE = {"above", "below", "interval", "order", "panel", "spread"}
MADE_BY_DVC = {"rev", "filename"}


def columns(table: str) -> set[str]:
    """Return the column names of a table."""
    return set(TABLES[table].splitlines()[0].split(","))


def filled(name: str) -> dict:
    """Fill a plot's template the way DVC does."""
    template, table, x, y, _ = PLOTS[name]
    rows = [
        {**row, "rev": "workspace", "filename": table, "field": y}
        for row in csv.DictReader(TABLES[table].splitlines())
    ]
    return VegaRenderer(
        rows,
        name,
        template=template,
        template_dir=str(DVC_DIR / "plots"),
        x=x,
        y=y,
        x_label="the x label",
        y_label="the y label",
        title="the title",
    ).get_filled_template()


def values_of(key: str, spec: object) -> list:
    """Return every value that stands under the key, at any depth."""
    if isinstance(spec, list):
        return [value for item in spec for value in values_of(key, item)]
    if not isinstance(spec, dict):
        return []
    here = [spec[key]] if key in spec else []
    return here + [value for item in spec.values() for value in values_of(key, item)]


def test_the_page_needs_nothing_from_elsewhere():
    """All code and style stand in the page itself, and DVC fills in the plots only."""
    page = PAGE.read_text(encoding="utf-8")
    outside = r"<script[^>]+src|<link|<base|@import|url\(['\"]?\w+:|sourceMappingURL"
    assert not re.search(outside, page)
    assert re.findall(r"\{(?:scripts|plot_divs|refresh_tag)\}", page) == ["{plot_divs}"]
    assert len(re.findall(r"<script\b", page)) == len(re.findall(r"</script>", page)) == 4
    for notice in ("University of Washington Interactive Data Lab", "Mike Bostock"):
        assert notice in page


@pytest.mark.parametrize("name", PLOTS)
def test_a_template_uses_the_columns_of_its_table(name):
    """A filled template names no unknown column, keeps no anchor, and plots x, y and revision."""
    _, table, x, y, _ = PLOTS[name]
    spec = filled(name)
    rows = spec.pop("data")["values"]
    text = json.dumps(spec)

    assert len(rows) == len(TABLES[table].splitlines()) - 1
    assert "DVC_METRIC" not in text
    fields = {field for field in values_of("field", spec) if isinstance(field, str)}
    assert {x, y, "rev"} <= fields <= columns(table) | MADE_IN_TEMPLATE | MADE_BY_DVC
    in_expressions = set(re.findall(r"datum\.(\w+)", text)) - {"label", "value"}
    assert in_expressions <= columns(table) | MADE_BY_DVC | {"run"}
    titles = {title for title in values_of("title", spec) if isinstance(title, str)}
    assert {"the x label", "the y label", "revision"} <= titles
    assert spec["title"]["text"] == "the title"


def test_the_two_sweeps_differ_in_their_x_axis_only():
    """The log and the linear template are one chart but for the x axis."""
    log, linear = filled("prototypes"), filled("limbs")
    assert log["spec"]["encoding"].pop("x")["scale"]["type"] == "log"
    assert linear["spec"]["encoding"].pop("x")["scale"]["type"] == "linear"
    assert log.pop("description") != linear.pop("description")
    assert log == linear


@pytest.fixture
def project(tmp_path):
    """Make a Git and DVC project with this repository's page, templates and settings."""
    environment = os.environ | {
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    root = tmp_path / "project"
    (root / "reports").mkdir(parents=True)  # DVC makes the last folder of plots.out_dir only

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def dvc(*arguments: str) -> str:
        return run(sys.executable, "-m", "dvc", *arguments)

    run("git", "init", "--quiet")
    dvc("init", "--quiet")
    for folder in ("page", "plots"):
        shutil.copytree(DVC_DIR / folder, root / ".dvc" / folder)
    (root / ".dvc" / "config").write_text(
        "[plots]\nhtml_template = page/offline.html\nout_dir = reports/plots\n"
    )
    for table, text in TABLES.items():
        (root / table).write_text(text)
    plots = [
        {name: {"template": template, "title": name, "x": x, "y": {table: y}}}
        for name, (template, table, x, y, _) in PLOTS.items()
    ]
    (root / "dvc.yaml").write_text(json.dumps({"plots": plots}))  # JSON is YAML
    run("git", "add", ".")
    run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", "tables")
    return root, dvc


def drawn(page: Path, scratch: Path) -> dict[str, str]:
    """Open the page in a browser without a network, and return what each plot's box then holds."""
    command = [
        *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={scratch}"),
        *("--virtual-time-budget=10000", "--dump-dom", page.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    main = re.search(r"<main>(.*)</main>", done.stdout, re.DOTALL)
    assert main, done.stdout[-2000:]
    assert 'class="failed"' not in main[1]
    assert "NaN" not in main[1]
    boxes = re.split(r'<div id="(\w+)"', main[1])
    return dict(zip(boxes[1::2], boxes[2::2], strict=True))


def marks(box: str) -> tuple[int, int, int]:
    """Count the circles, lines and bands of a drawn chart."""
    assert "<svg" in box
    counts = Counter()
    for kind, paths in re.findall(r'<g class="mark-(\w+) role-mark[^>]*>(.*?)</g>', box):
        counts[kind] += paths.count("<path")
    return counts["symbol"], counts["line"], counts["area"]


def shows_revisions(box: str) -> bool:
    """Tell whether the chart's legend of revisions is visible."""
    opacities = re.findall(r'<text[^>]* fill-opacity="([01])"[^>]*>revision</text>', box)
    assert len(opacities) == 1
    return opacities == ["1"]


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_every_chart_is_drawn_without_a_network(project, tmp_path):
    """The page shows each valid row, of one revision or of two."""
    root, dvc = project
    expected = {name: plot[-1] for name, plot in PLOTS.items()}

    dvc("plots", "show")
    boxes = drawn(root / "reports" / "plots" / "index.html", tmp_path / "browser")
    assert {name: marks(box) for name, box in boxes.items()} == expected
    assert not any(map(shows_revisions, boxes.values()))
    circle = r'aria-label="step: (\d+); loss: ([\d.]+);[^"]*" [^>]*aria-roledescription="circle"'
    newest = re.findall(circle, boxes["loss"])
    assert newest == [("10", "1.5"), ("10", "2")]
    assert "sd [mm]: unknown" in boxes["limbs"]

    # Two tables change, and the log is gone from the workspace: it has one revision left.
    for table in ("curves.csv", "sweep.csv"):
        (root / table).write_text(TABLES[table].replace("50,", "60,"))
    (root / "training.csv").unlink()
    dvc("plots", "diff", "HEAD")
    boxes = drawn(root / "reports" / "plots" / "index.html", tmp_path / "browser")
    one_revision = expected.pop("loss")
    assert marks(boxes.pop("loss")) == one_revision
    doubled = {name: tuple(2 * count for count in counts) for name, counts in expected.items()}
    assert {name: marks(box) for name, box in boxes.items()} == doubled
    assert all(map(shows_revisions, boxes.values()))


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_log_without_rows_yet_is_said_to_be_empty(project, tmp_path):
    """A training that has just begun breaks neither its own plot nor the others."""
    root, dvc = project
    (root / "training.csv").write_text("seed,step,loss,mpjpe_mm\n")
    dvc("plots", "show")
    boxes = drawn(root / "reports" / "plots" / "index.html", tmp_path / "browser")
    assert "loss: no data yet" in boxes["loss"]
    assert marks(boxes["distance"]) == PLOTS["distance"][-1]
