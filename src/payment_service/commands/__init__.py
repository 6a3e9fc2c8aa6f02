"""What the commands of operators do: one module for each group of `cli/`."""
