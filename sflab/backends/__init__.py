"""The shell: every clock, thread and socket."""
