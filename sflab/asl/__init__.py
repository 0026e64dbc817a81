"""The Amazon States Language: pure functions of JSON."""
