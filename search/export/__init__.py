"""What leaves a study: the exported model, its card, prediction, and honest test figures."""
