"""Image files of every kind, drawn for a test."""

import io

import numpy as np
from PIL import Image


def noise(seed, height=24, width=24, channels=3):
    """An image of random pixels, unlike every other seed's."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels))
    return Image.fromarray(pixels.astype(np.uint8).squeeze())


def encode(image, format="PNG", **options):
    """The contents of a file."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def write(folder, images):
    """PNG files 0.png, 1.png and so on in a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        image.save(folder / f"{number}.png")


def write_classes(folder, **sizes):
    """A folder for each class, with so many different images."""
    for number, (name, size) in enumerate(sizes.items()):
        write(folder / name, [noise(1000 * number + i) for i in range(size)])
