"""The root of the command line: which commands there are, and where each one lives."""

import click

from gateway.cli.lazy import Entry, LazyGroup

COMMANDS = {
    "serve": Entry("gateway.cli.serve:serve", "Run the gateway."),
    "demo": Entry("gateway.cli.demo:demo", "From nothing to a first image, with one command."),
    "simulator": Entry(
        "gateway.cli.simulator:simulator",
        "Run a stand-in EmpirioLabs over real HTTP. Its images are drawn here, and marked as simulated.",
    ),
    "worker": Entry("gateway.cli.worker:worker", "Make images for a gateway, on this machine's GPU."),
    "teams": Entry("gateway.cli.teams:teams", "Create, list, show and change teams."),
    "keys": Entry("gateway.cli.keys:keys", "Create, list, show, change, rotate and revoke the teams' keys."),
    "budgets": Entry("gateway.cli.budgets:budgets", "Set and list budgets."),
    "spend": Entry("gateway.cli.spend:spend", "What was spent, from the ledger."),
    "workers": Entry("gateway.cli.workers:workers", "Which GPU workers live, and the tokens by which they come in."),
    "jobs": Entry("gateway.cli.jobs:jobs", "What runs, what ran, and what is unconfirmed."),
    "cache": Entry("gateway.cli.cache:cache", "What the cache holds and saved; make it forget."),
    "policies": Entry("gateway.cli.policies:policies", "Check, show and export the policies: models, prices, routes."),
    "doctor": Entry(
        "gateway.cli.doctor:doctor",
        "Check store, durability, policies, pictures, upstream, key, clock, disk, permissions.",
    ),
    "backup": Entry("gateway.cli.backup:backup", "Write a copy of the store to FILE, while the gateway goes on."),
    "log-level": Entry(
        "gateway.cli.log_level:log_level", "Change the log level of the running gateway, until it stops."
    ),
}

main = LazyGroup(
    "imagegate",
    COMMANDS,
    help="An OpenAI-compatible image gateway: synchronous answers over asynchronous jobs, under budgets that hold.",
)
main = click.version_option(package_name="imagegate", prog_name="imagegate")(main)
