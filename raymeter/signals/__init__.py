"""Logits -> signals; what they are computed on; read back when stored."""
