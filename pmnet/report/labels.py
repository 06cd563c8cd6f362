"""What people read for the names of data sets and subsets."""

from typing import Final

DATASET_NAMES: Final = {
    "h36m": "Human3.6M",
    "pw3d": "3DPW",
    "up3d": "UP-3D",
    "mpi_inf_3dhp": "MPI-INF-3DHP",
}
BALANCED: Final = "bmpvpe"  # the metric whose number is `statistics.balanced_mean` of MPVPE

OPEN_NAMES: Final = ("open_", "mocap_", "cmu")  # how the data sets of the open experiments begin


def subset_label(subset: str) -> str:
    """Return the words for a subset."""
    return "all" if subset == "all" else f"tail {subset.removeprefix('tail_')} %"
