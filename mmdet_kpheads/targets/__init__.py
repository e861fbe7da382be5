"""What the heads are trained on."""
