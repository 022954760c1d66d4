"""PSNR of a VAE's reconstructions of its test set, beside that of the mean training image.

python -m experiments.psnr RUN_DIR
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import Float

from jaxgen import console
from jaxgen.runner.data import load_data
from jaxgen.runner.load import load_run

BATCH_SIZE = 250
Images = Float[np.ndarray, "n h w c"]  # in [0, 1]


def psnr(images: Images, originals: Images) -> float:
    """Average the peak signal-to-noise ratio over the images, in dB."""
    mse = np.square(images - originals).mean(axis=(1, 2, 3))
    return float(np.mean(-10 * np.log10(mse)))


def main(run_dir: Annotated[Path, tyro.conf.Positional]) -> None:
    """Print the PSNR of a run's reconstructions, and that of the mean training image."""
    with console.report_errors():
        screen, run = console.make_console(), load_run(run_dir)
        sets = load_data(run.options.data, "memory", screen)
        test = np.asarray(sets.test.image)
        batches = np.split(test, range(BATCH_SIZE, len(test), BATCH_SIZE))
        reconstructed = np.concatenate([run.reconstruct(batch) for batch in batches])
        mean = np.mean(sets.train.image, axis=0, keepdims=True) / 255
        original = test / np.float32(255)
        screen.print(
            f"PSNR of {len(test)} test images: reconstructions {psnr(reconstructed, original):.2f} "
            f"dB, mean training image {psnr(np.broadcast_to(mean, test.shape), original):.2f} dB"
        )


if __name__ == "__main__":
    tyro.cli(main)
