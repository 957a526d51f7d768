"""``python -m workers.model NAME RUN_ID PARENT_PID``; started by the supervisor.

``python -m workers.model --check DIRECTORY TYPE ...`` loads a model as that does, and ends.
"""

import sys

from workers.ml.models import ModelError
from workers.ml.models.estimator import load
from workers.model.host import run

if __name__ == "__main__":
    is_check = sys.argv[1] == "--check"
    try:
        if is_check:
            load(sys.argv[2], sys.argv[3:])
        else:
            run(*sys.argv[1:])
    except ModelError as error:
        sys.exit(str(error) if is_check else f"bot4: model: {error}")
