"""The command line. One file per group of commands, imported only when it is used."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

COMMANDS = {
    "breaker": ("pipeline.cli.breaker", "Show or change the circuit breakers of a deployment."),
    "chaos": ("pipeline.cli.chaos", "Break a run on purpose, and prove that nothing came of it."),
    "config": ("pipeline.cli.config", "Check or show the configuration."),
    "feed": ("pipeline.cli.feed", "Check captured market data as the feed decodes it."),
    "flow": ("pipeline.cli.flow", "Deposit to the paper account, or withdraw from it."),
    "history": ("pipeline.cli.history", "Write the bars of a venue's market to a file."),
    "instruments": ("pipeline.cli.instruments", "List what a venue trades, and in which steps."),
    "exchange": ("pipeline.cli.exchange", "Serve the simulated exchange alone."),
    "init": ("pipeline.cli.init", "Initialise the state directory of a deployment."),
    "kill": ("pipeline.cli.kill", "Kill a deployment: no new risk, positions closed, no new run."),
    "limits": ("pipeline.cli.limits", "Show the limits of risk, or change them in a run."),
    "mode": ("pipeline.cli.mode", "Show or change how much a deployment may still do."),
    "model": ("pipeline.cli.model", "Show a model, or make one of an estimator."),
    "notify": ("pipeline.cli.notify", "Have whoever is to be told of a kill told something."),
    "resume": ("pipeline.cli.resume", "Let a deployment take new risk again, by an operator."),
    "run": ("pipeline.cli.run", "Run the pipeline on paper."),
    "status": ("pipeline.cli.status", "Show what a running deployment is doing."),
    "stop": ("pipeline.cli.stop", "End a running deployment in order."),
    "strategies": ("pipeline.cli.strategies", "List the strategies that have a name."),
    "train": ("pipeline.cli.train", "Train a model on histories of bars."),
    "why": ("pipeline.cli.why", "Explain what risk answered an intent, by the numbers compared."),
    "shm": ("pipeline.cli.shm", "List or remove segments of shared memory."),
}
"""Name -> (module that defines `command`, one line of help)."""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used, not for its help line."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names."""
        return sorted(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import the command's module."""
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[name][0]).command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.command(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file. [default: $BOT4_CONFIG, ./config.toml, the packaged one]",
)
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Bot4: an automated crypto-trading system built as a shared-memory pipeline.

    Exit codes: 0 ok, 1 failure, 2 usage, 3 not running, 4 halted, 78 bad configuration.
    """
    context.obj = config
