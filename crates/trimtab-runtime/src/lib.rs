//! Generation: prefill and decode loops, sampling, stop rules, timing and memory accounting.
