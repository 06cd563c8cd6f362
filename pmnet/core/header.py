"""The headers of the files that pmnet writes: dataclasses too, checked like the sections of params.yaml."""

import json
from pathlib import Path
from typing import Any

from pmnet.core import params
from pmnet.core.errors import InputError


def read_header(kind: Any, content: object, path: Path, fault: str, cure: str) -> Any:
    """Return a header, a mapping or its JSON, as the dataclass `kind`; unknown keys are left out.

    A field with a default may be missing. Raises InputError that names the file, its `fault`, the key, and
    what to do (`cure`).
    """
    try:
        if isinstance(content, str | bytes):
            content = json.loads(content)
        return params.parse(kind, content, "header", known_only=False)
    except RecursionError:
        reason = "header: nested too deeply"
    except ValueError as error:  # InputError is one
        reason = str(error) if isinstance(error, InputError) else f"header: no JSON ({error})"
    raise InputError(f"{path}: {fault} ({reason}); {cure}")
