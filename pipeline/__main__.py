"""``python -m pipeline`` is ``bot4``."""

from pipeline.cli import main

if __name__ == "__main__":
    main(prog_name="bot4")
