"""Why two results differ: findings, and a walk from one to the other; pure."""
