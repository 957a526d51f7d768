"""``python -m workers.ta NAME RUN_ID PARENT_PID``; started by the supervisor."""

import sys

from pipeline.runtime import run_stage

if __name__ == "__main__":
    run_stage("ta", *sys.argv[1:])
