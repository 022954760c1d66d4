"""Image sets as arrays: `load(name, split) -> Batch`."""

from jaxgen.data.load import Choice, choose, load, pad_to

__all__ = ["Choice", "choose", "load", "pad_to"]
