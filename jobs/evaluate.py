"""Stage 5 as a Ray job: `ray job submit --working-dir . -- python -m jobs.evaluate RUN --out DIR`."""

from jobs.entry import run_command

if __name__ == "__main__":
    run_command("evaluate")
