"""The camera of the synthetic city: a photo's position, time and settings, and the frame that they give.

The camera is a pinhole, and its optical axis is horizontal.
Axes: R rows and C columns of the frame, B boxes.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vprlib.data.synthetic.city_layout import CityLayout

HORIZON = 0.62  # as a fraction of the image height: a vertical lens shift shows more facade than street
# fmt: off
# The radiance of the light at full day, late afternoon, dusk, night and deep night.
AMBIENT = np.array([(.50, .55, .62), (.40, .38, .38), (.17, .16, .21), (.045, .05, .075), (.016, .018, .03)])
SUN = np.array([(.85, .80, .70), (.75, .55, .30), (.25, .10, .04), (0, 0, 0), (0, 0, 0)])
ZENITH = np.array([(.22, .42, .80), (.24, .36, .60), (.10, .12, .28), (.015, .02, .06), (.004, .005, .012)])
HAZE = np.array([(.72, .80, .88), (.85, .68, .46), (.60, .27, .13), (.08, .055, .06), (.03, .022, .02)])
LAMP = np.array([(0, 0, 0), (.06, .04, .03), (.50, .36, .21), (.90, .65, .38), (1., .72, .42)])
# fmt: on


@dataclass(frozen=True)
class Shot:
    """Position, time and camera settings of one photo.

    Attributes:
        east: metres.
        north: metres.
        heading: degrees clockwise from north.
        light: in [0, 1], from full day over dusk (0.5) to deep night.
        fov: horizontal field of view, degrees.
        camera_height: metres.
        exposure: factor of the linear radiance.
        cast: factors of the linear radiance of red, green and blue.
    """

    east: float
    north: float
    heading: float
    light: float
    fov: float = 70.0
    camera_height: float = 2.0
    exposure: float = 1.0
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)


def jitter_shot(shot: Shot, rng: np.random.Generator, *, metres: float = 1.5, degrees: float = 12.0) -> Shot:
    """Return a shot at most `metres` and `degrees` away, with another exposure and colour cast.

    The facades are at least 7.2 m from a center line, so a shot near the center line stays within its street.
    """
    radius, bearing = metres * np.sqrt(rng.random()), rng.uniform(0.0, 2 * np.pi)
    return replace(
        shot,
        east=shot.east + float(radius * np.sin(bearing)),
        north=shot.north + float(radius * np.cos(bearing)),
        heading=(shot.heading + float(rng.uniform(-degrees, degrees))) % 360.0,
        exposure=float(np.exp(rng.normal(0.0, 0.15))),
        cast=tuple(np.exp(rng.normal(0.0, 0.05, 3)).tolist()),
    )


class View:
    """Frame of R rows and C columns: the rays, the light, and the pixels drawn so far.

    Attributes:
        city: the city.
        camera_height: metres.
        origin: (2,) east and north of the camera, metres.
        forward: (2,) unit vector of the optical axis, in the plan.
        right: (2,) unit vector to the right.
        focal: focal length in pixels.
        rays: (2, C) directions in the plan, of unit depth.
        slopes: (R, 1) float32, downward slope of each row.
        ambient: (3,) float32 radiance of the diffuse light; `sun`, `zenith`, `haze` and `lamp` likewise.
        sunward: (2,) unit vector towards the sun, in the plan.
        planes: (3, R, C) float32 linear radiance.
        radiance: (R, C, 3), the same memory as `planes`.
        owner: (R, C) int16, number of the sprite that a pixel shows, or -1.
    """

    def __init__(self, city: CityLayout, shot: Shot, rows: int, columns: int) -> None:
        """Set the camera and the light of a shot; the frame is black."""
        self.city, self.camera_height = city, shot.camera_height
        self.origin, heading = np.array([shot.east, shot.north]), np.deg2rad(shot.heading)
        self.forward = np.array([np.sin(heading), np.cos(heading)])
        self.right = np.array([np.cos(heading), -np.sin(heading)])
        self.focal = columns / 2 / np.tan(np.deg2rad(shot.fov) / 2)
        lateral = (np.arange(columns) + 0.5 - columns / 2) / self.focal
        # The offset keeps the rays off the axes, where they would never enter a slab.
        self.rays = self.forward[:, None] + self.right[:, None] * lateral + 1e-9
        self.slopes = ((np.arange(rows) + 0.5 - HORIZON * rows) / self.focal).astype(np.float32)[:, None]  # (R, 1) down
        self.ambient, self.sun, self.zenith, self.haze, self.lamp = (
            np.array([np.interp(shot.light, np.linspace(0.0, 1.0, 5), channel) for channel in table.T], np.float32)
            for table in (AMBIENT, SUN, ZENITH, HAZE, LAMP)
        )
        azimuth = np.deg2rad(150.0 + 240.0 * min(shot.light, 0.5))  # the sun goes down in the west
        self.sunward = np.array([np.sin(azimuth), np.cos(azimuth)])
        self.planes = np.zeros((3, rows, columns), np.float32)  # of linear radiance
        self.radiance = self.planes.transpose(1, 2, 0)  # the same memory
        self.owner = np.full((rows, columns), -1, np.int16)  # index of the sprite that a pixel shows

    def enter(
        self, boxes: NDArray[np.float64], columns: slice = slice(None)
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Intersect the rays of some columns with boxes in the plan.

        Args:
            boxes: (B, 4) west, south, east and north side, metres.
            columns: the columns.

        Returns:
            (B, C) depths at which the rays enter and leave the boxes, and the axis (0 east, 1 north) of the side that
            they enter by.
        """
        low, high = ((boxes[:, side, None] - self.origin[:, None]) / self.rays[:, columns] for side in ([0, 1], [2, 3]))
        near, far = np.minimum(low, high), np.maximum(low, high)
        return near.max(axis=1), far.min(axis=1), near.argmax(axis=1)
