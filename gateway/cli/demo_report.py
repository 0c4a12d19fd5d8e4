"""What the demo says at its end: where the picture is, what it cost, and how to ask for the next one."""

from dataclasses import asdict, dataclass

import click

from gateway.cli.output import print_facts, print_json

_SNIPPET = """\
from openai import OpenAI

client = OpenAI(base_url="{base_url}", api_key="{key}")
answer = client.images.generate(model="{model}", prompt="{prompt}", size="1024x1024")
print(answer.data[0].url)
"""


@dataclass(frozen=True, slots=True)
class FirstImage:
    """`cost` and `budget_remaining` in dollars, `seconds` from the request to the bytes."""

    path: str
    bytes: int
    width: int
    height: int
    codec: str
    model: str
    prompt: str
    seed: int
    cost: str
    budget_remaining: str
    seconds: float
    simulated: bool
    team: str
    key_id: str
    key: str
    job: str
    base_url: str
    data: str


def print_first_image(image: FirstImage, *, command: str, once: bool, as_json: bool) -> None:
    """`command`: how this very program was called, for lines that a person may paste."""
    if as_json:
        print_json(asdict(image))
        return
    origin = "simulated: no model ran and nothing was bought" if image.simulated else "made by EmpirioLabs"
    print_facts(
        [
            ("image", f"{image.path}  ({origin})"),
            ("size", f"{image.width}x{image.height} {image.codec}, {image.bytes:,} bytes"),
            ("prompt", image.prompt),
            ("seed", f"{image.seed}  (send it again for the same picture)"),
            ("cost", f"${image.cost}  (${image.budget_remaining} left of team {image.team}'s key this month)"),
            ("took", f"{image.seconds:.1f} s"),
        ]
    )
    if once:
        click.echo(f"\nTo ask it from an OpenAI SDK, let it serve: {command} demo")
    else:
        click.echo("\nFrom any OpenAI SDK:\n")
        click.echo(_SNIPPET.format(**{**asdict(image), "prompt": "a harbour in the rain, ink and wash"}))
    click.echo(f"What was spent: IMAGEGATE_DATA={image.data} {command} spend")
