//! Suites, prompts, answer extraction, grading and measurement: one run into events.
