"""Pictures in a page."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from jaxgen.errors import InputError
from jaxgen.report.images import image

NOISE = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)


def png(array, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue()


def content(html):
    match = re.search(r'src="data:(image/\w+);base64,([^"]+)"', html)
    assert match
    return match[1], base64.b64decode(match[2])


def test_a_small_picture_is_kept_as_it_is():
    original = png(NOISE[:20, :30])
    html = image(original, "some <noise>", name="epoch 1")
    assert content(html) == ("image/png", original)
    assert 'width="30" height="20"' in html
    assert 'alt="some &lt;noise&gt;"' in html
    assert 'data-name="epoch 1"' in html


@pytest.mark.parametrize("shape", [(900, 900), (900, 20), (20, 900)])
def test_a_large_picture_loses_quality(shape):
    rows, columns = shape
    kind, found = content(image(png(NOISE[:rows, :columns]), "", max_bytes=20_000))
    assert kind == "image/webp"
    assert len(found) <= 20_000
    with Image.open(io.BytesIO(found)) as picture:
        assert picture.width / picture.height == pytest.approx(columns / rows, rel=0.1)
        assert np.asarray(picture).std() > 10


def test_a_format_that_browsers_lack_is_converted():
    assert content(image(png(NOISE[:8, :8], "TIFF"), ""))[0] == "image/webp"


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:200], lambda b: b"x" + b[1:]])
def test_a_damaged_picture_is_an_error(damage):
    with pytest.raises(InputError, match="no intact image"):
        image(damage(png(NOISE[:100, :100])), "")
