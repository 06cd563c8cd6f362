"""`pmnet predict` from pictures to files: numbers, errors, several people, kills."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import SIZE_PX, options_of, trained_run, write_pictures, write_run
from typer.testing import CliRunner

from pmnet import cli
from pmnet.core.errors import InputError
from pmnet.images.crops import cut_square
from pmnet.predict import command, kept, pipeline
from pmnet.predict.command import predict
from pmnet.predict.pipeline import PictureSource, predict_chunks
from pmnet.predict.predictions import KEYS, Predictions
from pmnet.predict.trained import find_run


@pytest.fixture(scope="module")
def run(tmp_path_factory, body):
    return trained_run(write_run(tmp_path_factory.mktemp("project"), body))


def test_broken_pictures_are_named_and_the_others_predicted(tmp_path, run):
    write_pictures(tmp_path / "in", 6)
    (tmp_path / "in/2.png").write_bytes(b"no picture")
    (tmp_path / "in/4.png").write_bytes((tmp_path / "in/4.png").read_bytes()[:4000])
    arguments = ["predict", tmp_path / "in", "--run", run.files.weights.parent.parent]
    arguments += ["--out", tmp_path / "out", "--save", "npz,obj", "--device", "cpu"]
    done = CliRunner().invoke(cli.app, [str(word) for word in arguments])
    assert done.exit_code == 1
    assert "2 errors" in done.stdout and "4 people in 4 pictures" in done.stdout
    for name in ("2.png", "4.png"):
        assert f"{name}: not a readable" in done.stdout
    with (tmp_path / "out/errors.csv").open() as stream:
        assert [row["image_name"] for row in csv.DictReader(stream)] == ["2.png", "4.png"]
    assert len(list((tmp_path / "out/meshes").iterdir())) == 4
    assert np.load(tmp_path / "out/predictions.npz").keys() >= {*KEYS, "joint_set", "body"}
    write_pictures(tmp_path / "in", 6)  # mended
    done = CliRunner().invoke(cli.app, [str(word) for word in arguments])
    assert done.exit_code == 0 and "6 people" in done.stdout
    assert not (tmp_path / "out/errors.csv").exists()


def test_the_numbers_are_those_of_the_network_on_the_crop(tmp_path, run, body):
    write_pictures(tmp_path / "in", 3)
    found = predict(tmp_path / "in", run, options_of(tmp_path / "out")).predictions
    crops = [
        cut_square(Image.open(tmp_path / f"in/{n}.png"), (30.0, 40.0), 80.0, SIZE_PX)
        for n in range(3)
    ]
    pixels = torch.stack([torch.from_numpy(np.array(c)).permute(2, 0, 1) for c in crops])
    expected = run.finish(run.encode(pixels))
    torch.testing.assert_close(torch.from_numpy(found.betas), expected.params.betas)
    torch.testing.assert_close(
        found.body_params().rotmats, expected.params.rotmats, atol=1e-5, rtol=0
    )
    vertices, mean = body.vertices(found.body_params()), body.vertices(run.mean)
    far = (vertices - mean).norm(dim=2).mean(1) * 1000
    np.testing.assert_allclose(found.distance_to_mean_mm, far, rtol=1e-4)
    np.testing.assert_allclose(found.joints, body.joints(found.body_params()), atol=1e-5)
    assert found.prototype_share.tolist() == [pytest.approx(1 / 3)] * 3
    assert found.image_size.tolist() == [[60, 80]] * 3
    assert found.box.tolist() == [[-10, 0, 70, 80]] * 3


def test_several_people_have_their_own_files(tmp_path, run):
    write_pictures(tmp_path / "in", 2)
    boxes = {"0.png": [[0, 0, 30, 60], [20, 10, 50, 70]], "9.png": [[0, 0, 9, 9]]}
    boxes["1.png"] = [[500, 500, 510, 510], [5, 5, 30, 60]]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    options = options_of(
        tmp_path / "out",
        boxes=str(tmp_path / "boxes.json"),
        save=["obj", "glb", "overlay", "sheet"],
    )
    report = predict(tmp_path / "in", run, options)
    names = report.predictions.image_name.tolist()
    assert [*zip(names, report.predictions.person.tolist(), strict=True)] == [
        ("0.png", 0), ("0.png", 1), ("1.png", 1)
    ]  # fmt: skip
    assert [(p.image_name, p.person) for p in report.problems] == [("9.png", -1), ("1.png", 0)]
    made = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    assert {
        "overlays/0_0.png",
        "overlays/0_1.png",
        "overlays/0_all.png",
        "overlays/1_1.png",
    } <= made
    assert {"meshes/0_0.obj", "meshes/1_1.glb", "sheet.png", "predictions.csv"} <= made
    assert "overlays/1_all.png" not in made and "predictions.npz" not in made


def files_of(out):
    return {
        path.relative_to(out).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in out.rglob("*")
        if path.is_file() and path.name not in ("lock", "files.jsonl")
    }


def test_a_killed_command_goes_on_and_ends_with_the_same_bytes(tmp_path, run, monkeypatch):
    monkeypatch.setattr(kept, "CHUNK", 3)
    write_pictures(tmp_path / "in", 8)
    save = {"save": ["npz", "obj", "overlay"]}
    predict(tmp_path / "in", run, options_of(tmp_path / "whole", **save))
    keep, made = kept.KeptResults.keep_part, kept.KeptResults.made

    def killed(method, at):
        def counted(self, *arguments):
            counted.calls += 1
            if counted.calls == at:
                raise KeyboardInterrupt
            return method(self, *arguments)

        counted.calls = 0
        return counted

    out = options_of(tmp_path / "out", **save)
    for name, method, at in (("keep_part", keep, 2), ("made", made, 6)):
        with monkeypatch.context() as patched:
            patched.setattr(kept.KeptResults, name, killed(method, at))
            with pytest.raises(KeyboardInterrupt):
                predict(tmp_path / "in", run, out)
    before = files_of(tmp_path / "out")
    with (tmp_path / "out/.predict/files.jsonl").open("ab") as stream:
        stream.write(b'\nnull\n\xff\xfe\n["cut short, by a ki')
    predict(tmp_path / "in", run, out)
    after, whole = files_of(tmp_path / "out"), files_of(tmp_path / "whole")
    assert {name: content for name, (content, _) in after.items()} == {
        name: content for name, (content, _) in whole.items()
    }
    assert all(after[name] == before[name] for name in before)  # not written again
    assert predict(tmp_path / "in", run, out).anew == 0
    assert files_of(tmp_path / "out") == after


def test_a_process_that_was_killed_is_continued(tmp_path, run):
    write_pictures(tmp_path / "in", 40)
    weights = run.files.weights.parent.parent

    def start(out: str) -> subprocess.Popen:
        words = ["predict", tmp_path / "in", "--run", weights, "--out", tmp_path / out]
        words += ["--save", "npz,obj", "--device", "cpu", "--readers", "2"]
        return subprocess.Popen([sys.executable, "-m", "pmnet", *map(str, words)])

    with start("out") as process:
        while len(list((tmp_path / "out").glob("meshes/*.obj"))) < 5 and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    before = {name: at for name, at in files_of(tmp_path / "out").items() if name[0] != "."}
    assert process.returncode == -signal.SIGKILL and 5 <= len(before) < 40
    for out in ("out", "whole"):
        assert start(out).wait() == 0
    after, whole = files_of(tmp_path / "out"), files_of(tmp_path / "whole")
    assert {name: content for name, (content, _) in after.items()} == {
        name: content for name, (content, _) in whole.items()
    }
    again = [name for name in before if after.get(name) != before[name]]
    assert len(again) <= 2  # each of two threads was killed before it noted its file


def test_lists_before_an_error_are_predicted(tmp_path, run, monkeypatch):
    write_pictures(tmp_path, 6)
    chunks = [(index, [f"{2 * index}.png", f"{2 * index + 1}.png"]) for index in range(3)]
    source = PictureSource(tmp_path, None, SIZE_PX)
    whole = list(predict_chunks(run, source, chunks, None, 1))
    assert [chunk.index for chunk in whole] == [0, 1, 2]
    read = pipeline.read_picture

    def refused(path):
        if path.name == "5.png":
            raise InputError("5.png: is no picture")
        return read(path)

    monkeypatch.setattr(pipeline, "read_picture", refused)
    found = predict_chunks(run, source, chunks, None, 1)
    for chunk, expected in zip([next(found), next(found)], whole[:2], strict=True):
        assert np.array_equal(chunk.predictions.pose, expected.predictions.pose)
    with pytest.raises(InputError, match="no picture"):
        next(found)


def test_other_settings_replace_all_files(tmp_path, run):
    write_pictures(tmp_path / "in", 3)
    out = options_of(tmp_path / "out", save=["npz", "obj"])
    predict(tmp_path / "in", run, out)
    (tmp_path / "in/2.png").unlink()
    near = options_of(tmp_path / "out", save=["npz", "obj"], focal_length=100.0)
    report = predict(tmp_path / "in", run, near)
    assert report.anew == 2
    assert sorted(p.name for p in (tmp_path / "out/meshes").iterdir()) == ["0_0.obj", "1_0.obj"]
    assert Predictions.load(tmp_path / "out/predictions.npz").focal_length.tolist() == [100.0] * 2


def test_what_is_wrong_for_all_pictures_is_one_error(tmp_path, run, monkeypatch):
    write_pictures(tmp_path / "in", 1)
    (tmp_path / "boxes.csv").write_text("image_name,x0,y0,x1,y1\nother.png,0,0,9,9\n")
    with pytest.raises(InputError, match=r"none of its pictures, such as other\.png"):
        predict(
            tmp_path / "in", run, options_of(tmp_path / "out", boxes=str(tmp_path / "boxes.csv"))
        )
    with pytest.raises(InputError, match="--fps"):
        predict(tmp_path / "in", run, options_of(tmp_path / "out", save=["amass"]))
    with pytest.raises(InputError, match="torchvision:nothing: not one of"):
        predict(tmp_path / "in", run, options_of(tmp_path / "out", boxes="torchvision:nothing"))


def test_a_detector_finds_the_boxes_once(tmp_path, run, monkeypatch):
    write_pictures(tmp_path / "in", 3)
    asked = []

    class Detector:
        def __init__(self, *_):
            pass

        def people_of(self, path):
            asked.append(path.name)
            return [] if path.name == "1.png" else [[10.0, 10.0, 40.0, 60.0]]

    monkeypatch.setattr(command, "PersonDetector", Detector)
    options = options_of(tmp_path / "out", boxes="torchvision:some")
    first = predict(tmp_path / "in", run, options)
    assert first.predictions.image_name.tolist() == ["0.png", "2.png"]
    assert first.predictions.box[0].tolist() == [-5, 5, 55, 65]
    assert predict(tmp_path / "in", run, options).anew == 0
    assert asked == ["0.png", "1.png", "2.png"]


def test_runs_are_found_by_name_and_by_folder(tmp_path, body, monkeypatch):
    folder = write_run(tmp_path, body)
    monkeypatch.chdir(tmp_path)
    found = find_run("tiny", None)
    assert (found.weights.name, found.size_px, found.name) == ("seed_0.pt", SIZE_PX, "tiny")
    assert find_run(str(folder), 7).weights.name == "seed_7.pt"
    with pytest.raises(InputError, match=r"seed_3.pt: no such file"):
        find_run("tiny", 3)
    with pytest.raises(InputError, match=r"there: single, tiny"):
        find_run("other", None)
    with pytest.raises(InputError, match=r"seed_0.pt"):
        find_run("single", None)
    settings = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(settings.replace("runs/single/memory", "data/spin_mean"))
    with pytest.raises(InputError, match=r"data/spin_mean\.npz: no such mean body; .*give --mean"):
        find_run("tiny", None)
    (tmp_path / "params.yaml").unlink()
    with pytest.raises(InputError, match="--size-px"):
        find_run("tiny", None)
    shutil.rmtree(tmp_path / "runs/single")
    assert find_run("tiny", None, size_px=64).mean is None
