"""Build `offline.html`, the page that `dvc plots show` fills: `python .dvc/page/build.py`.

DVC's stock page loads Vega from a public address, so without a network it shows no chart at all. This page
carries Vega inside itself, as vl-convert bundles it (extra `dev`). `notices.txt` has the licences of all
packages in the bundle.
"""

import re
from pathlib import Path

import vl_convert

HERE = Path(__file__).parent
VEGA_LITE = "6.4"  # draws templates of version 5, which DVC and its editors read


def page() -> str:
    """Return the page."""
    bundle, notices = vl_convert.javascript_bundle(vl_version=VEGA_LITE), HERE / "notices.txt"
    # any of these would end the script early or change how the rest is read
    if re.search(r"</script|<script|<!--|sourceMappingURL", bundle, re.IGNORECASE):
        raise ValueError("the bundle cannot stand inside an HTML script element")
    filled = (HERE / "template.html").read_text(encoding="utf-8")
    filled = filled.replace("@NOTICES@", notices.read_text(encoding="utf-8").strip())
    filled = filled.replace("@BUNDLE@", bundle)
    # DVC replaces these three texts wherever they stand
    found = re.findall(r"\{(?:scripts|plot_divs|refresh_tag)\}", filled)
    if found != ["{plot_divs}"]:
        raise ValueError(f"DVC would replace {found}, not just the one place of the plots")
    return filled


if __name__ == "__main__":
    (HERE / "offline.html").write_text(page(), encoding="utf-8")
