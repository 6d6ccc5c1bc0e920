"""Result -> files, pictures, terminal, page and gates, in the layout that users of Privacy Meter know."""
