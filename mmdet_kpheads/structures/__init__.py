"""What flows between the layers of the package, as named tuples of tensors."""

from .detections import Detections
from .geometry import GridPyramid, MapGeometry
from .ground_truth import GroundTruth

__all__ = ['Detections', 'GridPyramid', 'GroundTruth', 'MapGeometry']
