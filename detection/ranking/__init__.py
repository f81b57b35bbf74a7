"""The score, evidence and operation classes of findings. Pure, like the rule."""
