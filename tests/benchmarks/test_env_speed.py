import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "env_speed.py"


@pytest.mark.parametrize("driver", ["random", "free_flow"])
def test_prints_one_json_object_with_the_median_ratio(driver):
    command = [sys.executable, BENCHMARK, "--pairs", "1", "--episodes", "1", "--driver", driver, "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(result.stdout)
    assert report["ratio_median"] == report["pairs"][0]["ratio"] > 0.5
    assert report["pairs"][0]["decisions"] > 0
