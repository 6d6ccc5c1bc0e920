"""What attacks share: moments over references, stand-ins, blocks of records, signals from logits."""
