import csv
import io

from rllib_releds.demonstrations.records.published import TABLE_III
from rllib_releds.demonstrations.records.table import TableRow, written_table


def test_measured_figures_stand_before_those_of_the_paper():
    printed = TABLE_III["GPT-3.5 Turbo"][True, True]
    rows = [
        TableRow("offline/planner", True, True, stage, 2, phase, "GPT-3.5 Turbo", paper_stage, phase)
        for stage, paper_stage, phase in zip((0, 1, 2), (0, 25, 50), printed, strict=True)
    ]
    page = written_table(rows, "markdown")
    assert "| offline/planner | yes | yes | 0 (0) | 92.00 ± 4.00 (92.00 ± 4.00) |" in page
    assert "| 1,040.50 ± 174.15 (1,040.50 ± 174.15) |" in page
    assert "offline/planner beside GPT-3.5 Turbo" in page
    [first, *_] = csv.DictReader(io.StringIO(written_table(rows, "csv")))
    assert float(first["measured_execution_rate"]) == float(first["paper_execution_rate"]) == 92.0
