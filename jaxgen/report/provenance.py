"""The sections on how a run was made."""

from jaxgen.report.contents import Contents, attempt, commands
from jaxgen.report.markup import Html, element, section, table


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
