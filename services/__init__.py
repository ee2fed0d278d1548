"""The running services: answer, widget, and the one process that holds them all."""
