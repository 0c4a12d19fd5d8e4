"""The official SDKs as two drivers of one table of cases: a call goes in, what its user would see comes out."""

import asyncio
import json
import os
import warnings
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx
import openai


@dataclass(frozen=True)
class SdkCall:
    """`image`: one path, or several as a list, which the SDKs name differently on the wire."""

    method: Literal["generate", "edit", "create_variation"]
    fields: dict[str, Any]
    image: Path | list[Path] | None = None
    mask: Path | None = None
    retries: int = 2
    key: str | None = None


@dataclass(frozen=True)
class Outcome:
    """An answer, a stream's events, or an error by the SDK's own names; `sent` counts the requests that it took."""

    sent: int
    data: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


class Sdk(Protocol):
    async def call(self, base_url: str, key: str, call: SdkCall) -> Outcome: ...


class PythonSdk:
    """openai-python, asynchronous and strict: a field of another type than the SDK's own is an error."""

    async def call(self, base_url: str, key: str, call: SdkCall) -> Outcome:
        sent: list[httpx.Request] = []

        async def note(request: httpx.Request) -> None:
            sent.append(request)

        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                openai.AsyncOpenAI(
                    base_url=base_url,
                    api_key=call.key or key,
                    max_retries=call.retries,
                    http_client=openai.DefaultAsyncHttpxClient(event_hooks={"request": [note]}),
                    _strict_response_validation=True,
                )
            )
            files = {
                name: _opened(stack, paths) for name, paths in (("image", call.image), ("mask", call.mask)) if paths
            }
            stack.enter_context(warnings.catch_warnings())
            # the SDK calls variations deprecated, and still has them
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                method = getattr(client.images.with_raw_response, call.method)
                raw = await method(**call.fields, **files)
                said = raw.parse()
                headers = dict(raw.headers)
                if call.fields.get("stream"):
                    return Outcome(len(sent), events=[event.to_dict() async for event in said], headers=headers)
                return Outcome(len(sent), data=said.to_dict(), headers=headers)
            except openai.APIError as error:
                return Outcome(len(sent), error=_facts(error))


def _opened(stack: AsyncExitStack, paths: Path | list[Path]) -> Any:
    if isinstance(paths, list):
        return [_opened(stack, path) for path in paths]
    return stack.enter_context(paths.open("rb"))


def _facts(error: openai.APIError) -> dict[str, Any]:
    return {
        "kind": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": error.code,
        "type": error.type,
        "param": error.param,
        "message": error.message,
    }


@dataclass(frozen=True)
class NodeSdk:
    """openai-node, driven by the script beside this file with the SDK that its lock file pins."""

    folder: Path

    async def call(self, base_url: str, key: str, call: SdkCall) -> Outcome:
        line: dict[str, Any] = {"method": _CAMEL[call.method], "fields": call.fields, "retries": call.retries}
        if isinstance(call.image, list):
            line["image"] = [str(path) for path in call.image]
        elif call.image:
            line["image"] = str(call.image)
        if call.mask:
            line["mask"] = str(call.mask)
        (answer,) = await self.calls(base_url, call.key or key, line)
        answer.pop("requestId", None)
        return Outcome(**answer)

    async def calls(self, base_url: str, key: str, *calls: dict[str, Any], at_once: int = 0) -> list[Any]:
        """So many at once (0: all); an answer each, in order."""
        process = await asyncio.create_subprocess_exec(
            "node",
            "call.mjs",
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "OPENAI_BASE_URL": base_url,
                "OPENAI_API_KEY": key,
                "AT_ONCE": str(at_once),
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate("\n".join(map(json.dumps, calls)).encode())
        assert process.returncode == 0
        return [json.loads(line) for line in out.splitlines()]


_CAMEL = {"generate": "generate", "edit": "edit", "create_variation": "createVariation"}
