"""The figures of a page: pictures of a run directory, with captions."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jaxgen.report.contents import Contents, attempt
from jaxgen.report.images import MAX_BYTES, image
from jaxgen.report.markup import Html, element
from jaxgen.runs import directory
from jaxgen.training.population import spread_out

NUM_FRAMES = 16  # epochs of which samples are shown
FILM_BYTES = 800_000  # of all frames
FRAME_BYTES = 90_000  # of the samples of a member


def film(contents: Contents, place: Path, who: str) -> Html:
    """Show the samples of some epochs, which the script plays one after the other.

    Without the script, only the last are visible.
    """
    epochs = [record["epoch"] for record in contents.records]
    found = [e for e in epochs if directory.samples_path(place, e).exists()]
    chosen = [found[i] for i in spread_out(len(found), NUM_FRAMES)] if found else []
    frames = []
    for epoch in chosen:
        path, name = directory.samples_path(place, epoch), f"after epoch {epoch}"
        make = partial(
            image,
            alt=f"Samples{who} {name}",
            max_bytes=min(MAX_BYTES, FILM_BYTES // len(chosen)),
            name=name,
        )
        frame = attempt(
            contents.problems, path.name, lambda make=make, path=path: make(path.read_bytes())
        )
        if frame is not None:
            frames.append((name, frame))
    if not frames:
        contents.problems.append(f"Samples{who}: there are no intact pictures of them.")
        return Html()
    has_all = len(found) > 1 and (place / "training.gif").exists()
    note = f"All {len(found)} epochs: training.gif, in the directory of the run." if has_all else ""
    return animation(f"Samples{who}", frames, note)


def animation(title: str, frames: Sequence[tuple[str, Html]], note: str) -> Html:
    """Create a figure of named images that the script shows one at a time."""
    names, images = zip(*frames, strict=True)
    caption = element(
        "figcaption", f"{title} ", element("span", names[-1]), element("p", note) if note else ""
    )
    last = len(frames) - 1
    slider = element("input", type="range", min=0, max=last, value=last, aria_label="Epoch")
    controls = element(
        "div", element("button", "Play", type="button"), slider, class_="controls", hidden=True
    )
    return element("figure", caption, controls if last else "", *images, class_="film")


def from_file(
    contents: Contents,
    path: Path,
    title: str,
    caption: str,
    max_bytes: int = MAX_BYTES,
) -> Html:
    """Show a picture of the run directory, if there is one."""
    if not path.exists():
        return Html()
    picture = attempt(
        contents.problems,
        path.name,
        lambda: image(path.read_bytes(), f"{title}. {caption}", max_bytes=max_bytes),
    )
    return Html() if picture is None else figure(title, caption, picture)


def figure(title: str, caption: str, picture: Html) -> Html:
    """Create a figure with a caption, which may be empty."""
    text = element("p", caption) if caption else Html()
    return element("figure", element("figcaption", title, text), picture)
