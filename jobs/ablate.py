"""Ablation as a Ray job: `ray job submit --working-dir . -- python -m jobs.ablate --run RUN`."""

from jobs.entry import run_command

if __name__ == "__main__":
    run_command("ablate")
