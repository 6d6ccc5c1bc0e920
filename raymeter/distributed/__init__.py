"""All of Ray: session, resources, training, signals, attack tasks, trials."""
