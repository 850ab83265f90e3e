"""`reled submit`: any command of `reled` as a job on a Ray cluster."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from rllib_releds.console import JsonOption, only_json_on_stdout, reported_errors
from rllib_releds.demonstrations.models.providers import key_variables
from rllib_releds.errors import RunError
from rllib_releds.jobs.environment import model_keys, models_of, needs

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient


def submit(
    context: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND ...", help="A command of `reled`, such as: -- train --scenario rush"),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Job server, such as http://HEAD:8265; by default RAY_ADDRESS."),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A variable of your environment for the job, beside its model's keys."),
    ] = None,
    working_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Your maps and scenarios; the job starts in a copy of it.")
    ] = None,
    install: Annotated[
        bool,
        typer.Option("--install/--no-install", help="Whether nodes install what the packages need, SUMO too."),
    ] = True,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Show what the job prints, and end with its exit code.")
    ] = True,
    check: Annotated[
        bool, typer.Option("--check", help="Run no training: check every node for what COMMAND would need.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a command of `reled` on a Ray cluster, follow it, and end with its exit code.

    Both packages go along as they are here. Keys of the chosen model are read from your environment and sealed for the
    job's driver: they are in no file, log or dashboard of the cluster.
    """
    with reported_errors("another `reled submit`"), only_json_on_stdout() as stdout:
        options = _checked_options(context, command or (["train"] if check else []))
        values = model_keys(options, env or [])
        _use_token()
        from rllib_releds.jobs import submission

        for name in ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging"):
            logging.getLogger(name).setLevel(logging.WARNING)  # they tell of every package that they upload
        client = submission.connect(address)
        sent = ["rllib_releds.cli", *(command or [])]
        if check:
            # Keys are of no use there: a server is reached if it answers, be it with a refusal.
            sent, values = ["rllib_releds.jobs.check", json.dumps(needs(options))], {}
        else:
            _warn_about_keys(sent[1], options, env or [])

        def announce(job: str) -> None:
            _say(f"job {job} submitted; follow it by: ray job logs {_address_option(address)}--follow {job}")

        job = submission.submit(
            client, sent, keys=values, working_dir=working_dir, is_installing=install, announce=announce
        )
        if follow:
            _follow(client, job, address, sys.stderr if as_json else stdout, as_json, stdout)
        elif as_json:
            print(json.dumps({"job": job}), file=stdout)


def _warn_about_keys(command: str, options: Mapping[str, Any], named: Sequence[str]) -> None:
    """Where keys do not come by themselves. Training survives their lack, so nobody would notice before the end."""
    if command in ("tune", "reproduce") and any(key_variables(model) for model in models_of(options)):
        _say(
            f"warning: `reled {command}` asks its models in Ray's workers, which keys that are sent do not reach; the "
            "variable must be in the environment of each node's `ray start`"
        )
    if command == "resume" and not named:
        _say("note: a run whose model needs a key gets it by --env NAME; for `resume` none is sent by itself")


def _use_token() -> None:
    """Let Ray's job client send the user's token if there is one: it does so only if told before Ray is imported.

    A cluster of Ray 2.60 that is started where a token lies asks for it; one without tokens ignores it.
    """
    has_token = (Path.home() / ".ray" / "auth_token").is_file()
    if has_token or os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _checked_options(context: typer.Context, command: list[str]) -> dict[str, Any]:
    """The options of the job's command as `reled` reads them: a mistake is found here, not on the cluster."""
    group = context.find_root().command
    assert isinstance(group, TyperGroup)
    if not command or command[0] not in group.commands or command[0] == "submit":
        names = ", ".join(name for name in group.commands if name != "submit")
        raise RunError(f"say what the job should do, after --: a command of reled ({names}) and its options")
    return _options(group, command, context.find_root())


def _options(group: TyperGroup, command: list[str], parent: Any) -> dict[str, Any]:
    name, arguments = command[0], command[1:]
    chosen = group.commands[name]
    if isinstance(chosen, TyperGroup) and arguments and arguments[0] in chosen.commands:
        return _options(chosen, arguments, parent)
    return chosen.make_context(name, arguments, parent=parent).params


def _follow(
    client: JobSubmissionClient, job: str, address: str | None, log: TextIO, as_json: bool, stdout: TextIO
) -> None:
    from rllib_releds.jobs import submission

    def write(text: str) -> None:
        log.write(text)
        log.flush()

    try:
        outcome = submission.follow(client, job, write)
    except KeyboardInterrupt:
        if _is_left_running():
            _say(f"\njob {job} goes on; follow it by: ray job logs {_address_option(address)}--follow {job}")
            raise typer.Exit(130) from None
        outcome = submission.stop(client, job)
    if as_json:
        print(json.dumps({"job": job, "status": outcome.status, "exit_code": outcome.exit_code}), file=stdout)
    if outcome.exit_code:
        _say(f"job {job}: {outcome.status.lower()}, exit code {outcome.exit_code}")
        raise typer.Exit(outcome.exit_code)
    _say(f"job {job} succeeded")


def _is_left_running() -> bool:
    """What to do with the job after Ctrl-C; it is stopped unless somebody is there to say no."""
    if not sys.stdin.isatty():
        return False
    try:
        return not typer.confirm("\nStop the job? (no: it goes on without you)", default=True, err=True)
    except (typer.Abort, KeyboardInterrupt):
        return True


def _address_option(address: str | None) -> str:
    return "" if address is None else f"--address {address} "


def _say(text: str) -> None:
    typer.echo(text, err=True)
