import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmark_of_programs_compares_them_with_the_same_movements_as_plans():
    arguments = ["--agents", "3", "--episodes", "1", "--demand", "none", "--json"]
    command = [sys.executable, ROOT / "benchmarks" / "program_overhead.py", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    rows = json.loads(result.stdout)["rows"]
    assert [row["programs"] for row in rows] == ["simple", "listed", "road by road"]
    assert all(row["movements"] >= 3 and row["sumo_s"] > 0 for row in rows)
