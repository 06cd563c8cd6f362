"""What the README says was printed by the commands that it names."""

import json

from import_closure import ROOT


def quoted(text: str) -> str:
    """Return text without the marks and line ends of a quotation."""
    return " ".join(text.replace("\n> ", " ").split())


def test_the_claim_is_the_one_that_was_printed():
    claim = json.loads((ROOT / "reports/open/claim.json").read_text())
    assert claim["sentence"] in quoted((ROOT / "README.md").read_text())
