"""Vocabulary and behaviour of clew: no click, no printing, no exit."""
