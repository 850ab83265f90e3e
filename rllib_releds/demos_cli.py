"""`reled demos`: make, list, show, compare and replay demonstrations, and Table III. Needs neither Ray nor torch."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.table import Table

from rllib_releds.console import (
    JsonOption,
    console_on,
    named_values,
    only_json_on_stdout,
    reported_errors,
)
from rllib_releds.demonstrations.callbacks import absolute_demonstrations
from rllib_releds.demonstrations.errors import StoredDemonstrationError
from rllib_releds.demonstrations.records.making import DemosSettings, make_demonstrations
from rllib_releds.demonstrations.records.replaying import replay_cycle
from rllib_releds.demonstrations.records.stored import StoredCycle, stored_cycle, stored_cycles
from rllib_releds.demonstrations.records.summaries import compare_agents, cycle_row, shown_agents
from rllib_releds.demonstrations.records.table import FORMATS, VARIANTS, demonstration_table, write_table, written_table
from rllib_releds.errors import printable
from rllib_releds.options import (
    AgentsOption,
    DemandOption,
    LlmOptions,
    NetworkOption,
    RecordOption,
    ReplayOption,
    ScenarioOption,
    world,
)

app = typer.Typer(
    help="Demonstrations without training: make and refine, list, show, compare, replay; Table III of the paper.",
    no_args_is_help=True,
)

FolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="A folder of `reled demos make`, or a run folder.")
]
CycleArgument = Annotated[int, typer.Argument(min=0, metavar="CYCLE")]
AgentArgument = Annotated[str | None, typer.Argument(metavar="[AGENT]", help="Such as agent_3 or vehicle_3.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of traffic, subsets and draws.")]
GateOption = Annotated[
    bool, typer.Option("--gate/--no-gate", help="Whether a worse revision leaves an agent's best version in place.")
]


@app.command()
def make(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to; the same command again goes on there.")],
    scenario: ScenarioOption = None,
    network: NetworkOption = None,
    demand: DemandOption = None,
    agents: AgentsOption = None,
    llm: Annotated[
        str, typer.Option(metavar="MODEL", help="provider/name, offline/planner, live, logit, or stored:FOLDER.")
    ] = "offline/planner",
    llm_option: LlmOptions = None,
    cycles: Annotated[int, typer.Option(min=1, help="Cycles in all, with those that are there.")] = 10,
    refine: Annotated[bool, typer.Option(help="Whether the model is told what came of its last answer.")] = True,
    interfaces: Annotated[bool, typer.Option(help="Programs with navigation functions, or plain routes.")] = True,
    stationarity: Annotated[bool, typer.Option(help="Reward volatility and policy divergence in the feedback.")] = True,
    gate: GateOption = True,
    subsets: Annotated[int, typer.Option(min=1, help="Subsets per cycle (m).")] = 2,
    seed: SeedOption = 0,
    record: RecordOption = None,
    replay: ReplayOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask for demonstrations, carry them out in SUMO, feed back, and ask again, without training."""
    place = world(scenario, network, demand, agents)
    with reported_errors(), only_json_on_stdout() as stdout:
        settings = DemosSettings(
            **place,
            model=absolute_demonstrations(llm),
            llm=named_values(llm_option or []),
            refine=refine,
            interfaces=interfaces,
            stationarity=stationarity,
            gate=gate,
            num_subsets=subsets,
            seed=seed,
        )
        with _progress() as bar:
            task = bar.add_task("cycles", total=cycles)

            def finished(cycle: StoredCycle) -> None:
                bar.update(task, completed=cycle.number + 1)
                if bar.disable:
                    bar.console.out(_line(cycle_row(cycle)), highlight=False)

            made = make_demonstrations(out, settings, cycles, record=record, replay=replay, progress=finished)
        _show_rows([cycle_row(cycle) for cycle in made], as_json, stdout, folder=str(out))


@app.command("list")
def list_cycles(folder: FolderArgument, as_json: JsonOption = False) -> None:
    """One line per cycle: execution rate, reward, travel time, tokens, cost, seconds."""
    with reported_errors(), only_json_on_stdout() as stdout:
        _show_rows([cycle_row(cycle) for cycle in stored_cycles(folder)], as_json, stdout, folder=str(folder))


@app.command()
def show(
    folder: FolderArgument, cycle: CycleArgument, agent: AgentArgument = None, as_json: JsonOption = False
) -> None:
    """Prompt, reply, programs and outcomes of one cycle."""
    with reported_errors(), only_json_on_stdout() as stdout:
        stored = stored_cycle(folder, cycle)
        agents = shown_agents(stored, agent) if stored.is_complete else {}
        texts = {name: stored.text(f"{name}.txt") for name in ("prompt", "reply", "repair_prompt", "repair_reply")}
        if as_json:
            print(json.dumps({"cycle": cycle, **texts, "agents": agents, "usage": stored.usage}), file=stdout)
            return
        console = console_on(stdout)
        for name, text in texts.items():
            if text:
                console.rule(name.replace("_", " "))
                console.out(printable(text), highlight=False)
        if not stored.is_complete:
            console.rule("no outcomes")
            console.out(cycle_row(stored)["failure"], highlight=False)
        for name, one in agents.items():
            console.rule(name)
            _print_code(console, one["demonstrated"] or "# nothing of its own", "python")
            console.out(printable(one["outcome"]), highlight=False)


@app.command()
def diff(
    folder: FolderArgument,
    before: CycleArgument,
    after: CycleArgument,
    agent: AgentArgument = None,
    as_json: JsonOption = False,
) -> None:
    """How programs or plans, and their outcomes, changed from one cycle to another."""
    with reported_errors(), only_json_on_stdout() as stdout:
        then, now = (stored_cycle(folder, number) for number in (before, after))
        changes = compare_agents(then, now, agent)
        if as_json:
            print(json.dumps({"before": before, "after": after, "agents": changes}), file=stdout)
            return
        console = console_on(stdout)
        for name, change in changes.items():
            console.rule(name)
            old, new = change["before"].splitlines(), change["after"].splitlines()
            lines = difflib.unified_diff(old, new, f"cycle {before}", f"cycle {after}", lineterm="")
            _print_code(console, "\n".join(lines) or "# no change", "diff")
            console.out(printable(change["outcome"]), highlight=False)


@app.command()
def replay(
    folder: FolderArgument,
    cycle: Annotated[int | None, typer.Argument(metavar="[CYCLE]", help="By default all.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Carry stored programs and plans out again without any model. Exit code 2 unless all is equal bit for bit."""
    with reported_errors(), only_json_on_stdout() as stdout:
        complete = [one for one in stored_cycles(folder) if one.is_complete]
        chosen = complete if cycle is None else [stored_cycle(folder, cycle)]
        if not chosen:
            raise StoredDemonstrationError(f"no cycle in {folder} is complete: nothing to replay")
        replayed = []
        for one in chosen:
            replayed.append(replay_cycle(one))
            if not as_json:
                last = replayed[-1]
                what = "; ".join(last.differences) or f"{last.num_episodes} episodes equal bit for bit"
                print(f"cycle {last.cycle}: {what}", file=stdout, flush=True)
        is_equal = not any(one.differences for one in replayed)
        if as_json:
            cycles = {str(one.cycle): list(one.differences) for one in replayed}
            print(json.dumps({"is_equal": is_equal, "differences": cycles}), file=stdout)
    if not is_equal:
        raise typer.Exit(2)


@app.command()
def table(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to; the same command again goes on there.")],
    llm: Annotated[list[str] | None, typer.Option(metavar="MODEL", help="May be repeated.")] = None,
    llm_option: LlmOptions = None,
    scenario: ScenarioOption = None,
    network: NetworkOption = None,
    demand: DemandOption = None,
    agents: AgentsOption = None,
    cycles: Annotated[int, typer.Option(min=2, help="Refinements; the middle column is after half of them.")] = 50,
    repeats: Annotated[int, typer.Option(min=1, help="Runs with seeds of their own; the paper's are 10.")] = 1,
    gate: GateOption = False,
    seed: SeedOption = 0,
    record: RecordOption = None,
    replay: ReplayOption = None,
    format: Annotated[str, typer.Option(help=f"On standard output: {', '.join(FORMATS)}.")] = "markdown",
    as_json: JsonOption = False,
) -> None:
    """Table III: with and without interfaces and refinement, at first, after half and after all refinements."""
    if format not in FORMATS:
        raise typer.BadParameter(f"--format is one of {', '.join(FORMATS)}")
    place = world(scenario, network, demand, agents)
    with reported_errors(), only_json_on_stdout() as stdout:
        llm_settings = named_values(llm_option or [])
        models = llm or ["offline/planner"]
        with _progress() as bar:
            task = bar.add_task("cycles", total=len(models) * len(VARIANTS) * repeats * (cycles + 1))
            rows = demonstration_table(
                out,
                [
                    DemosSettings(**place, model=absolute_demonstrations(model), llm=llm_settings, gate=gate, seed=seed)
                    for model in models
                ],
                refinements=cycles,
                repeats=repeats,
                record=record,
                replay=replay,
                progress=lambda _: bar.advance(task),
            )
        write_table(rows, out)
        print(written_table(rows, "json" if as_json else format), end="", file=stdout)


def _print_code(console: Console, code: str, language: str) -> None:
    """In colours on a terminal; elsewhere plain, for a file or another program."""
    code = printable(code)
    if console.is_terminal:
        console.print(Syntax(code, language, word_wrap=True))
    else:
        console.out(code, highlight=False)


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), BarColumn(bar_width=30), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _line(row: dict[str, Any]) -> str:
    return "  ".join(f"{name} {shown}" for name, shown in _shown(row).items())


def _shown(row: dict[str, Any]) -> dict[str, str]:
    """Columns as people read them."""
    if "failure" in row:
        return {"cycle": str(row["cycle"]), "nothing:": row["failure"]}
    return {
        "cycle": str(row["cycle"]),
        "executed": f"{row['execution_rate']:.0%}",
        "reward": f"{row['reward']:.0f}",
        "travel time": f"{row['travel_time_s']:.0f} s",
        "kept": f"{row['kept_reward']:.0f}",
        "tokens": f"{row['tokens']:.0f}",
        "cost": f"{row['cost']:.4f}",
        "seconds": f"{row['seconds']:.2f}",
    }


def _show_rows(rows: list[dict[str, Any]], as_json: bool, stdout: TextIO, folder: str) -> None:
    if as_json:
        print(json.dumps({"folder": folder, "cycles": rows}), file=stdout)
        return
    console = console_on(stdout)
    grid = Table(box=None, pad_edge=False)
    complete = [row for row in rows if "failure" not in row]
    for name in _shown(complete[0]) if complete else ():
        grid.add_column(name, justify="right")
    for row in complete:
        grid.add_row(*_shown(row).values())
    if complete:
        console.print(grid)
    for row in rows:
        if "failure" in row:
            console.out(f"cycle {row['cycle']}: {row['failure']}", highlight=False)
