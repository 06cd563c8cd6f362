"""comparators: the list of the systems whose predictions are scored beside the runs."""

import json
from typing import Annotated, Any

from pmnet.core.files import replacing
from pmnet.core.stage import PARAMS, OutFile, Section, command
from pmnet.data.names import check_key


def comparators(
    out: OutFile, comparators: Annotated[dict[str, Any], Section("comparators")]
) -> None:
    """Write the list of comparators: tables read the errors of those that it names."""
    for name in comparators:
        check_key(name, f"{PARAMS}: comparators")
    with replacing(out) as partial:
        partial.write_text(json.dumps(list(comparators), indent=2) + "\n")


if __name__ == "__main__":
    command(comparators)
