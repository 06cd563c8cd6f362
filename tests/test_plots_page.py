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
from ruamel.yaml import YAML

DVC_DIR = Path(__file__).resolve().parents[1] / ".dvc"
PAGE = DVC_DIR / "page" / "offline.html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)

# No data in the last bin: an empty field in the table, and no mark in the chart.
CURVES = """\
run,dataset,bin,distance_mm,mpvpe_mm,reduction_mm,n,low,high,reduction_low,reduction_high
single,h36m,0,50,70.5,0,90,69,72,0,0
single,h36m,1,90,80.5,0,10,77,84,0,0
single,h36m,2,130,,,0,,,,
p3dh_k5,h36m,0,50,70,0.5,90,69,71,0.1,0.9
p3dh_k5,h36m,1,90,76,4.5,10,72,80,-1,9
single,3dpw,0,50,100,0,90,98,102,0,0
single,3dpw,1,90,120,0,10,110,130,0,0
"""
METHODS = """\
source,method,dataset,subset,metric,mean_mm,low_mm,high_mm,n
ours,Single,h36m,all,mpvpe,70.5,69,72,100
ours,Single,h36m,all,pa_mpjpe,50.5,49,52,100
ours,P3DH,h36m,all,mpvpe,68.5,,,100
ours,P3DH,h36m,tail_5,mpvpe,98.5,90,99,5
published,SPIN,h36m,all,mpvpe,78.7,,,
"""
SWEEP = """\
source,dataset,value,subset,mean_mm,sd_mm,low_mm,high_mm,n
ours,h36m,5,all,75.9,1.1,75,77,3
ours,h36m,50,all,73.6,0.9,73,75,3
ours,h36m,500,all,74.1,,,,1
ours,h36m,5,tail_5,85.7,1.2,84,88,3
ours,h36m,50,tail_5,80.0,0.8,78,82,3
ours,h36m,500,tail_5,86.5,,,,1
published,h36m,1000,all,74.8,,,,
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
TABLES = {
    "curves.csv": CURVES,
    "methods.csv": METHODS,
    "sweep.csv": SWEEP,
    "training.csv": TRAINING,
}

# The plots of the test project: template, table, x, y, and the marks that the chart must show.
# Circles are data points, in the log only the newest of each seed; lines, bands and bars need an interval.
PLOTS = {
    "methods": ("methods", "methods.csv", "mean_mm", "method", (3, 0, 0, 2)),
    "distance": ("curves", "curves.csv", "distance_mm", "mpvpe_mm", (6, 3, 3, 0)),
    "reduction": ("curves", "curves.csv", "distance_mm", "reduction_mm", (2, 1, 1, 0)),
    "limbs": ("sweep", "sweep.csv", "value", "mean_mm", (6, 2, 0, 4)),
    "loss": ("training", "training.csv", "step", "loss", (2, 2, 0, 0)),
}
SECTIONS = ["Results", "Settings of the memory", "Training"]
MADE_IN_TEMPLATE = {
    "from",
    "interval",
    "lane",
    "memory",
    "order",
    "panel",
    "setting",
    "spread",
    "to",
}
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
    assert len(re.findall(r"<script\b", page)) == len(re.findall(r"</script>", page)) == 2
    for notice in ("University of Washington Interactive Data Lab", "Mike Bostock"):
        assert notice in page


def test_the_page_is_built_from_its_template_and_its_notices():
    """An edit of either is not forgotten in the page that DVC fills; the bundle may be of another release."""
    page = PAGE.read_text(encoding="utf-8")
    template = (DVC_DIR / "page" / "template.html").read_text(encoding="utf-8")
    notices = (DVC_DIR / "page" / "notices.txt").read_text(encoding="utf-8").strip()
    before, after = template.replace("@NOTICES@", notices).split("@BUNDLE@")
    assert page.startswith(before) and page.endswith(after)
    assert "vegaEmbed" in page[len(before) : -len(after)]


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
    assert x in fields or f"datum['{x}']" in text
    assert {y, "rev"} <= fields <= columns(table) | MADE_IN_TEMPLATE | MADE_BY_DVC
    in_expressions = set(re.findall(r"datum\.(\w+)", text)) - {"label", "value"}
    assert in_expressions <= columns(table) | MADE_IN_TEMPLATE | MADE_BY_DVC | {"run"}
    titles = {title for title in values_of("title", spec) if isinstance(title, str)}
    named = {"the x label", "revision"} if name == "methods" else {"the x label", "the y label"}
    assert named <= titles  # methods stand by their own names
    assert spec["title"]["text"] == "the title"


def test_all_charts_share_one_palette():
    """A memory, a subset and a seed have colours of Okabe and Ito, and revisions have dashes."""
    okabe_ito = {"#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#333333"}
    for name in PLOTS:
        spec = filled(name)
        scales = [colour["scale"] for colour in values_of("color", spec) if "scale" in colour]
        assert scales and all(set(scale["range"]) <= okabe_ito for scale in scales)
        assert "scheme" not in json.dumps(spec)
        assert {dash["field"] for dash in values_of("strokeDash", spec)} == {"rev"}


def test_the_root_draws_what_its_stages_write():
    """Each plot of dvc.yaml has a template, a unit, and a table that a stage lists in its outs."""
    graph = YAML(typ="safe").load(DVC_DIR.with_name("dvc.yaml"))
    plots = {name: plot for entry in graph["plots"] for name, plot in entry.items()}
    stages = json.dumps(graph["stages"])
    order = []
    for plot in plots.values():
        template = json.loads((DVC_DIR / "plots" / f"{plot['template']}.json").read_text())
        order.append(template["usermeta"]["section"])
        for file in plot["y"]:
            assert file in stages or file.endswith("/train/seed_${train.seeds[0]}.csv")
        assert "[mm]" in plot["title"] or plot["template"] == "training"
    assert order == sorted(order, key=SECTIONS.index) and set(order) == set(SECTIONS)


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
        {name: {"template": template, "title": name, "x": {table: x}, "y": {table: y}}}
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
    main = re.search(r"<body>(.*)</main>", done.stdout, re.DOTALL)
    assert main, done.stdout[-2000:]
    assert 'class="failed"' not in main[1]
    assert "NaN" not in main[1]
    boxes = re.split(r'<div id="(\w+)"', main[1])
    return {"": boxes[0], **dict(zip(boxes[1::2], boxes[2::2], strict=True))}


def marks(box: str) -> tuple[int, int, int, int]:
    """Count the circles, lines, bands and bars of a drawn chart."""
    assert "<svg" in box
    counts = Counter()
    for kind, paths in re.findall(r'<g class="mark-(\w+) role-mark[^>]*>(.*?)</g>', box):
        counts[kind] += paths.count("<path") + paths.count("<line")
    return counts["symbol"], counts["line"], counts["area"], counts["rule"]


def shows_revisions(box: str) -> bool:
    """Tell whether the chart's legend of revisions is visible."""
    opacities = re.findall(r'<text[^>]* fill-opacity="([01])"[^>]*>revision</text>', box)
    assert len(opacities) == 1
    return opacities == ["1"]


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_every_chart_is_drawn_without_a_network(project, tmp_path):
    """The page shows each valid row, of one revision or of two, in sections."""
    root, dvc = project
    expected = {name: plot[-1] for name, plot in PLOTS.items()}

    dvc("plots", "show")
    boxes = drawn(root / "reports" / "plots" / "index.html", tmp_path / "browser")
    head = boxes.pop("")
    assert '<p id="absent" hidden="">' in head
    assert {name: marks(box) for name, box in boxes.items()} == expected
    assert not any(map(shows_revisions, boxes.values()))
    assert re.findall(r"<h2>([^<]+)</h2>", head + "".join(boxes.values())) == SECTIONS
    circle = r'aria-label="step: (\d+); loss: ([\d.]+);[^"]*" [^>]*aria-roledescription="circle"'
    newest = re.findall(circle, boxes["loss"])
    assert newest == [("10", "1.5"), ("10", "2")]
    assert "sd over seeds [mm]: one seed" in boxes["limbs"]
    assert "95 % interval [mm]: \u22121.00 to 9.00; samples: 10" in boxes["reduction"]
    assert "95 % interval [mm]: unknown; samples: 100" in boxes["methods"]

    # Tables change, and the log is gone from the workspace: it has one revision left.
    for table in ("curves.csv", "sweep.csv", "methods.csv"):
        (root / table).write_text(TABLES[table].replace("8.5,", "9.5,").replace("50,", "60,"))
    (root / "training.csv").unlink()
    dvc("plots", "diff", "HEAD")
    boxes = drawn(root / "reports" / "plots" / "index.html", tmp_path / "browser")
    boxes.pop("")
    one_revision = expected.pop("loss")
    assert marks(boxes.pop("loss")) == one_revision
    doubled = {name: tuple(2 * count for count in counts) for name, counts in expected.items()}
    assert {name: marks(box) for name, box in boxes.items()} == doubled
    assert all(map(shows_revisions, boxes.values()))


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_table_that_is_not_there_has_no_card(project, tmp_path):
    """A profile that was not run, or a training that has just begun, shows no empty card and says so."""
    root, dvc = project
    (root / "training.csv").write_text("seed,step,loss,mpjpe_mm\n")
    (root / "methods.csv").unlink()
    dvc("plots", "show")
    boxes = drawn(root / "reports" / "plots" / "index.html", tmp_path / "browser")
    head = boxes.pop("")
    assert re.search(r'<p id="absent">Not drawn,.*<span>methods, loss</span>', head)
    assert set(boxes) == set(PLOTS) - {"methods", "loss"}
    assert marks(boxes["distance"]) == PLOTS["distance"][-1]
    assert "<h2>Training</h2>" not in head + "".join(boxes.values())
