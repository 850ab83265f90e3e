"""`sumo-marl doctor`."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.table import Column, Table

from sumo_marl_env.commands.console import JsonOption, clean_output
from sumo_marl_env.commands.doctor import Check, examine


def doctor(as_json: JsonOption = False) -> None:
    """Check the installation: versions, SUMO, the cache folder, and a short simulation. Exit code 1 if one fails."""
    with clean_output():
        checks = examine()
    is_well = all(check.is_ok for check in checks)
    if as_json:
        report = [{"name": c.name, "ok": c.is_ok, "found": c.found, "remedy": c.remedy} for c in checks]
        typer.echo(json.dumps({"ok": is_well, "checks": report}))
    else:
        Console(markup=False, emoji=False).print(_table(checks))
        for check in checks:
            if not check.is_ok:
                typer.echo(f"{check.name}: {check.remedy}")
        typer.echo("All is well." if is_well else "Something is wrong; see above.")
    if not is_well:
        raise typer.Exit(1)


def _table(checks: list[Check]) -> Table:
    # Whole paths, also in a narrow terminal: people copy them.
    table = Table("check", "", Column("found", overflow="fold"))
    for check in checks:
        table.add_row(check.name, "ok" if check.is_ok else "WRONG", check.found)
    return table
