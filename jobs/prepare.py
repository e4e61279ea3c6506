"""Stage 1 as a Ray job: `ray job submit --working-dir . -- python -m jobs.prepare --data DIR --out RUN/prepared`."""

from jobs.entry import run_command

if __name__ == "__main__":
    run_command("prepare")
