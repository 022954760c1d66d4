"""`jaxgen shapes`: write the generated data set of colored shapes to a directory."""

from pathlib import Path
from typing import Annotated

import tyro

from jaxgen.data import shapes as data


def shapes(directory: Annotated[Path, tyro.conf.Positional]) -> None:
    """Write the data set `shapes` as PNG files, with a folder for each split and shape.

    Args:
        directory: A new directory.
    """
    data.export(directory)
    num_images = sum(data.NUM_IMAGES.values())
    print(f"{num_images} images of {', '.join(data.CLASS_NAMES)}: {directory}")
