"""Image data sets as arrays."""

from jaxgen.data.load import Choice, choose, class_names, load

__all__ = ["Choice", "choose", "class_names", "load"]
