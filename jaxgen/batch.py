"""Make and check batches: 8-bit images, and labels in range."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Shaped
from numpy.typing import ArrayLike

from jaxgen.errors import InputError
from jaxgen.types import Batch

INT32 = np.iinfo(np.int32)
AnyArray = Shaped[Array, "..."] | Shaped[np.ndarray, "..."]


def make_batch(
    image: ArrayLike | Array,
    label: ArrayLike | Array | None = None,
    num_classes: int | None = None,
) -> Batch:
    """Make a batch, or a whole data set, of images [n, h, w, c] or [n, h, w] and their labels.

    Without labels, all are 0. Raises InputError as `check_batch` does.
    """
    image = _array("images", image)
    if image.ndim == 3:
        image = image[..., None]
    label = np.zeros(image.shape[:1], np.int32) if label is None else _array("labels", label)
    batch = Batch(image, label)  # pyright: ignore[reportArgumentType]
    check_batch(batch, num_classes)
    return batch._replace(label=label.astype(np.int32))


def check_batch(batch: Batch, num_classes: int | None = None) -> None:
    """Raise InputError, with the line that converts them, unless images and labels are valid.

    Images are uint8 [n, h, w, c] from 0 to 255. Labels are integers [n] from 0 to num_classes - 1,
    which is checked outside of `jit`, where they have values.
    """
    check_images(batch.image)
    _check_label_kind(batch.label)
    num_images, num_labels = batch.image.shape[0], batch.label.shape[0]
    if num_images != num_labels:
        raise InputError(
            f"There are {num_images} images and {num_labels} labels: give each image its label."
        )
    if num_images == 0:
        raise InputError("There are no images: give at least one.")
    check_labels(batch.label, num_classes)


def check_images(image: AnyArray) -> None:
    """Raise InputError, with the line that converts them, unless images are uint8 [n, h, w, c]."""
    if image.dtype != np.uint8:
        is_number = any(jnp.issubdtype(image.dtype, kind) for kind in (jnp.integer, jnp.floating))
        if image.dtype != bool and not is_number:
            raise InputError(f"Images must be uint8 from 0 to 255, but are {image.dtype}.")
        raise InputError(
            f"Images must be uint8 from 0 to 255, but are {_describe(image)}: {_to_uint8(image)}."
        )
    if image.ndim != 4:
        raise InputError(
            f"Images must have the shape [n, h, w, c], but have {list(image.shape)}: "
            f"{_to_four_axes(image.shape)}."
        )
    _, *sizes, channels = image.shape
    if sizes[0] in (1, 3) and channels > 4:
        raise InputError(
            f"Images must have the shape [n, h, w, c], but have {list(image.shape)}, with the "
            "channels first: use `image.transpose(0, 2, 3, 1)`."
        )


def check_labels(label: AnyArray, num_classes: int | None) -> None:
    """Raise InputError unless integers are from 0 to num_classes - 1; traced ones always pass."""
    values = _values(label)
    if values is None or values.size == 0:
        return
    low, high = int(values.min()), int(values.max())
    if 0 <= low <= high <= (INT32.max if num_classes is None else num_classes - 1):
        return
    most = INT32.max if num_classes is None else num_classes - 1
    wanted = "0 or more" if num_classes is None and high <= most else f"from 0 to {most}"
    present = np.unique(values).size
    if num_classes is not None and present > num_classes:
        remedy = f"these are {present} classes, so build the model for as many"
    elif low > 0 and high - low < (num_classes or 0):
        remedy = f"use `label - {low}`"
    else:
        remedy = "number them with `np.unique(label, return_inverse=True)[1]`"
    raise InputError(f"Labels must be {wanted}, but are from {low} to {high}: {remedy}.")


def _check_label_kind(label: AnyArray) -> None:
    if label.ndim == 2 and label.shape[1] == 1:
        remedy = "use `label[:, 0]`"
    elif label.ndim == 2:
        remedy = "if they are one-hot, use `label.argmax(axis=1)`"
    elif label.ndim != 1:
        remedy = "give each image one integer"
    elif label.dtype.kind in "US":
        remedy = "number them with `np.unique(label, return_inverse=True)[1]`"
    elif label.dtype == object:
        remedy = "give each image one integer"
    elif not jnp.issubdtype(label.dtype, jnp.integer):
        remedy = 'use `label.astype("int32")`'
    else:
        return
    raise InputError(
        f"Labels must be integers of the shape [n], but are {label.dtype} of the shape "
        f"{list(label.shape)}: {remedy}."
    )


def _to_uint8(image: AnyArray) -> str:
    """Suggest the conversion of images to 0 to 255."""
    if image.dtype == bool:
        return 'use `255 * image.astype("uint8")`'
    low, high = _range(image)
    if not math.isfinite(high - low):
        return "replace values that are not finite, and scale the others to 0 to 255"
    if jnp.issubdtype(image.dtype, jnp.floating) and -1 <= low <= high <= 1:
        if low < 0:
            return 'use `((image + 1) * 127.5).round().astype("uint8")`'
        return 'use `(image * 255).round().astype("uint8")`'
    if 0 <= low <= high <= 255:
        rounded = ".round()" if jnp.issubdtype(image.dtype, jnp.floating) else ""
        return f'use `image{rounded}.astype("uint8")`'
    if 0 <= low <= high < 2**16:
        return 'use `(image / 257).round().astype("uint8")` if they are of 16 bits'
    return "scale them to 0 to 255"


def _to_four_axes(shape: tuple[int, ...]) -> str:
    """Suggest the conversion of a shape to [n, h, w, c]."""
    if len(shape) == 3:
        return "use `image[..., None]`, or `image[None]` for a single one"
    if len(shape) == 2 and math.isqrt(shape[1]) ** 2 == shape[1] > 1:
        side = math.isqrt(shape[1])
        return f"use `image.reshape(-1, {side}, {side}, 1)`"
    return "reshape them"


def _describe(image: AnyArray) -> str:
    if _values(image) is None or image.dtype == bool:
        return str(image.dtype)
    low, high = _range(image)
    return f"{image.dtype} from {low:.3g} to {high:.3g}"


def _range(image: AnyArray) -> tuple[float, float]:
    """Return the smallest and the largest value; 0 and 1 if they are unknown."""
    values = _values(image)
    if values is None or values.size == 0:
        return 0.0, 1.0
    return float(values.min()), float(values.max())


def _values(array: AnyArray) -> np.ndarray | None:
    """Return the values; None under `jit`, and for arrays that are spread over several hosts."""
    if isinstance(array, Tracer):
        return None
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return None
    return np.asarray(array)


def _array(name: str, values: ArrayLike | Array) -> AnyArray:
    if isinstance(values, jax.Array):
        return values
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(f"The {name} have different shapes: bring them to one shape.") from None
