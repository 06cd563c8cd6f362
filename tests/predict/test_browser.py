"""A page with three.js opens the .glb: skeleton, animation, and the vertices of the prediction."""

import http.server
import json
import re
import shutil
import subprocess
import threading
from functools import partial

import numpy as np
import pytest
from bodies import random_bodies
from import_closure import ROOT

from pmnet.body import BodyParams
from pmnet.predict.gltf import write_skinned_glb
from pmnet.predict.meshes import TO_VIEWER

THREE = "three@0.187.0"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PAGE = """<!doctype html><body><pre id="out">nothing</pre>
<script type="importmap">{"imports": {"three": "/three/build/three.module.js"}}</script>
<script type="module">
import * as THREE from "three";
import { GLTFLoader } from "/three/examples/jsm/loaders/GLTFLoader.js";
const gltf = await new GLTFLoader().loadAsync("/x.glb");
let mesh; gltf.scene.traverse(o => { if (o.isSkinnedMesh) mesh = o; });
const mixer = new THREE.AnimationMixer(gltf.scene);
mixer.clipAction(gltf.animations[0]).play();
const frames = [];
for (const time of TIMES) {
  mixer.setTime(time);
  gltf.scene.updateMatrixWorld(true); mesh.skeleton.update();
  const point = new THREE.Vector3(), points = [];
  for (let i = 0; i < mesh.geometry.attributes.position.count; i += STEP) {
    mesh.getVertexPosition(i, point); mesh.localToWorld(point);
    points.push([point.x, point.y, point.z]);
  }
  frames.push(points);
}
document.getElementById("out").textContent = JSON.stringify({
  bones: mesh.skeleton.bones.map(b => b.name), seconds: gltf.animations[0].duration, frames});
</script>"""


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Return the folder of three.js: kept in .work, fetched by npm where it is not there."""
    npm, kept = shutil.which("npm"), ROOT / ".work/npm"
    if CHROMIUM is None or npm is None:
        pytest.skip("needs Chromium and npm")
    folder = kept / "node_modules/three"
    if not folder.is_dir():
        kept.mkdir(parents=True, exist_ok=True)
        words = [npm, "install", "--prefix", str(kept), "--no-audit", "--no-fund", THREE]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            pytest.skip(f"npm cannot fetch {THREE}: {done.stderr:.200}")
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_three_moves_the_mesh_as_predicted(tmp_path, body, three):
    params = random_bodies(5)
    params = BodyParams(params.rotmats, params.betas[:1].expand(5, -1))
    translation = np.tile([0.2, -0.1, 12.0], (5, 1)) + np.arange(5)[:, None] * 0.01
    times, step = np.arange(5) / 10, 97
    exact = body.double_precision()
    write_skinned_glb(tmp_path / "x.glb", exact, params, translation, times)
    page = PAGE.replace("TIMES", json.dumps(times.tolist())).replace("STEP", str(step))
    (tmp_path / "index.html").write_text(page)
    (tmp_path / "three").symlink_to(three)
    with http.server.ThreadingHTTPServer(
        ("localhost", 0), partial(Quiet, directory=tmp_path)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://localhost:{server.server_port}/index.html"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
        flags += [f"--user-data-dir={tmp_path / 'chromium'}", "--dump-dom"]
        words = [CHROMIUM, *flags, address]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
        server.shutdown()
    (text,) = re.findall(r'<pre id="out">(.*?)</pre>', done.stdout, re.DOTALL)
    found = json.loads(text)
    assert found["bones"][0] == "pelvis" and len(found["bones"]) == 24
    assert found["seconds"] == pytest.approx(0.4)
    doubled = BodyParams(params.rotmats.double(), params.betas.double())
    expected = (exact.vertices(doubled).numpy() + translation[:, None]) * TO_VIEWER
    np.testing.assert_allclose(np.array(found["frames"]), expected[:, ::step], atol=1e-5)
