"""Image sets as arrays: `load(name, split) -> Batch`, whole or by `read_chunks`."""

from jaxgen.data.load import Choice, choose, load, pad_to
from jaxgen.data.stream import read_chunks

__all__ = ["Choice", "choose", "load", "pad_to", "read_chunks"]
