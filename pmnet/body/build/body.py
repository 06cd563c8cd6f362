"""The whole build, from sampled adults to the arrays of a body in SMPL layout."""

import numpy as np

from pmnet.body.build.adults import sample_adults
from pmnet.body.build.correctives import pose_correctives
from pmnet.body.build.decimate import mirrored_count
from pmnet.body.build.layout import Layout
from pmnet.body.build.regressor import joint_regressor, regressor_errors_m
from pmnet.body.build.shape import Shapes, principal_shapes, tposed_bodies
from pmnet.body.build.skinning import skinning_weights
from pmnet.body.build.steps import step
from pmnet.body.build.surgery import left_half
from pmnet.body.build.thinning import BUDGETS, thinned_body
from pmnet.body.parts import JOINTS, PARENTS
from pmnet.core.progress import say


def build_body(count: int, seed: int) -> dict[str, np.ndarray]:
    """Return the arrays of the body of `count` sampled adults, in metres, by SMPL's names.

    Beyond SMPL's own there are `J` (24, 3), the template's joints; `J_samples_err` (24,), by how
    many mm the regressor misses the adults' joints; `sym` (6890,), the mirror image of each vertex.
    """
    with step(f"adults: drawing {count} from Anny (its first start takes a minute or two more)"):
        adults = sample_adults(count, seed)
        heights = np.ptp(adults.vertices[:, :, 1], axis=1)
        say(f"  heights {heights.mean():.3f} m, standard deviation {heights.std():.3f} m")
    with step("surgery: cavities out, eyes and mouth closed"):
        half = left_half(adults)
        vertices = mirrored_count(np.unique(half.faces), half.on_midline)
        say(f"  {vertices} vertices, {2 * len(half.faces)} faces")
    with step(f"decimation: to {sum(BUDGETS.values())} vertices"):
        layout = thinned_body(adults, half)
        say(f"  {len(layout.mirror)} vertices, {len(layout.faces)} faces")
    with step("shape: principal components of the adults in T-pose"):
        bodies = tposed_bodies(adults, layout)
        shapes = principal_shapes(bodies.vertices)
        _say_shapes(shapes)
    with step("joint regressor: joints as means of vertices"):
        regressor = joint_regressor(bodies, layout.mirror)
        errors_mm = 1000 * regressor_errors_m(regressor, bodies)
        _say_regressor(regressor, errors_mm)
    with step("skinning weights and pose correctives"):
        weights = skinning_weights(adults.rig, layout)
        joints = regressor @ shapes.template
        posedirs, misses = pose_correctives(shapes.template, joints, weights, layout.mirror)
        without, fitted = 1000 * misses.mean(0)
        say(f"  offsets wanted by the poses {without:.2f} mm, missed {fitted:.2f} mm on average")
    numbers = {
        "v_template": shapes.template,
        "shapedirs": shapes.directions,
        "posedirs": posedirs,
        "J_regressor": regressor,
        "weights": weights,
        "J": joints,
        "J_samples_err": errors_mm,
    }
    return {name: array.astype(np.float32) for name, array in numbers.items()} | _indices(layout)


def _indices(layout: Layout) -> dict[str, np.ndarray]:
    # SMPL's files write the root's parent, -1, as an unsigned number
    parents = np.array(PARENTS, np.int64) % 2**32
    return {
        "f": layout.faces.astype(np.uint32),
        "kintree_table": np.stack([parents, np.arange(len(JOINTS))]),
        "sym": layout.mirror,
    }


def _say_shapes(shapes: Shapes) -> None:
    percents = 100 * shapes.explained
    each = ", ".join(f"{percent:.2f}" for percent in percents)
    say(f"  variance explained {percents.sum():.2f} %: {each}")
    say(f"  vertices missed by ten betas {1000 * shapes.error_m:.2f} mm on average")


def _say_regressor(regressor: np.ndarray, errors_mm: np.ndarray) -> None:
    worst = int(errors_mm.argmax())
    vertices = np.count_nonzero(regressor, axis=1)
    say(
        f"  joints missed by {errors_mm.mean():.2f} mm on average, {JOINTS[worst]} by "
        f"{errors_mm[worst]:.2f} mm; {vertices.min()} to {vertices.max()} vertices a joint"
    )
