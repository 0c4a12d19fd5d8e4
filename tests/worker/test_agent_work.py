"""The agent's day: work claimed, made, uploaded and finished, as a gateway sees it."""

from io import BytesIO

from agent_stand import Stand, working
from batches import gradient
from PIL import Image
from scripted_gateway import scripted_gateway, work

from gateway.core.encode import encode
from gateway.core.sample_picture import draw


async def test_a_piece_is_claimed_made_uploaded_and_finished() -> None:
    async with scripted_gateway() as gateway, working(gateway) as here:
        gateway.give(work("a", 7, 8))
        await gateway.until(lambda: gateway.finishes)
        assert await here.drained() == 0
    finish = gateway.finishes["a"]
    assert [picture.tobytes() for picture in gateway.pictures("a")] == [
        draw("a red fox", seed, 64, 48).tobytes() for seed in (7, 8)
    ]
    assert {(each.codec, each.width, each.height) for each in finish.pictures} == {("png", 64, 48)}
    assert finish.claim == "claim-1"
    assert finish.seconds > 0


async def test_who_is_there_is_told_before_it_claims_and_gone_when_it_left() -> None:
    async with scripted_gateway() as gateway, working(gateway) as here:
        gateway.give(work("a"))
        await gateway.until(lambda: gateway.finishes and len(gateway.presences) > 1)
        claim, presence = gateway.claims[0], gateway.presences[-1]
        await here.drained()
    assert (presence.worker, presence.model, presence.revision, presence.engine) == ("gpu-1", "m", "1", "simulated")
    assert presence.operations == ("generation", "edit", "variation")
    assert presence.features == ("masks", "partials")
    assert (presence.most_pixels, presence.most_references) == (1024 * 1024, 4)
    assert (claim.images, claim.tokens) == (16, 9216)
    assert gateway.presences[0].seconds == 0 < gateway.claims[-1].presence.seconds
    assert [drain.given_back for drain in gateway.drains] == [()] * 3, (
        "as it came, as it was told to go, and as it left"
    )
    assert gateway.order[-1] == "drain"


async def test_each_codec_is_the_orders() -> None:
    async with scripted_gateway() as gateway, working(gateway):
        gateway.give(work("j", codec="jpeg"), work("w", codec="webp"))
        await gateway.until(lambda: len(gateway.finishes) == 2)
    formats = {
        name: Image.open(BytesIO(gateway.uploads[gateway.finishes[name].pictures[0].name])).format for name in "jw"
    }
    assert formats == {"j": "JPEG", "w": "WEBP"}


async def test_a_large_picture_arrives_whole() -> None:
    async with scripted_gateway() as gateway, working(gateway):
        gateway.give(work("a", 7, width=640, height=640))
        await gateway.until(lambda: gateway.finishes)
    assert gateway.finishes["a"].pictures[0].size > 64 * 1024, "more than leaves in one piece"
    assert gateway.pictures("a")[0].tobytes() == draw("a red fox", 7, 640, 640).tobytes()


async def test_pieces_of_one_claim_share_calls_as_large_as_fit() -> None:
    stand = Stand()
    async with scripted_gateway() as gateway, working(gateway, stand, images=3):
        gateway.give(work("a", 1, 2), work("b", 3, prompt="an owl"), work("c", 4, 5))
        await gateway.until(lambda: len(gateway.finishes) == 3)
    shared = [[(piece.prompt, piece.seed) for piece in batch.pieces] for batch in stand.engine.batches]
    assert shared == [[("a red fox", 1), ("a red fox", 2), ("an owl", 3)], [("a red fox", 4), ("a red fox", 5)]]
    assert gateway.pictures("b")[0].tobytes() == draw("an owl", 3, 64, 48).tobytes()


async def test_an_edit_builds_on_what_the_gateway_keeps_fetched_once() -> None:
    stand = Stand()
    kept, mask = gradient(80, 64), Image.new("1", (80, 64), 1)
    files = {"one.png": encode(kept, "png"), "mask.png": encode(mask.convert("L"), "png")}
    one = ("/worker/v1/references/one.png",)
    async with scripted_gateway(files=files) as gateway, working(gateway, stand):
        gateway.give(work("a", operation="edit", references=one, mask="/worker/v1/references/mask.png"))
        gateway.give(work("b", 2, 3, operation="edit", references=one))
        await gateway.until(lambda: len(gateway.finishes) == 2)
    masked, plain = stand.engine.batches
    assert (masked.references[0].tobytes(), masked.references[0].mode) == (kept.tobytes(), "RGB")
    assert masked.mask is not None
    assert (masked.mask.mode, masked.mask.getextrema()) == ("L", (255, 255))
    assert (len(plain.pieces), len(plain.references), plain.mask) == (2, 1, None)
    assert gateway.order.count("references/one.png") == 1
    assert gateway.pictures("b")[0].tobytes() != draw("a red fox", 2, 64, 48).tobytes()


async def test_a_reference_that_leads_elsewhere_or_is_no_picture_is_not_made() -> None:
    async with scripted_gateway(files={"x.png": b"no picture"}) as gateway, working(gateway):
        for name, path in {
            "far": "//evil.example/x.png",
            "up": "/worker/v1/references/../claim",
            "bad": "/worker/v1/references/x.png",
        }.items():
            gateway.give(work(name, operation="edit", references=(path,)))
        await gateway.until(lambda: len(gateway.fails) == 3)
        assert {fail.failure for fail in gateway.fails.values()} == {"lost"}
    assert [path for path in gateway.order if path.startswith("references")] == ["references/x.png"]
    assert gateway.finishes == {}


async def test_pictures_on_the_way_come_evenly_spread_and_grow_clear() -> None:
    async with scripted_gateway() as gateway, working(gateway):
        gateway.give(work("a", 7, 8, steps=4, partials=2, width=256, height=256))
        gateway.give(work("b", steps=2, partials=3), work("c", steps=1, partials=2))
        await gateway.until(lambda: len(gateway.finishes) == 2 and len(gateway.partials) == 3)
    assert sorted(gateway.partials) == [("a", 0), ("a", 1), ("b", 0)]
    final = gateway.pictures("a")[0]
    first, second = (gateway.partials["a", index] for index in (0, 1))
    assert apart(first, final) > apart(second, final) > 0


def apart(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of a channel."""
    return sum(abs(here - there) for here, there in zip(one.tobytes(), other.tobytes(), strict=True)) / len(
        one.tobytes()
    )
