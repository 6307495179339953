# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runbook: alerts lead to its pages, pages have the same sections, and no command in them is stale."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest
import yaml

from ansible_collections.drystone.platform.plugins.filter.prometheus_rules import prometheus_rules

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "docs/runbook"
PAGES = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.md"))}
SYMPTOMS = [name for name in PAGES if name != "README.md"]
ALERTS = yaml.safe_load((ROOT / "roles/kube_prometheus_stack/files/alerts.yml").read_text())
ALERT_NAMES = sorted(name for group in ALERTS.values() for name in group)
SECTIONS = ["How it looks", "Causes", "How to tell them apart", "Remedy", "How to see that it is over", "Drill"]

FENCE = re.compile(r"^ *```\w*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
# A word in capitals, such as NAMESPACE or POD, stands for a name that the reader of the runbook fills in.
FILLED_IN = re.compile(r"[A-Z]{3,}")
# What these commands of kubectl take, as far as the runbook uses it. Other commands and options need a line here.
NAMESPACE = {"-n", "--namespace"}
KUBECTL = {
    "config": NAMESPACE,
    "delete": NAMESPACE | {"-l"},
    "describe": NAMESPACE | {"-A", "-l"},
    "drain": {"--ignore-daemonsets", "--delete-emptydir-data", "--timeout"},
    "exec": NAMESPACE | {"-c"},
    "get": NAMESPACE | {"-A", "-l", "-o", "--field-selector", "--raw", "--show-managed-fields"},
    "logs": NAMESPACE | {"-l", "-c", "--tail", "--previous", "--all-containers"},
    "port-forward": NAMESPACE,
    "rollout": NAMESPACE | {"--timeout"},
    "top": NAMESPACE | {"-A", "--sort-by"},
    "uncordon": NAMESPACE,
    "wait": NAMESPACE | {"--for", "--all", "--timeout"},
}
# Options that take the next word if they have no "="
TAKES_A_WORD = {"-n", "--namespace", "-l", "-o", "-c", "--raw"}
KINDS = ("deploy", "deployment", "service", "statefulset")
NAMESPACES_OF_KUBERNETES = {"kube-system"}


def commands() -> list[tuple[str, str]]:
    """Return each command of the runbook with its page: lines of code blocks, and code spans."""
    found = []
    for page, text in PAGES.items():
        lines = [line.strip() for block in FENCE.findall(text) for line in block.splitlines()]
        for line in lines + CODE.findall(FENCE.sub("", text)):
            # Table cells escape bars. A comment or "&" may follow a command in a block.
            command = re.sub(r"\s+(#.*|&)$", "", line.replace("\\|", "|"))
            found += [(page, part.strip()) for part in re.split(r" (?:&&|\|) ", command)]
    return found


def of_program(name: str) -> list[tuple[str, list[str]]]:
    """Return the words after a program's name in each of its commands, with the page."""
    return [(page, shlex.split(line)[1:]) for page, line in commands() if line.startswith(f"{name} ")]


def documents(folder: str, *patterns: str) -> str:
    """Return the text of all files below a folder with these names."""
    return "\n".join(path.read_text() for pattern in patterns for path in sorted((ROOT / folder).glob(pattern)))


def namespaces() -> set[str]:
    """Return the namespaces of the parts and of the environments of all inventories."""
    found: set[str] = set()
    for inventory in (ROOT / "inventories").glob("*/group_vars/all/*.yml"):
        found |= set(yaml.safe_load(inventory.read_text()).get("drystone_environments", []))
    defaults = documents("roles", "*/defaults/main.yml")
    for part in (ROOT / "roles").glob("*/meta/part.yml"):
        for namespace in yaml.safe_load(part.read_text()).get("namespaces", []):
            name = namespace["name"]
            if variable := re.fullmatch(r"\{\{ (\w+) \}\}", name):
                name = yaml.safe_load(defaults_line(defaults, variable[1]))
            found.add(name)
    return found | NAMESPACES_OF_KUBERNETES


def defaults_line(defaults: str, variable: str) -> str:
    match = re.search(rf"^{variable}: (.+)$", defaults, re.MULTILINE)
    assert match is not None, variable
    return match[1]


def object_names() -> set[str]:
    """Return the names of objects in deploy/, in the templates, overlays and contracts of the roles."""
    texts = documents("deploy", "**/*.yaml") + documents(
        "roles", "*/templates/*.j2", "*/files/overlay/*.yaml", "*/meta/part.yml"
    )
    found = set(re.findall(r"\bname: ([a-z][a-z0-9-]+)$", texts, re.MULTILINE))
    # The contract of the monitoring stack lists the objects that the operator creates.
    found |= set(re.findall(r"'([a-z][a-z0-9-]+)'", documents("roles", "*/meta/part.yml")))
    return found


def test_every_alert_has_one_section_with_steps() -> None:
    headings = [name for text in PAGES.values() for name in re.findall(r"^### (\w+)$", text, re.MULTILINE)]
    assert sorted(headings) == ALERT_NAMES


@pytest.mark.parametrize("url", ["https://git.example.org/docs/runbook"])
def test_what_alerts_link_to_is_there(url: str) -> None:
    linked = []
    for rule in prometheus_rules(ALERTS, "monitoring", PAGES, "docs/runbook", url=url):
        for alert in rule["spec"]["groups"][0]["rules"]:
            page, _, anchor = alert["annotations"]["runbook_url"].removeprefix(f"{url}/").partition("#")
            assert anchor == alert["alert"].lower()
            assert f"\n### {alert['alert']}\n" in (FOLDER / page).read_text()
            assert alert["annotations"]["runbook"].endswith(f"\n\nSee docs/runbook/{page}#{anchor}")
            linked.append(f"| {alert['alert']} | [{page}]({page}#{anchor}) |")
    assert [row for row in linked if row not in PAGES["README.md"]] == [], "complete the table of alerts"


@pytest.mark.parametrize("page", SYMPTOMS)
def test_pages_have_the_same_sections(page: str) -> None:
    assert re.findall(r"^## (.+)$", PAGES[page], re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("page", SYMPTOMS)
def test_a_page_tells_causes_apart_by_commands_and_can_be_found(page: str) -> None:
    sections = dict(zip(SECTIONS, re.split(r"^## .+$", PAGES[page], flags=re.MULTILINE)[1:], strict=True))
    rows = re.findall(r"^\| `", sections["How to tell them apart"], re.MULTILINE)
    assert len(rows) >= 3
    assert FENCE.search(sections["How to see that it is over"]), "show a command"
    assert "playbooks/drills/" in sections["Drill"]
    assert f"]({page}" in PAGES["README.md"]


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wrong = []
    for page, words in of_program("make"):
        names = [word for word in words if "=" not in word and not word.startswith("-")]
        wrong += [f"{page}: make {name}" for name in names if name not in targets]
    assert wrong == []


def test_playbooks_exist_and_know_their_variables() -> None:
    specs = documents("roles", "*/meta/argument_specs.yml")
    wrong = []
    for page, words in of_program("ansible-playbook"):
        playbook = ROOT / words[0]
        if not playbook.is_file():
            wrong.append(f"{page}: {words[0]}")
            continue
        for option, value in itertools.pairwise(words):
            if option == "-i" and not (ROOT / value).is_dir():
                wrong.append(f"{page}: {value}")
            for name in re.findall(r'^(\w+)=|"(\w+)":', value) if option == "-e" else []:
                known = re.search(rf"\b{''.join(name)}\b", playbook.read_text()) or f"      {''.join(name)}:\n" in specs
                wrong += [] if known else [f"{page}: {words[0]} -e {''.join(name)}"]
    assert wrong == []


def test_commands_of_kubectl_have_known_verbs_options_namespaces_and_objects() -> None:
    known_namespaces, known_objects = namespaces(), object_names()
    wrong = []
    for page, words in of_program("kubectl"):
        where = f"{page}: kubectl {shlex.join(words)}"
        own = words[: words.index("--")] if "--" in words else words
        verb, waiting = "", ""
        plain: list[str] = []
        for word in own:
            option, _, value = word.partition("=")
            if waiting:
                option, value, waiting = waiting, word, ""
            elif not word.startswith("-"):
                verb, plain = (verb, [*plain, word]) if verb else (word, plain)
                continue
            elif option in TAKES_A_WORD and not value:
                waiting = option
                continue
            if option not in KUBECTL.get(verb, NAMESPACE):
                wrong.append(f"{where}: {option}")
            if option in NAMESPACE and not (value in known_namespaces or FILLED_IN.search(value)):
                wrong.append(f"{where}: namespace {value}")
        if verb not in KUBECTL:
            wrong.append(where)
        for word in plain:
            kind, slash, name = word.partition("/")
            if slash and kind in KINDS and not (name in known_objects or FILLED_IN.search(name)):
                wrong.append(f"{where}: {word}")
    assert wrong == []


def test_the_checks_of_commands_find_what_they_check() -> None:
    assert len(of_program("kubectl")) > 50
    assert len(of_program("ansible-playbook")) > 20
    assert {"monitoring", "git", "argocd", "dev", "production"} <= namespaces()
    assert {"git-server", "rokken-database", "argocd-repo-server"} <= object_names()
    assert not {"rokken", "nonsense", "default"} & namespaces()
