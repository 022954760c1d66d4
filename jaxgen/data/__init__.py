"""Image data sets as arrays."""

from jaxgen.data.load import as_path, find, load
from jaxgen.data.named import Choice, choose
from jaxgen.data.resize import Preparation, Resize
from jaxgen.data.source import Source, class_names, holds_out, read

__all__ = [
    "Choice",
    "Preparation",
    "Resize",
    "Source",
    "as_path",
    "choose",
    "class_names",
    "find",
    "holds_out",
    "load",
    "read",
]
