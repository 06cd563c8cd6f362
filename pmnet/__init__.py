"""PM-Net: 3D human reconstruction of rare poses with a prototype memory.

The names below are the public API; README.md shows how to use them. They are imported when they are
first used, so that `import pmnet` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmnet.body import OPEN_BODY as OPEN_BODY
    from pmnet.body import BodyModel as BodyModel
    from pmnet.body import BodyParams as BodyParams
    from pmnet.clustering.poses import cluster_poses as cluster_poses
    from pmnet.core.errors import InputError as InputError
    from pmnet.data.samples import Samples as Samples
    from pmnet.dropin.start import PrototypeStart as PrototypeStart
    from pmnet.memory.nearest import nearest_prototypes as nearest_prototypes
    from pmnet.memory.prototypes import PrototypeMemory as PrototypeMemory

    __version__: str

_HOMES = {
    "OPEN_BODY": "pmnet.body",
    "BodyModel": "pmnet.body",
    "BodyParams": "pmnet.body",
    "InputError": "pmnet.core.errors",
    "PrototypeMemory": "pmnet.memory.prototypes",
    "PrototypeStart": "pmnet.dropin.start",
    "Samples": "pmnet.data.samples",
    "cluster_poses": "pmnet.clustering.poses",
    "nearest_prototypes": "pmnet.memory.nearest",
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    """Return a name of the public API, imported now (PEP 562)."""
    if name == "__version__":
        value = import_module("importlib.metadata").version("pmnet")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'pmnet' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the names of the public API beside what is loaded."""
    return sorted({*globals(), *__all__})
