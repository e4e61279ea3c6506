"""Fine-tuning of the joint model, data-parallel on Ray Train."""
