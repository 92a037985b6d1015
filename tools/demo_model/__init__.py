"""Makes the demo model: renderer, dataset, training, evaluation. See docs/demo-model.md."""
