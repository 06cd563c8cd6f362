"""The page without a browser: what is refused, what is escaped, and where its numbers come from."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from import_closure import ROOT
from page_samples import page_samples

from pmnet.core.errors import InputError
from pmnet.core.yaml_files import read_yaml
from pmnet.report.page import provenance
from pmnet.report.page.document import write_page


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder with the tables of this repository."""
    shutil.copytree(ROOT / "reports" / "tables", tmp_path / "reports" / "tables")
    return tmp_path / "reports"


def written(folder: Path, samples: Path | None = None) -> str:
    write_page(folder, samples, folder / "index.html")
    return (folder / "index.html").read_text()


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no tables/table2\.csv"):
        write_page(tmp_path, None, tmp_path / "index.html")
    assert not (tmp_path / "index.html").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("table2.csv", "source,method\nours,x\n", r"table2\.csv: not a table of pmnet: year"),
        ("table3.csv", "", r"table3\.csv: not readable as CSV"),
        ("curves.csv", "run,n\nsingle,3\n", r"curves\.csv: not readable as a table of curves"),
        ("curves.csv", "\x00", r"curves\.csv: not readable as a table of curves"),
        ("summary.json", "{", r"summary\.json: not readable as JSON"),
        ("summary.json", "[]", r"summary\.json: expected a JSON object"),
        ("summary.json", '{"gain": {"x": {}}}', r"summary\.json lacks 'mpvpe_mm'"),
    ],
)
def test_a_damaged_file_is_named(folder, name, content, message):
    (folder / "tables" / name).write_text(content)
    with pytest.raises(InputError, match=message):
        write_page(folder, None, folder / "index.html")


def test_what_is_not_there_is_left_out(folder):
    for name in ("curves.csv", "summary.json", "table5.csv", "table6.csv", "table2.md"):
        (folder / "tables" / name).unlink()
    page = written(folder)
    assert "#curves,nav [href='#curves']{display:none}" in page
    assert "#training,nav [href='#training']{display:none}" in page
    assert 'id="table4"' in page and 'id="table5"' not in page
    assert "<h3>Table II</h3>" in page and 'class="claim"' not in page


def test_names_are_texts_and_no_markup(folder, body):
    for path in (folder / "tables").glob("*.[cj]s*"):
        path.write_text(path.read_text().replace("open_rare", "<script>x</script>&"))
    samples = replace(page_samples(body, 4), sequence=np.array(["</script>"] * 4))
    samples.save(folder / "samples.npz")
    page = written(folder, folder / "samples.npz")
    assert "<script>x" not in page
    # data, eight arrays of the open body, the bodies, ogl, ours
    assert page.count("<script") == page.count("</script>") == 12
    data = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', page)
    assert data and json.loads(data[1])["samples"]["sequence"] == ["</script>"] * 4


def test_the_page_asks_for_nothing_from_elsewhere(folder, body):
    page_samples(body, 4).save(folder / "samples.npz")
    page = written(folder, folder / "samples.npz")
    outside = r"<script[^>]+src|<link[^>]+href=\"(?!data:)|<base|@import|url\(['\"]?\w+:|fetch\("
    assert not re.search(outside, page)
    assert "default-src 'none'" in page and "public domain" in page


def test_the_same_files_give_the_same_page(folder, body):
    page_samples(body, 4).save(folder / "samples.npz")
    assert written(folder, folder / "samples.npz") == written(folder, folder / "samples.npz")


@pytest.mark.parametrize(
    ("low", "words"),
    [
        (17.53, "lowers MPVPE by 21.6 mm [17.5, 25.7] on open_common and by 21.3 mm"),
        (-1.0, "no clear gain over a single prototype (+21.6 mm [-1.0, 25.7]) on open_common"),
    ],
)
def test_the_claim_is_no_gain_where_its_interval_contains_zero(folder, low, words):
    summary = json.loads((folder / "tables" / "summary.json").read_text())
    numbers = {"mpvpe_mm": 21.59, "mpvpe_low_mm": low, "mpvpe_high_mm": 25.67}
    summary["gain"]["open_common"] |= numbers
    summary["gain"]["open_rare"] |= {"mpvpe_mm": 21.31, "mpvpe_low_mm": 15.4}
    (folder / "tables" / "summary.json").write_text(json.dumps(summary))
    claim = re.search(r'<p class="claim">(.*?)</p>', written(folder))
    assert claim and words in claim[1].replace("\u00a0", " ")


def test_a_table_of_one_method_and_no_interval(folder):
    path = folder / "tables" / "table4.csv"
    table = pd.read_csv(path)
    table = table[(table["source"] == "ours") & (table["metric"] == "mpvpe")].iloc[:1]
    table.assign(low_mm=None, high_mm=None).to_csv(path, index=False)
    page = written(folder)
    block = page[page.index('id="table4"') : page.index('id="table5"')]
    assert block.count("<tbody>") == 1 and 'class="ci"' not in block


# --- provenance


@pytest.fixture
def lock(tmp_path, monkeypatch) -> Path:
    """Work in a folder with the lock of this repository."""
    shutil.copy(ROOT / "dvc.lock", tmp_path / "dvc.lock")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports" / "tables").mkdir(parents=True)
    (tmp_path / "reports/tables/table3.csv").write_text("")
    return tmp_path / "dvc.lock"


FILES = [Path("reports/tables/table3.csv")]


def test_the_lock_is_followed_to_what_led_to_a_file(lock):
    facts = provenance.provenance(FILES)
    runs = {name for name in read_yaml(lock)["stages"] if name.startswith("cluster@")}
    assert 8 < facts["stages"] < len(read_yaml(lock)["stages"])
    assert len(runs) > 2  # of which only two lead to Table III
    assert facts["settings"]["report"]["bootstrap"] == 20000
    assert "train.steps" in facts["settings"] and "figures.gallery" not in facts["settings"]


def test_the_hash_changes_with_data_and_settings_and_not_with_code(lock):
    def now() -> str:
        return provenance.provenance(FILES)["lock_sha256"]

    entries = read_yaml(lock)["stages"]
    before, single = now(), next(out["md5"] for out in entries["evaluate@single"]["outs"])
    code = next(d["md5"] for d in entries["evaluate@single"]["deps"] if d["path"] == "pmnet/model")
    change(lock, code, "0" * 32 + ".dir")
    assert now() == before
    change(lock, single, "1" * 32)
    assert now() != before
    changed = now()
    change(lock, "train.steps: ", "train.steps: 1")
    assert now() != changed


@pytest.mark.parametrize("content", [None, "", "stages: 3", "{", "stages: {}"])
def test_without_a_lock_the_files_alone_are_hashed(lock, content):
    lock.unlink() if content is None else lock.write_text(content)
    facts = provenance.provenance(FILES)
    assert facts["lock_sha256"] == "" and len(facts["files_sha256"]) == 64
    assert "made without dvc.lock" in provenance.provenance_html(facts, [])


def test_code_outside_of_git_has_no_revision(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.revision() == {}
    assert "not in a Git repository" in provenance.provenance_html(
        {**provenance.provenance([]), "revision": {}}, []
    )
