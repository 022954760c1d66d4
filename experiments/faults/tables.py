"""The results of campaigns as a Markdown table."""

import json
from pathlib import Path
from typing import Any

HEADER = "| fault | times | runs lost | silent changes |\n|---|---|---|---|"


def faults_table(results: Path) -> str:
    """Tabulate the sum of all `faults_*.json`: a row for each moment of a kill and kind of file."""
    return table([json.loads(path.read_text()) for path in sorted(results.glob("faults_*.json"))])


def table(records: list[dict[str, Any]]) -> str:
    """Tabulate the sum of the records of campaigns, with a last row for everything."""
    rows: dict[str, dict[str, int]] = {}
    for record in records:
        found = {f"SIGKILL, {moment}": counts for moment, counts in record["kills"].items()}
        found |= {f"altered: {k}": _sum(ways.values()) for k, ways in record["altered"].items()}
        rows |= {name: _sum([rows.get(name, {}), counts]) for name, counts in found.items()}
    rows["**all**"] = _sum(rows.values())
    return "\n".join([HEADER, *(_row(name, counts) for name, counts in rows.items())])


def _sum(all_counts: Any) -> dict[str, int]:
    names = ("times", "lost", "changed")
    counts = list(all_counts)
    return {name: sum(each.get(name, 0) for each in counts) for name in names}


def _row(name: str, counts: dict[str, int]) -> str:
    return f"| {name} | {counts['times']} | {counts['lost']} | {counts['changed']} |"
