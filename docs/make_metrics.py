"""Write docs/metrics.md from rllib_releds/keys.py, where every name stands with its meaning.

Run:     python docs/make_metrics.py
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "rllib_releds" / "keys.py"
HEADINGS = {"Results": "Episodes and demonstrations", "Learner results": "The learner", "Timers": "Where the time went"}
ONE_OF = {"agent": "AGENT", "subset index": "SUBSET"}

HEAD = """\
# Metrics

Made by `python docs/make_metrics.py` from `rllib_releds/keys.py`; a test holds both against what training reports.

| where | name of `mean_reward` |
|---|---|
| `algorithm.train()` | `["reled"]["mean_reward"]` |
| Ray Tune, and W&B and MLflow by its callbacks | `reled/mean_reward` |
| TensorBoard, of Tune and of a run folder | `reled/mean_reward` (Tune: `ray/tune/reled/mean_reward`) |
| `metrics.csv` and `reled status --json` | `mean_reward` |

Nested ones are joined by a slash: `mean_reward_per_agent/vehicle_3`. A metric is there from the first epoch in which
it has a value. Metrics of a callback of your own stand beside these under the names that it gives them.

In first refinements (`first_refinements`) all agents are one subset, and nobody is outside it. So `reward_volatility`,
`volatile_steps` and `nonstationarity_bound` are 0 until the next cycle, with the defaults in the first ten epochs.
"""

TAIL = """
## RLlib's own

Beside `reled`, an RLlib result has these parts, with RLlib's meanings:

| name | meaning |
|---|---|
| `env_runners/agent_episode_returns_mean/AGENT` | return of each agent, over the last 100 episodes / env runners |
| `env_runners/module_episode_returns_mean/agents` | the same of the module, which is one for all agents: their sum |
| `env_runners/num_agent_steps_sampled/AGENT` | decisions of each agent in this epoch |
| `env_runners/num_env_steps_sampled_lifetime` | environment steps, not interaction steps |
| `learners/agents/...` | the learner's metrics from above; where only some agents imitate, those of the usual update |
| `timers/...`, `perf/...`, `fault_tolerance/...` | RLlib's timers, the machine, lost and restarted env runners |

All agents' networks are one module, `agents`: what an RLlib user looks for per module is under that name.

Of RLlib's own callbacks (`config.callbacks(...)`) those that concern single episodes and samples, `on_episode_end` and
the like, are not called, since sampling has a loop of its own. Add to the result in `on_train_result`: the epoch's
episodes are in `algorithm.agent_rollouts`.

## Watching a run elsewhere

`reled train` shows the epochs on a terminal and writes `metrics.csv` and `tensorboard/`. Through Ray Tune the same
numbers go wherever Tune's callbacks send them; nothing in this package stands between:

    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.air.integrations.wandb import WandbLoggerCallback

    tune.RunConfig(callbacks=[
        MLflowLoggerCallback(tracking_uri="sqlite:///mlflow.db", experiment_name="reled"),
        WandbLoggerCallback(project="reled"),
    ])

`examples/05_watch.py` is such a run. Both libraries are yours to install: `pip install "mlflow>=3" wandb`, without
`-c constraints.txt`, as MLflow takes no pyarrow as new as the one there and pip would go back to MLflow 1.27.
WANDB_MODE=offline keeps W&B on this machine.
"""


def page() -> str:
    """The text of docs/metrics.md."""
    source = SOURCE.read_text()
    nodes = ast.parse(source).body
    lines = source.splitlines()
    parts, is_result = [HEAD], False
    for node, following in zip(nodes, [*nodes[1:], None], strict=True):
        comment = lines[node.lineno - 2].removeprefix("# ")
        heading = next((HEADINGS[start] for start in HEADINGS if comment.startswith(start)), None)
        if heading:
            is_result = True
            parts.append(f"\n## {heading}\n\n{described(comment)}\n\n| name | meaning |\n|---|---|\n")
        is_name = isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        if is_result and is_name and node.value.value != "reled":
            assert isinstance(following, ast.Expr), f"{node.value.value} has no description in keys.py"
            parts.append(row(node.value.value, ast.literal_eval(following.value)))
    return "".join([*parts, TAIL])


def row(name: str, text: str) -> str:
    nested = re.fullmatch(r"\{(agent|subset index): (.*)\}\.", text)
    if nested:
        name, text = f"{name}/{ONE_OF[nested[1]]}", f"{nested[2][0].upper()}{nested[2][1:]}."
    return f"| `{name}` | {described(text).replace('|', chr(92) + '|')} |\n"


def described(text: str) -> str:
    """Names of constants as the names that they stand for."""
    namespace: dict[str, str] = {}
    exec(SOURCE.read_text(), namespace)
    return re.sub(
        r"\b[A-Z][A-Z_]{4,}\b",
        lambda m: f"`{namespace[m[0]]}`" if isinstance(namespace.get(m[0]), str) else m[0],
        text,
    )


if __name__ == "__main__":
    (ROOT / "docs" / "metrics.md").write_text(page())
