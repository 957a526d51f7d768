"""``python -m workers.executor NAME RUN_ID PARENT_PID``; started by the supervisor."""

import sys

from pipeline.runtime import run_stage

if __name__ == "__main__":
    run_stage("executor", *sys.argv[1:])
