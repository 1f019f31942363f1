"""Terms: the summands of the loss."""
