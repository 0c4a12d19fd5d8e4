"""The log: its levels, its forms, and that no key, prompt, signature or image is ever in it."""

import asyncio
import base64
import gc
import io
import json
import logging
import secrets
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.keys import mint
from gateway.telemetry.logs import Log, LogFormat, standard_logging
from gateway.telemetry.redaction import describe, mask

PROMPT = "a canary that sings in a coal mine"
SIGNATURE = "MEYCIQDcanarySIGNATURE"


class Bench:
    def __init__(self, log_format: LogFormat = "json", level: str = "info") -> None:
        self.stream = io.StringIO()
        self.log = Log(self.stream, log_format, level, lambda: 1_764_590_400_123)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def last(self) -> dict[str, object]:
        line: dict[str, object] = json.loads(self.text.splitlines()[-1])
        return line


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def standard(bench: Bench) -> Iterator[Bench]:
    with standard_logging(bench.log):
        yield bench


_, KEY = mint(secrets.choice)
BYTES = base64.b64encode(secrets.token_bytes(300)).decode()
#: (what must not be readable, a sentence with it as libraries write them)
CANARIES = [
    (KEY[-38:], f"refused {KEY} at the door"),
    ("canary0123", "Incorrect API key: sk-empiriolabs-canary0123456789"),
    ("canary0123", "worker ig-worker-aB3dE6gH9jK2-canary0123456789 is gone"),
    ("canary0123", "sent sk-proj-canary0123456789abc by mistake"),
    ("canary-opaque", "headers: Authorization: Bearer canary-opaque-0123456789"),
    (SIGNATURE, f"GET /files/abc.png?e=1764590400&k=aB3dE6gH9jK2&s={SIGNATURE} 200"),
    (SIGNATURE, f"fetched https://cdn.example/a.webp?X-Amz-Signature={SIGNATURE}&X-Amz-Date=1"),
    (SIGNATURE, f"bad signature s={SIGNATURE}"),
    ("canary-password", "cannot reach redis://user:canary-password@store:6379/0"),
    (BYTES[-60:], f"got {BYTES} instead"),
    (BYTES[:40], f"data:image/png;base64,{BYTES[:40]}"),
]


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(("secret", "sentence"), CANARIES, ids=range(len(CANARIES)))
def test_secrets_do_not_survive(secret: str, sentence: str, log_format: LogFormat) -> None:
    """As event, as field, in a library's message, in an exception."""
    bench = Bench(log_format)
    assert secret in sentence
    bench.log.write("info", sentence, {"detail": sentence, "error": sentence})
    with standard_logging(bench.log):
        logging.getLogger("aiohttp.client").warning("it said %s", sentence)
        logging.getLogger("uvicorn.error").error("broken", exc_info=RuntimeError(sentence))
    assert bench.text.count("\n") == 3
    assert "it said" in bench.text
    assert "RuntimeError" in bench.text
    assert secret not in bench.text


@pytest.mark.parametrize(
    "text",
    [
        "flux-2-klein-4b",
        "job_0123456789abcdefABCDEF",
        "a" * 64 + ".webp",
        "risk-assessment of task-0123456789",
        "n = 4",
    ],
)
def test_what_operators_need_stays_readable(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    "name", ["authorization", "Authorization", "x-api-key", "X_Api_Key", "prompt", "negative_prompt"]
)
def test_secret_fields_are_hidden_by_name(bench: Bench, name: str) -> None:
    bench.log.write("info", "seen", {name: PROMPT, "team": "design"})
    assert bench.last()[name] == "[redacted]"
    assert bench.last()["team"] == "design"
    assert "canary" not in bench.text


def test_structlogs_own_way_of_writing_is_cleaned_and_levelled_alike(bench: Bench) -> None:
    bench.log.logger.info("listening", on=["http://127.0.0.1:8080", f"sock?s={SIGNATURE}"], prompt=PROMPT)
    assert bench.last()["on"] == "http://127.0.0.1:8080, sock?…"
    assert bench.last()["prompt"] == "[redacted]"
    bench.log.set_level("error")
    bench.log.logger.warning("unheard")
    assert bench.last()["event"] == "listening"


def test_containers_are_not_written(bench: Bench) -> None:
    bench.log.write("info", "seen", {"request": {"prompt": PROMPT}})  # type: ignore[dict-item]  # the misuse under test
    assert bench.last()["request"] == "[dict]"


def test_exceptions_are_described_without_the_input_they_quote() -> None:
    def fail() -> None:
        try:
            int(PROMPT)
        except ValueError as error:
            raise ExceptionGroup("two failed", [KeyError(f"don't {PROMPT}"), OSError(28, "No space left")]) from error

    with pytest.raises(ExceptionGroup) as caught:
        fail()
    text = describe(caught.value)
    assert "canary" not in text
    for part in ("ExceptionGroup: two failed", "ValueError: invalid literal", "KeyError", "No space left", " fail"):
        assert part in text
    assert "tests/core/test_logs.py:" in text
    assert "\n" not in text


def test_an_exception_that_is_its_own_cause_ends() -> None:
    error = RuntimeError("round")
    error.__cause__ = ValueError("and round")
    error.__cause__.__cause__ = error
    assert describe(error).count("round") <= 12


async def test_a_task_that_failed_unseen_is_logged_without_its_prompt(standard: Bench) -> None:
    async def fail() -> None:
        raise ValueError(f"cannot draw {PROMPT!r}")

    task = asyncio.ensure_future(fail())
    await asyncio.wait([task])
    del task
    gc.collect()
    line = standard.last()
    assert line["logger"] == "asyncio"
    assert line["level"] == "error"
    assert "ValueError: cannot draw" in str(line["raised"])
    assert "canary" not in standard.text


def test_libraries_below_warning_are_not_heard(standard: Bench) -> None:
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert standard.text.count("\n") == 1
    assert standard.last()["event"] == "Invalid HTTP request received."


def test_a_library_message_that_does_not_fit_its_arguments_is_still_a_line(bench: Bench) -> None:
    record = logging.LogRecord("some.library", logging.WARNING, "x.py", 1, "%d things", (PROMPT,), None)
    with standard_logging(bench.log):
        logging.getLogger().handlers[-1].handle(record)  # ours alone: the test runner's own raises on such a message
    assert bench.last()["event"] == "%d things"
    assert "canary" not in bench.text


def test_standard_logging_is_put_back(bench: Bench) -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    with standard_logging(bench.log):
        assert root.handlers != before[1]
    assert (root.level, root.handlers) == before


def test_the_level_changes_while_it_runs(bench: Bench) -> None:
    bench.log.write("debug", "unheard", {})
    assert bench.text == ""
    bench.log.set_level("debug")
    bench.log.write("debug", "heard", {"level": "forged", "event": "forged", "timestamp": "forged"})
    assert bench.last() == {"timestamp": "2025-12-01T12:00:00.123+00:00", "level": "debug", "event": "heard"}
    bench.log.set_level("error")
    bench.log.write("warning", "unheard", {})
    assert bench.last()["event"] == "heard"
    with pytest.raises(ValueError, match="debug, info, warning, error"):
        bench.log.set_level("loud")
    assert bench.log.level == "error"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_line_cannot_be_forged(log_format: LogFormat) -> None:
    bench = Bench(log_format)
    bench.log.write("info", "seen\nlevel=error event=forged", {"team": "a\r\n{}\x1b[2J\u2028b"})
    assert len(bench.text.splitlines()) == 1
    assert "\x1b" not in bench.text


def test_a_broken_stream_fails_nobody(bench: Bench) -> None:
    bench.stream.close()
    bench.log.write("info", "into the void", {})
    assert bench.stream.closed


_PIECES = ("sk-", "ig-", "worker-", "empiriolabs-", "-", "_", ".", "k", "r", "Ab3", "secret", "token", "0123456789")


@given(st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))
def test_a_word_is_masked_alone_as_in_a_sentence(word: str) -> None:
    """Words that look plain are not searched; beside a blank they are."""
    assert f"{mask(word)} " == mask(f"{word} ")
