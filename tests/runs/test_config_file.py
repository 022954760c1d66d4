"""config.json: what is written comes back, and what is not right is named."""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import pytest

from jaxgen.errors import InputError
from jaxgen.runs import config_file
from jaxgen.runs.directory import config_path


@dataclasses.dataclass(frozen=True)
class Inner:
    rates: tuple[float, ...] = ()
    shape: tuple[int, int] = (1, 2)


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str
    kind: Literal["a", "b"] = "a"
    share: float | None = None
    count: int = 3
    flag: bool = False
    path: Path | None = None
    inner: Inner = Inner()


FULL = Outer("x", "b", 0.5, -4, True, Path("/data"), Inner((1e-3, 2.0), (7, 8)))


@pytest.mark.parametrize("value", [Outer("x"), FULL])
def test_a_dataclass_comes_back_through_json(value):
    encoded = json.loads(json.dumps(config_file.encode(value)))
    assert config_file.decode(Outer, encoded, "config") == value


def test_paths_are_recorded_as_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoded = config_file.encode(Outer("x", path=Path("data")))
    assert isinstance(encoded, dict)
    assert encoded["path"] == str(tmp_path / "data")


def test_an_option_that_a_file_lacks_has_its_default():
    assert config_file.decode(Outer, {"name": "old"}, "config") == Outer("old")


def test_an_int_is_a_float_too():
    assert config_file.decode(float, 1, "rate") == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": "3"}, "config.count cannot be '3'"),
        ({"count": 3.5}, "config.count cannot be 3.5"),
        ({"count": True}, "config.count cannot be True"),
        ({"count": None}, "config.count cannot be None"),
        ({"share": True}, "config.share cannot be True"),
        ({"kind": "c"}, "config.kind cannot be 'c'"),
        ({"kind": ["a"]}, r"config.kind cannot be \['a'\]"),
        ({"inner": 5}, "config.inner cannot be 5"),
        ({"inner": {"shape": [1]}}, r"config.inner.shape cannot be \[1\]"),
        ({"inner": {"rates": [1.0, "x"]}}, "config.inner.rates cannot be 'x'"),
        ({"inner": {"rates": "abc"}}, "config.inner.rates cannot be 'abc'"),
        ({"path": 7}, "config.path cannot be 7"),
        ({"surplus": 1}, "config has surplus, which this version"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(change, message):
    with pytest.raises(InputError, match=message):
        config_file.decode(Outer, config_file.encode(FULL) | change, "config")


def test_a_missing_field_without_a_default_is_named():
    with pytest.raises(InputError, match="config lacks name"):
        config_file.decode(Outer, {}, "config")


def test_a_whole_file_comes_back(tmp_path):
    config_file.write_config(tmp_path, "mine", {"config": FULL})
    record = config_file.read_config(tmp_path)
    assert record["recipe"] == "mine"
    assert config_file.section(tmp_path, record, "config", Outer) == FULL
    with pytest.raises(InputError, match=r"config\.json: facts is missing"):
        config_file.section(tmp_path, record, "facts", Inner)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"seed": 0, "model": "conv"}', "has format 1, and this version of jaxgen reads format 2"),
        ('{"format": 99}', "has format 99"),
        ("[1, 2]", "has format None"),
        ('{"format": ', "is damaged"),
        ("", "is damaged"),
        ("\x00\xff", "is damaged"),
    ],
)
def test_a_file_of_another_format_is_rejected_in_a_sentence(tmp_path, text, message):
    config_path(tmp_path).write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        config_file.read_config(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["missing", "empty", "file"])
def test_a_directory_that_is_not_a_run_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"{name} is not a run: it has no config.json"):
        config_file.read_config(tmp_path / name)
