"""The body: parameters, model, parts and files.

The names below are imported when they are first used: files of bodies are read without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmnet.body.files import OPEN_BODY as OPEN_BODY
    from pmnet.body.files import read_body as read_body
    from pmnet.body.files import write_body as write_body
    from pmnet.body.model import BodyModel as BodyModel
    from pmnet.body.params import BodyParams as BodyParams

_HOMES = {
    "OPEN_BODY": "files",
    "BodyModel": "model",
    "BodyParams": "params",
    "read_body": "files",
    "write_body": "files",
}
__all__ = ["OPEN_BODY", "BodyModel", "BodyParams", "read_body", "write_body"]


def __getattr__(name: str) -> Any:
    """Return a name of the body, imported now (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pmnet.body' has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"pmnet.body.{_HOMES[name]}"), name)
    return value
