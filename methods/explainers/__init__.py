"""What the explainers stand on: reference images, Omega, channel weights and their reuse."""
