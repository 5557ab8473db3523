"""Shows clew to people and scripts: the only layer that prints, prompts or exits."""
