//! Compression methods: weights in, weights out, and a report for every layer.
