"""The evidence of an advice, of which only the placement is made up."""

import numpy as np
from known import found

from regraft.advice.measure import Auto, Evidence
from regraft.advice.placement import Placement
from regraft.advice.size import Size

AUTO = Auto(
    name="auto",
    quadrant=None,
    similar_from=0.75,
    far_from=0.4,
    small_gain=0.025,
    small_per_class=50,
    target_acc=0.95,
    sizes=6,
    replicates=3,
    max_images=4000,
    min_steps=400,
)


def evidence(*, similar, small, images=100) -> Evidence:
    return Evidence(
        data="made",
        backbone="made",
        sizes={"train": images, "val": 10, "test": 10},
        similarity=None if similar is None else found(seed=0),
        no_similarity_because="",
        size=Size(images, 10, images // 10, images // 10, None, (), np.array([]), "too few"),
        distance=None,
        no_distance_because="",
        forecast=None,
        placement=Placement(similar, small),
        seconds=1.0,
        images_forwarded=0,
    )
