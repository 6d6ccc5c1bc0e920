"""What each verb does, on one screen each."""
