"""The body: parameters, model, parts and files."""

from pmnet.body.files import OPEN_BODY, read_body, write_body
from pmnet.body.model import BodyModel
from pmnet.body.params import BodyParams

__all__ = ["OPEN_BODY", "BodyModel", "BodyParams", "read_body", "write_body"]
