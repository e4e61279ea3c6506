"""Stage 3 as a Ray job: `ray job submit --working-dir . -- python -m jobs.forecast RUN/prepared --out RUN/forecast`."""

from jobs.entry import run_command

if __name__ == "__main__":
    run_command("forecast")
