"""All stages as a Ray job: `ray job submit --working-dir . -- python -m jobs.pipeline --data DIR --out RUN`."""

from jobs.entry import run_command

if __name__ == "__main__":
    run_command("run")
