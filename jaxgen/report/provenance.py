"""The sections on how a run was made."""

from collections.abc import Mapping

from jaxgen.report import words
from jaxgen.report.contents import Contents, attempt, commands
from jaxgen.report.markup import Html, element, section, table
from jaxgen.report.settings import built, settings

MAX_CLASSES = 20  # that are named
CONVOLUTIONS = {"matmul": "as matrix products", "lax": "by XLA's own kernels"}
MEMBERS = {"map": "one after the other", "vmap": "side by side", "shard": "spread over devices"}
IMAGES = {"memory": "in the device's memory", "stream": "streamed to the device"}


def provenance(contents: Contents) -> Html:
    """Say what was run, and how to run it again."""
    facts, task = contents.recorded.facts, built(contents)
    height, width, channels = facts.image_shape
    lines = attempt(contents.problems, "The command", lambda: commands(contents.starts)) or []
    commit = str((contents.starts or [{}])[-1].get("commit") or "")
    changes = " with changes" if commit.endswith("+") else ""
    source = f"At commit {commit.rstrip('+')}{changes}." if commit else ""
    order = "In the order in which it was started and continued." if len(lines) > 1 else ""
    data = [
        ("data set", facts.dataset),
        ("training images", f"{facts.num_images:,}"),
        ("size", f"{height} x {width} pixels, {'gray' if channels == 1 else 'color'}"),
        ("classes", _names(facts.class_names)),
        ("fingerprint", facts.fingerprint),
    ]
    return section(
        "How to run it again",
        element("p", f"{order} {source}".strip()),
        *(element("pre", line) for line in lines),
        element("p", words.sentence(task.notice)) if task is not None and task.notice else Html(),
        element(
            "div",
            table("Settings", [], list(settings(contents).items())),
            table("Data", [], data),
            class_="grid",
        ),
    )


def software(contents: Contents) -> Html:
    """Tabulate the software and the hardware of the last start."""
    if not contents.starts:
        return Html()
    start = contents.starts[-1]
    packages, mesh = (
        part if isinstance(part, Mapping) else {} for part in map(start.get, ("packages", "mesh"))
    )
    rows = {
        "started": str(start.get("time")).replace("T", " ").replace("+00:00", " UTC"),
        "system": start.get("platform"),
        "CPU cores": start.get("cpu_count"),
        "devices": f"{start.get('num_devices')} x {str(start.get('device')).replace('cpu', 'CPU')}",
        "devices that share a batch": mesh.get("batch") if mesh.get("batch") != 1 else None,
        "training images": IMAGES.get(str(start.get("data_mode"))),
        "members": MEMBERS.get(str(start.get("strategy"))),
        "convolutions": CONVOLUTIONS.get(str(start.get("convolution"))),
        "Python": start.get("python"),
        **packages,
    }
    found = [(name, str(value)) for name, value in rows.items() if value is not None]
    return section("Environment", table("Software and hardware of the last start", [], found))


def _names(class_names: tuple[str, ...]) -> str:
    shown = ", ".join(class_names[:MAX_CLASSES])
    rest = len(class_names) - MAX_CLASSES
    return f"{shown} and {rest} more" if rest > 0 else shown
