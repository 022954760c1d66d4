"""The sections of a report of one run; a section without contents is empty."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from jaxgen.report import charts, latents
from jaxgen.report.contents import Contents, attempt, commands
from jaxgen.report.images import MAX_BYTES, image
from jaxgen.report.markup import Html, element, join, section, table
from jaxgen.runner import evaluation_tables
from jaxgen.runner.sweep import differences, settings
from jaxgen.runner.tables import members_table
from jaxgen.runs import directory

NUM_FRAMES = 8  # epochs of which samples are shown
NUM_SHOWN = 8  # members whose samples are shown
NUM_ROWS = 100  # of the table of members
FRAME_BYTES = 90_000


def shown_members(contents: Contents) -> list[int]:
    """Choose members of a population: the best one, and others from the first to the last."""
    if contents.num_members is None:
        return []
    spread = charts.spread_out(contents.num_members, NUM_SHOWN).tolist()
    best = contents.best_member
    if best is None or best in spread:
        return spread
    return sorted([best, *spread[:-1]])


def curves(contents: Contents) -> Html:
    """Chart the metrics of all epochs."""
    if not contents.records:
        return Html()
    recipe, options = contents.recorded.recipe, contents.recorded.options
    if contents.num_members is None:
        found = charts.of_run(contents.records, recipe.panels, contents.best_epoch)
        note = ""
    else:
        groups, left_out = _shown_settings(contents, settings(options))
        chosen = charts.spread_out(contents.num_members, charts.MAX_MEMBERS).tolist()
        found = charts.of_population(
            contents.records, recipe.panels, groups, chosen, contents.best_epoch
        )
        note = (
            "Bands are one standard deviation over the members of a setting to either side of "
            f"their mean; thin lines are members. {left_out}"
        )
    return section(
        "Curves",
        element("p", f"Drag across a chart to zoom. {note}", class_="faint"),
        element("div", *map(charts.chart, found), class_="grid"),
    )


def samples(contents: Contents) -> Html:
    """Show the samples of some epochs, and reconstructions."""
    place, who = contents.path, ""
    if contents.num_members is not None:
        member = contents.best_member or 0
        place, who = directory.member_path(place, member), f" of member {member}, the best"
    figures = [
        _film(contents, place, who),
        _file(contents, place / "reconstructions.png", f"Reconstructions{who}", "Test images, each "
              "beside its reconstruction."),
    ]  # fmt: skip
    return section("Samples", element("div", *figures, class_="grid")) if any(figures) else Html()


def latent_space(contents: Contents) -> Html:
    """Draw the pictures that the model can draw."""
    if contents.run is None:
        return Html()
    run, figures = contents.run, []
    if run.num_members is not None:
        run = run.member(contents.best_member or 0)
    who = "" if contents.num_members is None else f"Of member {contents.best_member}, the best."
    drawings = latents.drawings(run, contents.test)
    for drawing in attempt(contents.problems, "The latent space", lambda: list(drawings)) or []:
        alt = f"{drawing.title}. {drawing.caption}"
        picture = attempt(
            contents.problems,
            drawing.title,
            lambda drawing=drawing, alt=alt: image(latents.png(drawing.draw()), alt),
        )
        if picture is not None:
            figures.append(_figure(drawing.title, drawing.caption, picture))
    if not figures:
        return Html()
    step = f"The model after {run.step} steps. {who}"
    return section(
        "Latent space",
        element("p", step, class_="faint"),
        element("div", *figures, class_="grid"),
    )


def members(contents: Contents) -> Html:
    """Show the effect of a sweep, and the members of a population side by side."""
    if contents.num_members is None or not contents.records:
        return Html()
    recipe, options = contents.recorded.recipe, contents.recorded.options
    last, swept = contents.records[-1], differences(options)
    scores = np.array(last.get(recipe.best), float)
    effects = [
        charts.of_sweep(name, [values[name] for values in swept], scores, recipe.best)
        for name in swept[0]
        if len({values[name] for values in swept}) > 1
    ]
    caption = f"Members after epoch {last['epoch']}"
    rows = attempt(
        contents.problems,
        "The table of members",
        lambda: rich_table(members_table(last, options, recipe.best), caption),
    )
    pictures = []
    for member in shown_members(contents):
        place = directory.samples_path(directory.member_path(contents.path, member), last["epoch"])
        title = f"Member {member}" + " (best)" * (member == contents.best_member)
        pictures.append(_file(contents, place, title, _setting(swept[member]), FRAME_BYTES))
    return section(
        "Members",
        element("div", *map(charts.chart, effects), class_="grid"),
        rows or Html(),
        element("h3", "Samples side by side") if any(pictures) else Html(),
        element("div", *pictures, class_="grid small"),
    )


def evaluation(contents: Contents) -> Html:
    """Tabulate the results of `jaxgen evaluate`."""
    results, parts = contents.evaluation, []
    if not results:
        hint = "Not evaluated yet: run `jaxgen evaluate`, then `jaxgen report` again."
        return section("Evaluation", element("p", hint))
    for name, make in (
        ("likelihood", evaluation_tables.likelihood_table),
        ("samples", evaluation_tables.sample_table),
    ):
        if name in results:
            made = attempt(
                contents.problems, f"The evaluation of {name}", lambda make=make: make(results)
            )
            parts.append(Html() if made is None else rich_table(made, str(made.title)))
    place = contents.path
    nearest = place if contents.num_members is None else directory.member_path(place, 0)
    figures = [
        _file(contents, place / "evaluation.png", "Activity and classes", "Charts of the figures "
              "above."),
        _file(contents, nearest / "neighbors.png", "Samples nearest to training images", "Each "
              "sample is followed by the training image that is most like it."),
    ]  # fmt: skip
    return section("Evaluation", *parts, element("div", *figures, class_="grid"))


def provenance(contents: Contents) -> Html:
    """Say what was run, and how to run it again."""
    _, options, facts = contents.recorded
    lines = attempt(contents.problems, "The command", lambda: commands(contents.starts)) or []
    commit = contents.starts[-1].get("commit") if contents.starts else None
    source = f" At commit {commit}." if commit else ""
    data = [
        ("data set", facts.dataset),
        ("training images", f"{facts.num_images:,}"),
        ("image", " x ".join(map(str, facts.image_shape))),
        ("classes", ", ".join(facts.class_names[:20]) + ", …" * (len(facts.class_names) > 20)),
        ("fingerprint", facts.fingerprint),
    ]
    own = [
        (name.replace("_", " "), str(value))
        for part in (options.config, options.sweep, options.training)
        for name, value in vars(part).items()
        if value not in (None, ())
    ]
    return section(
        "How to run it again",
        element("p", f"In the order in which it was started and continued.{source}"),
        *(element("pre", line) for line in lines),
        element("div", table("Data", [], data), table("Options", [], own), class_="grid"),
    )


def software(contents: Contents) -> Html:
    """Tabulate the software and the hardware of the last start."""
    if not contents.starts:
        return Html()
    start = dict(contents.starts[-1])
    packages = start.pop("packages", {})
    rows = [(k.replace("_", " "), str(v)) for k, v in start.items() if k not in ("command",)]
    if isinstance(packages, dict):
        rows += [(name, str(version)) for name, version in packages.items()]
    return section("Environment", table("Software and hardware of the last start", [], rows))


def rich_table(made: Table, caption: str) -> Html:
    """Convert a table for the terminal; of many rows, only the first are shown."""
    columns = [[str(cell) for cell in column.cells] for column in made.columns]
    rows = list(zip(*columns, strict=True))
    if len(rows) > NUM_ROWS:
        caption += f" (the first {NUM_ROWS} of {len(rows)} rows)"
    header = [str(column.header) for column in made.columns]
    return table(caption, header, rows[:NUM_ROWS])


def _shown_settings(
    contents: Contents, groups: dict[str, list[int]]
) -> tuple[dict[str, list[int]], str]:
    """Choose settings of a sweep, from the best to the worst; also say what is left out."""
    if len(groups) <= charts.MAX_GROUPS:
        return groups, ""
    recipe = contents.recorded.recipe
    scores = np.array(contents.records[-1].get(recipe.best), float)
    sign = 1 if recipe.mode == "min" else -1
    means = [sign * charts.mean_and_std(scores[group][None])[0][0] for group in groups.values()]
    ranked = np.argsort(means)  # NaN last
    names = [list(groups)[i] for i in ranked[charts.spread_out(len(ranked), charts.MAX_GROUPS)]]
    note = f"{len(names)} of {len(groups)} settings are shown, from the best to the worst."
    return {name: groups[name] for name in names}, note


def _film(contents: Contents, place: Path, who: str) -> Html:
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


def _file(
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
    return Html() if picture is None else _figure(title, caption, picture)


def _figure(title: str, caption: str, picture: Html) -> Html:
    text = element("p", caption) if caption else Html()
    return element("figure", element("figcaption", title, text), picture)


def _setting(values: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in values.items())


def list_of(items: Sequence[str], **attributes: str) -> Html:
    """Create a list; empty if there are no items."""
    if not items:
        return Html()
    return element("ul", join(element("li", item) for item in items), **attributes)
