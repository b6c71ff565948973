"""The acceptance measurements: one module per subject, each judging figures against a bar."""
