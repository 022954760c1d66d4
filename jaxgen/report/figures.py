"""The figures of a page: pictures of a run directory, with captions."""

from pathlib import Path

from jaxgen.report import charts
from jaxgen.report.contents import Contents, attempt
from jaxgen.report.images import MAX_BYTES, image
from jaxgen.report.markup import Html, element
from jaxgen.runs import directory

NUM_FRAMES = 8  # epochs of which samples are shown
FRAME_BYTES = 90_000


def film(contents: Contents, place: Path, who: str) -> Html:
    """Show samples with a slider over the epochs."""
    epochs = [record["epoch"] for record in contents.records]
    found = [e for e in epochs if directory.samples_path(place, e).exists()]
    chosen = [found[i] for i in charts.spread_out(len(found), NUM_FRAMES)] if found else []
    frames = []
    for epoch in chosen:
        path = directory.samples_path(place, epoch)
        alt, name = f"Samples{who} after epoch {epoch}", f"epoch {epoch}"
        frame = attempt(
            contents.problems,
            path.name,
            lambda path=path, alt=alt, name=name: image(
                path.read_bytes(), alt, max_bytes=FRAME_BYTES, name=name
            ),
        )
        if frame is not None:
            frames.append(frame)
    if not frames:
        contents.problems.append(f"Samples{who}: there are no intact pictures of them.")
        return Html()
    slider = element(
        "input",
        type="range",
        min=0,
        max=len(frames) - 1,
        value=len(frames) - 1,
        aria_label="Epoch of the samples",
    )
    caption = element("figcaption", f"Samples{who}, ", element("output"))
    return element("figure", caption, slider, *frames, class_="film")


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
