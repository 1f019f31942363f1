"""What happens in a run, in order: recipe, data, teacher, answers, heads, training, result."""
