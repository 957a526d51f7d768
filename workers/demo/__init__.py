"""The two processes of the demonstration (`bot4 demo`)."""
