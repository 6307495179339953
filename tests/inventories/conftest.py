"""Provide the inventories with the test's own state and data directories, so that no cluster of the user is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.inventories.foreign import make
from tests.inventories.inventory import FOREIGN, ROOT, SHIPPED, Inventory


@pytest.fixture(scope="session")
def inventories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Inventory]]:
    """Return all inventories by name. Remove clusters of failed tests at the end."""
    home = tmp_path_factory.mktemp("home of inventories")
    env = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_DATA_HOME": str(home / "data"),
    }
    (home / "logs").mkdir()
    paths = {name: ROOT / "inventories" / name for name in SHIPPED}
    paths[FOREIGN] = home / "an inventory of ours"
    make(paths[FOREIGN])
    made = {name: Inventory(name, path, env, home / "logs") for name, path in paths.items()}
    yield made
    for inventory in made.values():
        if inventory.left():
            inventory.run("playbooks/destroy_cluster.yml", "--extra-vars=git_server_discard_history=true")
