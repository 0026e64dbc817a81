"""What is looked at: graphs, tables and the live widget."""
