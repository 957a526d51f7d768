"""``python -m workers.ml NAME RUN_ID PARENT_PID``; started by the supervisor."""

import sys

from pipeline.runtime import run_stage
from pipeline.stage import StageError

if __name__ == "__main__":
    try:
        run_stage("ml", *sys.argv[1:])
    except StageError as error:  # a user can mend it: of a strategy, or a model
        sys.exit(f"bot4: ml: {error}")
