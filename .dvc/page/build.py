"""Build ``offline.html``, the page that ``dvc plots show`` fills.

DVC's stock page loads Vega from a public CDN, so without a network it shows no chart at all.
This page carries the same Vega inside itself. Rebuild it (npm and a network needed) with
``python .dvc/page/build.py``.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from pathlib import Path

PAGE = Path(__file__).with_name("offline.html")

# The versions that dvc_render writes its charts for, with the SHA-256 of each minified bundle.
BUNDLES = {
    "vega@5.20.2": "4794d0169cb1f3ebad8117fe98ba5bd652dd725905ec0384e832391dbccb03be",
    "vega-lite@5.2.0": "d73157451b3978015ab31dacd55ff90d986ab8663fc0abed50f97b3cd90002cb",
    "vega-embed@6.18.2": "1ba9826431ddc9805e815ad92acc811c819f2bfd32bda2a128b8c4b5070fab5e",
}

# vega-embed carries this semver and the two packages below it; a newer semver has dropped them,
# and their licence texts would be missing.
LICENCES_ONLY = ["semver@7.3.5"]

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>PM-Net plots</title>
<style>
body { margin: 0 auto; max-width: 1340px; padding: 24px; background: #f6f7f9; color: #1f2933;
       font: 15px/1.5 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
h1 { margin: 0; font-size: 26px; font-weight: 600; }
header p { margin: 2px 0 24px; color: #616e7c; }
main > div { display: block !important; margin-bottom: 20px; padding: 20px 24px; overflow-x: auto;
             background: #fff; border: 1px solid #dfe3e8 !important; border-radius: 8px; }
main img { max-width: 100%; }
main .failed { color: #b42318; white-space: pre-wrap; }
table { border-spacing: 15px; }
</style>
<!--
Written by build.py. The scripts below are copies of other people's work, under these terms:

@NOTICES@
-->
@SCRIPTS@
<script>
// DVC calls vegaEmbed("#id", spec) once for each chart. Give all charts one look, leave out the
// menu entry that opens an online editor, and say so where there is no chart to draw.
window.vegaEmbed = (draw => (target, spec) => {
  const box = document.getElementById(target.slice(1));
  if (!Object.keys(spec).length) {  // a missing or still empty table
    box.textContent = `${box.id}: no data yet`;
    return;
  }
  const ink = "#3e4c59", font = getComputedStyle(document.body).fontFamily;
  const config = {
    font,
    background: null,
    view: {stroke: null},
    title: {fontSize: 17, fontWeight: 600, offset: 16, color: "#1f2933"},
    axis: {labelFontSize: 12, titleFontSize: 13, titleFontWeight: 500, titlePadding: 8,
           labelColor: ink, titleColor: ink, gridColor: "#e8ebee", domainColor: "#9aa5b1",
           tickColor: "#9aa5b1"},
    axisX: {labelFlush: false},
    header: {labelFontSize: 14, labelFontWeight: 600, labelColor: ink, labelPadding: 8},
    legend: {labelFontSize: 12, titleFontSize: 13, titleFontWeight: 500, labelLimit: 240,
             labelColor: ink, titleColor: ink, symbolStrokeWidth: 2, offset: 14,
             layout: {top: {margin: 40, anchor: "start"}}},
  };
  const actions = {export: true, source: true, compiled: false, editor: false};
  return draw(box, spec, {renderer: "svg", config, actions}).catch(error => {
    box.className = "failed";
    box.textContent = `This chart could not be drawn. ${error}`;
  });
})(window.vegaEmbed);
</script>
</head>
<body>
<header>
<h1>PM-Net plots</h1>
<p>Drawn by <code>dvc plots show</code> from the tables in this repository.
Point at a mark for its numbers.</p>
</header>
<main>
{plot_divs}
</main>
</body>
</html>
"""


def install(folder: Path) -> Path:
    """Let the npm client fetch and verify the packages; none of their scripts runs."""
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    # vega-lite 5.2.0 asks for a newer vega than the one that DVC pairs it with.
    command = ["npm", "install", *quiet, "--legacy-peer-deps", "--prefix", str(folder)]
    subprocess.run([*command, *BUNDLES, *LICENCES_ONLY], check=True)
    return folder / "node_modules"


def bundle_path(modules: Path, package: str) -> Path:
    """Return where npm has put the minified bundle of ``name@version``."""
    name = package.split("@")[0]
    return modules / name / "build" / f"{name}.min.js"


def script(path: Path, sha256: str) -> str:
    """Return the bundle as an HTML script element."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path.name} is not the bundle that this script was written for")
    # A browser's developer tools would look for the source map beside the page.
    code = re.sub(r"\n//# sourceMappingURL=.*", "", content.decode()).strip()
    # Either of these would end the script element early or change how the rest is read.
    if re.search(r"</script|<script|<!--", code, re.IGNORECASE):
        raise ValueError(f"{path.name} cannot stand inside an HTML script element")
    return f"<script>{code}</script>"


def bundled_packages(bundle: Path) -> set[str]:
    """Name the packages whose code is in the bundle, as its source map tells them."""
    sources = json.loads(bundle.with_name(f"{bundle.name}.map").read_text())["sources"]
    own = re.compile(r"/(vega-[a-z-]+)/build/")  # a sibling of vega in its monorepo
    npm = re.compile(r"node_modules/((?:@[^/]+/)?[^/]+)")
    found = {name for source in sources for name in npm.findall(source) or own.findall(source)}
    return found | {bundle.parents[1].name}


def notices(modules: Path, packages: set[str]) -> str:
    """Return every licence text once, under the names of the packages that it covers."""
    covered: dict[str, list[str]] = {}
    for package in sorted(packages):
        if not (modules / package).is_dir():
            raise ValueError(f"npm has not installed {package}: its licence is unknown")
        # Some vega-* packages have no file of their own; vega's covers that whole monorepo.
        for path in (modules / package).glob("LICENSE*"):
            text = "\n".join(line.rstrip() for line in path.read_text().strip().splitlines())
            covered.setdefault(text, []).append(package)
    return "\n\n".join(f"[{', '.join(names)}]\n\n{text}" for text, names in covered.items())


def fill(template: str, **parts: str) -> str:
    """Put the parts into the page, and make sure that DVC will find only its own placeholder."""
    page = template
    for name, part in parts.items():
        page = page.replace(f"@{name.upper()}@", part)
    # dvc_render replaces these three strings wherever they stand, other braces mean nothing to it.
    found = re.findall(r"\{(?:scripts|plot_divs|refresh_tag)\}", page)
    if found != ["{plot_divs}"]:
        raise ValueError(f"DVC would replace {found}, not just the plots' one placeholder")
    return page


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        modules = install(Path(folder))
        bundles = {bundle_path(modules, package): sha256 for package, sha256 in BUNDLES.items()}
        packages = set().union(*map(bundled_packages, bundles))
        texts = notices(modules, packages)
        if "-->" in texts or "--!>" in texts:
            raise ValueError("a licence text would end the HTML comment that holds it")
        scripts = "\n".join(script(path, sha256) for path, sha256 in bundles.items())
        PAGE.write_text(fill(TEMPLATE, notices=texts, scripts=scripts), encoding="utf-8")
    print(f"{PAGE.name}: {PAGE.stat().st_size} bytes, {len(packages)} packages inside")


if __name__ == "__main__":
    main()
