"""Tables, figures and pages from the errors of every sample."""
