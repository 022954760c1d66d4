"""Pictures in a page: as data URIs, and no larger than a page can afford."""

import base64
import io

from PIL import Image, UnidentifiedImageError

from jaxgen.errors import InputError
from jaxgen.report.markup import Html, element

MAX_BYTES = 200_000
MIME_TYPES = {"PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
QUALITIES = ((1200, 85), (800, 75), (500, 60), (300, 40))  # width, and quality of WebP


def image(content: bytes, alt: str, *, max_bytes: int = MAX_BYTES, name: str | None = None) -> Html:
    """Create an image that needs no file. Raises InputError if the content is not an image.

    A picture of more than `max_bytes` loses size and quality until it is small enough. The script
    shows `name` with it.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            kind, (width, height) = str(picture.format), picture.size
            if len(content) > max_bytes or kind not in MIME_TYPES:
                content, kind = _shrink(picture.convert("RGB"), max_bytes), "WEBP"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else str(error)
        raise InputError(f"no intact image ({reason})") from None
    text = base64.b64encode(content).decode()
    source = f"data:{MIME_TYPES[kind]};base64,{text}"
    return element("img", src=source, alt=alt, width=width, height=height, data_name=name)


def _shrink(picture: Image.Image, max_bytes: int) -> bytes:
    content = b""
    for max_width, quality in QUALITIES:
        width = min(picture.width, max_width)
        size = width, max(1, min(round(picture.height * width / picture.width), 4 * max_width))
        file = io.BytesIO()
        picture.resize(size).save(file, "WEBP", quality=quality)
        content = file.getvalue()
        if len(content) <= max_bytes:
            break
    return content
