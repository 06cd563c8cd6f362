"""Experiments side by side: nobody waits for a worker that was killed."""

from deadly import DeadlyJob
from import_closure import ROOT

from pmnet.experiments import Experiment, Job, _side_by_side


def test_what_a_killed_worker_leaves_undone_has_failed():
    experiment = Experiment("label", "group", "single", [0, 1], {})
    jobs: list[Job] = [DeadlyJob("deadly", experiment, seed) for seed in (0, 1)]
    assert list(_side_by_side(jobs, ROOT / "params.yaml", 1)) == ["deadly seed 0", "deadly seed 1"]
