"""config.json: dataclasses as nested JSON, written and read by their types.

An option that is added with a default leaves older files readable. A breaking change raises FORMAT.
"""

import contextlib
import dataclasses
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from jaxgen.errors import InputError
from jaxgen.runs import json_file
from jaxgen.runs.directory import config_path

FORMAT = 2
REMEDY = 'restore it or, if you changed it on purpose, remove its "digest"'
T = TypeVar("T")


def write_config(run_dir: Path, recipe: str, sections: Mapping[str, object]) -> None:
    """Record the name of a recipe, and a dataclass per section."""
    record = {"format": FORMAT, "recipe": recipe}
    record |= {name: encode(section) for name, section in sections.items()}
    json_file.write(config_path(run_dir), record)


def read_config(run_dir: Path) -> dict[str, object]:
    """Read the JSON object in config.json. Raises InputError if it is altered or not of FORMAT."""
    path = config_path(run_dir)
    if not path.exists():
        raise InputError(f"{run_dir} is not a run: it has no config.json.")
    record = json_file.read(path, REMEDY)
    found = record.get("format", 1) if isinstance(record, dict) else None
    if found != FORMAT:
        raise InputError(
            f"{path} has format {found}, and this version of jaxgen reads format {FORMAT}: use the "
            "version that started the run."
        )
    if not isinstance(record.get("recipe"), str):
        raise InputError(f"{path}: recipe cannot be {record.get('recipe')!r}.")
    return record


def section(run_dir: Path, record: Mapping[str, object], name: str, kind: type[T]) -> T:
    """Read a section of config.json as its dataclass. Raises an InputError that names the fault."""
    where = f"{config_path(run_dir)}: {name}"
    if name not in record:
        raise InputError(f"{where} is missing.")
    value = decode(kind, record[name], where)
    assert isinstance(value, kind)
    return value


def encode(value: object) -> object:
    """Convert a dataclass, with the values of its fields, to JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    return value


def decode(kind: object, value: object, where: str) -> object:
    """Convert JSON values to an instance of a type; inverts `encode`.

    Raises InputError for values of other types, and for unknown or missing fields.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _decode_dataclass(kind, value, where)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (kind,) = (argument for argument in arguments if argument is not type(None))
        return decode(kind, value, where)
    if origin is Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list):
        if arguments[-1] is ...:
            arguments = arguments[:1] * len(value)
        if len(arguments) == len(value):
            return tuple(decode(k, v, where) for k, v in zip(arguments, value, strict=True))
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
    if kind in (bool, int, str) and type(value) is kind:
        return value
    raise InputError(f"{where} cannot be {value!r}.")


def _decode_dataclass(kind: type, value: dict[str, object], where: str) -> object:
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := value.keys() - fields.keys():
        raise InputError(
            f"{where} has {', '.join(sorted(unknown))}, which this version of jaxgen or of the "
            "recipe does not know."
        )
    required = (
        name for name, field in fields.items() if field.default is field.default_factory
    )  # both MISSING
    if missing := set(required) - value.keys():
        raise InputError(f"{where} lacks {', '.join(sorted(missing))}.")
    values = {n: decode(hints[n], item, f"{where}.{n}") for n, item in value.items()}
    try:
        return kind(**values)
    except InputError as error:  # of a value out of range, which it names as an option
        raise InputError(f"{where}: {error}") from None
