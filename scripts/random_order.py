"""A plug-in of pytest for scripts/flaky: another order of the tests for each seed.

Folders, files of a folder and functions of a file are shuffled, each within its own, so that what a file sets up once
(a service, a trained model) is set up once in every order.
"""

from __future__ import annotations

import random
from itertools import groupby

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--order-seed", type=int, required=True, help="decides the order of the tests")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chance = random.Random(config.getoption("--order-seed"))
    folders: list[list[list[pytest.Item]]] = []
    for _, of_folder in groupby(items, key=lambda item: item.path.parent):
        files = [list(of_file) for _, of_file in groupby(of_folder, key=lambda item: item.path)]
        for file in files:
            chance.shuffle(file)
        chance.shuffle(files)
        folders.append(files)
    chance.shuffle(folders)
    items[:] = [item for files in folders for file in files for item in file]
