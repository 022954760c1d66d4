"""A run that nothing has disturbed, for the tests that compare with it or damage a copy."""

import shutil

import pytest
from running import IN_CHUNKS, start


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("undisturbed") / "whole"
    start("vae", *IN_CHUNKS, "--run-dir", run_dir)
    return run_dir


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")
