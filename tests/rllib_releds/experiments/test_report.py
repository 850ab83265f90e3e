import pytest

from rllib_releds.errors import RunError
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.report import draw_figures
from rllib_releds.experiments.settings import TrainSettings


@pytest.mark.usefixtures("no_matplotlib")
def test_without_matplotlib_the_error_says_what_to_install(tmp_path):
    run = RunFolder.create(tmp_path / "run", TrainSettings())
    with pytest.raises(RunError, match=r"figures need Matplotlib: pip install .*, then `reled resume .*run`"):
        draw_figures(run, {})
