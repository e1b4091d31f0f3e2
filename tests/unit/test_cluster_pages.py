"""What docs/cluster.md and dashboards/ tell people to type is what works."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ruamel.yaml import YAML
from sqlalchemy import URL

from search.backbones.catalogue import sizes
from search.space import load
from search.training.config import SETTINGS
from tests import postgres

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/cluster.md").read_text()
FENCED = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.M | re.S)
BLOCKS = [text for kind, text in FENCED if kind == "yaml"]
COMPOSE = ROOT / "dashboards/compose.yaml"


def parsed(text: str) -> Any:
    return YAML(typ="safe").load(text)


def test_the_space_files_of_the_page_are_read_by_the_real_loader() -> None:
    spaces = [block for block in BLOCKS if "apiVersion" not in block]
    assert len(spaces) == 1
    for block in spaces:
        loaded = load(
            block,
            file="space.yaml",
            settings=SETTINGS,
            sizes=sizes(),
            env={"SEARCH_STORAGE": "postgresql+psycopg://search@db.internal/search"},
        )
        assert [each for each in loaded.warnings if each.level == "error"] == []


def test_the_kubernetes_objects_of_the_page_name_secrets_and_hold_none() -> None:
    jobs = [parsed(block) for block in BLOCKS if "apiVersion" in block]
    assert [job["kind"] for job in jobs] == ["RayJob"]
    for job in jobs:
        cluster = job["spec"]["rayClusterSpec"]
        assert cluster["authOptions"] == {"mode": "token"}
        groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
        assert len(groups) == 2
        for group in groups:
            pod = group["template"]["spec"]
            volumes = {volume["name"] for volume in pod["volumes"]}
            for container in pod["containers"]:
                assert {mount["name"] for mount in container["volumeMounts"]} == volumes
                plain = {each["name"] for each in container["env"] if "value" in each}
                assert plain == {"SEARCH_CACHE"}
        named = {each["name"] for each in groups[0]["template"]["spec"]["containers"][0]["env"]}
        assert "SEARCH_STORAGE" in named


def test_the_shell_lines_of_the_page_are_shell() -> None:
    blocks = [text for kind, text in FENCED if kind == ""]
    assert len(blocks) == 5
    for block in blocks:
        done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True)
        assert done.returncode == 0, f"{block}{done.stderr}"


def test_links_of_the_page_lead_somewhere() -> None:
    for page in (ROOT / "docs/cluster.md", ROOT / "dashboards/README.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.slow
def test_what_compose_publishes_is_on_loopback_and_no_secret_is_in_it() -> None:
    document = parsed(COMPOSE.read_text())
    services = document["services"]
    published = {name: service.get("ports", []) for name, service in services.items()}
    assert {name for name, ports in published.items() if ports} == {"postgres", "door"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    # the dashboard, which has no password of its own, is behind the door alone
    assert set(services["dashboard"]["networks"]) == {"storage", "inside"}
    assert document["networks"]["inside"]["internal"] is True
    assert all(set(secret) == {"file"} for secret in document["secrets"].values())
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "dashboards/secrets/" in ignored
    told = {
        name: value
        for service in services.values()
        for name, value in service.get("environment", {}).items()
        if "PASSWORD" in name
    }
    assert set(told) == {"POSTGRES_PASSWORD_FILE", "VIEWER_PASSWORD_FILE"}
    assert all(value.startswith("/run/secrets/") for value in told.values())


def test_compose_uses_the_tested_versions() -> None:
    tested = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
    )
    found = dict(re.findall(r'"([\w-]+)(?:\[\w+\])?==([\d.]+)"', COMPOSE.read_text()))
    assert found == {name: tested[name] for name in ("optuna", "optuna-dashboard", "psycopg")}


@pytest.mark.slow
def test_the_viewers_role_reads_every_study_and_changes_nothing(tmp_path: Path) -> None:
    import optuna
    from optuna_dashboard import wsgi

    (tmp_path / "password").write_text("of-the-viewer\n")
    with postgres.running() as server:
        owner = server.new_database()
        done = subprocess.run(
            [
                "psql",
                "--quiet",
                "--set=ON_ERROR_STOP=1",
                "--file",
                str(ROOT / "dashboards/viewer.sql"),
                owner,
            ],
            env={"PATH": "/usr/bin:/bin", "VIEWER_PASSWORD_FILE": str(tmp_path / "password")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        psycopg_url = owner.replace("postgresql://", "postgresql+psycopg://")
        # the tables are made after the role, as on a new server
        study = optuna.create_study(storage=psycopg_url, study_name="tiny")
        study.tell(study.ask(), 0.5)
        url = URL.create(
            "postgresql+psycopg",
            username="viewer",
            password="of-the-viewer",
            host="127.0.0.1",
            port=server.port,
            database=owner.rpartition("/")[2],
        ).render_as_string(hide_password=False)
        storage = optuna.storages.RDBStorage(
            url, skip_compatibility_check=True, skip_table_creation=True
        )
        said: list[str] = []
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/api/studies/1",
            "QUERY_STRING": "after=0",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "8080",
            "wsgi.input": open("/dev/null", "rb"),  # noqa: SIM115
            "wsgi.errors": open("/dev/null", "w"),  # noqa: SIM115
            "wsgi.url_scheme": "http",
        }
        answer = b"".join(wsgi(storage)(environ, lambda status, *_: said.append(status)))
        assert said == ["200 OK"]
        assert b'"tiny"' in answer
        plain = url.replace("+psycopg", "")
        for change in (
            "DELETE FROM trials",
            "CREATE TABLE mine (a int)",
            "SET transaction_read_only = off; DELETE FROM trials",
        ):
            with psycopg.connect(plain) as connection, pytest.raises(psycopg.Error):
                connection.execute(change.encode())
