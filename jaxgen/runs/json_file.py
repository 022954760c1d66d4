"""JSON files of a run: an object, or a list of objects, with a digest of the content of each.

Without it, one changed digit would turn a record into that of another run.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxgen.errors import InputError
from jaxgen.runs.directory import write_text
from jaxgen.types import JsonObject


def write(path: Path, content: JsonObject | Sequence[JsonObject]) -> None:
    """Write an object, or a list of objects, atomically."""
    signed = _sign(content) if isinstance(content, Mapping) else [_sign(each) for each in content]
    write_text(path, json.dumps(signed, indent=2) + "\n")


def read(path: Path, remedy: str) -> Any:
    """Read any JSON value, without the digests.

    Objects without a digest are accepted. Raises InputError if the file cannot be read, or if an
    object differs from what was written; the message ends with the remedy.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}): {remedy}.") from None
    for each in content if isinstance(content, list) else [content]:
        if isinstance(each, dict) and each.pop("digest", None) not in (None, _digest(each)):
            raise InputError(f"{path} is altered since it was written: {remedy}.")
    return content


def read_object(path: Path, key: str, remedy: str) -> JsonObject:
    """Read an object as `read` does. Raises InputError if it lacks the key, too."""
    content = read(path, remedy)
    if not isinstance(content, dict) or key not in content:
        raise InputError(f"{path} is damaged (it has no {key}): {remedy}.")
    return content


def _sign(record: JsonObject) -> dict[str, object]:
    return {**record, "digest": _digest(record)}


def _digest(record: JsonObject) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
