"""Stage 2 as a Ray job: `ray job submit --working-dir . -- python -m jobs.encode RUN/prepared --out RUN/encode`."""

from jobs.entry import run_command

if __name__ == "__main__":
    run_command("encode")
