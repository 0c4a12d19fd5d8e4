"""`imagegate doctor` beside a running gateway and alone: each check brought to fail by what it is there to find."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from email.utils import formatdate
from functools import partial
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner
from processes import ADMIN_KEY, UPSTREAM_KEY, Process, gateway, manage, simulator
from redis_server import RedisServer
from rig import POLICIES, edited_policies
from scripted_upstream import http, says, scripted

from gateway.cli.main import main
from gateway.core.health import EXIT, Check
from gateway.stores.sqlite.store import open_store
from gateway.wiring import stores

#: Where nobody listens.
NOWHERE = "http://127.0.0.1:9"
MODELS = b'{"object": "list", "data": []}'

Environment = dict[str, str]
Findings = dict[str, dict[str, str]]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("IMAGEGATE_", "EMPIRIOLABS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with simulator(tmp_path_factory.mktemp("upstream")) as process:
        yield process


@pytest.fixture
def fresh(tmp_path: Path, upstream: Process) -> Environment:
    """Settings with which no gateway has run yet."""
    return {
        "IMAGEGATE_DATA": str(tmp_path / "data"),
        "EMPIRIOLABS_API_KEY": UPSTREAM_KEY,
        "IMAGEGATE_EMPIRIOLABS_URL": upstream.url,
    }


@pytest.fixture
def alone(fresh: Environment) -> Environment:
    """Settings of a gateway that has a store, and does not run."""

    async def make() -> None:
        async with open_store(data_of(fresh) / "imagegate.db"):
            pass

    asyncio.run(make())
    return fresh


def data_of(environment: Environment) -> Path:
    return Path(environment["IMAGEGATE_DATA"])


def doctor(environment: Environment, *words: str, **settings: str) -> tuple[int, Findings]:
    """Its exit status, and what it found by check."""
    done = CliRunner().invoke(main, ["doctor", "--json", *words], env={**environment, **settings})
    return understood(done.exit_code, done.stdout)


def understood(status: int, output: str) -> tuple[int, Findings]:
    said = json.loads(output)
    assert said["status"] == status
    assert [each["check"] for each in said["data"]] == list(Check)[: len(said["data"])]
    return status, {each["check"]: each for each in said["data"]}


def verdicts(findings: Findings) -> dict[str, str]:
    """All but ok; a disk that is busy with other tests is no finding."""
    told = {check: each["verdict"] for check, each in findings.items() if each["verdict"] != "ok"}
    if "quicker disk" in findings.get("durability", {}).get("advice", ""):
        del told["durability"]
    return told


def on_a_disk_of_its_own(options: str, environment: Environment) -> tuple[int, Findings]:
    """What the doctor finds where an empty disk, which nobody else sees, lies in place of the data."""
    mount = f'mount -t tmpfs -o {options} tmpfs {data_of(environment)} && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine lets nobody mount a disk in a namespace of their own")
    done = subprocess.run(
        [*command, sys.executable, "-m", "gateway", "doctor", "--json"],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    return understood(done.returncode, done.stdout.decode())


def test_all_is_well_beside_a_gateway_by_url_and_alone(tmp_path: Path, upstream: Process) -> None:
    with gateway(tmp_path, upstream.url, IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as process:
        for words in ((), ("--url", process.url)):
            status, found = doctor(process.environment, *words)
            assert (status, verdicts(found)) == (0, {})
            assert len(found) == len(Check)
            assert "synchronous=FULL" in found["durability"]["found"]
            assert "open to IMAGEGATE_ADMIN_KEY" in found["settings"]["found"]
        assert process.stop() == 0
        status, found = doctor(process.environment)
        assert (status, verdicts(found)) == (0, {})


def test_the_running_gateway_speaks_for_itself(tmp_path: Path, upstream: Process) -> None:
    """With its own settings, not with those of whoever asks."""
    with gateway(tmp_path, upstream.url) as process:
        status, found = doctor(process.environment, IMAGEGATE_EMPIRIOLABS_URL=NOWHERE)
        assert (status, verdicts(found)) == (0, {})
        assert upstream.url in found["upstream"]["found"]


def test_a_table_with_advice_for_a_person(alone: Environment) -> None:
    (data_of(alone) / "imagegate.db").chmod(0o644)
    done = CliRunner().invoke(main, ["doctor"], env=alone)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("permissions")]
    assert "fail" in line
    assert "chmod go-rwx" in line
    assert done.exit_code == EXIT[Check.PERMISSIONS]


def test_a_store_that_is_yet_to_be_made_is_no_failure_and_is_not_made(fresh: Environment) -> None:
    status, found = doctor(fresh)
    assert (status, verdicts(found)) == (0, {"store": "warn", "durability": "warn"})
    assert not data_of(fresh).exists()


def test_settings(alone: Environment) -> None:
    status, found = doctor(alone, IMAGEGATE_PROT="1")
    assert (status, verdicts(found)) == (10, {"settings": "fail"})
    assert "did you mean IMAGEGATE_PORT" in found["settings"]["found"]


def test_policies_that_are_wrong(alone: Environment, tmp_path: Path) -> None:
    broken = edited_policies(tmp_path, "routes.toml", "default = ", "defualt = ")
    status, found = doctor(alone, IMAGEGATE_POLICIES=broken)
    assert (status, verdicts(found)) == (11, {"policies": "fail"})
    assert "routes.toml: default" in found["policies"]["found"]


def test_a_key_of_a_server_that_the_policies_do_not_have(alone: Environment) -> None:
    status, found = doctor(alone, IMAGEGATE_PROVIDER_KEYS="vlm=sk-canary")
    assert (status, verdicts(found)) == (11, {"policies": "fail"})
    assert "a key of vlm" in found["policies"]["found"]
    assert "canary" not in str(found)


def test_policies_that_changed_since_the_start(tmp_path: Path, upstream: Process) -> None:
    policies = str(tmp_path / "policies")
    shutil.copytree(POLICIES, policies)
    with gateway(tmp_path, upstream.url, IMAGEGATE_POLICIES=policies) as process:
        model = Path(policies) / "models" / "flux-2-klein-4b.toml"
        text = model.read_text()
        model.write_text(text.replace("0.0085", "0.0095"))
        assert model.read_text() != text
        status, found = doctor(process.environment)
        assert (status, verdicts(found)) == (0, {"policies": "warn"})
        assert "SIGHUP" in found["policies"]["advice"]
        assert (shown := manage(process, "policies", "show"))["running"] != shown["digest"]
        assert f"in force: {shown['running']}" in found["policies"]["found"]


def test_a_store_that_is_none(alone: Environment) -> None:
    (data_of(alone) / "imagegate.db").write_bytes(b"not a database, and longer than a header of one" * 100)
    status, found = doctor(alone)
    assert (status, verdicts(found)) == (12, {"store": "fail"})


def test_a_store_of_a_newer_version(alone: Environment) -> None:
    with closing(apsw.Connection(str(data_of(alone) / "imagegate.db"))) as db:
        db.pragma("user_version", 999)
    status, found = doctor(alone)
    assert (status, verdicts(found)) == (12, {"store": "fail"})
    assert "newer imagegate" in found["store"]["found"]


def test_a_store_that_another_process_holds(alone: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "open_store", partial(open_store, lock_wait=0.1))
    holder = apsw.Connection(str(data_of(alone) / "imagegate.db"))
    holder.execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").fetchall()
    try:
        status, found = doctor(alone)
    finally:
        holder.close()
    assert (status, verdicts(found)) == (12, {"store": "fail"})
    assert "in use by another" in found["store"]["found"]


def test_counters_that_are_not_the_ledgers(alone: Environment) -> None:
    with closing(apsw.Connection(str(data_of(alone) / "imagegate.db"))) as db:
        db.execute("INSERT INTO usage (scope, window, period, spent, held) VALUES ('org', 'total', '', 8500, 0)")
    status, found = doctor(alone)
    assert (status, verdicts(found)) == (12, {"store": "fail"})
    assert "differ by 8,500 micro-dollars" in found["store"]["found"]


def test_a_data_directory_that_is_a_file(fresh: Environment) -> None:
    data_of(fresh).touch(mode=0o600)
    status, found = doctor(fresh)
    assert (status, verdicts(found)) == (13, {"store": "warn", "durability": "fail"})


def test_a_disk_that_takes_no_writes(alone: Environment) -> None:
    status, found = on_a_disk_of_its_own("ro,size=10g", alone)
    assert (status, found["durability"]["verdict"]) == (13, "fail")
    assert "Read-only" in found["durability"]["found"]


@pytest.mark.parametrize(("size", "status", "verdict"), [("50m", 15, "fail"), ("500m", 0, "warn")])
def test_a_disk_that_is_nearly_full(alone: Environment, size: str, status: int, verdict: str) -> None:
    found_status, found = on_a_disk_of_its_own(f"size={size},mode=700", alone)
    assert (found_status, verdicts(found)) == (status, {"store": "warn", "disk": verdict})


@pytest.mark.parametrize(
    ("name", "mode", "status", "verdict"),
    [("imagegate.db", 0o640, 14, "fail"), ("", 0o755, 0, "warn")],
)
def test_what_others_may_read(alone: Environment, name: str, mode: int, status: int, verdict: str) -> None:
    (data_of(alone) / name).chmod(mode)
    found_status, found = doctor(alone)
    assert (found_status, verdicts(found)) == (status, {"permissions": verdict})
    assert f"{mode:04o}" in found["permissions"]["found"]


def test_an_admin_socket_that_others_may_use(tmp_path: Path, upstream: Process) -> None:
    with gateway(tmp_path, upstream.url) as process:
        (data_of(process.environment) / "admin.sock").chmod(0o666)
        status, found = doctor(process.environment)
    assert (status, verdicts(found)) == (14, {"permissions": "fail"})


def test_an_upstream_that_is_not_there(alone: Environment) -> None:
    status, found = doctor(alone, IMAGEGATE_EMPIRIOLABS_URL=NOWHERE)
    assert (status, verdicts(found)) == (16, {"upstream": "fail", "account": "warn", "clock": "warn"})
    assert NOWHERE in found["upstream"]["found"]


def test_a_key_that_the_upstream_refuses(alone: Environment, tmp_path: Path) -> None:
    with simulator(tmp_path, "--key", "sk-empiriolabs-another") as choosy:
        status, found = doctor(alone, IMAGEGATE_EMPIRIOLABS_URL=choosy.url)
    assert (status, verdicts(found)) == (17, {"account": "fail"})
    assert "401" in found["account"]["found"]
    assert alone["EMPIRIOLABS_API_KEY"] not in json.dumps(found)


def test_no_key_at_all_asks_nobody(alone: Environment) -> None:
    status, found = doctor(alone, EMPIRIOLABS_API_KEY="", IMAGEGATE_EMPIRIOLABS_URL=NOWHERE)
    assert (status, verdicts(found)) == (17, {"upstream": "warn", "account": "fail", "clock": "warn"})


def test_no_key_is_wanted_where_only_workers_make_images(alone: Environment, tmp_path: Path) -> None:
    policies = edited_policies(tmp_path, "routes.toml", '    { provider = "empiriolabs" },\n', "")
    status, found = doctor(alone, EMPIRIOLABS_API_KEY="", IMAGEGATE_POLICIES=policies)
    assert (status, found["account"]["verdict"]) == (0, "ok")


@pytest.mark.parametrize(("code", "verdict"), [(503, "fail"), (404, "fail"), (429, "ok")])
async def test_an_upstream_in_trouble(alone: Environment, code: int, verdict: str) -> None:
    async with scripted(says(http(code, b"", f"Date: {formatdate(usegmt=True)}"))) as odd:
        status, found = await asyncio.to_thread(doctor, alone, IMAGEGATE_EMPIRIOLABS_URL=odd.url)
    assert (status, found["upstream"]["verdict"]) == (16 if verdict == "fail" else 0, verdict)
    assert found["account"]["verdict"] == "warn"
    assert [(seen.method, seen.target) for seen in odd.seen] == [("GET", "/v1/models")], "nothing is bought"


@pytest.mark.parametrize(
    ("ahead", "status", "verdict"),
    [(0, 0, "ok"), (-20, 0, "warn"), (20, 0, "warn"), (-120, 18, "fail"), (120, 18, "fail")],
)
async def test_a_clock_that_is_wrong(alone: Environment, ahead: int, status: int, verdict: str) -> None:
    """The upstream's, by `ahead` seconds, which is the same."""
    date = formatdate(time.time() + ahead, usegmt=True)
    async with scripted(says(http(200, MODELS, f"Date: {date}"))) as wrong:
        found_status, found = await asyncio.to_thread(doctor, alone, IMAGEGATE_EMPIRIOLABS_URL=wrong.url)
    assert (found_status, found["clock"]["verdict"]) == (status, verdict)
    assert (ahead > 0) == ("behind" in found["clock"]["found"])


@pytest.mark.parametrize("header", ["Date: yesterday", "X-Date: none"])
async def test_an_upstream_that_tells_no_time(alone: Environment, header: str) -> None:
    async with scripted(says(http(200, MODELS, header))) as timeless:
        status, found = await asyncio.to_thread(doctor, alone, IMAGEGATE_EMPIRIOLABS_URL=timeless.url)
    assert (status, verdicts(found)) == (0, {"clock": "warn"})


def test_pictures_that_are_gone_and_those_of_another_store(tmp_path: Path, upstream: Process) -> None:
    with gateway(tmp_path, upstream.url) as process:
        pictures = data_of(process.environment) / "pictures"
        pictures.rename(tmp_path / "unmounted")
        status, found = doctor(process.environment)
        assert (status, verdicts(found)) == (19, {"pictures": "fail"})
        (tmp_path / "unmounted").rename(pictures)
        own = (pictures / ".store").read_text()
        (pictures / ".store").write_text("another")
        assert process.stop() == 0
        status, found = doctor(process.environment)
        assert (status, verdicts(found)) == (0, {"pictures": "warn"})
        assert f"echo {own} > {pictures}/.store" in found["pictures"]["advice"]
        process.start()
        assert process.stop() == 0
        (warning,) = (line for line in process.log.read_text().splitlines() if "pictures_of_another_store" in line)
        assert own in warning


def test_redis_is_asked_how_durable_it_is(fresh: Environment, tmp_path: Path) -> None:
    data_of(fresh).mkdir(mode=0o700)
    server = RedisServer(tmp_path)
    server.start()
    redis = {"IMAGEGATE_STORE": server.url(), "IMAGEGATE_BLOBS": f"file://{data_of(fresh)}/pictures"}
    try:
        status, found = doctor(fresh, **redis)
        assert (status, verdicts(found)) == (0, {})
        server.call("CONFIG", "SET", "appendfsync", "everysec")
        status, found = doctor(fresh, **redis)
        assert (status, verdicts(found)) == (0, {"durability": "warn"})
        assert "appendfsync to always" in found["durability"]["advice"]
    finally:
        server.kill()
    status, found = doctor(fresh, **redis)
    assert (status, verdicts(found)) == (12, {"store": "fail"})


def test_a_directory_that_another_user_owns(alone: Environment) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    data_of(alone).chmod(0o500)
    try:
        status, found = doctor(alone)
    finally:
        data_of(alone).chmod(0o700)
    assert (status, found["durability"]["verdict"]) in {(12, "fail"), (13, "fail")}
