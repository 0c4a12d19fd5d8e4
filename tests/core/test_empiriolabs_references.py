"""Reference images in the provider's words: within a submit, as an upload's form, and what an upload's answer means."""

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from orders import A_CAT

from gateway.core.order import Codec, Part, Reference
from gateway.core.policy import parse
from gateway.ports import Declined, Image
from gateway.providers.empiriolabs import models_of
from gateway.providers.empiriolabs_upload import form, judge_upload
from gateway.providers.empiriolabs_wire import payload
from gateway.providers.reply import MAX_AFTER, Reply
from gateway.wiring.policy_files import packaged_policies, policy_texts

ADDRESS = "bunny://storage/a-b_1.png"
KEPT = Reference("0" * 64 + ".png", "png", 5, 5, 3)
EDIT = replace(A_CAT, operation="edit", prompt='wíth a "hat"\n', references=(KEPT, KEPT))

BYTES = st.binary(max_size=300)
IMAGES = st.builds(Image, BYTES, st.sampled_from(get_args(Codec)), st.just(5), st.just(5))


def images_of(references: Sequence[Image | str]) -> Any:
    return json.loads(payload(EDIT, Part(0, 1, 7), references, result="url", hold=False))["image"]


def test_the_payload_of_an_edit() -> None:
    png, jpeg, webp = Image(b"\x89PNG", "png", 1, 1), Image(b"\xff\xd8", "jpeg", 1, 1), Image(b"", "webp", 1, 1)
    references = (png, ADDRESS, jpeg, webp)
    assert json.loads(payload(EDIT, Part(0, 1, 7), references, result="b64_json", hold=False)) == {
        "model": "flux-2-klein-4b",
        "prompt": 'wíth a "hat"\n',
        "width": 1024,
        "height": 1024,
        "num_inference_steps": 4,
        "guidance_scale": 1.0,
        "seed": 7,
        "num_images": 1,
        "format": "png",
        "response_format": "b64_json",
        "max_sequence_length": 512,
        "image": ["data:image/png;base64,iVBORw==", ADDRESS, "data:image/jpeg;base64,/9g=", "data:image/webp;base64,"],
    }


@given(st.lists(IMAGES | st.text(), min_size=1, max_size=5))
def test_any_references_come_back_from_the_payload_in_order(references: list[Image | str]) -> None:
    for sent, said in zip(references, images_of(references), strict=True):
        if isinstance(sent, str):
            assert said == sent
        else:
            head, _, encoded = said.partition(",")
            assert (head, base64.b64decode(encoded, validate=True)) == (f"data:image/{sent.codec};base64", sent.data)


@given(IMAGES)
@example(Image(b"\r\n--\r\n\r\n", "png", 1, 1))
def test_any_bytes_stand_in_the_form_as_they_are(reference: Image) -> None:
    content_type, body = form(reference)
    boundary = content_type.removeprefix("multipart/form-data; boundary=").encode()
    head, _, rest = body.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"--" + boundary,
        f'Content-Disposition: form-data; name="file"; filename="reference.{reference.codec}"'.encode(),
        f"Content-Type: image/{reference.codec}".encode(),
    ]
    assert rest == reference.data + b"\r\n--" + boundary + b"--\r\n"


@pytest.mark.parametrize(("kind", "uploads"), [("data", False), ("upload", True)])
def test_the_models_policy_says_whether_references_are_uploaded(kind: str, uploads: bool) -> None:
    texts = dict(policy_texts(packaged_policies()))
    name = "models/flux-2-klein-4b.toml"
    assert texts[name].count('references = "data"') == 1
    texts[name] = texts[name].replace('references = "data"', f'references = "{kind}"')
    assert (models_of(parse(texts))[A_CAT.model].references == "upload") == uploads


# --- the answer to an upload -------------------------------------------------------------------------------------------


def answer(status: int, body: Any, *, complete: bool = True, after: float | None = None) -> Reply:
    return Reply(status, body if isinstance(body, bytes) else json.dumps(body).encode(), complete, after)


def error(code: str = "x") -> dict[str, Any]:
    return {"error": {"message": "SECRET upstream text", "code": code}}


@pytest.mark.parametrize(
    "body",
    [
        {"path": ADDRESS},
        {"data": {"url": ADDRESS, "size": 3}},
        {"files": [{"name": "reference.png", "storage": [[ADDRESS]]}], "path": ADDRESS},
        {"ok": True, "url": "https://cdn.example/a.png", "id": None, "path": ADDRESS},
        json.dumps({"path": ADDRESS}).replace("/", "\\/").encode(),
        ADDRESS,
        ADDRESS.encode() + b"\r\n",
    ],
)
def test_the_address_is_read_wherever_it_stands(body: Any) -> None:
    for status in (200, 201):
        assert judge_upload(answer(status, body)) == ADDRESS


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"path": "https://cdn.example/a.png"},
        {"path": "bunny://"},
        {"path": "bunny://a b"},
        {"path": "bunny://\u00e9"},
        {"path": 'bunny://a"'},
        {"path": "x " + ADDRESS},
        {"path": "bunny://" + "x" * 1001},
        {ADDRESS: 1},
        {"path": "bunny://a", "thumbnail": "bunny://b"},
        b'{"path": "' + ADDRESS.encode(),
        b"<html>" + ADDRESS.encode(),
        b"",
    ],
)
def test_what_holds_no_one_address_hands_nothing_over(body: Any) -> None:
    judged = judge_upload(answer(200, body))
    assert isinstance(judged, Declined)
    assert (judged.failure.code, judged.again, judged.limited, judged.account) == (
        "upstream_error",
        False,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (answer(429, error(), after=3.0), ("again", 3.0, True)),
        (answer(429, b"slow down"), ("again", None, True)),
        (answer(503, error(), after=2.0), ("again", 2.0, False)),
        (answer(503, b"<html>"), ("again", None, False)),
        (answer(500, error()), ("again", None, False)),
        (answer(502, {"path": ADDRESS}), ("again", None, False)),
        (answer(504, b"", after=1.0), ("again", 1.0, False)),
        (answer(408, b""), ("again", None, False)),
        (answer(200, {"path": ADDRESS}, complete=False), ("again", None, False)),
        (answer(400, error(), complete=False), ("again", None, False)),
        (answer(401, error()), "account"),
        (answer(402, b""), "account"),
        (answer(403, b"<html>", complete=False), "account"),
        (answer(429, error("insufficient_credits")), "account"),
        (answer(400, error()), "The provider refuses this request."),
        (answer(413, b"<html>"), "The provider refuses this request."),
        (answer(415, error()), "The provider refuses this request."),
        (answer(307, b""), "The provider's address has moved."),
        (answer(405, b""), "A reference image could not be handed over to the provider."),
        (answer(303, b""), "A reference image could not be handed over to the provider."),
    ],
)
def test_what_an_uploads_refusal_means(reply: Reply, verdict: Any) -> None:
    judged = judge_upload(reply)
    assert isinstance(judged, Declined)
    if isinstance(verdict, tuple):
        assert (judged.again, judged.after, judged.limited, judged.account) == (
            verdict[0] == "again",
            *verdict[1:],
            False,
        )
    else:
        assert (judged.again, judged.after, judged.limited) == (False, None, False)
        assert (judged.account, verdict) in ((True, "account"), (False, judged.failure.message))
    assert "SECRET" not in judged.failure.message


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=9) | st.just(ADDRESS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)
BODIES = st.builds(lambda value: json.dumps(value).encode(), VALUES) | st.binary()


@given(st.integers(100, 599), BODIES, st.booleans())
@example(200, b'{"a":' * 900 + b"1" + b"}" * 900, True)
@example(200, b'{"a":' * 50_000, True)
@example(200, b"[" * 60_000, True)
def test_no_answer_raises_and_only_a_whole_success_is_one(status: int, body: bytes, complete: bool) -> None:
    judged = judge_upload(Reply(status, body, complete, after=MAX_AFTER))
    if isinstance(judged, str):
        assert judged.startswith("bunny://")
        assert complete
        assert 200 <= status < 300
    else:
        assert not judged.account or status in {400, 401, 402, 403, 404, 413, 415, 422, 429}
        assert judged.again or status < 500
