"""What it costs: prices, latencies, estimates and comparisons."""
