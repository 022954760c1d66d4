"""Distances by torch-fidelity, which compare with those in papers."""

from pathlib import Path

import numpy as np
from jaxtyping import Array, UInt8

from jaxgen.errors import InputError

Pixels = UInt8[Array | np.ndarray, "_ h w c"]

INCEPTION = "inception-v3-compat"
NUM_SUBSETS = 100
SUBSET_SIZE = 1000


def require_weights(extractor: str = INCEPTION) -> None:
    """Load a registered extractor once, which downloads its weights if necessary.

    Raises InputError if torch-fidelity is not installed, or if the weights cannot be had.
    """
    try:
        import torch
        from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY
        from torch_fidelity.utils import create_feature_extractor
    except ImportError:
        raise InputError(
            "Inception's features need torch-fidelity: run pip install 'jaxgen[fid]'."
        ) from None
    except RuntimeError as error:  # of torchvision, if it was built for another PyTorch
        raise InputError(
            f"torch-fidelity cannot be imported ({error}): install torch and torchvision together, "
            "from the same index."
        ) from None
    layer = FEATURE_EXTRACTORS_REGISTRY[extractor].get_default_feature_layer_for_metric("fid")
    try:
        create_feature_extractor(extractor, [layer], cuda=False, verbose=False)
    except (OSError, RuntimeError) as error:  # no network, or a damaged file
        place = Path(torch.hub.get_dir()) / "checkpoints"
        raise InputError(
            f"The weights of {extractor} cannot be had ({error}): put their file into {place}, or "
            "use --features classifier."
        ) from None


def distances(
    samples: Pixels, real: Pixels, nearest_k: int, extractor: str = INCEPTION
) -> dict[str, float]:
    """Compare samples with real images in the features of a registered extractor.

    Returns the Fréchet distance, the mean and standard deviation of the kernel distance over random
    subsets, precision and recall. Gray images become RGB.
    """
    import torch
    import torch_fidelity
    from torch.utils.data import Dataset

    class Images(Dataset):
        """Images as tensors [3, h, w] of 8-bit integers."""

        def __init__(self, pixels: Pixels):
            self.pixels = pixels

        def __len__(self) -> int:
            return len(self.pixels)

        def __getitem__(self, index: int) -> torch.Tensor:
            image = torch.tensor(np.asarray(self.pixels[index])).permute(2, 0, 1)
            return image.expand(3, -1, -1)

    metrics = torch_fidelity.calculate_metrics(
        input1=Images(samples),
        input2=Images(real),
        feature_extractor=extractor,
        fid=True,
        kid=True,
        kid_subsets=NUM_SUBSETS,
        kid_subset_size=min(SUBSET_SIZE, len(samples), len(real)),
        prc=True,
        prc_neighborhood=nearest_k,
        cuda=torch.cuda.is_available(),
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    return {
        "frechet_distance": metrics["frechet_inception_distance"],
        "kernel_distance": metrics["kernel_inception_distance_mean"],
        "kernel_distance_std_of_subsets": metrics["kernel_inception_distance_std"],
        "precision": metrics["precision"],
        "recall": metrics["recall"],
    }
