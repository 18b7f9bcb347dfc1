"""The selection-and-assignment problem of QPM and its solvers.

>>> import numpy as np
>>> problem = AssignmentProblem(np.eye(3), None, [0.0, 0.0, 0.1], n_features=2, n_per_class=1)
Traceback (most recent call last):
...
ValueError: 2 features give only 2 different sets for 3 classes; raise n_features or change \
n_per_class
"""

from methods.qpm.assignment.problem import (
    AssignmentProblem,
    Solution,
    evaluate,
    verify,
)
from methods.qpm.assignment.solve import SOLVERS, solve

__all__ = ["SOLVERS", "AssignmentProblem", "Solution", "evaluate", "solve", "verify"]
